"""Batches of pictures in, mixtures of them with their distorted selves out; in TensorFlow.

After Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and
Uncertainty" (2020), with other parts, cheap on a batch: each picture is mixed with itself warped,
smoothed and toned, then gets noise. Unlike theirs, blur and noise are among them: a model trained
so has met kinds like those of CIFAR-10-C, if never these renderings of them.
"""

import tensorflow as tf

CONCENTRATION = 0.5  # of the Dirichlet distribution of shares: below 1, one part mostly dominates
ANGLE, SHEAR, ZOOM, SHIFT = 0.25, 0.2, 0.15, 0.1  # radians, and shares of a side; at most
NOISE, HAZE = 0.12, 0.25  # standard deviations, pixels in [0, 1]; at most
NOISY = 0.5  # share of the pictures that get noise, and of those that get haze
CLEAN = 5 / 6  # share of a batch that stays as it is


def augmix_batches(dataset, seed):
    """Mix some of each batch of a dataset of (images, ...); the others keep clean pictures known.

    Every pass gets numbers of its own; the same `seed` (int) repeats them.
    """
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)

    def mix_last(batch, numbers):
        images, *others = batch
        clean = tf.cast(CLEAN * tf.cast(tf.shape(images)[0], tf.float32), tf.int32)
        return tf.concat([images[:clean], mix(images[clean:], numbers)], axis=0), *others

    mixed = tf.data.Dataset.zip(dataset, seeds).map(mix_last)
    return mixed.apply(tf.data.experimental.assert_cardinality(dataset.cardinality())).prefetch(2)


def mix(images, seed):
    """Mix each image with distorted versions of itself, by random shares, and add noise.

    Parameters
    ----------
    images : tensor of uint8, 0 to 255, or float32, 0 to 1, shape (N, height, width, 3)
        Sides that are multiples of 4.
    seed : tensor of int, shape (2,)

    Returns
    -------
    tensor like `images`
    """
    pixels = tf.image.convert_image_dtype(images, tf.float32)
    seeds = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 5))
    shape = (tf.shape(images)[0], 4)
    shares = tf.random.stateless_gamma(shape, seeds[0], CONCENTRATION) + 1e-6
    shares /= tf.reduce_sum(shares, axis=1, keepdims=True)
    parts = (pixels, _warp(pixels, seeds[1]), _smooth(pixels, seeds[2]), _tone(pixels, seeds[3]))
    pixels = tf.add_n([_each(shares[:, i]) * part for i, part in enumerate(parts)])
    pixels = tf.clip_by_value(_add_noise(pixels, seeds[4]), 0, 1)
    if images.dtype == tf.uint8:
        return tf.cast(tf.round(pixels * 255), tf.uint8)
    return pixels


def _each(values):
    """Return a number an image (tensor, shape (N,)) in a shape that multiplies images."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _uniform(images, numbers, seed):
    """Return `numbers` random numbers from -1 to 1 for each image, a list of tensors (N,)."""
    shape = (tf.shape(images)[0], numbers)
    return tf.unstack(tf.random.stateless_uniform(shape, seed, -1.0, 1.0), axis=1)


def _warp(images, seed):
    """Turn, shear, zoom and shift each image, edges reflected."""
    height, width = (tf.cast(tf.shape(images)[axis], tf.float32) for axis in (1, 2))
    turned, sheared, zoomed, right, down = _uniform(images, 5, seed)
    angle, scale = turned * ANGLE, 1 + zoomed * ZOOM
    a, b = tf.cos(angle) * scale, (tf.sin(angle) + sheared * SHEAR) * scale
    c, d = -tf.sin(angle) * scale, tf.cos(angle) * scale
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre stays, but for the shift
    left = x - a * x - b * y + right * SHIFT * width
    top = y - c * x - d * y + down * SHIFT * height
    zeros = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, left, c, d, top, zeros, zeros], axis=1),
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _smooth(images, seed):
    """Blur each image a little, more, or along a row, or make it coarse."""
    little = tf.nn.avg_pool2d(images, 3, 1, "SAME")
    coarse = tf.nn.avg_pool2d(images, 2, 2, "SAME")
    parts = (
        little,
        tf.nn.avg_pool2d(little, 3, 1, "SAME"),
        tf.nn.avg_pool2d(images, [1, 7], 1, "SAME"),
        tf.repeat(tf.repeat(coarse, 2, axis=1), 2, axis=2),
    )
    chosen = tf.random.stateless_uniform((tf.shape(images)[0],), seed, 0, len(parts), tf.int32)
    shares = tf.one_hot(chosen, len(parts))
    return tf.add_n([_each(shares[:, i]) * part for i, part in enumerate(parts)])


def _tone(images, seed):
    """Change contrast, brightness and colour of each image, and leave some with few shades."""
    contrast, brightness, red, blue, few = _uniform(images, 5, seed)
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    tint = tf.stack([red, -(red + blue) / 2, blue], axis=1)[:, tf.newaxis, tf.newaxis] * 0.1
    toned = (images - mean) * _each(tf.exp(contrast)) + mean + _each(brightness) * 0.3 + tint
    shades = _each(4 + 4 * tf.abs(few))
    return tf.where(_each(few) > 0.4, tf.round(toned * shades) / shades, toned)


def _add_noise(images, seed):
    """Add noise a pixel to some, and to some a haze: noise of an eighth of the resolution."""
    shape = tf.shape(images)
    seeds = tf.unstack(tf.random.split(seed, 3))
    some, hazy = _uniform(images, 2, seeds[0])
    amount = tf.nn.relu(some + 2 * NOISY - 1) / (2 * NOISY) * NOISE
    haze = tf.nn.relu(hazy + 2 * NOISY - 1) / (2 * NOISY) * HAZE
    clouds = tf.random.stateless_normal((shape[0], 4, 4, 1), seeds[2])
    clouds = tf.image.resize(clouds, shape[1:3])
    noise = tf.random.stateless_normal(shape, seeds[1])
    return images + _each(amount) * noise + _each(haze) * clouds
