"""Folders and files of other test sets in, checked arrays out: CIFAR-10-C, CIFAR-10.1, CIFAR-10H.

None is part of this repository or needed for a run. The environment says where they are:
``CIFAR10_C`` and ``CIFAR10_1`` name folders, ``CIFAR10H`` a file, and ``CIFAIR`` one of ciFAIR, the
near-duplicates that people have found.
"""

import csv
from pathlib import Path

import numpy as np

from utils.evaluation.checks import CLASSES, checked_labels, checked_pictures

CIFAR10_C_KINDS = (  # the fifteen of the mean
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur"),
    *("motion_blur", "zoom_blur", "snow", "frost", "fog", "brightness", "contrast"),
    *("elastic_transform", "pixelate", "jpeg_compression"),
)
TEST_SIZE = 10_000  # pictures, of the official test batch and of each severity


def read_cifar10_c(folder):
    """Check the official files of CIFAR-10-C, and return a reader of one kind after the other.

    Parameters
    ----------
    folder : path-like
        ``CIFAR-10-C``, unpacked: a ``.npy`` file a kind, and ``labels.npy``.

    Returns
    -------
    kinds : list of str
    read : callable
        Of kind (str) and severity (int, 1 to 5); returns pictures, uint8 (10000, 32, 32, 3).
    labels : ndarray of int, shape (10000,)

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, or of another shape, dtype or count.
    """
    folder = Path(folder)
    labels = checked_labels(_load(folder / "labels.npy"))[:TEST_SIZE]
    files = {kind: _load(folder / f"{kind}.npy", mapped=True) for kind in CIFAR10_C_KINDS}
    for kind, pictures in files.items():
        _expect(folder / f"{kind}.npy", pictures, (5 * TEST_SIZE, 32, 32, 3), "uint8")
    _expect(folder / "labels.npy", labels, (TEST_SIZE,))

    def read(kind, severity):
        return np.array(files[kind][(severity - 1) * TEST_SIZE : severity * TEST_SIZE])

    return list(files), read, labels


def read_cifar10_1(folder):
    """Read CIFAR-10.1 (Recht et al., 2018), version 6: 2,000 pictures found as CIFAR-10's were.

    Parameters
    ----------
    folder : path-like
        With ``cifar10.1_v6_data.npy`` and ``cifar10.1_v6_labels.npy``.

    Returns
    -------
    images : ndarray of uint8, shape (2000, 32, 32, 3)
    labels : ndarray of int, shape (2000,)

    Raises
    ------
    FileNotFoundError, ValueError
        As of `read_cifar10_c`.
    """
    images, labels = (Path(folder) / f"cifar10.1_v6_{part}.npy" for part in ("data", "labels"))
    pictures, classes = _load(images), _load(labels)
    _expect(images, pictures, (2000, 32, 32, 3), "uint8")
    _expect(labels, classes, (2000,))
    return checked_pictures(pictures), checked_labels(classes).astype(int)


def read_cifar10h(path, labels):
    """Read what people answered to the test pictures (Peterson et al., 2019).

    Parameters
    ----------
    path : path-like
        ``cifar10h-probs.npy``.
    labels : array of int, shape (10000,)
        Those of the test pictures: people agree with at least nine in ten, in the same order.

    Returns
    -------
    ndarray of float64, shape (10000, 10)
        Shares of about 50 people's answers a picture, in the order of the official test batch.

    Raises
    ------
    FileNotFoundError, ValueError
        As of `read_cifar10_c`; or if the test pictures are in another order than the official one.
    """
    answers = _load(Path(path))
    _expect(path, answers, (TEST_SIZE, CLASSES))
    if not np.allclose(answers.sum(axis=1), 1, atol=1e-3) or answers.min() < 0:
        raise ValueError(f"{path}: the shares of a picture don't sum to 1; take the original file")
    labels = checked_labels(labels, TEST_SIZE)
    agreed = float((answers.argmax(axis=1) == labels).mean())
    if agreed < 0.9:
        raise ValueError(
            f"{path}: people agree with {agreed:.1%} of the labels, so the test pictures are in "
            "another order than the official one; convert the official archive"
        )
    return answers


def read_cifair(path):
    """Read which test pictures have near-duplicates in training (Barz and Denzler, 2020).

    Parameters
    ----------
    path : path-like
        ``duplicates_cifar10.csv``, whose numbers are those of the official archive.

    Returns
    -------
    list of dict
        As of `utils.evaluation.duplicates.find_duplicates`; ``likeness``: 1 less their distance.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds something else.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            pairs = [
                {
                    "test": int(row["TestID"]),
                    "train": int(row["TrainID"]),
                    "likeness": 1 - float(row["Distance"]),
                }
                for row in csv.DictReader(file)
            ]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file; download it from ciFAIR") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no list of ciFAIR's ({error}); download it again") from error
    if not all(0 <= pair["test"] < TEST_SIZE and 0 <= pair["train"] < 50_000 for pair in pairs):
        raise ValueError(f"{path}: has numbers that no picture of CIFAR-10 has; download it again")
    return pairs


def _load(path, *, mapped=False):
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; unpack the test set there")
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: no NumPy file ({error}); download it again") from error


def _expect(path, array, shape, dtype=None):
    if array.shape != shape or dtype not in (None, str(array.dtype)):
        raise ValueError(
            f"{path}: {array.dtype} of shape {array.shape}, expected {dtype or 'any numbers'} of "
            f"shape {shape}; download it again"
        )
