"""A folder of class folders with pictures in, names files with their class names out."""

import math
import os
import warnings
from collections import Counter
from pathlib import Path

from utils.base import cifar10
from utils.base.checks import is_reserved_name
from utils.base.cifar10 import SUFFIXES
from utils.base.files import check_writable, write_text
from utils.pipeline.names_file import PLAIN_NAME, write_classes

MOST_CLASSES = 1000
NOT_READ = (".webp", ".tif", ".tiff", ".heic", ".heif", ".avif")  # pictures all the same


def make_names_files(images_directory, *, directory=None, test_size=0.2, seed=0):
    """Make names files of own pictures: ``train_names.txt`` and ``test_names.txt``.

    Parameters
    ----------
    images_directory : path-like
        With a folder for each class, 2 to 1,000, or with such folders in ``train`` and ``test``.
        Pictures are PNG, JPEG, GIF or BMP, by suffixes in any case; other files are left out, with
        a warning if they are pictures.
    directory : path-like, optional
        Where the names files go, with the class names beside; by default `images_directory`, or
        ``data/<its name>`` of the repository where nothing can be written there.
    test_size : int or float
        Pictures, or share of them, for testing, as many of each class and at least one; not if
        there are folders ``train`` and ``test``.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, test : pathlib.Path
        The names files, which `load_patchs.read_image_labels` reads without any further word.
    class_names : tuple of str
        In label order, which is that of the alphabet.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there are too few or too many classes, or one has no picture, or too few to split.
    """
    root = Path(images_directory).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; pass the one with the class folders")
    directory = Path(directory or _writable(root)).expanduser()
    places = [directory / f"{part}_names.txt" for part in PARTS]
    if all((root / part).is_dir() for part in PARTS):
        folders = [root / part for part in PARTS]
        class_names = _class_names(folders[0])
        if _class_names(folders[1]) != class_names:
            raise ValueError(f"{root}: train and test have other classes; give both the same")
        parts = [_lines(folder, class_names) for folder in folders]
    else:
        folders, class_names = [root, root], _class_names(root)
        parts = _split(_lines(root, class_names), class_names, test_size, seed)
    for place, folder, lines in zip(places, folders, parts, strict=True):
        write_classes(place, class_names, folder)
        write_text(place, "\n".join(lines))
    return *places, class_names


PARTS = ("train", "test")


def _writable(folder):
    """Return `folder` (pathlib.Path), or one among the data where nothing can be written there."""
    try:
        check_writable(folder)
    except OSError:
        return cifar10.DATA_DIRECTORY / folder.resolve().name
    return folder


def _class_names(folder):
    names = tuple(
        sorted(one.name for one in os.scandir(folder) if one.is_dir() and one.name[0] != ".")
    )
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ValueError(
            f"{folder}: has {len(names)} folders; put the pictures of each class into one of its "
            f"own, 2 to {MOST_CLASSES:,}"
        )
    return names


def _lines(folder, class_names):
    """Return the lines of a names file, class by class."""
    lines = []
    for label, class_name in enumerate(class_names):
        files = sorted(
            one.name
            for one in os.scandir(folder / class_name)
            if one.is_file() and one.name[0] != "."
        )
        found = [name for name in files if name.lower().endswith(SUFFIXES)]
        others = [name for name in files if name.lower().endswith(NOT_READ)]
        if others:
            warnings.warn(
                f"{folder / class_name}: {len(others)} pictures are left out, such as {others[0]}; "
                "save them as PNG or JPEG",
                stacklevel=3,
            )
        if not found:
            raise ValueError(
                f"{folder / class_name}: no picture there ({', '.join(SUFFIXES)}); add some or "
                "delete the folder"
            )
        for name in found:
            if not PLAIN_NAME.fullmatch(name) or is_reserved_name(name) or name != name.strip():
                raise ValueError(f"{folder / class_name}: {name!r} can't be listed; rename it")
        lines += [f"{name} {label}" for name in found]
    return lines


def _split(lines, class_names, test_size, seed):
    from sklearn.model_selection import train_test_split  # noqa: PLC0415  # takes a second

    labels = [int(line.rpartition(" ")[2]) for line in lines]
    label, fewest = min(Counter(labels).items(), key=lambda pair: pair[1])
    if fewest < 2:
        raise ValueError(
            f"{class_names[label]} has one picture, too few to train and test; add another"
        )
    if isinstance(test_size, float):  # a small share still has a picture of each class
        test_size = max(math.ceil(test_size * len(lines)), len(class_names))
    return train_test_split(lines, test_size=test_size, random_state=seed, stratify=labels)
