"""Patches of pictures in, the same pictures mirrored and shifted out; on uint8, by index only."""

import tensorflow as tf


def augment_patches(dataset, max_shift, seed):
    """Apply `mirror_and_shift` to a dataset of (images, labels) or (images, labels, mirrored).

    Every patch of every pass gets random numbers of its own; the same `seed` (int) repeats them.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(dataset, seeds).map(
        lambda patch, seed: (mirror_and_shift(patch[0], max_shift, seed, *patch[2:]), patch[1])
    )


def mirror_in_turn(dataset):
    """Decide which images are mirrored: each in every second pass, half of them in every pass.

    By chance, a quarter of the images would look the same way in two passes of two (Jordan, "94% on
    CIFAR-10 in 3.29 Seconds on a Single GPU", 2024: "alternating flip").

    Parameters
    ----------
    dataset : tf.data.Dataset
        Of (images, labels, numbers) patches; the number (int) of an image stays with it.

    Returns
    -------
    tf.data.Dataset
        Of (images, labels, mirrored) patches. It counts its passes, whoever reads it.
    """
    passes = tf.Variable(0, dtype=tf.int32, trainable=False)

    def turn(number):
        return dataset.map(
            lambda images, labels, numbers: (images, labels, (numbers + number) % 2 == 1)
        )

    number = tf.data.Dataset.from_tensors(0).map(lambda _: passes.assign_add(1))
    return number.flat_map(turn)


def mirror_and_shift(images, max_shift, seed, mirrored=None):
    """Mirror half of the images and translate each by up to `max_shift` pixels, edges reflected.

    Parameters
    ----------
    images : tensor, shape (N, height, width, C), any dtype and range
    max_shift : int
        In pixels, at least 0 and less than a side.
    seed : tensor of int, shape (2,)
    mirrored : tensor of bool, shape (N,), optional
        Which images to mirror, instead of random ones.

    Returns
    -------
    tensor like `images`
    """
    count, height, width = (tf.shape(images)[axis] for axis in range(3))
    mirror_seed, row_seed, column_seed = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 3))
    rows = _shifted(count, height, max_shift, row_seed)
    columns = _shifted(count, width, max_shift, column_seed)
    if mirrored is None:
        mirrored = tf.random.stateless_uniform((count,), mirror_seed) < 0.5
    columns = tf.where(mirrored[:, tf.newaxis], width - 1 - columns, columns)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def views_to_average(images):
    """Return six views of images: as they are and mirrored, each also shifted by a pixel.

    Parameters
    ----------
    images : tensor, shape (N, height, width, C), any dtype and range; sides of at least 2

    Returns
    -------
    list of 6 tensors like `images`
        Shifted towards either corner on the main diagonal, edges reflected.
    """
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    shifted = [padded[:, i : i + height, i : i + width] for i in range(3)]
    return [*shifted, *(view[:, :, ::-1] for view in shifted)]


def _shifted(count, length, max_shift, seed):
    """Return, for each of `count` images, the source index of every row (or column)."""
    limits = {"minval": -max_shift, "maxval": max_shift + 1, "dtype": tf.int32}
    index = tf.abs(tf.range(length) + tf.random.stateless_uniform((count, 1), seed, **limits))
    return length - 1 - tf.abs(length - 1 - index)  # reflected at either edge
