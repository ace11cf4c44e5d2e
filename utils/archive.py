"""The archive file: which members it may have, and whether it is whole.

Enters: a ``.tar.gz`` in the format of ``cifar-10-python.tar.gz``. Leaves: the names and bytes of
its eight files, or a ValueError that names what is wrong. Nothing is written here.
"""

import gzip
import tarfile
import zlib

from utils.files import sha256_of

BATCHES_FOLDER = "cifar-10-batches-py"
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
MEMBERS = frozenset({"batches.meta", "readme.html", TEST_BATCH, *TRAIN_BATCHES})
MEMBER_SIZE_CAP = 31_100_000  # bytes; a genuine batch has 31.04 million
CHUNK = 1 << 18  # bytes


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
        with gzip.open(archive) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                if member.isdir() and member.name == BATCHES_FOLDER:
                    continue
                name = _checked_name(member, missing, archive)
                missing.remove(name)
                yield name, tar.extractfile(member).read()
            while packed.read(CHUNK):  # the padding, up to the checksum
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own words, not the archive's
        raise ValueError(
            f"{archive}: damaged or not a .tar.gz archive: {error}; delete it and download it again"
        ) from error
    if missing:
        raise ValueError(
            f"{archive}: not CIFAR-10's archive: it lacks {', '.join(sorted(missing))}"
        )


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


def _checked_name(member, missing, archive):
    folder, _, name = member.name.partition("/")
    if folder != BATCHES_FOLDER or name not in MEMBERS:
        raise ValueError(f"{archive}: unknown member {member.name!r}; not CIFAR-10's archive")
    if not member.isreg():
        raise ValueError(f"{archive}: member {member.name!r} is not a regular file")
    if member.size > MEMBER_SIZE_CAP:
        raise ValueError(
            f"{archive}: member {member.name!r} has {member.size:,} bytes, "
            f"more than the {MEMBER_SIZE_CAP:,} of any genuine one"
        )
    if name not in missing:
        raise ValueError(f"{archive}: member {member.name!r} occurs twice")
    return name
