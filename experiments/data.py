"""The converted pictures as arrays: what every run learns from, chooses by, and is tested on.

Enters: ``data/dataset.json``, names files and pictures, as the first notebook leaves them.
Leaves: uint8 pictures and labels; and the places for what comes of them. TensorFlow is not needed.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.base.cifar10 import ROOT, picture_paths
from utils.base.png import read_pictures
from utils.pipeline.names_file import read_names_file

CIFAR10 = "CIFAR-10"


class Pictures(NamedTuple):
    """Pictures and what they show.

    Attributes
    ----------
    images : ndarray of uint8, shape (N, height, width, 3), 0 to 255
    labels : ndarray of int64, shape (N,)
    """

    images: np.ndarray
    labels: np.ndarray

    def take(self, index):
        """Return some of the pictures: `index` is an array of int or bool."""
        return Pictures(self.images[index], self.labels[index])


class Data(NamedTuple):
    """What a run is given.

    Attributes
    ----------
    train, validation, test : Pictures
    name : str
        "CIFAR-10", or what else was converted.
    archive_sha256 : str or None
        Hash of the archive that the pictures came in.
    weights : ndarray of float, shape (N,), or None
        What each training picture counts, where not all count the same.
    """

    train: Pictures
    validation: Pictures
    test: Pictures
    name: str = "own"
    archive_sha256: str | None = None
    weights: np.ndarray | None = None

    def recorded(self):
        """Return what a record says of it (dict)."""
        parts = {part: len(getattr(self, part).labels) for part in ("train", "validation", "test")}
        return {"name": self.name, "archive_sha256": self.archive_sha256, **parts}


class Places(NamedTuple):
    """Where a data set's files lie, each a pathlib.Path.

    What comes of CIFAR-10 goes to ``results/`` and ``models/``; what comes of anything else stays
    apart, below ``results/sample/``.
    """

    pictures: Path
    results: Path
    models: Path
    runs: Path
    checkpoints: Path


def load(validation_size=0.02, *, root=ROOT):
    """Read the converted pictures, and hold some of the training pictures out.

    Parameters
    ----------
    validation_size : int or float
        Pictures, or share of the training pictures: the same ones in every run, as many of each
        class.
    root : path-like
        Of a repository in which the first notebook has run.

    Returns
    -------
    Data

    Raises
    ------
    FileNotFoundError, ValueError
        If nothing was converted, a picture is missing or damaged, or a part would be without one.
    """
    dataset = read_dataset(root)
    folder = Path(root) / dataset["directory"]
    train, test = (
        _read(folder / f"{part}_names.txt", folder / "images") for part in ("train", "test")
    )
    kept, held_out = split(train.labels, validation_size)
    return Data(
        Pictures(train.images[kept], train.labels[kept]),
        Pictures(train.images[held_out], train.labels[held_out]),
        test,
        dataset["name"],
        dataset.get("archive_sha256"),
    )


def split(labels, validation_size):
    """Return which pictures to learn from and which to hold out, two index arrays.

    The same ones, in the same order, as `utils.pipeline.names_file.split_names_file` with seed 0.
    """
    from sklearn.model_selection import train_test_split  # noqa: PLC0415  # slow; runs do without

    numbers = np.arange(len(labels))
    how = {"test_size": validation_size, "random_state": 0, "stratify": labels}
    try:
        return train_test_split(numbers, **how)
    except ValueError as error:  # less than a picture a class on one side, or of one class
        raise ValueError(
            f"{validation_size} of {len(labels)} pictures of {len(np.unique(labels))} classes "
            f"can't be held out: {error}; change validation_size"
        ) from error


def read_dataset(root=ROOT):
    """Return what the first notebook wrote of its data (dict), below `root` (path-like).

    FileNotFoundError if it has converted nothing.
    """
    path = Path(root) / "data" / "dataset.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: nothing was converted yet; run the first notebook, or make run"
        ) from error


def places(root=ROOT):
    """Return the `Places` of the data that is converted below `root` (path-like)."""
    root, dataset = Path(root), read_dataset(root)
    pictures, results = root / dataset["directory"], root / dataset["results"]
    models = root / "models" if dataset["name"] == CIFAR10 else results / "models"
    return Places(pictures, results, models, models / "runs", pictures / "checkpoints")


def _read(names_file, images_directory):
    _, names, labels = zip(*read_names_file(names_file), strict=True)
    paths = picture_paths(names, labels, images_directory=images_directory)
    return Pictures(read_pictures(paths), np.array(labels))
