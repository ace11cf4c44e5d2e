"""Names files: text, one picture a line, ``<file name> <label index>``.

Beside one of other classes than CIFAR-10's lies ``<its name without suffix>.classes.json``, which
holds their names in label order and where their folders are.
"""

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from utils.base.checks import is_reserved_name
from utils.base.cifar10 import CLASS_NAMES
from utils.base.files import write_text

PLAIN_NAME = re.compile(r"(?!\.{1,2}\Z)[^/\\\x00-\x1f\x7f-\x9f]+")

NOTE = ".archive"  # beside the class folders: the SHA-256 of the archive they came in
SHA256_DIGITS = 64
LABEL = re.compile(r"0|[1-9][0-9]{0,3}")


class Classes(NamedTuple):
    """What the labels of a names file mean.

    Attributes
    ----------
    names : tuple of str
        In label order.
    images_directory : pathlib.Path or None
        Where the class folders are; None is the default place.
    """

    names: tuple
    images_directory: Path | None


def read_classes(path):
    """Return the `Classes` of the names file at `path` (path-like): CIFAR-10's if it has no other.

    ValueError naming the file beside it, if that is damaged.
    """
    beside = _beside(path)
    if not beside.is_file():
        return Classes(CLASS_NAMES, None)
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        names = tuple(map(str, content["class_names"]))
        folder = content.get("images_directory")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{beside}: no list of class names; make the names files anew") from error
    return Classes(names, None if folder is None else Path(os.path.join(beside.parent, folder)))


def write_classes(path, names, images_directory=None):
    """Write beside the names file at `path` what its labels mean; see `Classes`."""
    beside = _beside(path)
    content = {"class_names": list(names)}
    if images_directory is not None:  # both may be moved together
        content["images_directory"] = os.path.relpath(images_directory, beside.parent)
    write_text(beside, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _beside(path):
    return Path(path).with_suffix(".classes.json")


def read_names_file(path):
    """Read and check a names file.

    Parameters
    ----------
    path : path-like
        Text, UTF-8; blank lines, CRLF and a byte-order mark are accepted.

    Returns
    -------
    list of (int, str, int)
        Line number from 1, file name, and label from 0 to 9, or to the number of its classes - 1,
        in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is wrong, naming file and line, or there is none.
    """
    lines = _list_names(path)
    if not lines:
        raise ValueError(f"{path}: the names file is empty; convert the batches first")
    return lines


def split_names_file(path, train_path, validation_path, *, validation_size=5000, seed=0):
    """Split a names file into train and validation, with the same share of each class in both.

    Parameters
    ----------
    path, train_path, validation_path : path-like
        The names file to read and the two to write.
    validation_size : int or float
        Pictures, or share of the pictures, for validation.
    seed : int
        The same seed gives the same split.

    Raises
    ------
    ValueError
        If a part would not get a picture of each class, or two of the paths are the same.
    """
    # Imported here, as it takes a second that those who convert or read don't need.
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    places = {os.path.realpath(place) for place in (path, train_path, validation_path)}
    if len(places) < 3:
        raise ValueError(
            f"{path}, {train_path} and {validation_path}: two of them are the same file; "
            "give each part one of its own"
        )
    lines = [f"{name} {label}" for _, name, label in read_names_file(path)]
    labels = [line.rpartition(" ")[2] for line in lines]
    parts = train_test_split(lines, test_size=validation_size, random_state=seed, stratify=labels)
    classes = read_classes(path)
    for part, place in zip(parts, (train_path, validation_path), strict=True):
        if classes != (CLASS_NAMES, None):
            write_classes(place, *classes)
        write_text(place, "\n".join(part))


def known_lines(path):
    """Return the lines of the names file at `path`, a list of str; [] if there is no file."""
    path = Path(path)
    return [f"{name} {label}" for _, name, label in _list_names(path)] if path.exists() else []


def has_block(path, lines):
    """Tell whether the names file at `path` has `lines` (list of str) one after the other.

    A quick look; `are_listed` also finds them scattered, and raises on what contradicts them.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return "\n".join(["", *lines, ""]) in f"\n{text}\n"


def are_listed(lines, known, path):
    """Tell whether the `known` lines of the names file at `path` have all of a batch's `lines`.

    ValueError if they have only some, or others for the same files.
    """
    stems = set(map(_stem, known))
    shared = [line for line in lines if _stem(line) in stems]
    if shared and not set(lines) <= set(known):
        raise ValueError(
            f"{path}: {len(shared)} names of this batch, {shared[0]!r} among them, are "
            "listed there already by another batch; use another names file or delete this one"
        )
    return bool(shared)


def check_archive_of(images_directory, archive_sha256):
    """Raise ValueError if the pictures in `images_directory` (pathlib.Path) are another archive's.

    Without a hash (None), or where none is noted, nothing is known and nothing refused.
    """
    noted = _noted(images_directory / NOTE)
    if None not in (noted, archive_sha256) and noted != archive_sha256:
        raise ValueError(
            f"{images_directory}: has the pictures of another archive, of SHA-256 {noted}; pass "
            "another images_directory and names file, or delete these"
        )


def note_archive_of(images_directory, archive_sha256):
    """Note which archive the pictures in `images_directory` (pathlib.Path) are of."""
    note = images_directory / NOTE
    if archive_sha256 is not None and _noted(note) is None:
        note.write_text(archive_sha256, encoding="utf-8")  # half of one counts as none


def _noted(note):
    text = note.read_text("utf-8") if note.is_file() else ""
    return text if len(text) == SHA256_DIGITS else None


def _list_names(path):
    """Read a names file as `read_names_file` does; one without a line gives an empty list."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such names file; convert the batches first")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8: {error}") from error
    classes = len(read_classes(path).names)
    return [
        (number, *_parse_line(path, number, line, classes))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _stem(line):
    """Return the file name of `line` as a file system sees it that makes no case of letters."""
    return line.rpartition(" ")[0].lower().removesuffix(".png")


def _parse_line(path, number, line, classes):
    name, _, label = line.strip().rpartition(" ")
    name = name.strip()
    if not name or not LABEL.fullmatch(label) or int(label) >= classes:
        raise ValueError(
            f"{path}, line {number}: {line.strip()!r} is not '<file name> <label index>' "
            f"with a label from 0 to {classes - 1}"
        )
    if not PLAIN_NAME.fullmatch(name) or is_reserved_name(name):
        raise ValueError(f"{path}, line {number}: {name!r} is not a plain file name")
    return name, int(label)
