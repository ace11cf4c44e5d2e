"""Pictures as arrays in, augmented batches out: what a training by TensorFlow reads."""

import numpy as np
import tensorflow as tf

from utils.pipeline.augment import augment_patches, mirror_in_turn
from utils.pipeline.batches import without_autotuning
from utils.pipeline.read_pictures import to_float


def batches_of(
    images,
    labels,
    batch_size,
    *,
    shuffle=None,
    translate=None,
    flip=None,
    cutout=None,
    weights=None,
):
    """Make a dataset of batches, in the order of the arrays or shuffled, plain or augmented.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, height, width, 3), 0 to 255
    labels : ndarray of int, shape (N,)
    batch_size : int
        The last batch may be smaller.
    shuffle : int, optional
        Seed of order and augmentation; None keeps the order.
    translate : int, optional
        Augment: translate each picture by up to so many pixels; None leaves all as they are.
    flip : {None, "alternate", "random"}
        Mirror each picture in every second pass, or by chance.
    cutout : int, optional
        Side in pixels of a square that is painted over in each picture.
    weights : ndarray of float, shape (N,), optional
        What each picture counts.

    Returns
    -------
    tf.data.Dataset
        Of (images float32 in [0, 1], labels int32), and the weights where there are some.
    """
    count = len(labels)
    images = tf.constant(images)
    told = [tf.constant(labels, tf.int32)]
    told += [] if weights is None else [tf.constant(weights, tf.float32)]
    # Not by the number: where classes take turns, one would always look one way.
    turns = np.random.default_rng(shuffle or 0).permutation(count).astype(np.int32)
    numbers = tf.data.Dataset.range(count, output_type=tf.int32)
    if shuffle is not None:
        numbers = numbers.shuffle(count, seed=shuffle)
    batches = numbers.batch(batch_size).map(
        lambda index: (tf.gather(images, index), index, tf.gather(turns, index))
    )
    if flip == "alternate":
        batches = mirror_in_turn(batches)
    elif flip is None:
        batches = batches.map(lambda images, index, turns: (images, index, turns < 0))
    else:
        batches = batches.map(lambda images, index, _: (images, index))
    if translate is not None:
        batches = augment_patches(batches, translate, shuffle, cutout=cutout)
    batches = batches.map(
        lambda images, index, *_: (to_float(images), *(tf.gather(part, index) for part in told))
    ).prefetch(2)
    cardinality = tf.data.experimental.assert_cardinality(int(np.ceil(count / batch_size)))
    return without_autotuning(batches.apply(cardinality))
