"""Make the page's examples, ``images/examples/``: two drawn, three from scikit-image's pictures."""

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFilter

from utils.base.cifar10 import ROOT
from utils.base.files import atomic_path

EXAMPLES = ROOT / "images" / "examples"
SIDE = 128  # pixels
FINE = 6  # drawn larger by this factor, then reduced, for smooth edges


def draw_deer():
    """Return a drawn deer before leaves (PIL.Image, RGB)."""
    shape, canvas = _canvas((96, 128, 72))
    random = np.random.default_rng(0)
    for x, y, radius, *tint in random.random((900, 6)):
        colour = (np.array([60, 90, 40]) + np.array([60, 60, 40]) * tint).astype(int)
        canvas.ellipse(_box(x, y, 0.004 + radius * 0.023), tuple(map(int, colour)))
    coat, dark, light = (150, 105, 65), (110, 75, 45), (200, 165, 125)
    for x in (0.30, 0.36, 0.62, 0.67):
        canvas.polygon(_points(x, 0.55, x + 0.045, 0.55, x + 0.03, 0.9, x + 0.005, 0.9), dark)
    canvas.ellipse(_points(0.24, 0.40, 0.72, 0.64), coat)
    canvas.ellipse(_points(0.30, 0.55, 0.66, 0.64), light)
    canvas.polygon(_points(0.60, 0.50, 0.70, 0.58, 0.80, 0.28, 0.70, 0.22), coat)
    canvas.polygon(_points(0.68, 0.20, 0.80, 0.20, 0.92, 0.29, 0.90, 0.33, 0.72, 0.34), coat)
    canvas.polygon(_points(0.70, 0.22, 0.62, 0.14, 0.66, 0.25), light)
    canvas.polygon(_points(0.24, 0.46, 0.20, 0.56, 0.27, 0.54), (235, 230, 220))
    for antler in (
        (0.73, 0.20, 0.68, 0.06, 0.60, 0.02),
        (0.68, 0.10, 0.72, 0.03),
        (0.76, 0.20, 0.80, 0.06, 0.88, 0.02),
        (0.79, 0.10, 0.76, 0.03),
        (0.80, 0.08, 0.86, 0.09),
    ):
        canvas.line(_points(*antler), (90, 65, 40), width=14)
    canvas.ellipse(_box(0.785, 0.245, 0.01), (20, 15, 10))
    return _reduce(shape)


def draw_car():
    """Return a drawn red car on a road (PIL.Image, RGB)."""
    shape, canvas = _canvas((175, 195, 215))
    red, glass = (190, 30, 35), (60, 80, 100)
    canvas.rectangle(_points(0, 0.45, 1, 0.60), (120, 150, 110))
    canvas.rectangle(_points(0, 0.60, 1, 1), (125, 125, 128))
    canvas.ellipse(_points(0.06, 0.76, 0.95, 0.86), (70, 70, 75))
    canvas.polygon(_points(0.22, 0.52, 0.33, 0.34, 0.64, 0.34, 0.78, 0.52), red)
    canvas.polygon(_points(0.27, 0.51, 0.355, 0.375, 0.47, 0.375, 0.47, 0.51), glass)
    canvas.polygon(_points(0.50, 0.51, 0.50, 0.375, 0.62, 0.375, 0.72, 0.51), glass)
    canvas.rounded_rectangle(_points(0.06, 0.50, 0.95, 0.76), 60, red)
    canvas.rectangle(_points(0.06, 0.66, 0.95, 0.70), (150, 20, 25))
    for x in (0.25, 0.76):
        canvas.ellipse(_box(x, 0.75, 0.105), (25, 25, 28))
        canvas.ellipse(_box(x, 0.75, 0.055), (175, 178, 182))
    canvas.ellipse(_points(0.89, 0.54, 0.95, 0.60), (255, 240, 190))
    canvas.rectangle(_points(0.06, 0.54, 0.09, 0.60), (255, 120, 90))
    canvas.line(_points(0.49, 0.51, 0.49, 0.72), (140, 20, 25), width=5)
    return _reduce(shape)


def _canvas(colour):
    image = Image.new("RGB", (SIDE * FINE, SIDE * FINE), colour)
    return image, ImageDraw.Draw(image)


def _points(*shares):
    places = [share * SIDE * FINE for share in shares]
    return list(zip(places[::2], places[1::2], strict=True))


def _box(x, y, radius):
    return _points(x - radius, y - radius, x + radius, y + radius)


def _reduce(image):
    soft = image.filter(ImageFilter.GaussianBlur(2 * FINE))  # as a lens draws: no hard edges
    return soft.resize((SIDE, SIDE), Image.Resampling.BOX)


def _photo(pixels):
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


if __name__ == "__main__":
    pictures = {
        "1_deer": draw_deer(),
        "2_automobile": draw_car(),
        "3_cat": _photo(skimage.data.chelsea()),
        "4_rocket": _photo(skimage.data.rocket()),
        "5_galaxies": _photo(skimage.data.hubble_deep_field()),
    }
    for name, picture in pictures.items():
        with atomic_path(EXAMPLES / f"{name}.png") as temporary:
            picture.quantize(256).save(temporary, optimize=True)  # a third to decode
