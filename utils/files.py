"""Files that are whole or not there: bytes in, a finished file under its final name out."""

import glob
import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`, and rename it to `path` once the block has succeeded.

    Parameters
    ----------
    path : path-like
        The final place; missing parent folders are created. The temporary path has the same suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path):
    """Remove what killed writers of `path` left beside it; nobody may be writing it meanwhile."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.stem)}.*.part{glob.escape(path.suffix)}"):
        left.unlink()


@contextmanager
def locked(directory):
    """Let one process at a time work in `directory` (path-like), which is created if missing.

    Others wait. An empty file ``.lock`` stays there; the lock itself ends with its process.
    """
    Path(directory).mkdir(parents=True, exist_ok=True)
    with FileLock(Path(directory) / ".lock"):
        yield


def write_text(path, text):
    """Write `text` (str) to `path` as UTF-8, atomically, with the newlines it has."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def sha256_of(path):
    """Return the SHA-256 of the file at `path` as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
