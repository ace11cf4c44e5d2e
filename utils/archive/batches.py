"""Batch files of CIFAR-10 or CIFAR-100 (Python-2 pickles) in, checked arrays and lists out.

Source: https://www.cs.toronto.edu/~kriz/cifar.html. A pickle can run code when it is read, so
the unpickler here knows the three names that a genuine batch needs and refuses all others; and
even these three it doesn't look up: a stand-in keeps what the file says, to be checked afterwards.
"""

import io
import pickle
import re
import reprlib
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from utils.archive.members import TEST_BATCH, TRAIN_BATCHES
from utils.base.checks import is_reserved_name

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}")  # 250, as ".png" may be added
# Of the 60,000 pictures, in training and test as Krizhevsky has them; see `name_of`.
CIFAR10_CONTENT = "d13914647504dde7ae31175fadc0d70ae61f5ab04030fa805031a777df8fbc71"
ROW = 3072  # bytes of a picture
ALLOWED_GLOBALS = {
    (module, name)
    for module, names in {
        "numpy": ("ndarray", "dtype"),
        "numpy.core.multiarray": ("_reconstruct",),
        "numpy._core.multiarray": ("_reconstruct",),  # what NumPy 2 writes
    }.items()
    for name in names
}


class _StandIn:
    """Stands for an array or its dtype: the arguments it is made with, and its state."""

    arguments = state = ()

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


class _BatchUnpickler(pickle._Unpickler):
    """The unpickler in Python: the one in C takes as much memory as numbers in the file say."""

    dispatch = pickle._Unpickler.dispatch.copy()
    del dispatch[pickle.BYTEARRAY8[0]]  # this one does so here too

    def find_class(self, module, name):
        if (module, name) not in ALLOWED_GLOBALS:
            raise ValueError(f"it asks for {module}.{name}, which no CIFAR-10 batch needs")
        return _StandIn

    def _decode_string(self, value):  # Python 2 had one type for both: pixels stay bytes
        return value if len(value) >= ROW else super()._decode_string(value)


def read_batch(path):
    """Read and check one batch.

    Parameters
    ----------
    path : path-like
        A batch file such as ``data_batch_1``.

    Returns
    -------
    data : ndarray of uint8, shape (N, 3072), 0 to 255
    labels : list of N int, 0 to 9, or of CIFAR-100 its fine labels, 0 to 99
    filenames : list of N str, all different

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no genuine batch; the message names the file and what is wrong with it.
    """
    is_100 = Path(path).name in ("train", "test")
    keys = ("data", "fine_labels" if is_100 else "labels", "filenames")
    return _read(path, keys, partial(_check_batch, 100 if is_100 else 10))


def read_label_names(path):
    """Read the class names, a list of 10 or 100 str, from the file of them at `path`.

    That is CIFAR-10's ``batches.meta`` or CIFAR-100's ``meta``.
    """
    is_100 = Path(path).name == "meta"
    keys = ("fine_label_names" if is_100 else "label_names",)
    return _read(path, keys, partial(_check_label_names, 100 if is_100 else 10))


def names_path(batch_path):
    """Return where the class names of the batch at `batch_path` (path-like) are."""
    path = Path(batch_path)
    other = path.with_name("meta")
    return other if other.is_file() else path.with_name("batches.meta")


def _read(path, keys, check):
    """Return what `check` makes of the values of `keys`; its ValueErrors get the path."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such batch file; run extract_cifar10_data first")
    file = io.BytesIO(path.read_bytes())
    try:
        content = _BatchUnpickler(file, encoding="latin1").load()
        file.close()  # its memory serves for the pixels; to ask for more takes as long as to read
        missing = [key for key in keys if not isinstance(content, dict) or key not in content]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        return check(*(content[key] for key in keys))
    except Exception as error:  # damaged pickles raise almost anything
        reason = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{path}: not a CIFAR-10 batch: {reason}; extract it again") from error


def _check_batch(classes, data, labels, filenames):
    pixels = _to_array(data)
    if not isinstance(labels, list) or not isinstance(filenames, list):
        raise ValueError("labels and filenames must be lists")
    if not len(pixels) == len(labels) == len(filenames):
        raise ValueError(
            f"{len(pixels)} images, {len(labels)} labels and {len(filenames)} file names; "
            "the three must be as many"
        )
    for index, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < classes:
            raise ValueError(
                f"label {reprlib.repr(label)} of image {index}, expected 0 to {classes - 1}"
            )
    _check_names(filenames)
    return pixels, labels, filenames


def _check_label_names(classes, names):
    if not isinstance(names, list) or len(names) != classes:
        many = "ten" if classes == 10 else classes
        raise ValueError(f"label_names is {reprlib.repr(names)}, expected a list of {many} names")
    _check_names(names)
    return names


def _to_array(stand_in):
    """Make the array that `stand_in` describes, uint8 of shape (N, 3072), as NumPy would."""
    try:
        _, shape, dtype, by_columns, content = stand_in.state
        kind = dtype.arguments[0]
    except (AttributeError, IndexError, TypeError, ValueError):
        raise ValueError(f"data is {type(stand_in).__name__}, expected an array") from None
    is_bytes = isinstance(content, (bytes, str))
    if kind != "u1" or not is_bytes or shape != (len(content) // ROW, ROW):
        raise ValueError(
            f"data is {reprlib.repr(kind)} of shape {reprlib.repr(shape)}, "
            "expected u1 (uint8) of shape (N, 3072)"
        )
    if isinstance(content, str):  # shorter than a row: no picture at all
        content = content.encode("latin1")
    pixels = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns else "C")
    return pixels.copy()


def _check_names(names):
    """Raise ValueError unless all are plain file names that no file system takes for one."""
    seen = set()
    for index, name in enumerate(names):
        if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name) or is_reserved_name(name):
            raise ValueError(f"name {reprlib.repr(name)} at {index} is not a plain file name")
        stem = name.lower().removesuffix(".png")
        if stem in seen:
            raise ValueError(f"the name {name!r} occurs twice, letter case and .png aside")
        seen.add(stem)


def name_of(folder):
    """Return what the batches in `folder` (path-like) are: "CIFAR-10", or "other pictures".

    By the pictures and labels of training and test, whatever their order and names.
    """
    return "CIFAR-10" if _content_of(folder) == CIFAR10_CONTENT else "other pictures"


def _content_of(folder):
    """Return the SHA-256 of the sorted SHA-256 of all pictures with their part and label."""
    digests = []
    for part, names in ((b"train", TRAIN_BATCHES), (b"test", (TEST_BATCH,))):
        for name in names:
            data, labels, _ = read_batch(Path(folder) / name)
            for row, label in zip(data, labels, strict=True):
                digests.append(sha256(part + bytes([label]) + row.tobytes()).digest())
    return sha256(b"".join(sorted(digests))).hexdigest()
