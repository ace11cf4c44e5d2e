"""Any picture file of a stranger in, an upright square of RGB pixels out.

Enters: a file of at most 5 MiB that claims to be a picture, of any size, depth and colour mode.
Leaves: pixels uint8 of shape (side, side, 3), which `utils.load_patchs.images_to_patch` resizes.
"""

import os

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

MAX_BYTES = 5 * 2**20
MAX_PIXELS = 25_000_000  # decoding takes up to 14 bytes of memory for each: 350 MB
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
ORIENTATION = 0x0112  # EXIF
BETTER = "choose a PNG, JPEG, GIF, BMP or WebP picture."
# What people upload that is a picture, but none that can be read: how it starts, its name.
FOREIGN = {b"ftypheic": "HEIC", b"ftypheix": "HEIC", b"ftypmif1": "HEIC", b"<svg": "SVG"}


def load_square(path):
    """Load the middle square of a picture as a person sees it.

    Rotation by EXIF is applied, transparency is laid on white, gray and 16-bit pictures become
    8-bit RGB; an animation gives its first frame.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ndarray of uint8, shape (side, side, 3), 0 to 255

    Raises
    ------
    ValueError
        If there is no such picture in the file; the message is one sentence for who uploaded it.
    """
    _check_size(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_pixels(*image.size)
            decoded = _decode(path, image)
            ImageOps.exif_transpose(decoded, in_place=True)  # a copy may take 100 MB
            return _square(_rgb(decoded))
    except _TooLarge:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _TooLarge from None
    except Image.UnidentifiedImageError as error:
        raise ValueError(_say_foreign(path)) from error
    except Exception as error:  # decoders raise all kinds on damaged files
        raise ValueError(f"This picture is damaged or cut off; {BETTER}") from error


class _TooLarge(ValueError):
    def __str__(self):
        return (
            f"This picture has more than {MAX_PIXELS // 10**6} megapixels; make it smaller first."
        )


def _check_size(path):
    if not os.path.exists(path):
        raise ValueError("This picture is no longer here; upload it again.")
    size = os.path.getsize(path)
    if size == 0:
        raise ValueError(f"This file is empty; {BETTER}")
    if size > MAX_BYTES:
        raise ValueError(f"This file has more than {MAX_BYTES // 2**20} MB; make it smaller first.")


def _check_pixels(width, height):
    """Refuse by the size that the header tells, before anything is decoded."""
    if width * height > MAX_PIXELS:
        raise _TooLarge


def _say_foreign(path):
    with open(path, "rb") as file:
        start = file.read(1000)
    for sign, name in FOREIGN.items():
        if sign in start:
            return f"{name} pictures can't be read here; {BETTER}"
    return f"This file is not a picture that can be read; {BETTER}"


def _decode(path, image):
    """Decode a common JPEG as `utils.load_patchs` does: decoders differ in the last bits."""
    if image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L", "CMYK"):
        return image
    decoded = Image.fromarray(tf.io.decode_jpeg(tf.io.read_file(os.fspath(path)), 3).numpy())
    decoded.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return decoded


def _rgb(image):
    if image.mode.startswith("I;16"):
        # The high byte, as TensorFlow's decoder takes it.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _square(image):
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image)[top : top + side, left : left + side]
