"""Names file in, patches out: ``tf.data`` pipelines of decoded pictures and their labels.

Enters: a names file, one picture a line: ``<file name> <label index>``; `make_names_files` makes
those of own pictures, with the names of their classes beside.
Leaves: patches of ``(images float32 in [0, 1] of shape (patch, height, width, 3), labels int32)``.
"""

import os

import numpy as np
import tensorflow as tf

from utils.base.checks import positive_integer
from utils.base.cifar10 import CLASS_NAMES, picture_paths
from utils.base.png import MAX_PIXELS
from utils.pipeline.augment import augment_patches, mirror_in_turn
from utils.pipeline.batches import as_batches, class_indices, without_autotuning
from utils.pipeline.loading import find_pictures, load_in_batches
from utils.pipeline.names_file import read_classes, read_names_file, split_names_file
from utils.pipeline.own_pictures import make_names_files
from utils.pipeline.read_pictures import NO_PICTURE, to_float
from utils.serving import picture_input

__all__ = [  # what makes names files can be imported from here too
    "extract_labels",
    "get_patch",
    "handle_images_path_and_labels",
    "load_images_patch",
    "load_paths_labels",
    "make_names_files",
    "read_classes",
    "read_image_labels",
    "split_names_file",
]


def load_paths_labels(path):
    """Read a names file.

    Parameters
    ----------
    path : path-like
        Text, UTF-8; blank lines, CRLF and a byte-order mark are accepted.

    Returns
    -------
    list of (str, int)
        File name and label, in the order of the file: 0 to 9, or to the last of the classes that
        stand beside the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is not ``<file name> <label index>``, naming file and line, or there is none.
    """
    return [(name, label) for _, name, label in read_names_file(path)]


def handle_images_path_and_labels(paths_labels, *, images_directory=None, class_names=CLASS_NAMES):
    """Turn (file name, label) pairs into paths and labels.

    Parameters
    ----------
    paths_labels : list of (str, int)
        As `load_paths_labels` returns.
    images_directory : path-like, optional
        Where the class folders are; ``data/images`` of the repository by default.
    class_names : sequence of str
        Of the class folders, in label order: `read_classes` gives those of a names file.

    Returns
    -------
    paths : list of str
    labels : list of int
    """
    names = [name for name, _ in paths_labels]
    labels = [label for _, label in paths_labels]
    places = {"images_directory": images_directory, "class_names": class_names}
    return picture_paths(names, labels, **places), labels


def get_patch(paths, labels, patch_size):
    """Yield (paths, labels) of one patch after the other; the last may be smaller.

    Parameters
    ----------
    paths : sequence of N str
    labels : sequence of N int
    patch_size : int
        At least 1.
    """
    patch_size = positive_integer("patch_size", patch_size)
    if len(paths) != len(labels):
        raise ValueError(f"{len(paths)} paths but {len(labels)} labels; pass as many of each")
    for start in range(0, len(paths), patch_size):
        yield paths[start : start + patch_size], labels[start : start + patch_size]


def load_images_patch(paths, *, image_shape=None):
    """Load pictures as one array, prepared as those of the page.

    PNG of the right size gives what `read_image_labels` gives; what TensorFlow resizes there
    differs by a level of 255 at most.

    Parameters
    ----------
    paths : sequence of N path-like
        PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF or HEIC; gray and palette pictures become RGB, what is
        transparent counts as opaque, and rotation by EXIF is applied.
    image_shape : tuple of int, optional
        Height and width to resize to; without it the pictures must have one size.

    Returns
    -------
    ndarray of float32, shape (N, height, width, 3), 0 to 1

    Raises
    ------
    FileNotFoundError, ValueError
        If a picture is missing, corrupt, or of another size than the first; names its path.
    """
    if not len(paths):
        raise ValueError("no paths; pass at least one picture")
    images = [_load_named(os.fspath(path)) for path in paths]
    if image_shape is None:
        image_shape = images[0].shape[:2]
        for path, image in zip(paths, images, strict=True):
            if image.shape[:2] != image_shape:
                raise ValueError(
                    f"{path}: size {image.shape[:2]}, the first has {image_shape}; pass image_shape"
                )
    return images_to_patch(images, image_shape)


def images_to_patch(images, image_shape):
    """Bring decoded pictures to one size and to the range that models take.

    Parameters
    ----------
    images : sequence of N arrays of uint8, shape (any height, any width, 3), 0 to 255
    image_shape : tuple of int
        Height and width.

    Returns
    -------
    ndarray of float32, shape (N, height, width, 3), 0 to 1
    """
    sides = _sides(image_shape)
    return picture_input.to_float(
        np.stack([picture_input.resize(np.asarray(image), sides) for image in images])
    )


def read_image_labels(
    path,
    patch_size,
    image_shape,
    *,
    images_directory=None,
    shuffle=False,
    seed=0,
    cache=None,
    max_shift=None,
    alternate=False,
    cutout=None,
):
    """Read the pictures of a names file as a dataset of patches.

    Parameters
    ----------
    path : path-like
        The names file.
    patch_size : int
        Pictures a patch; the last patch may be smaller.
    image_shape : tuple of int
        Height and width (channels may follow); pictures of another size are resized.
    images_directory : path-like, optional
        Where the class folders are: by default where the names file's own classes are, and
        ``data/images`` of the repository for CIFAR-10's.
    shuffle : bool
        Another order in every pass, seeded; otherwise the order of the file. With a cache file,
        pictures are drawn from a buffer of 10,000.
    seed : int
        Of order and augmentation: the same one gives the same sequence of passes, with the same
        global seed (`keras.utils.set_random_seed`) at this call.
    cache : {None, "memory"} or path-like
        Keep the decoded pixels as uint8 in memory or in files, whose names are this one with a
        hash of names, labels and size; None decodes in every pass and holds a few patches only.
        One program at a time writes such files: delete the ``.lockfile`` that a killed one leaves.
    max_shift : int, optional
        Augment: mirror half of the pictures and translate each by up to so many pixels, edges
        reflected; 0 only mirrors, None leaves the pictures as they are.
    alternate : bool
        Mirror each picture in every second pass, not by chance.
    cutout : int, optional
        Side in pixels of a square that is painted over in each picture, at a random place.

    Returns
    -------
    tf.data.Dataset
        Of (images float32 in [0, 1] of shape (patch, height, width, 3), labels int32).

    Raises
    ------
    FileNotFoundError, ValueError
        If the names file is wrong, a picture is missing (both name the line), or a size is no
        positive integer. A corrupt picture stops the iteration, naming its path.
    """
    patch_size = positive_integer("patch_size", patch_size)
    height, width = _sides(image_shape)
    if max_shift not in (None, *range(min(height, width))):
        raise ValueError(
            f"max_shift is {max_shift!r}, expected None, or at least 0 and less than a side"
        )
    if cutout not in (None, *range(1, min(height, width) + 1)):
        raise ValueError(f"cutout is {cutout!r}, expected None, or at least 1 and at most a side")
    if max_shift is None and (alternate or cutout):
        raise ValueError(
            f"alternate is {alternate}, cutout {cutout}, but nothing is augmented; pass max_shift"
        )
    paths, labels = find_pictures(path, images_directory)
    options = {"shuffle": shuffle, "seed": seed, "cache": cache, "alternate": alternate}
    dataset = load_in_batches(paths, labels, (height, width), patch_size, **options)
    if alternate:
        dataset = mirror_in_turn(dataset)
    if max_shift is not None:
        dataset = augment_patches(dataset, max_shift, seed, cutout=cutout)
    dataset = dataset.map(lambda images, labels: (to_float(images), labels)).prefetch(2)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-len(paths) // patch_size)))
    return without_autotuning(dataset)


def extract_labels(dataset):
    """Collect a dataset of batches as arrays, in its order.

    Parameters
    ----------
    dataset : tf.data.Dataset, tuple of arrays, or keras.utils.PyDataset
        Of (images, labels), in batches or not, sample weights aside; labels of shape (N,), (N, 1)
        or one-hot.

    Returns
    -------
    images : ndarray of float32, shape (N, height, width, 3), 0 to 1
    labels : ndarray of int32, shape (N,)
    """
    batches = list(as_batches("dataset", dataset).as_numpy_iterator())
    if not batches:
        raise ValueError("the dataset is empty; check the names file it was made from")
    images, labels, *_ = zip(*batches, strict=True)
    labels = np.concatenate([class_indices(part) for part in labels])
    return np.concatenate(images), labels.astype(np.int32)


def _load_named(path):
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such picture")
    try:
        return picture_input.load_picture(path, max_pixels=MAX_PIXELS, background=None)
    except Exception as error:  # decoders raise all kinds on damaged files
        raise ValueError(f"{path}: {NO_PICTURE}: {error}") from error


def _sides(image_shape):
    try:
        height, width = tuple(image_shape)[:2]
    except (TypeError, ValueError):
        raise ValueError(f"image_shape is {image_shape!r}, expected height and width") from None
    return positive_integer("image_shape", height), positive_integer("image_shape", width)
