"""Where a wanted archive comes from, and whether what is kept of it is the right one.

Enters: a URL or path. Leaves: the archive in ``data/``, verified. Beside one of an unofficial URL,
``.<archive>.source`` notes the URL and the SHA-256 of what it sent.
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tqdm import tqdm

from utils.archive.members import CIFAR100_FOLDER, check_archive, folder_of, is_valid
from utils.base.files import atomic_path, locked, remove_leftovers, sha256_of, write_text

ARCHIVE_NAME = "cifar-10-python.tar.gz"
CIFAR100_NAME = "cifar-100-python.tar.gz"


def name_for(url):
    """Return the name (str) under which the archive at `url` (str or path-like) is kept."""
    path = local_path(url)
    if path is None:
        return CIFAR100_NAME if str(url).endswith(CIFAR100_NAME) else ARCHIVE_NAME
    is_100 = path.is_file() and folder_of(path) == CIFAR100_FOLDER
    return CIFAR100_NAME if is_100 else ARCHIVE_NAME


def note_source(archive, url):
    """Note beside `archive` (pathlib.Path) that `url` (str) sent it; one may write at a time."""
    remove_leftovers(_source_file(archive))
    write_text(_source_file(archive), f"{url} {sha256_of(archive)}\n")


def is_kept(archive, url, sha256):
    """Tell whether `archive` is what `url` has: by its hash, else by what was noted beside it."""
    if sha256 is not None or not archive.is_file():
        return is_valid(archive, sha256)
    noted = _source_file(archive)
    is_same = noted.is_file() and noted.read_text("utf-8") == f"{url} {sha256_of(archive)}\n"
    return is_same and is_valid(archive)


def _source_file(archive):
    return archive.with_name(f".{archive.name}.source")


def local_path(url):
    """Return the path that `url` names, or None if it is to be fetched over HTTP."""
    parts = urlsplit(str(url))
    if parts.scheme in ("http", "https"):
        return None
    return Path(url2pathname(parts.path) if parts.scheme == "file" else url).expanduser()


def copy_archive(source, destination, sha256):
    """Copy a local archive to where it is kept, unless that very one is there already.

    Parameters
    ----------
    source, destination : pathlib.Path
    sha256 : str or None
        What the archive has to have; any sound archive is taken without it.

    Returns
    -------
    pathlib.Path
        `destination`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no file, or it is no archive of CIFAR or not the wanted one; what is kept stays.
    """
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no archive there; give a path or an http(s) URL")
    digest = sha256 or sha256_of(source)
    check_archive(source, sha256)
    if is_valid(destination, digest):
        return destination
    with locked(destination.parent):
        if not is_valid(destination, digest):  # another process may have copied it meanwhile
            remove_leftovers(destination)
            with atomic_path(destination) as temporary:
                _copy(source, temporary)
                check_archive(temporary, digest)
    return destination


def _copy(source, destination):
    size = source.stat().st_size
    with (
        open(source, "rb") as file,
        open(destination, "wb") as copy,
        tqdm.wrapattr(copy, "write", total=size, desc="copy") as shown,
    ):
        shutil.copyfileobj(file, shown)
