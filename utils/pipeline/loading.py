"""A names file in, batches of its pictures out: uint8, ordered, shuffled, kept in a cache."""

import hashlib
import os

import numpy as np
import tensorflow as tf

from utils.base.cifar10 import picture_paths
from utils.pipeline.names_file import read_classes, read_names_file
from utils.pipeline.read_pictures import GROUP, group_loader

SHUFFLE_BUFFER = 10_000  # pictures held when a cache file is shuffled


def find_pictures(path, images_directory=None):
    """Return paths (list of str) and labels (tuple of int) of the pictures of a names file.

    Parameters
    ----------
    path : path-like
        The names file.
    images_directory : path-like, optional
        Where the class folders are; by default where its classes say, or ``data/images``.

    Raises
    ------
    FileNotFoundError, ValueError
        If the names file is wrong or a picture is missing; names the line.
    """
    numbers, names, labels = zip(*read_names_file(path), strict=True)
    classes = read_classes(path)
    paths = picture_paths(
        names,
        labels,
        images_directory=images_directory or classes.images_directory,
        class_names=classes.names,
    )
    _check_pictures_exist(path, numbers, paths)
    return paths, labels


def load_in_batches(paths, labels, sides, batch_size, *, shuffle, seed, cache, alternate):
    """Make a dataset of (images uint8, labels int32) batches, with numbers if they `alternate`.

    Parameters are those of `load_patchs.read_image_labels`; `sides` are height and width.
    """
    pictures = (tf.constant(paths), np.array(labels, np.int32))
    if alternate:
        # Not the number of the line: where classes take turns, one would always look one way.
        pictures += (np.random.default_rng(seed).permutation(len(paths)).astype(np.int32),)
    if shuffle and cache is None:
        dataset = tf.data.Dataset.from_tensor_slices(pictures).shuffle(len(paths), seed=seed)
        dataset = dataset.batch(GROUP)
    else:  # whole groups are cut off several times as fast as single pictures are collected
        dataset = tf.data.Dataset.from_tensors(pictures).rebatch(GROUP)
    load_group = group_loader(sides)
    dataset = dataset.map(
        lambda paths, *others: (load_group(paths), *others),
        num_parallel_calls=os.cpu_count(),
    )
    if cache == "memory":
        dataset = dataset.cache()
    elif cache is not None:  # files outlive changes of the pictures
        states = [(state.st_size, state.st_mtime_ns) for state in map(os.stat, paths)]
        content = (paths, labels, *sides, GROUP, alternate and seed, states)
        dataset = dataset.cache(_cache_file(cache, content))
    if shuffle and cache is not None:
        buffer = len(paths) if cache == "memory" else SHUFFLE_BUFFER
        return dataset.unbatch().shuffle(buffer, seed=seed).batch(batch_size)
    return dataset.rebatch(batch_size)


def _cache_file(path, content):
    """Return the path (str) of a cache for exactly this content, anything with a repr."""
    return f"{os.fspath(path)}.{hashlib.sha256(repr(content).encode()).hexdigest()[:16]}"


def _check_pictures_exist(path, numbers, pictures):
    present = set()
    folders = {picture.rpartition("/")[0] for picture in pictures}
    for folder in filter(os.path.isdir, folders):
        present.update(f"{folder}/{name}" for name in os.listdir(folder))
    for number, picture in zip(numbers, pictures, strict=True):
        if picture not in present:
            raise FileNotFoundError(
                f"{path}, line {number}: no picture at {picture}; convert again"
            )
