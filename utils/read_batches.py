"""Batch files of CIFAR-10 (Python-2 pickles) in, checked arrays and lists out.

Source: https://www.cs.toronto.edu/~kriz/cifar.html. A pickle can run code when it is read, so
the unpickler here knows the three names that a genuine batch needs and refuses all others.
"""

import pickle
import re
from pathlib import Path

import numpy as np

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
ALLOWED_GLOBALS = {
    (module, name)
    for module, names in {
        "numpy": ("ndarray", "dtype"),
        "numpy.core.multiarray": ("_reconstruct",),
        "numpy._core.multiarray": ("_reconstruct",),  # what NumPy 2 writes
    }.items()
    for name in names
}


class _BatchUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ALLOWED_GLOBALS:
            raise ValueError(f"it asks for {module}.{name}, which no CIFAR-10 batch needs")
        module = module.replace("numpy.core", "numpy._core")  # NumPy 2 deprecates the old name
        return super().find_class(module, name)


def read_batch(path):
    """Read and check one batch.

    Parameters
    ----------
    path : path-like
        A batch file such as ``data_batch_1``.

    Returns
    -------
    data : ndarray of uint8, shape (N, 3072), 0 to 255
    labels : list of N int, 0 to 9
    filenames : list of N str, all different

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no genuine batch; the message names the file and what is wrong with it.
    """
    batch = _read_dictionary(path, ("data", "labels", "filenames"))
    data, labels, filenames = batch["data"], batch["labels"], batch["filenames"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,):
        raise ValueError(f"{path}: data is {_describe(data)}, expected uint8 of shape (N, 3072)")
    if not isinstance(labels, list) or not isinstance(filenames, list):
        raise ValueError(f"{path}: labels and filenames must be lists")
    if not len(data) == len(labels) == len(filenames):
        raise ValueError(
            f"{path}: {len(data)} images, {len(labels)} labels and {len(filenames)} file names; "
            "the three must be as many"
        )
    _check_labels(path, labels)
    _check_names(path, filenames)
    return data, labels, filenames


def read_label_names(path):
    """Read the ten class names, a list of str, from the ``batches.meta`` file at `path`."""
    names = _read_dictionary(path, ("label_names",))["label_names"]
    if not isinstance(names, list) or len(names) != 10:
        raise ValueError(f"{path}: label_names is {names!r}, expected a list of ten names")
    _check_names(path, names)
    return names


def _read_dictionary(path, keys):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such batch file; run extract_cifar10_data first")
    try:
        with open(path, "rb") as file:
            content = _BatchUnpickler(file, encoding="latin1").load()
    except Exception as error:  # damaged pickles raise almost anything
        raise ValueError(f"{path}: not a CIFAR-10 batch: {error}; extract it again") from error
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{path}: not a CIFAR-10 batch: it lacks {', '.join(missing)}")
    return content


def _check_labels(path, labels):
    for index, label in enumerate(labels):
        if type(label) is not int or not 0 <= label <= 9:
            raise ValueError(f"{path}: label {label!r} of image {index}, expected 0 to 9")


def _check_names(path, names):
    for index, name in enumerate(names):
        if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name):
            raise ValueError(f"{path}: name {name!r} at {index} is not a plain file name")
    if len(set(names)) != len(names):
        repeated = next(name for index, name in enumerate(names) if name in names[:index])
        raise ValueError(f"{path}: the name {repeated!r} occurs twice")


def _describe(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__
