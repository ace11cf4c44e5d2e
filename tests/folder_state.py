"""What lies in a folder, what was written to it since, and writes that stop midway."""

import os
import resource
from contextlib import contextmanager

NOTE = ".cifar-10-python.tar.gz.source"  # of the URL that an archive came from
OLD = 1_000_000_000  # seconds; a time of change that nothing written now can have


class Interruption(Exception):
    """Stands for whatever stops a write or a run midway."""


def files_below(folder):
    """Return the content of every file below `folder`, by its path there; no locks and notes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", ".archive", NOTE)
    }


def make_old(*folders):
    """Give all that is below the folders an old time of change."""
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            os.utime(path, (OLD, OLD))


def written_since(*folders):
    """Return the names of all files and folders written since `make_old`."""
    paths = [path for folder in folders for path in [folder, *folder.rglob("*")]]
    return sorted(path.name for path in paths if path.stat().st_mtime != OLD)


def interrupt_replace(monkeypatch, after):
    """Let `os.replace`, which puts a file under its final name, fail after so many times."""
    replace, left = os.replace, [None] * after

    def replace_some(*arguments):
        if not left:
            raise Interruption
        left.pop()
        replace(*arguments)

    monkeypatch.setattr(os, "replace", replace_some)


@contextmanager
def room_for(size):
    """Let no file of this process grow above `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
