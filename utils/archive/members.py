"""The archive file: which members it may have, whether it is whole, and its extraction.

Enters: a ``.tar.gz``, or a plain tar, in the format of ``cifar-10-python.tar.gz`` or
``cifar-100-python.tar.gz``; its content decides, whatever it is called. Leaves: the names and
bytes of its files, in memory or in a folder, or a ValueError that names what is wrong.
"""

import gzip
import io
import json
import shutil
import tarfile
import zlib
from contextlib import contextmanager, nullcontext

from tqdm import tqdm

from utils.base.files import sha256_of, write_text

BATCHES_FOLDER = "cifar-10-batches-py"
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
MEMBERS = frozenset({"batches.meta", "readme.html", TEST_BATCH, *TRAIN_BATCHES})
CIFAR100_FOLDER = "cifar-100-python"
FILES = {  # of each kind of archive, by its folder
    BATCHES_FOLDER: MEMBERS,
    CIFAR100_FOLDER: frozenset({"meta", "train", "test"}),
}
# What packing a folder adds: our own record of the extraction, an editor's copy in CIFAR-100's.
LEFT_OUT = {"extracted.json", "file.txt~", ".DS_Store"}
MEMBER_SIZE_CAP = 31_100_000  # bytes; a genuine batch has 31.04 million
CIFAR100_SIZE_CAP = 155_300_000  # bytes; its one training batch has 155.25 million
OVERHEAD_CAP = 1 << 20  # bytes of headers and padding; a genuine archive has about 10 thousand
CHUNK = 1 << 18  # bytes
# What damage or malice in an archive raises, in Python's readers and in the checks here.
UNREADABLE = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError)


def read_members(archive):
    """Yield (name, bytes) of the files in the `archive` (path-like), in its order.

    Raises
    ------
    ValueError
        If the archive is damaged, or has a member that is unknown, too large, doubled, or no
        regular file, or lacks one.
    """
    kind, missing = None, set(MEMBERS)
    try:
        with _opened(archive) as (tar, capped):
            for member in tar:
                folder, name = _place(member)
                if kind is None and folder in FILES:
                    kind, missing = folder, set(FILES[folder])
                if member.isdir() and not name and folder in ("", kind):
                    continue
                if member.isreg() and _is_left_out(folder, name):
                    continue
                if folder != kind or name not in FILES[kind]:
                    raise ValueError(f"unknown member {member.name!r}")
                _check_member(member, name in missing)
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


def folder_of(archive):
    """Return the folder (str) that the files of `archive` (path-like) are in, a key of `FILES`.

    CIFAR-10's if it can't be read: `read_members` says why.
    """
    try:
        with _opened(archive) as (tar, _):
            return next(folder for folder, _ in map(_place, tar) if folder in FILES)
    except (StopIteration, *UNREADABLE):
        return BATCHES_FOLDER


@contextmanager
def _opened(archive):
    """Open an archive, packed or not; yield it and the reader that bounds it."""
    with open(archive, "rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        # tarfile's own "r|gz" would leave gzip's checksum unread, and with it damaged pixels.
        with (
            gzip.open(file) if is_packed else nullcontext(file) as plain,
            _Capped(plain) as capped,
            tarfile.open(fileobj=capped, mode="r|") as tar,
        ):
            yield tar, capped


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
        files = FILES[folder.name]
        for name, content in tqdm(read_members(archive), total=len(files), desc="extract"):
            (staging / name).write_bytes(content)
        sums = {name: sha256_of(staging / name) for name in sorted(files)}
        record = {"archive_sha256": archive_sha256, "sha256": sums}
        write_text(staging / "extracted.json", json.dumps(record, indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # room on a full disk


def source_of(folder):
    """Return the SHA-256 of the archive that `folder` (pathlib.Path) was extracted from, or None.

    None also for batches that something else than `extract` has put there.
    """
    try:
        return json.loads((folder / "extracted.json").read_text("utf-8"))["archive_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_batches(folder):
    """Return the folder with the batches of an archive, in or below `folder` (pathlib.Path).

    FileNotFoundError naming `folder` if there are none.
    """
    for place in (folder, *(folder / name for name in FILES)):
        for files in FILES.values():
            if all((place / name).is_file() for name in files - {"readme.html"}):
                return place
    raise FileNotFoundError(
        f"{folder}: no archive there; give a path or an http(s) URL of one. It is a folder, in "
        f"which {', '.join(sorted(MEMBERS - {'readme.html'}))} may lie, but don't"
    )


def is_extracted(folder, archive_sha256):
    """Tell whether `folder` holds what a finished extraction of this archive left there."""
    try:
        record = json.loads((folder / "extracted.json").read_text(encoding="utf-8"))
        sums = {name: sha256_of(folder / name) for name in FILES[folder.name]}
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


def _place(member):
    """Return folder and name of a member (two str), either of which may be empty."""
    folder, _, name = member.name.removeprefix("./").rstrip("/").partition("/")
    return ("", "") if folder == "." else (folder, name)


def _is_left_out(folder, name):
    """Tell whether a member is none of the archive's, but of who packed it: a Mac, or this code."""
    last = (name or folder).rpartition("/")[2]
    return name in LEFT_OUT or last == ".DS_Store" or last.startswith("._")


def _check_member(member, is_first):
    if not member.isreg():
        raise ValueError(f"member {member.name!r} is not a regular file")
    cap = CIFAR100_SIZE_CAP if CIFAR100_FOLDER in member.name else MEMBER_SIZE_CAP
    if not 0 <= member.size <= cap:
        raise ValueError(
            f"member {member.name!r} has {member.size:,} bytes, "
            f"more than the {cap:,} of any genuine one"
        )
    if not is_first:
        raise ValueError(f"member {member.name!r} occurs twice")
