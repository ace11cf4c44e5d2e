"""An archive is brought to its place, wherever it comes from; again and again."""

import gzip
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from folder_state import Interruption, files_below, make_old, written_since

from utils import download_handle_data as module
from utils.base.files import sha256_of
from utils.download_handle_data import ARCHIVE_NAME, archive_is_available, download_data

WRONG_HASH = "ab" * 32


def test_import_does_nothing_and_data_lies_in_the_repository(tmp_path):
    root = Path(module.__file__).resolve().parents[1]
    code = (
        "import sys, utils.download_handle_data as module; print(module.DATA_DIRECTORY);"
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [str(root / "data"), "[]"]
    assert run.stderr == ""
    assert list(tmp_path.iterdir()) == []


# ---- download_data from a path


@pytest.mark.parametrize("spelling", [str, Path, Path.as_uri], ids=["str", "Path", "file://"])
def test_local_archive_is_kept_under_data(sample_archive, data_directory, archive_bytes, spelling):
    kept = download_data(spelling(sample_archive))
    assert kept == data_directory / ARCHIVE_NAME
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}
    assert sample_archive.read_bytes() == archive_bytes


def test_file_url_may_have_escaped_characters(sample_archive, tmp_path, archive_bytes):
    path = tmp_path / "with spaces" / "Füchse 100%.tar.gz"
    path.parent.mkdir()
    shutil.copy(sample_archive, path)
    assert "%20" in path.as_uri()
    assert download_data(path.as_uri()).read_bytes() == archive_bytes


def test_path_may_have_characters_that_a_url_would_escape(sample_archive, tmp_path, archive_bytes):
    path = shutil.copy(sample_archive, tmp_path / "100%41 #1.tar.gz")
    assert download_data(str(path)).read_bytes() == archive_bytes


def test_given_directory_is_taken(sample_archive, data_directory, tmp_path, archive_bytes):
    kept = download_data(sample_archive, directory=tmp_path / "elsewhere")
    assert kept.read_bytes() == archive_bytes
    assert kept.parent == tmp_path / "elsewhere"
    assert not data_directory.exists()


def test_same_local_archive_is_not_copied_again(sample_archive, data_directory):
    kept = download_data(sample_archive)
    make_old(data_directory)
    assert download_data(sample_archive) == kept
    assert download_data(kept) == kept
    assert written_since(data_directory) == []


def test_other_local_archive_replaces_the_kept_one(sample_archive, other_archive):
    download_data(sample_archive)
    assert download_data(other_archive).read_bytes() == other_archive.read_bytes()


def test_interrupted_copy_leaves_the_kept_archive(
    sample_archive, other_archive, data_directory, archive_bytes, monkeypatch
):
    def copy_half(source, destination):
        destination.write(source.read(1000))
        raise Interruption

    download_data(sample_archive)
    monkeypatch.setattr(shutil, "copyfileobj", copy_half)
    with pytest.raises(Interruption):
        download_data(other_archive)
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}


@pytest.mark.parametrize("with_hash", [False, True])
def test_copy_that_differs_from_its_source_never_has_the_name(
    sample_archive, data_directory, monkeypatch, with_hash
):
    def copy_damaged(source, destination):
        destination.write(source.read(1000) + bytes([source.read(1)[0] ^ 1]) + source.read())

    monkeypatch.setattr(shutil, "copyfileobj", copy_damaged)
    sha256 = sha256_of(sample_archive)
    with pytest.raises(ValueError, match=f"SHA-256 is .*, expected {sha256}"):
        download_data(sample_archive, sha256=sha256 if with_hash else None)
    assert files_below(data_directory) == {}


@pytest.mark.parametrize("name", ["nowhere.tar.gz", "."])
def test_path_without_archive_is_named(tmp_path, data_directory, name):
    with pytest.raises(FileNotFoundError, match="no archive there; give a path or an") as caught:
        download_data(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert not data_directory.exists()


@pytest.mark.parametrize("url", ["ftp://example.org/a.tar.gz", ""])
def test_text_that_is_neither_path_nor_url_is_refused(url):
    with pytest.raises(FileNotFoundError, match="give a path or an http"):
        download_data(url)


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><title>Sign in</title>", gzip.compress(bytes(10240))],
    ids=["empty", "HTML", "nothing packed"],
)
def test_local_file_that_is_no_archive_is_refused(tmp_path, data_directory, content):
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="archive") as caught:
        download_data(path)
    assert str(path) in str(caught.value)
    assert not data_directory.exists()


def test_wrong_hash_of_a_local_archive_leaves_the_kept_one(
    sample_archive, other_archive, data_directory, archive_bytes
):
    download_data(sample_archive, sha256=sha256_of(sample_archive))
    with pytest.raises(ValueError, match=WRONG_HASH) as caught:
        download_data(other_archive, sha256=WRONG_HASH)
    assert sha256_of(other_archive) in str(caught.value)
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}


# ---- download_data over HTTP


@pytest.mark.parametrize("with_hash", [False, True])
def test_archive_is_downloaded_once_then_only_verified(
    server, sample_archive, data_directory, archive_bytes, with_hash
):
    url = server.add("/a.tar.gz", archive_bytes)
    sha256 = sha256_of(sample_archive) if with_hash else None
    kept = download_data(url, sha256=sha256)
    assert kept == data_directory / ARCHIVE_NAME
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}
    make_old(data_directory)
    assert download_data(url, sha256=sha256) == kept
    assert len(server.requests) == 1
    assert written_since(data_directory) == []


@pytest.mark.parametrize("content", [b"", b"<html>", None], ids=["empty", "HTML", "cut off"])
def test_damaged_kept_archive_is_replaced(server, data_directory, archive_bytes, content):
    data_directory.mkdir()
    (data_directory / ARCHIVE_NAME).write_bytes(
        archive_bytes[:-1000] if content is None else content
    )
    download_data(server.add("/a.tar.gz", archive_bytes))
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}


def test_kept_archive_of_another_hash_is_replaced(
    server, sample_archive, other_archive, archive_bytes
):
    download_data(other_archive)
    url = server.add("/a.tar.gz", archive_bytes)
    assert download_data(url, sha256=sha256_of(sample_archive)).read_bytes() == archive_bytes


def test_interrupted_download_is_resumed(server, data_directory, archive_bytes):
    data_directory.mkdir()
    (data_directory / f"{ARCHIVE_NAME}.part").write_bytes(archive_bytes[:5000])
    download_data(server.add("/a.tar.gz", archive_bytes))
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}
    assert server.requests == [("/a.tar.gz", "bytes=5000-")]


def test_wrong_hash_of_a_download_names_both_and_leaves_no_file(
    server, sample_archive, data_directory, archive_bytes
):
    url = server.add("/a.tar.gz", archive_bytes)
    with pytest.raises(ConnectionError, match=WRONG_HASH) as caught:
        download_data(url, sha256=WRONG_HASH)
    assert sha256_of(sample_archive) in str(caught.value)
    assert url in str(caught.value)
    assert files_below(data_directory) == {}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"content": b"<html>", "headers": {"Content-Type": "text/html"}}, "web page"),
        ({"content": b"<html>"}, r"not CIFAR-10's \.tar\.gz archive"),
        ({"content": b""}, r"not CIFAR-10's \.tar\.gz archive"),
        ({"status": 404}, "HTTP 404"),
    ],
    ids=["HTML", "HTML without its type", "empty", "missing"],
)
def test_answer_that_is_no_archive_leaves_no_file(server, data_directory, answer, words):
    with pytest.raises(ConnectionError, match=words):
        download_data(server.add("/a.tar.gz", **answer))
    assert files_below(data_directory) == {}


@pytest.mark.parametrize("scheme", ["http:", "https:"])
def test_url_where_nobody_listens_gives_the_manual_way(refused_url, scheme):
    with pytest.raises(ConnectionError, match="Download it by hand"):
        download_data(refused_url.replace("http:", scheme))


@pytest.fixture
def official(server, sample_archive, archive_bytes, monkeypatch):
    """The official URL, which with two copies of it is on the local server; gives the three."""
    urls = [f"http://127.0.0.1:{server.server_port}/{name}" for name in ("one", "two", "official")]
    monkeypatch.setattr(module, "MIRRORS", tuple(urls[:2]))
    monkeypatch.setattr(module, "OFFICIAL_URL", urls[2])
    monkeypatch.setattr(module, "OFFICIAL_SIZE", len(archive_bytes))
    monkeypatch.setattr(module, "OFFICIAL_SHA256", sha256_of(sample_archive))
    return urls[2]


def test_official_archive_comes_from_its_copies_first(server, official, archive_bytes):
    server.add("/one", archive_bytes)
    assert download_data(official).read_bytes() == archive_bytes
    assert server.requests == [("/one", None)]


def test_official_url_with_the_hash_of_another_archive_is_refused(
    server, official, sample_archive, archive_bytes
):
    server.add("/one", archive_bytes)
    expected = sha256_of(sample_archive)
    with pytest.raises(ValueError, match=f"sha256 is {WRONG_HASH}, but {expected}"):
        download_data(official, sha256=WRONG_HASH)
    assert server.requests == []
    assert download_data(official, sha256=expected.upper()).read_bytes() == archive_bytes
    with pytest.raises(ValueError, match="sha256 is"):  # also where a valid one is kept
        download_data(official, sha256=WRONG_HASH)


def test_official_host_is_the_last_and_the_hash_decides(
    server, official, other_archive, archive_bytes
):
    server.add("/one", status=404)
    server.add("/two", other_archive.read_bytes())
    server.add("/official", archive_bytes)
    assert download_data(official).read_bytes() == archive_bytes
    assert [path for path, _ in server.requests] == ["/one", "/two", "/two", "/official"]


def test_finished_part_of_the_official_archive_needs_no_request(
    server, official, data_directory, archive_bytes
):
    data_directory.mkdir()
    (data_directory / f"{ARCHIVE_NAME}.part").write_bytes(archive_bytes)
    download_data(official)
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}
    assert server.requests == []


def test_other_archive_does_not_pass_for_the_official_one(
    server, official, other_archive, data_directory
):
    download_data(other_archive)
    for name in ("/one", "/two", "/official"):
        server.add(name, status=404)
    with pytest.raises(ConnectionError, match="Download it by hand") as caught:
        download_data(official)
    assert str(caught.value).count("HTTP 404") == 3
    assert files_below(data_directory) == {ARCHIVE_NAME: other_archive.read_bytes()}


# ---- archive_is_available


def test_archive_is_available_where_a_source_answers(server, official):
    server.add("/one", status=404)
    server.add("/two", status=500)
    server.add("/official", b"archive")
    assert archive_is_available(official)
    assert archive_is_available(server.add("/elsewhere", b"archive"))


def test_official_archive_is_available_from_a_copy_and_others_are_not(server, official):
    server.add("/one", b"archive")
    for name in ("/two", "/official", "/elsewhere"):
        server.add(name, status=404)
    assert archive_is_available(official)
    assert not archive_is_available(official.replace("official", "elsewhere"))


def test_silent_source_is_waited_for_only_so_long():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        assert not archive_is_available(f"http://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.2)
    assert time.monotonic() - start < 8  # the default is 20


def test_archive_is_not_available_where_none_answers(server, official, refused_url):
    for name in ("/one", "/two", "/official"):
        server.add(name, status=404)
    assert not archive_is_available(official)
    assert not archive_is_available(refused_url)


def test_archive_is_available_from_a_path_or_if_it_came_from_there(
    sample_archive, archive_bytes, server, refused_url
):
    assert archive_is_available(sample_archive)
    assert archive_is_available(sample_archive.as_uri())
    url = server.add("/a.tar.gz", archive_bytes)
    server.add("/a.tar.gz", status=404)
    download_data(url)
    assert archive_is_available(url)
    assert len(server.requests) == 1
    assert not archive_is_available(refused_url)


def test_another_archive_that_is_kept_does_not_stand_for_the_official_one(
    server, official, other_archive
):
    for name in ("/one", "/two", "/official"):
        server.add(name, status=404)
    download_data(other_archive)
    assert not archive_is_available(official)


def test_a_page_to_log_in_to_is_no_source(server):
    url = server.add("/page", b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})
    assert not archive_is_available(url)
