"""A small archive in CIFAR-10's format, with drawn pictures, for when there is no network.

The ten classes are caricatures: a few ellipses and polygons each, in varying colours, place, size,
tilt and light, with noise. They can be learnt, but not at a glance. They say nothing about how
well a model does on photographs.
"""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
from PIL import Image, ImageDraw

from utils.archive.members import BATCHES_FOLDER, CIFAR100_FOLDER, TEST_BATCH, TRAIN_BATCHES
from utils.base.cifar10 import CLASS_NAMES
from utils.base.files import atomic_path

SIDE = 32  # pixels
SCALE = 3  # drawn larger by this factor, then reduced, for smooth edges

# Each shape: what to draw, which of three colours, and its points in a square from -1 to 1.
SHAPES = {
    "airplane": [
        ("ellipse", 0, (-0.9, -0.15, 0.9, 0.15)),
        ("polygon", 1, (-0.1, 0, 0.3, 0, -0.3, 0.8, -0.5, 0.8)),
        ("polygon", 1, (-0.1, 0, 0.3, 0, -0.3, -0.8, -0.5, -0.8)),
    ],
    "automobile": [
        (
            "polygon",
            0,
            (-0.9, 0.4, -0.9, 0, -0.5, 0, -0.3, -0.4, 0.4, -0.4, 0.6, 0, 0.9, 0, 0.9, 0.4),
        ),
        ("ellipse", 1, (-0.7, 0.2, -0.3, 0.6)),
        ("ellipse", 1, (0.3, 0.2, 0.7, 0.6)),
    ],
    "bird": [
        ("ellipse", 0, (-0.5, -0.3, 0.4, 0.3)),
        ("ellipse", 0, (0.2, -0.55, 0.6, -0.15)),
        ("polygon", 1, (0.58, -0.4, 0.9, -0.3, 0.58, -0.25)),
        ("polygon", 1, (-0.4, 0, -0.9, -0.3, -0.9, 0.2)),
    ],
    "cat": [
        ("ellipse", 0, (-0.6, -0.5, 0.6, 0.7)),
        ("polygon", 0, (-0.6, 0, -0.55, -0.9, -0.1, -0.4)),
        ("polygon", 0, (0.6, 0, 0.55, -0.9, 0.1, -0.4)),
        ("ellipse", 1, (-0.35, -0.1, -0.1, 0.15)),
        ("ellipse", 1, (0.1, -0.1, 0.35, 0.15)),
    ],
    "deer": [
        ("ellipse", 0, (-0.6, -0.1, 0.4, 0.35)),
        ("polygon", 0, (-0.5, 0.2, -0.35, 0.2, -0.4, 0.9, -0.5, 0.9)),
        ("polygon", 0, (0.15, 0.2, 0.3, 0.2, 0.3, 0.9, 0.2, 0.9)),
        ("polygon", 0, (0.2, 0, 0.5, -0.5, 0.7, -0.35, 0.4, 0.2)),
        ("polygon", 1, (0.5, -0.5, 0.3, -0.95, 0.55, -0.65, 0.75, -0.95, 0.6, -0.45)),
    ],
    "dog": [
        ("ellipse", 0, (-0.5, -0.6, 0.5, 0.6)),
        ("ellipse", 1, (-0.85, -0.5, -0.4, 0.4)),
        ("ellipse", 1, (0.4, -0.5, 0.85, 0.4)),
        ("ellipse", 2, (-0.2, 0.15, 0.2, 0.45)),
    ],
    "frog": [
        ("ellipse", 0, (-0.8, -0.2, 0.8, 0.7)),
        ("ellipse", 0, (-0.65, -0.6, -0.15, -0.1)),
        ("ellipse", 0, (0.15, -0.6, 0.65, -0.1)),
        ("polygon", 1, (-0.5, 0.3, 0.5, 0.3, 0.4, 0.42, -0.4, 0.42)),
    ],
    "horse": [
        ("ellipse", 0, (-0.7, -0.2, 0.4, 0.35)),
        ("polygon", 0, (-0.6, 0.1, -0.4, 0.1, -0.4, 0.9, -0.55, 0.9)),
        ("polygon", 0, (0.1, 0.1, 0.3, 0.1, 0.3, 0.9, 0.15, 0.9)),
        ("polygon", 0, (0.1, 0, 0.4, -0.8, 0.9, -0.5, 0.85, -0.35, 0.55, -0.4, 0.4, 0.2)),
        ("polygon", 1, (-0.65, -0.1, -0.95, 0.5, -0.75, 0.5, -0.55, 0)),
    ],
    "ship": [
        ("polygon", 0, (-0.9, 0.2, 0.9, 0.2, 0.6, 0.7, -0.6, 0.7)),
        ("polygon", 1, (-0.05, 0.2, 0.05, 0.2, 0.05, -0.9, -0.05, -0.9)),
        ("polygon", 2, (0.1, 0.1, 0.1, -0.8, 0.7, 0.1)),
    ],
    "truck": [
        ("polygon", 0, (-0.95, 0.4, -0.95, -0.6, 0.3, -0.6, 0.3, 0.4)),
        ("polygon", 2, (0.35, 0.4, 0.35, -0.2, 0.7, -0.2, 0.95, 0.1, 0.95, 0.4)),
        ("ellipse", 1, (-0.75, 0.25, -0.35, 0.65)),
        ("ellipse", 1, (0.45, 0.25, 0.85, 0.65)),
    ],
}

# Usual colours of sky, ground and body, which vary from picture to picture.
COLOURS = {
    "airplane": ((150, 190, 235), (170, 200, 235), (210, 215, 225)),
    "automobile": ((185, 185, 190), (120, 120, 125), (190, 50, 50)),
    "bird": ((140, 185, 140), (150, 170, 110), (150, 110, 70)),
    "cat": ((200, 180, 160), (170, 140, 120), (120, 100, 90)),
    "deer": ((120, 150, 90), (95, 130, 65), (150, 105, 60)),
    "dog": ((205, 200, 190), (190, 165, 130), (170, 125, 75)),
    "frog": ((100, 110, 60), (80, 90, 50), (90, 140, 50)),
    "horse": ((160, 190, 200), (110, 150, 70), (110, 70, 45)),
    "ship": ((165, 200, 230), (50, 100, 150), (225, 225, 230)),
    "truck": ((200, 200, 205), (140, 135, 130), (225, 180, 60)),
}
COLOUR_SPREAD = 30  # standard deviation of each channel, of 255


def write_sample_archive(path, *, images_per_batch=400, seed=0, classes=10):
    """Draw a sample and write it as an archive of five training batches and a test batch.

    Parameters
    ----------
    path : path-like
        Ends in ``.tar.gz``; the same arguments write the same bytes.
    images_per_batch : int
        As many of each class; at least one.
    seed : int
    classes : {10, 100}
        In the format of CIFAR-10, or of CIFAR-100 with one training batch. Of a hundred, ten are
        drawn alike.

    Returns
    -------
    path-like
        `path`.
    """
    if images_per_batch < classes:
        raise ValueError(f"images_per_batch is {images_per_batch!r}, expected at least {classes}")
    random = np.random.default_rng(seed)
    if classes == len(CLASS_NAMES):
        folder, kind = BATCHES_FOLDER, ("labels", list(CLASS_NAMES))
        meta = {"label_names": list(CLASS_NAMES), "num_vis": 3072}
        files = {"batches.meta": _python2_pickle(meta)}
        for name in (*TRAIN_BATCHES, TEST_BATCH):
            files[name] = _python2_pickle(_draw_batch(name, images_per_batch, random, *kind))
        files["readme.html"] = b"<p>Drawn pictures in the format of CIFAR-10.</p>\n"
    else:
        names = [f"{CLASS_NAMES[label % 10]}_{label // 10}" for label in range(classes)]
        folder, kind = CIFAR100_FOLDER, ("fine_labels", names)
        files = {"meta": _python2_pickle({"fine_label_names": names})}
        for name, count in (("train", 5 * images_per_batch), ("test", images_per_batch)):
            files[name] = _python2_pickle(_draw_batch(name, count, random, *kind))
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def draw_picture(class_name, random):
    """Draw a picture of one class.

    Parameters
    ----------
    class_name : str
    random : numpy.random.Generator

    Returns
    -------
    ndarray of uint8, shape (32, 32, 3), 0 to 255
    """
    side = SIDE * SCALE
    usual = np.array(COLOURS[class_name]) + random.normal(0, COLOUR_SPREAD, (3, 3))
    sky, ground, body = np.clip(usual, 0, 255).astype(int)
    colours = (body, *random.integers(0, 256, (2, 3)))
    image = Image.new("RGB", (side, side), tuple(map(int, sky)))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, side * random.uniform(0.4, 0.9), side, side), tuple(map(int, ground)))
    half = side * random.uniform(0.3, 0.5)
    mirror = random.choice((-1, 1))
    middle = side / 2 + random.uniform(-0.12, 0.12, 2) * side
    for kind, colour, points in SHAPES[class_name]:
        places = middle + half * np.reshape(points, (-1, 2)) * (mirror, 1)
        if kind == "ellipse":
            places = np.sort(places, axis=0)
        getattr(draw, kind)([tuple(place) for place in places], tuple(map(int, colours[colour])))
    image = image.rotate(random.uniform(-20, 20), Image.Resampling.BILINEAR, fillcolor=tuple(sky))
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), float)
    noise = random.normal(0, random.uniform(4, 20), pixels.shape)
    return np.clip(pixels * random.uniform(0.5, 1) + noise, 0, 255).astype(np.uint8)


def _draw_batch(name, count, random, key, names):
    labels = random.permutation(np.arange(count) % len(names)).tolist()
    drawn = [CLASS_NAMES[label % len(CLASS_NAMES)] for label in labels]
    pictures = np.stack([draw_picture(one, random) for one in drawn])
    return {
        "batch_label": name.replace("_", " "),
        key: labels,
        "data": pictures.transpose(0, 3, 1, 2).reshape(count, -1).copy(),
        "filenames": [f"{names[c]}_{name}_{i:05d}.png" for i, c in enumerate(labels)],
    }


class _Python2Pickler(pickle._Pickler):
    """Writes str and bytes as Python 2 did, the format of the genuine batches."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value):
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)

    dispatch[str] = dispatch[bytes] = save_string


def _python2_pickle(content):
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()
