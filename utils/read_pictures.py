"""Paths of pictures in, their pixels out: uint8 of shape (height, width, 3), 0 to 255.

Pictures are loaded in groups, one call of a pipeline's function for each: handing single small
pictures from thread to thread takes longer than reading them (`benchmarks/read.py`). What
`utils.pictures.encode_png` made is taken out of the file as it is; other pictures are decoded.
"""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.pictures import END, HEAD, MAX_PIXELS, PIXELS_SIZE, ROW_SIZE, SIZE, check_header

GROUP = 128  # pictures loaded in one call
ADLER_START = np.array([PIXELS_SIZE, 1], np.int32)
ADLER_WEIGHTS = np.stack([np.arange(PIXELS_SIZE, 0, -1), np.ones(PIXELS_SIZE)], 1).astype(np.int32)
PNG_START, PNG_END = HEAD[:8], END


def load_picture(path):
    """Load the picture at `path` (str) as uint8 of shape (height, width, 3), 0 to 255.

    FileNotFoundError or ValueError, naming the path, if it is missing, damaged or too large.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such picture")
    file = Path(path).read_bytes()
    try:
        check_header(file)
        return _decode(file)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(
            f"{path}: not a picture, a damaged or too large one; convert it again: {error}"
        ) from error


def load_group(paths, image_shape):
    """Load pictures as one tensor, inside a function of a ``tf.data`` pipeline.

    Parameters
    ----------
    paths : tensor of string, shape (N,), N at most `GROUP`
    image_shape : tuple of 2 int
        Height and width; pictures of another size are resized.

    Returns
    -------
    tensor of uint8, shape (N, height, width, 3), 0 to 255
    """
    files = _read_files(paths)
    pixels, are_stored = _stored_pixels(files)
    images = tf.cond(
        are_stored,
        lambda: resize(pixels, image_shape),
        lambda: _decode_files(paths, files, image_shape),
    )
    return tf.ensure_shape(images, (None, *image_shape, 3))


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
    found = tf.bitcast(tf.reshape(tf.reverse(checksum, [1]), (-1, 2, 2)), tf.uint16)[:, ::-1]
    are_stored = (
        tf.reduce_all(tf.strings.length(files) == SIZE)
        & tf.reduce_all(head == np.frombuffer(HEAD, np.uint8))
        & tf.reduce_all(end == np.frombuffer(END, np.uint8))
        & tf.reduce_all(sums == tf.cast(found, tf.int32))
    )
    pixels = tf.reshape(rows, (-1, 32, ROW_SIZE))[:, :, 1:]  # without the row's filter
    return tf.reshape(pixels, (-1, 32, 32, 3)), are_stored


def _decode_files(paths, files, image_shape):
    """Decode pictures of any kind and size."""
    with tf.control_dependencies([tf.numpy_function(_check_files, [paths, files], tf.bool)]):
        return tf.map_fn(
            lambda file: resize(_decode(file), image_shape),
            tf.identity(files),
            fn_output_signature=tf.TensorSpec((*image_shape, 3), tf.uint8),
        )


def _decode(file):
    image = tf.io.decode_image(file, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def _check_files(paths, files):
    """Raise ValueError naming the path of a damaged picture, which the decoder wouldn't name."""
    for path, file in zip(paths, files, strict=True):
        if not _is_whole_png(file):
            load_picture(path.decode())
    return True


def _is_whole_png(file):
    """Tell whether the bytes of a PNG agree with the checksums in it, and its size is usual."""
    if not (file.startswith(PNG_START) and file.endswith(PNG_END)):
        return False
    width, height = struct.unpack(">2I", file[16:24])
    if width * height > MAX_PIXELS:
        return False
    place = len(PNG_START)
    while place < len(file):
        end = place + 8 + int.from_bytes(file[place : place + 4])
        if zlib.crc32(file[place + 4 : end]) != int.from_bytes(file[end : end + 4]):
            return False
        place = end + 4
    return True


def resize(image, image_shape):
    """Resize uint8 images (tensor) to `image_shape` (height, width), if it isn't their size."""
    if image.shape[-3:-1] == image_shape:
        return image
    resized = tf.image.resize(image, image_shape, antialias=True)
    return tf.cast(tf.round(resized), tf.uint8)
