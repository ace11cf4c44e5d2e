"""Files that are whole or not there: bytes in, a finished file under its final name out."""

import errno
import glob
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock

try:
    import fcntl
except ImportError:
    fcntl = None

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
HOUR = 3600  # seconds; no write takes that long
ROOM = 2**29  # bytes that a run writes at most: VGG16 in three formats, and its checkpoints


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`, and rename it to `path` once the block has succeeded.

    Parameters
    ----------
    path : path-like
        The final place; missing parent folders are created. The temporary path has the same suffix;
        the next writer removes what one that was killed left there an hour before or earlier.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path, older_than=HOUR)
    # Threads of one process may write the same file, and processes of two machines have one number.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.part{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path, *, older_than=0):
    """Remove what killed writers of `path` left beside it more than `older_than` seconds ago.

    Nobody may have been writing it since.
    """
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.stem)}.*.part{glob.escape(path.suffix)}"):
        with suppress(FileNotFoundError):  # another process may do the same
            if not older_than or time.time() - left.stat().st_mtime >= older_than:
                left.unlink()


def check_writable(directory, room=0):
    """Create `directory` (path-like) if missing.

    OSError naming it if it can't be written, or has less than `room` (int, bytes) left.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise OSError(
            f"{directory}: nothing can be written there ({error}); choose another folder or free it"
        ) from error
    free = shutil.disk_usage(directory).free
    if free < room:
        raise OSError(
            errno.ENOSPC,
            f"only {free >> 20} MiB are free, and a run needs up to {room >> 20}; make room",
            str(directory),
        )


@contextmanager
def locked(directory):
    """Let one process at a time work in `directory` (path-like), which is created if missing.

    Others wait. An empty file ``.lock`` stays there; the lock itself ends with its process.
    OSError, naming `directory`, if it can't be written.
    """
    check_writable(directory)  # a FileLock tries some places for ever
    path = Path(directory) / ".lock"
    with FileLock(path) if _knows_locks(path) else SoftFileLock(path.with_name(".soft_lock")):
        yield


def _knows_locks(path):
    """Tell whether the file system of `path` locks files; some of a network's don't."""
    if fcntl is None:  # Windows
        return True
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in NO_LOCKS
    return True


def write_text(path, text):
    """Write `text` (str) to `path` as UTF-8, atomically, with the newlines it has."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def sha256_of(path):
    """Return the SHA-256 of the file at `path` as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
