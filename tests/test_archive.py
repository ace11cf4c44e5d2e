"""What is taken as CIFAR-10's archive, and all that is refused."""

import gzip
import io
import re
import tarfile
import tracemalloc
import zipfile

import pytest

from utils.archive import members as module
from utils.archive.members import (
    MEMBER_SIZE_CAP,
    MEMBERS,
    OVERHEAD_CAP,
    check_archive,
    read_members,
)
from utils.base.files import sha256_of

FOLDER = "cifar-10-batches-py"


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def adding(*args, content=b""):
    """Return a change for `repack` that puts one more member in front."""
    return lambda members: [(member(*args), content), *members]


def replacing(name, *args, content=b""):
    """Return a change for `repack` that puts another member in the place of one."""
    return lambda members: [
        (member(f"{FOLDER}/{name}", *args), content) if info.name.endswith(name) else (info, old)
        for info, old in members
    ]


def refusal(archive):
    """Return the message with which `archive` is refused; it names the archive."""
    with pytest.raises(ValueError, match=re.escape(str(archive))) as caught:
        check_archive(archive)
    return str(caught.value)


def test_members_are_read_as_they_are_stored(sample_archive):
    found = dict(read_members(sample_archive))
    with tarfile.open(sample_archive) as tar:
        assert found == {
            name: tar.extractfile(f"{FOLDER}/{name}").read()
            for name in (
                "batches.meta",
                "data_batch_1",
                "data_batch_2",
                "data_batch_3",
                "data_batch_4",
                "data_batch_5",
                "readme.html",
                "test_batch",
            )
        }


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members,
        lambda members: members[::-1],
        adding(FOLDER, tarfile.DIRTYPE),
    ],
    ids=["same", "reversed", "with its folder"],
)
def test_sound_archive_is_accepted_by_its_content(repack, change):
    archive = repack(change)
    check_archive(archive)
    assert {name for name, _ in read_members(archive)} == MEMBERS


# ---- members


@pytest.mark.parametrize(
    "name",
    [
        "../data_batch_1",
        f"{FOLDER}/../data_batch_1",
        f"{FOLDER}/../../data_batch_1",
        f"/{FOLDER}/data_batch_1",
        "/tmp/data_batch_1",
        "data_batch_1",
        f"{FOLDER}/more/data_batch_1",
        f"{FOLDER}/data_batch_6",
        "cifar-100-python/coarse",
    ],
)
def test_member_under_another_name_is_refused(repack, name):
    assert f"unknown member {name!r}" in refusal(repack(adding(name)))


def test_files_of_both_kinds_are_refused(repack):
    assert f"unknown member '{FOLDER}/" in refusal(repack(adding("cifar-100-python/train")))


def packed_again(archive, path, change, mode="w:gz"):
    """Pack the members of an archive again, each name changed, with what a Mac and we add."""
    with tarfile.open(archive) as old, tarfile.open(path, mode) as new:
        for info in old.getmembers():
            content = old.extractfile(info).read()
            beside = f"{FOLDER}/._{info.name.rpartition('/')[2]}"
            for name, part in ((beside, b"Mac"), (info.name, content)):
                renamed = member(change(name))
                renamed.size = len(part)
                new.addfile(renamed, io.BytesIO(part))
        for name in ("extracted.json", ".DS_Store"):
            new.addfile(member(change(f"{FOLDER}/{name}")))
    return path


@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize("before", ["", "./"])
def test_an_archive_packed_again_is_taken(sample_archive, tmp_path, mode, before):
    path = packed_again(sample_archive, tmp_path / "a.tar.gz", lambda name: before + name, mode)
    assert dict(read_members(path)) == dict(read_members(sample_archive))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE],
    ids=["symbolic link", "hard link", "folder", "pipe", "device"],
)
def test_member_that_is_no_regular_file_is_refused(repack, kind):
    message = refusal(repack(replacing("test_batch", kind, "/etc/passwd")))
    assert f"'{FOLDER}/test_batch' is not a regular file" in message


def test_doubled_member_is_refused(repack):
    message = refusal(repack(adding(f"{FOLDER}/readme.html", content=b"another")))
    assert f"'{FOLDER}/readme.html' occurs twice" in message


def test_member_above_the_cap_is_refused(repack):
    message = refusal(repack(replacing("readme.html", content=bytes(MEMBER_SIZE_CAP + 1))))
    assert f"'{FOLDER}/readme.html' has 31,100,001 bytes" in message


def test_member_of_exactly_the_cap_is_accepted(sample_archive, monkeypatch):
    largest = max(len(content) for _, content in read_members(sample_archive))
    monkeypatch.setattr(module, "MEMBER_SIZE_CAP", largest)
    check_archive(sample_archive)
    monkeypatch.setattr(module, "MEMBER_SIZE_CAP", largest - 1)
    assert "more than" in refusal(sample_archive)


def test_negative_size_is_refused(sample_archive, tmp_path):
    tar = bytearray(gzip.decompress(sample_archive.read_bytes()))
    tar[124:136] = b"\xff" * 11 + b"\0"  # size -256 of the first member, in base 256
    tar[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(tar[:512]))[0]
    archive = tmp_path / "negative.tar.gz"
    archive.write_bytes(gzip.compress(tar, 1))
    refusal(archive)


def header(kind, size, name=f"{FOLDER}/readme.html"):
    info = member(name, kind)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


LARGE = 100_000_000  # bytes; 100 kB once compressed


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: [header(tarfile.XHDTYPE, LARGE), bytes(LARGE)],
        lambda: [header(tarfile.XGLTYPE, LARGE), bytes(LARGE)],
        lambda: [header(tarfile.GNUTYPE_LONGNAME, LARGE), bytes(LARGE)],
        lambda: [header(tarfile.GNUTYPE_LONGLINK, LARGE), bytes(LARGE)],
        lambda: [header(tarfile.DIRTYPE, 0, FOLDER)] * 20_000,
        lambda: [header(tarfile.GNUTYPE_LONGNAME, 512), bytes(512)] * 1000,
        lambda: [header(tarfile.REGTYPE, 10), bytes(512), bytes(LARGE)],
    ],
    ids=["PAX", "global PAX", "long name", "long link", "folders", "nested", "padding"],
)
def test_bomb_outside_the_members_is_refused_with_little_memory(tmp_path, bomb):
    archive = tmp_path / "bomb.tar.gz"
    with gzip.open(archive, "wb", compresslevel=1) as file:
        for piece in bomb():
            file.write(piece)
    tracemalloc.start()
    try:
        refusal(archive)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_bomb_after_the_members_is_refused(sample_archive, tmp_path):
    archive = tmp_path / "bomb.tar.gz"
    content = gzip.decompress(sample_archive.read_bytes()) + bytes(OVERHEAD_CAP)
    archive.write_bytes(gzip.compress(content, 1))
    assert "unpacks to more than any genuine one" in refusal(archive)


def test_missing_members_are_named(repack):
    archive = repack(lambda members: [m for m in members if "batch_" not in m[0].name])
    message = refusal(archive)
    assert all(f"data_batch_{number}" in message for number in range(1, 6))
    assert "readme.html" not in message


# ---- damage


def flip_bit(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-9],
        lambda content: content[:-1],
        lambda content: b"<!DOCTYPE html><title>Sign in</title>",
        lambda content: gzip.compress(b""),
        lambda content: gzip.compress(b"no tar file" * 1000),
        lambda content: gzip.decompress(content)[: len(content)],
        lambda content: content + b"rubbish",
    ],
    ids=[
        "empty",
        "five bytes",
        "half",
        "without its checksum",
        "without its last byte",
        "HTML",
        "empty gzip",
        "gzip of something else",
        "not compressed and cut off",
        "rubbish at the end",
    ],
)
def test_damaged_archive_is_refused(sample_archive, tmp_path, damage):
    archive = tmp_path / "damaged.tar.gz"
    archive.write_bytes(damage(sample_archive.read_bytes()))
    refusal(archive)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_one_flipped_bit_is_noticed(sample_archive, tmp_path, share):
    content = sample_archive.read_bytes()
    archive = tmp_path / "flipped.tar.gz"
    archive.write_bytes(flip_bit(content, int(len(content) * share)))
    assert "download it again" in refusal(archive)


def test_pixels_whose_checksum_is_wrong_are_refused(sample_archive, tmp_path):
    """Stored without compression, damage leaves a readable stream: only the checksum tells."""
    stored = gzip.compress(gzip.decompress(sample_archive.read_bytes()), 0)
    archive = tmp_path / "flipped.tar.gz"
    archive.write_bytes(flip_bit(stored, len(stored) // 2))
    assert "CRC" in refusal(archive)


def test_zip_file_is_refused(tmp_path):
    archive = tmp_path / "cifar.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{FOLDER}/readme.html", "text")
    assert "not CIFAR-10's .tar.gz archive" in refusal(archive)


def test_missing_archive_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tar\.gz"):
        check_archive(tmp_path / "nowhere.tar.gz")


# ---- hash


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_right_hash_is_accepted(sample_archive, spelling):
    check_archive(sample_archive, spelling(sha256_of(sample_archive)))


def test_wrong_hash_is_refused_naming_both(sample_archive):
    with pytest.raises(ValueError, match="download it again") as caught:
        check_archive(sample_archive, "ab" * 32)
    assert "ab" * 32 in str(caught.value)
    assert sha256_of(sample_archive) in str(caught.value)
    assert str(sample_archive) in str(caught.value)
