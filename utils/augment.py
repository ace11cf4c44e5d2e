"""Patches of pictures in, the same pictures mirrored and shifted out; on uint8, by index only."""

import tensorflow as tf

MAX_SHIFT = 2  # pixels


def augment_patches(dataset, seed):
    """Apply `mirror_and_shift` to a dataset of (images, labels) patches.

    Every patch of every pass gets random numbers of its own; the same `seed` (int) repeats them.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(dataset, seeds).map(
        lambda patch, seed: (mirror_and_shift(patch[0], seed), patch[1])
    )


def mirror_and_shift(images, seed):
    """Mirror half of the images and translate each by up to 2 pixels, edges reflected.

    Parameters
    ----------
    images : tensor, shape (N, height, width, C), any dtype and range
    seed : tensor of int, shape (2,)

    Returns
    -------
    tensor like `images`
    """
    count, height, width = (tf.shape(images)[axis] for axis in range(3))
    mirror_seed, row_seed, column_seed = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 3))
    rows = _shifted(count, height, row_seed)
    columns = _shifted(count, width, column_seed)
    mirrored = tf.random.stateless_uniform((count, 1), mirror_seed) < 0.5
    columns = tf.where(mirrored, width - 1 - columns, columns)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _shifted(count, length, seed):
    """Return, for each of `count` images, the source index of every row (or column)."""
    limits = {"minval": -MAX_SHIFT, "maxval": MAX_SHIFT + 1, "dtype": tf.int32}
    index = tf.abs(tf.range(length) + tf.random.stateless_uniform((count, 1), seed, **limits))
    return length - 1 - tf.abs(length - 1 - index)  # reflected at either edge
