"""From an archive to batches, whole or not at all; again and again."""

import os
import tarfile
from pathlib import Path

import pytest
from folder_state import Interruption, files_below, interrupt_replace, make_old, written_since

from utils.archive.batches import read_batch
from utils.archive.members import MEMBERS
from utils.download_handle_data import ARCHIVE_NAME, download_data, extract_cifar10_data


def test_eight_files_are_extracted_as_they_are(sample_archive, tmp_path):
    folder = extract_cifar10_data(tmp_path / "new" / "folder", archive=sample_archive)
    assert folder == tmp_path / "new" / "folder" / "cifar-10-batches-py"
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, ".lock"}
    found = files_below(folder)
    del found["extracted.json"]
    with tarfile.open(sample_archive) as tar:
        assert found == {
            name: tar.extractfile(f"{folder.name}/{name}").read() for name in sorted(MEMBERS)
        }


def test_archive_is_the_downloaded_one_by_default(sample_archive, data_directory):
    download_data(sample_archive)
    folder = extract_cifar10_data(data_directory)
    assert (folder / "data_batch_1").is_file()


@pytest.fixture
def extracted(sample_archive, tmp_path):
    """A finished extraction with an old time of change."""
    folder = extract_cifar10_data(tmp_path, archive=sample_archive)
    make_old(folder)
    return folder


def test_finished_extraction_is_left_alone(sample_archive, extracted):
    assert extract_cifar10_data(extracted.parent, archive=sample_archive) == extracted
    assert written_since(extracted) == []


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("data_batch_3", Path.unlink),
        ("data_batch_3", lambda path: os.truncate(path, 0)),
        ("test_batch", lambda path: os.truncate(path, 1000)),
        ("batches.meta", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!")),
        ("data_batch_3", replace_by_folder),
        ("extracted.json", Path.unlink),
        ("extracted.json", lambda path: path.write_text("{")),
    ],
    ids=["missing", "empty", "cut off", "changed", "folder", "no record", "broken record"],
)
def test_damaged_extraction_is_repaired(sample_archive, extracted, name, damage):
    sound = files_below(extracted)
    damage(extracted / name)
    extract_cifar10_data(extracted.parent, archive=sample_archive)
    assert files_below(extracted) == sound


def test_extraction_of_another_archive_is_replaced(other_archive, extracted):
    extract_cifar10_data(extracted.parent, archive=other_archive)
    data, _, _ = read_batch(extracted / "data_batch_1")
    assert len(data) == 10


def test_interrupted_extraction_is_completed(sample_archive, tmp_path, monkeypatch):
    interrupt_replace(monkeypatch, after=0)
    with pytest.raises(Interruption):
        extract_cifar10_data(tmp_path, archive=sample_archive)
    monkeypatch.undo()
    folder = tmp_path / "cifar-10-batches-py"
    assert not folder.exists()
    extract_cifar10_data(tmp_path, archive=sample_archive)
    assert set(files_below(folder)) == {*MEMBERS, "extracted.json"}
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, ".lock"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../escaped", tarfile.REGTYPE),
        ("cifar-10-batches-py/../../../escaped", tarfile.REGTYPE),
        ("cifar-10-batches-py/escaped", tarfile.SYMTYPE),
        ("cifar-10-batches-py/readme.html", tarfile.SYMTYPE),
        ("cifar-10-batches-py/readme.html", tarfile.LNKTYPE),
        ("cifar-10-batches-py/data_batch_1", tarfile.REGTYPE),
    ],
    ids=["parent", "hidden parent", "link", "known link", "hard link", "twice"],
)
def test_hostile_archive_writes_nothing_outside_nor_under_the_final_name(
    repack, tmp_path, name, kind
):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, str(tmp_path / "target")
    archive = repack(lambda members: [*members, (member, b"")])
    directory = tmp_path / "one" / "two"
    with pytest.raises(ValueError, match=r"escaped|readme|data_batch_1"):
        extract_cifar10_data(directory, archive=archive)
    assert not list(tmp_path.rglob("*escaped*"))
    assert not (directory / "cifar-10-batches-py").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"one", archive.name}


def test_absolute_member_is_not_written(repack, tmp_path):
    member = tarfile.TarInfo(str(tmp_path / "escaped"))
    archive = repack(lambda members: [(member, b"content"), *members])
    with pytest.raises(ValueError, match="unknown member"):
        extract_cifar10_data(tmp_path / "folder", archive=archive)
    assert not (tmp_path / "escaped").exists()


def test_damaged_archive_leaves_the_extraction_that_is_there(extracted, tmp_path, archive_bytes):
    sound = files_below(extracted)
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(archive_bytes[:-1000])
    with pytest.raises(ValueError, match="download it again"):
        extract_cifar10_data(extracted.parent, archive=damaged)
    assert files_below(extracted) == sound


def test_missing_archive_is_named_with_the_remedy(tmp_path, data_directory):
    with pytest.raises(FileNotFoundError, match="run download_data first") as caught:
        extract_cifar10_data(tmp_path)
    assert str(data_directory / ARCHIVE_NAME) in str(caught.value)
