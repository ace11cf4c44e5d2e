"""Pictures that tests write themselves, and the numbers that a dataset of them holds."""

import io

import numpy as np
from PIL import Image


def random_pixels(count, height=32, width=32):
    """Return so many images as uint8, always the same."""
    shape = (count, height, width, 3)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def encode(image, kind="PNG", **options):
    """Return an image file of a Pillow image or of an array as bytes."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def numbered_pictures(count):
    """Return so many images of 4x4 pixels; number i is all i."""
    return [np.full((4, 4, 3), number, np.uint8) for number in range(count)]


def numbers_of(dataset):
    """Return the numbers of `numbered_pictures` in one pass; checks their labels."""
    images, labels = map(np.concatenate, zip(*dataset.as_numpy_iterator(), strict=True))
    numbers = np.rint(images[:, 0, 0, 0] * 255).astype(int)
    np.testing.assert_array_equal(labels, numbers % 10)
    return numbers.tolist()
