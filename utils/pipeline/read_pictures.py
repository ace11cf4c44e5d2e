"""Paths of pictures in, their pixels out: uint8 of shape (height, width, 3), 0 to 255.

Pictures are loaded in groups, one call of a pipeline's function for each: handing single small
pictures from thread to thread takes longer than reading them (`benchmarks/read.py`). What
`utils.base.png.encode_png` made is taken out of the file as it is; other pictures are decoded.
"""

import functools

import numpy as np
import tensorflow as tf

from utils.base.png import (
    END,
    HEAD,
    MAX_PIXELS,
    PIXELS_SIZE,
    ROW_SIZE,
    SIZE,
    encode_png,
)
from utils.pipeline.batches import without_autotuning

GROUP = 128  # pictures loaded in one call
ADLER_START = np.array([PIXELS_SIZE, 1], np.int32)
ADLER_WEIGHTS = np.stack([np.arange(PIXELS_SIZE, 0, -1), np.ones(PIXELS_SIZE)], 1).astype(np.int32)
BIG_ENDIAN = np.array([[256, 0], [1, 0], [0, 256], [0, 1]], np.int32)  # 4 bytes to 2 numbers
SOUND = encode_png(np.zeros((1, 3072), np.uint8))
NO_PICTURE = "not a picture, a damaged or too large one; convert it again"


@functools.cache  # building the graph takes as long as reading some thousand pictures
def group_loader(image_shape):
    """Return a function that loads pictures as one tensor, for the map of a ``tf.data`` pipeline.

    Parameters
    ----------
    image_shape : tuple of 2 int
        Height and width; pictures of another size are resized.

    Returns
    -------
    function
        Of paths (tensor of string, shape (N,), N at most `GROUP`); returns a tensor of uint8,
        shape (N, height, width, 3), 0 to 255.
    """

    def load_group(paths):
        files = _read_files(paths)
        pixels, are_stored = _stored_pixels(files)
        images = tf.cond(
            are_stored,
            lambda: resize(pixels, image_shape),
            lambda: _decode_files(paths, files, image_shape),
        )
        return tf.ensure_shape(images, (None, *image_shape, 3))

    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(load_group, signature, autograph=False).get_concrete_function()


def _read_files(paths):
    """Read files, with a node of the graph for each: the step of a loop takes longer than one."""
    count = tf.size(paths)
    paths = tf.concat([paths, tf.repeat(paths[:1], GROUP - count)], axis=0)
    paths = tf.unstack(tf.ensure_shape(paths, (GROUP,)))
    return tf.stack([tf.io.read_file(path) for path in paths])[:count]


def _stored_pixels(files):
    """Return the pixels of files that `encode_png` made, and whether all are such and undamaged."""
    data = tf.io.decode_raw(files, tf.uint8, fixed_length=SIZE)
    sizes = [len(HEAD), PIXELS_SIZE, 4, 4, len(END)]
    head, rows, checksum, _, end = tf.split(data, sizes, axis=1)
    # Adler-32 (RFC 1950) is the sum of all bytes, and the sum of these sums after each byte.
    sums = (tf.matmul(tf.cast(rows, tf.int32), ADLER_WEIGHTS) + ADLER_START) % 65521
    rows_with_filters = tf.reshape(rows, (-1, 32, ROW_SIZE))
    are_stored = (
        tf.reduce_all(tf.strings.length(files) == SIZE)
        & tf.reduce_all(head == np.frombuffer(HEAD, np.uint8))
        & tf.reduce_all(end == np.frombuffer(END, np.uint8))
        & tf.reduce_all(tf.matmul(tf.cast(checksum, tf.int32), BIG_ENDIAN) == sums)
        & tf.reduce_all(rows_with_filters[:, :, 0] == 0)  # pixels as they are, not differences
    )
    return tf.reshape(rows_with_filters[:, :, 1:], (-1, 32, 32, 3)), are_stored


def _decode_files(paths, files, image_shape):
    """Decode pictures of any kind and size; an error names the first that is none.

    All in the graph: a program that ends while its pipeline calls Python may hang.
    """
    # A dataset can leave out what fails. The sound picture at its end keeps it from being empty.
    files = tf.concat([files, SOUND], axis=0)
    pictures = tf.data.Dataset.from_tensor_slices(files).enumerate()
    decoded = pictures.map(lambda place, file: (place, resize(_decode_small(file), image_shape)))
    decoded = without_autotuning(decoded.ignore_errors().batch(GROUP + 1))
    places, images = decoded.get_single_element()
    right = tf.size(places) - 1
    first_wrong = tf.math.count_nonzero(places[:-1] == tf.range(right, dtype=tf.int64))
    path = tf.gather(tf.concat([paths, [""]], axis=0), first_wrong)
    message = tf.strings.join([path, ": ", NO_PICTURE])
    with tf.control_dependencies([tf.debugging.Assert(right == tf.size(paths), [message])]):
        return images[:-1]


def _decode_small(file):
    is_small = tf.debugging.Assert(_count_pixels(file) <= MAX_PIXELS, [NO_PICTURE])
    with tf.control_dependencies([is_small]):
        return _decode(file)


def _count_pixels(file):
    """Return height times width, by the header of a PNG, GIF, BMP or JPEG picture."""

    def product(start, kind, little_endian):
        sides = tf.strings.substr(file, start, 2 * kind.size)
        sides = tf.io.decode_raw(sides, kind, little_endian=little_endian)
        return tf.reduce_prod(tf.abs(tf.cast(sides, tf.int64)))

    first = tf.strings.substr(file, 0, 1)
    return tf.case(
        [
            (first == b"\x89", lambda: product(16, tf.int32, False)),
            (first == b"G", lambda: product(6, tf.uint16, True)),
            (first == b"B", lambda: product(18, tf.int32, True)),
        ],
        default=lambda: tf.reduce_prod(tf.image.extract_jpeg_shape(file, tf.int64)[:2]),
    )


def _decode(file):
    image = tf.cond(
        tf.io.is_jpeg(file),
        # The default method is quicker, and up to 7 levels away from what Pillow decodes.
        lambda: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(file, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def resize(image, image_shape):
    """Resize uint8 images (tensor) to `image_shape` (height, width), if it isn't their size."""
    if image.shape[-3:-1] == image_shape:
        return image
    resized = tf.image.resize(image, image_shape, antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)


def to_float(images):
    """Bring uint8 images (tensor), 0 to 255, to the float32 in [0, 1] that models take."""
    return tf.cast(images, tf.float32) / 255.0
