"""The archive file: which members it may have, whether it is whole, and its extraction.

Enters: a ``.tar.gz`` in the format of ``cifar-10-python.tar.gz``. Leaves: the names and bytes of
its eight files, in memory or in a folder, or a ValueError that names what is wrong.
"""

import gzip
import io
import json
import shutil
import tarfile
import zlib

from tqdm import tqdm

from utils.base.files import sha256_of, write_text

BATCHES_FOLDER = "cifar-10-batches-py"
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
MEMBERS = frozenset({"batches.meta", "readme.html", TEST_BATCH, *TRAIN_BATCHES})
MEMBER_SIZE_CAP = 31_100_000  # bytes; a genuine batch has 31.04 million
OVERHEAD_CAP = 1 << 20  # bytes of headers and padding; a genuine archive has about 10 thousand
CHUNK = 1 << 18  # bytes
# What damage or malice in an archive raises, in Python's readers and in the checks here.
UNREADABLE = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError)


def read_members(archive):
    """Yield (name, bytes) of the eight files in the `archive` (path-like), in its order.

    Raises
    ------
    ValueError
        If the archive is damaged, or has a member that is unknown, too large, doubled, or no
        regular file, or lacks one of the eight.
    """
    missing = set(MEMBERS)
    try:
        # tarfile's own "r|gz" would leave gzip's checksum unread, and with it damaged pixels.
        with (
            gzip.open(archive) as packed,
            _Capped(packed) as capped,
            tarfile.open(fileobj=capped, mode="r|") as tar,
        ):
            for member in tar:
                if member.isdir() and member.name == BATCHES_FOLDER:
                    continue
                name = _checked_name(member, missing)
                missing.remove(name)
                capped.left += member.size
                yield name, tar.extractfile(member).read()
            while capped.read(CHUNK):  # the padding, up to the checksum
                pass
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own words, not the archive's
        raise ValueError(
            f"{archive}: damaged or not CIFAR-10's .tar.gz archive: {error}; "
            "delete it and download it again"
        ) from error


def check_archive(archive, sha256=None):
    """Raise ValueError unless `archive` has the hash `sha256` or, if None, the right content."""
    if sha256 is None:
        for _ in read_members(archive):
            pass
        return
    found = sha256_of(archive)
    if found != sha256.lower():
        raise ValueError(
            f"{archive}: SHA-256 is {found}, expected {sha256}; "
            "it is another file or a damaged one: delete it and download it again"
        )


def is_valid(archive, sha256=None):
    """Tell whether `archive` is there and `check_archive` has nothing against it."""
    try:
        check_archive(archive, sha256)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
        return False
    return True


def extract(archive, folder, archive_sha256):
    """Extract `archive`, of that hash, into the `folder` (pathlib.Path): whole, or not at all."""
    staging = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staging, ignore_errors=True)  # what a killed run left
    staging.mkdir()
    try:
        for name, content in tqdm(read_members(archive), total=len(MEMBERS), desc="extract"):
            (staging / name).write_bytes(content)
        sums = {name: sha256_of(staging / name) for name in sorted(MEMBERS)}
        record = {"archive_sha256": archive_sha256, "sha256": sums}
        write_text(staging / "extracted.json", json.dumps(record, indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # room on a full disk


def is_extracted(folder, archive_sha256):
    """Tell whether `folder` holds what a finished extraction of this archive left there."""
    try:
        record = json.loads((folder / "extracted.json").read_text(encoding="utf-8"))
        sums = {name: sha256_of(folder / name) for name in MEMBERS}
    except (OSError, ValueError):
        return False
    return record == {"archive_sha256": archive_sha256, "sha256": sums}


class _Capped(io.RawIOBase):
    """Reader that stops a bomb anywhere in a stream, be it in headers, folders or padding.

    `left` is the number of bytes that may still come; who accepts a member adds its size.
    """

    def __init__(self, file):
        self.file, self.left = file, OVERHEAD_CAP

    def read(self, size=-1):
        content = self.file.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError("it unpacks to more than any genuine one")
        return content


def _checked_name(member, missing):
    folder, _, name = member.name.partition("/")
    if folder != BATCHES_FOLDER or name not in MEMBERS:
        raise ValueError(f"unknown member {member.name!r}")
    if not member.isreg():
        raise ValueError(f"member {member.name!r} is not a regular file")
    if not 0 <= member.size <= MEMBER_SIZE_CAP:
        raise ValueError(
            f"member {member.name!r} has {member.size:,} bytes, "
            f"more than the {MEMBER_SIZE_CAP:,} of any genuine one"
        )
    if name not in missing:
        raise ValueError(f"member {member.name!r} occurs twice")
    return name
