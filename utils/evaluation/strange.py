"""Pictures of none of the ten classes: from installed packages, and drawn. uint8 (N, 32, 32, 3).

The photographs come with scikit-image, scikit-learn, matplotlib and Gradio, the faces (Labeled
Faces in the Wild, 25x25 pixels, gray) with scikit-image, the handwritten digits (8x8 pixels, gray)
with scikit-learn, the letters with matplotlib; all under free licences. The rest is drawn from a
seed.
"""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

SIDE = 32  # pixels
DRAWN = 200  # pictures of a kind that is drawn
PHOTOGRAPHS = {
    "skimage/data": (
        *("astronaut.png", "brick.png", "camera.png", "cell.png", "coffee.png", "coins.png"),
        *("grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png"),
        *("moon.png", "page.png", "retina.jpg", "text.png"),
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
    "matplotlib/mpl-data/sample_data": ("grace_hopper.jpg",),
    "gradio/media_assets/images": ("cheetah.jpg", "groot.jpeg", "lion.jpg", "tower.jpg"),
}
TEXTURES = ("brick.png", "grass.png", "gravel.png")
FONTS = ("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf", "cmr10.ttf")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.")


def strange_pictures(*, seed=0):
    """Return name of a kind to its pictures: dict of str to ndarray of uint8, (N, 32, 32, 3).

    `seed` (int) is that of what is drawn; the same one draws the same.
    """
    whole, parts = _photographs()
    draw = {
        "textures": _textures,
        "text": _text,
        "drawings": _drawings,
        "screenshots": _screenshots,
        "noise": _noise,
    }
    # A generator of its own each: a kind that is added or changed leaves the others as they are.
    drawn = {
        name: make(np.random.default_rng([seed, number]))
        for number, (name, make) in enumerate(draw.items())
    }
    return {
        "photographs": whole,
        "parts_of_photographs": parts,
        "faces": _faces(),
        "handwritten_digits": _digits(),
        **drawn,
    }


def _open(folder, name):
    package, _, rest = folder.partition("/")
    path = Path(importlib.util.find_spec(package).origin).parent / rest / name
    with Image.open(path) as image:
        return image.convert("RGB")


def _small(image):
    """Return a square image (Pillow's, or an array of uint8) in 32x32 pixels."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def _photographs():
    """Return middle squares, and nine overlapping squares of half the side of each."""
    whole, parts = [], []
    for folder, names in PHOTOGRAPHS.items():
        for name in names:
            pixels = np.asarray(_open(folder, name))
            side = min(pixels.shape[:2])
            top, left = ((length - side) // 2 for length in pixels.shape[:2])
            whole.append(_small(pixels[top : top + side, left : left + side]))
            half = side // 2
            for y in np.linspace(0, pixels.shape[0] - half, 3, dtype=int):
                for x in np.linspace(0, pixels.shape[1] - half, 3, dtype=int):
                    parts.append(_small(pixels[y : y + half, x : x + half]))
    return np.stack(whole), np.stack(parts)


def _faces():
    path = Path(importlib.util.find_spec("skimage").origin).parent / "data" / "lfw_subset.npy"
    faces = np.uint8(np.rint(np.load(path)[:100] * 255))  # the others show no face
    return np.stack([_small(np.repeat(face[..., None], 3, axis=-1)) for face in faces])


def _digits():
    """Return dark digits on light paper, as they are written; every ninth of the 1,797."""
    digits = 255 - np.uint8(load_digits().images[::9] / 16 * 255)
    return np.stack([_small(np.repeat(digit[..., None], 3, axis=-1)) for digit in digits])


def _textures(random):
    """Return squares of brick, grass and gravel, of 64 to 256 pixels, tinted."""
    sources = [np.asarray(_open("skimage/data", name)) for name in TEXTURES]
    pictures = []
    for number in range(DRAWN):
        source, side = sources[number % len(sources)], int(random.integers(64, 257))
        y, x = (random.integers(0, length - side + 1) for length in source.shape[:2])
        square = source[y : y + side, x : x + side] * random.uniform(0.5, 1, 3)
        pictures.append(_small(np.uint8(square)))
    return np.stack(pictures)


def _text(random):
    """Return lines of random letters, dark on light or light on dark."""
    fonts = importlib.util.find_spec("matplotlib").origin
    folder = Path(fonts).parent / "mpl-data" / "fonts" / "ttf"
    pictures = []
    for number in range(DRAWN):
        font = ImageFont.truetype(folder / FONTS[number % len(FONTS)], int(random.integers(14, 80)))
        image, ink = _canvas(random)
        lines = ["".join(random.choice(LETTERS, 24)) for _ in range(12)]
        ImageDraw.Draw(image).multiline_text((4, 4), "\n".join(lines), fill=ink, font=font)
        pictures.append(_small(image))
    return np.stack(pictures)


def _drawings(random):
    """Return lines, circles and polygons in few colours, as in a chart or a sign."""
    pictures = []
    for _ in range(DRAWN):
        image, _ = _canvas(random)
        draw = ImageDraw.Draw(image)
        for _ in range(random.integers(1, 6)):
            colour = tuple(map(int, random.integers(0, 256, 3)))
            points = [tuple(map(int, point)) for point in random.integers(0, 128, (4, 2))]
            kind = random.integers(3)
            if kind == 0:
                draw.line(points, fill=colour, width=int(random.integers(2, 10)))
            elif kind == 1:
                draw.circle(points[0], int(random.integers(8, 50)), fill=colour)
            else:
                draw.polygon(points, fill=colour)
        pictures.append(_small(image))
    return np.stack(pictures)


def _screenshots(random):
    """Return windows with a title bar, lines of text as bars, and buttons."""
    pictures = []
    for _ in range(DRAWN):
        image, ink = _canvas(random)
        draw = ImageDraw.Draw(image)
        accent = tuple(map(int, random.integers(0, 256, 3)))
        draw.rectangle((0, 0, 127, int(random.integers(8, 24))), fill=accent)
        left = int(random.integers(4, 48))
        for y in range(30, 110, int(random.integers(8, 16))):
            draw.rectangle((left, y, int(random.integers(left + 8, 128)), y + 3), fill=ink)
        x, y = map(int, random.integers(4, 90, 2))
        draw.rounded_rectangle((x, y, x + 34, y + 14), 4, fill=accent)
        pictures.append(_small(image))
    return np.stack(pictures)


def _noise(random):
    """Return noise a pixel, and smooth noise as of clouds, in gray and in colours."""
    pictures = []
    for number in range(DRAWN):
        noise = random.normal(size=(SIDE, SIDE, 1 if number % 2 else 3))
        smooth = gaussian_filter(noise, (*[random.choice([0, 1, 3])] * 2, 0), mode="wrap")
        smooth = 128 + smooth / smooth.std() * random.uniform(20, 80)
        pictures.append(np.broadcast_to(np.uint8(np.clip(smooth, 0, 255)), (SIDE, SIDE, 3)))
    return np.stack(pictures)


def _canvas(random):
    """Return an empty image of 128x128 pixels in a light or dark colour, and one to write in."""
    paper, ink = random.integers(190, 256, 3), random.integers(0, 90, 3)
    if random.random() < 0.3:
        paper, ink = ink, paper
    return Image.new("RGB", (128, 128), tuple(map(int, paper))), tuple(map(int, ink))
