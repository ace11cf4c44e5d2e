"""Other test sets are downloaded, checked and unpacked below ``data/``."""

import hashlib
import io
import sys
import tarfile

import pytest

from tools import get_test_sets as module


def offered(server, monkeypatch, path, content, *, named="", md5=None):
    """Let the test set "made" be one file at `path` of `server`."""
    url = server.add(path, content)
    md5 = md5 or hashlib.md5(content).hexdigest()
    monkeypatch.setitem(module.TEST_SETS, "made", ("MADE", named, [(url, None, md5)]))


def test_a_file_is_downloaded_once(server, monkeypatch, tmp_path):
    offered(server, monkeypatch, "/answers.npy", b"numbers", named="answers.npy")
    for _ in range(2):
        assert module.get_test_set("made", tmp_path) == f"MADE={tmp_path / 'answers.npy'}"
    assert (tmp_path / "answers.npy").read_bytes() == b"numbers"
    assert len(server.requests) == 1


def test_a_tar_is_unpacked(server, monkeypatch, tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("kinds/fog.npy")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"fog"))
    offered(server, monkeypatch, "/kinds.tar", made.getvalue(), named="kinds")
    assert module.get_test_set("made", tmp_path) == f"MADE={tmp_path / 'kinds'}"
    assert (tmp_path / "kinds" / "fog.npy").read_bytes() == b"fog"
    assert [path.name for path in tmp_path.iterdir()] == ["kinds"]


def test_another_file_than_the_published_one_is_refused(server, monkeypatch, tmp_path):
    offered(server, monkeypatch, "/answers.npy", b"numbers", md5="0" * 32)
    with pytest.raises(ConnectionError, match=r"MD5 is \w+, expected 0000"):
        module.get_test_set("made", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_which_variable_names_it(
    server, monkeypatch, tmp_path, capsys, data_directory
):
    monkeypatch.setattr(module, "DATA_DIRECTORY", data_directory)
    offered(server, monkeypatch, "/answers.npy", b"numbers")
    monkeypatch.setattr(sys, "argv", ["get_test_sets", "made"])
    module.main()
    assert capsys.readouterr().out.splitlines()[-1].startswith("export MADE=")
    monkeypatch.setattr(sys, "argv", ["get_test_sets", "imagenet"])
    with pytest.raises(SystemExit, match="'imagenet' is no test set; there are cifar10_1"):
        module.main()
