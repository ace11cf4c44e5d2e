"""Any picture file of a stranger in, an upright square of RGB pixels out.

Enters: a file that claims to be a picture, of any size, depth and colour mode.
Leaves: pixels uint8, 0 to 255, of shape (height, width, 3), and what models take of them, float32
in [0, 1]. This is the one preparation for page, API and `utils.load_patchs.load_images_patch`. The
pipeline of training decodes and resizes by TensorFlow: PNG of the model's size gives the same
pixels, what is resized differs by a level of 255 at most.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()  # AVIF is Pillow's own

MAX_BYTES = 5 * 2**20
MAX_PIXELS = 25_000_000  # decoding takes up to 14 bytes of memory for each: 350 MB
MAX_SCANS = 100  # of a JPEG; each takes up to 14 ms, and 42 bytes of the file
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "HEIF")
# What is decoded at once: 30 ms at most. The others may keep a decoder busy; see `in_time`.
QUICK_FORMATS, QUICK_BYTES, QUICK_PIXELS = ("PNG", "JPEG", "GIF", "WEBP"), 2**18, 2**20
SHOWN = ("PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "AVIF")  # by every browser
OVERVIEW = 160  # pixels, the longer side
BETTER = "choose a JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF or BMP picture."
PNG_END = b"IEND\xaeB`\x82"
# A JPEG's marker: neither a byte of pixels (00) nor one that only restarts them (D0 to D7).
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")


class TooLarge(ValueError):
    """A picture has more pixels or scans than are decoded."""


class Part(NamedTuple):
    """Which square of a picture is looked at.

    Attributes
    ----------
    size : float
        Its side as a share of the picture's shorter side, more than 0 to 1.
    x, y : float
        Its place, from 0 (as far left, or up, as it goes) to 1.
    """

    size: float = 1.0
    x: float = 0.5
    y: float = 0.5


MIDDLE = Part()


class Prepared(NamedTuple):
    """A picture that a model can be given.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (height, width, 3), 0 to 255
        What the model sees.
    overview : ndarray of uint8, shape (any height, any width, 3), or None
        The whole picture, small, where a browser can't show it or a part of it was chosen.
    part : Part
    frame : tuple of float
        Left, top, width and height of that part, as shares of the whole picture.
    """

    pixels: np.ndarray
    overview: np.ndarray | None
    part: Part
    frame: tuple


def prepare(path, image_shape, part=MIDDLE, *, quick_only=False):
    """Prepare the picture of a stranger for a model.

    Rotation by EXIF is applied, transparency is laid on white, deep and gray pictures become 8-bit
    RGB; of several pictures in a file it is the first, or the one it calls primary.

    Parameters
    ----------
    path : path-like
    image_shape : tuple of int
        Height and width.
    part : Part
    quick_only : bool
        Leave alone what may take long.

    Returns
    -------
    Prepared
        None for what is left alone.

    Raises
    ------
    ValueError
        If there is no such picture in the file; the message is one sentence for who uploaded it.
    """
    check_size(path)
    try:
        with Image.open(path, formats=QUICK_FORMATS if quick_only else FORMATS) as image:
            if quick_only and image.width * image.height > QUICK_PIXELS:
                return None
            decoded = _decode(image, MAX_PIXELS)
            box, frame = _box(decoded.size, part)
            pixels = _resize(_rgb(decoded.crop(box)), image_shape)
            overview = None
            if part.size < 1 or image.format not in SHOWN:
                decoded.thumbnail((OVERVIEW, OVERVIEW))
                overview = np.asarray(_rgb(decoded))
        return Prepared(np.asarray(pixels), overview, part, frame)
    except (TooLarge, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = f"more than {MAX_PIXELS // 10**6} megapixels"
        if "scans" in str(error):
            reason = str(error)
        raise ValueError(f"This picture has {reason}; make it smaller first.") from error
    except Image.UnidentifiedImageError as error:
        if quick_only:
            return None
        raise ValueError(_say_foreign(path)) from error
    except Exception as error:  # decoders raise all kinds on damaged files
        raise ValueError(f"This picture is damaged or cut off; {BETTER}") from error


def load_picture(path, *, max_pixels=MAX_PIXELS, background="white"):
    """Load a whole picture, upright.

    Parameters
    ----------
    path : path-like
    max_pixels : int
    background : str or None
        A colour to lay transparency on; None takes pixels as if they were opaque.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3), 0 to 255

    Raises
    ------
    TooLarge
        If it has more pixels.
    Exception
        Of many kinds, if it is no picture or a damaged one.
    """
    with Image.open(path, formats=FORMATS) as image:
        return np.asarray(_rgb(_decode(image, max_pixels), background))


def resize(pixels, image_shape):
    """Bring pixels (ndarray of uint8, shape (any, any, 3)) to `image_shape` (height, width)."""
    return np.asarray(_resize(Image.fromarray(pixels), image_shape))


def to_float(pixels):
    """Bring uint8 pixels (ndarray), 0 to 255, to the float32 in [0, 1] that models take."""
    return np.asarray(pixels, np.float32) / np.float32(255)


def check_size(path):
    """Refuse a file (path-like) that is gone, empty or large; returns its bytes."""
    if not os.path.exists(path):
        raise ValueError("This picture is no longer here; upload it again.")
    size = os.path.getsize(path)
    if size == 0:
        raise ValueError(f"This file is empty; {BETTER}")
    if size > MAX_BYTES:
        raise ValueError(f"This file has more than {MAX_BYTES // 2**20} MB; make it smaller first.")
    return size


def _say_foreign(path):
    with open(path, "rb") as file:
        if b"<svg" in file.read(1000):
            return f"SVG pictures can't be read here; {BETTER}"
    return f"This file is not a picture that can be read; {BETTER}"


def _decode(image, max_pixels):
    """Decode an opened picture and turn it upright, unless it is large or takes for ever."""
    width, height = image.size
    if width * height > max_pixels:
        raise TooLarge(f"{width} x {height} pixels, more than {max_pixels:,}; make it smaller")
    if image.format in ("JPEG", "MPO", "PNG"):
        file = Path(image.filename).read_bytes()
        if image.format != "PNG":
            _check_scans(file)
        elif PNG_END not in file:  # Pillow does not miss it
            raise ValueError("the file ends before the picture does")
    image.load()
    with suppress(Exception):  # what damaged EXIF raises, which turns nothing then
        ImageOps.exif_transpose(image, in_place=True)  # a copy may take 100 MB
    return _eight_bits(image) if image.mode.startswith(("I", "F")) else image


def _check_scans(file):
    """Raise TooLarge if a JPEG (bytes) has more than `MAX_SCANS`, before they are decoded."""
    scans, place = 0, 2
    while found := MARKER.search(file, place):
        kind, place = found[1][0], found.end()
        if kind == 0xD9:  # its end; whatever follows is not decoded
            return
        scans += kind == 0xDA
        if scans > MAX_SCANS:
            raise TooLarge(f"more than {MAX_SCANS} scans")
        if kind > 0x01 and kind != 0xD8:
            place += int.from_bytes(file[place : place + 2])


def _eight_bits(image):
    """Scale gray of more bits as a viewer would: 16 bits by the high byte, others by their range.

    Floats in [0, 1] are taken as they are.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((values >> 8).astype(np.uint8))
    values = np.nan_to_num(values.astype(np.float64))
    low, high = values.min(), values.max()
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0, 1
    return Image.fromarray(np.uint8(np.rint((values - low) * (255 / max(high - low, 1e-12)))))


def _rgb(image, background="white"):
    if background and image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, background)
        return Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _box(size, part):
    """Return a part's left, top, right and bottom in pixels, and its frame as shares."""
    width, height = size
    side = max(1, round(part.size * min(size)))
    left, top = (int(place * (length - side)) for place, length in zip(part[1:], size, strict=True))
    frame = (left / width, top / height, side / width, side / height)
    return (left, top, left + side, top + side), frame


def _resize(image, image_shape):
    size = tuple(image_shape)[1::-1]
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
