"""The archive file: which members it may have, and whether it is whole.

Enters: a ``.tar.gz`` in the format of ``cifar-10-python.tar.gz``. Leaves: the names and bytes of
its eight files, or a ValueError that names what is wrong. Nothing is written here.
"""

import gzip
import io
import tarfile
import zlib

from utils.files import sha256_of

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
