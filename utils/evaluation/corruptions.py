"""Pictures in, the same as a bad camera or line would give them out; uint8, (N, 32, 32, 3).

The kinds and severities of CIFAR-10-C (Hendrycks and Dietterich, "Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", 2019), by its parameters, but our own
renderings, with other random numbers: accuracies are near the official ones, not equal. Snow, frost
and spatter are left out; they are made from photographs.
"""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb, rgb2hsv
from skimage.util import random_noise

from utils.evaluation import warps
from utils.evaluation.checks import checked_pictures

SEVERITIES = (1, 2, 3, 4, 5)
SHARE = 500  # pictures at a time: their float32 fit a cache
SIDE = 32


def gaussian_noise(images, random, deviation):
    """Add normal noise."""
    return images + deviation * random.standard_normal(images.shape, np.float32)


def shot_noise(images, random, photons):
    """Count photons, of which a white pixel has so many on average."""
    return random.poisson(images * photons).astype(np.float32) / photons


def impulse_noise(images, random, share):
    """Make a share of all values 0 or 1: salt and pepper."""
    return random_noise(images, "s&p", rng=random, amount=share)


def speckle_noise(images, random, deviation):
    """Add normal noise in proportion to the pixel."""
    return images + images * deviation * random.standard_normal(images.shape, np.float32)


def defocus_blur(images, _, radius, softness):
    """Spread each pixel over a disk, itself smoothed by a Gaussian of 3x3 pixels."""
    reach = int(radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (x**2 + y**2 <= radius**2).astype(float)
    taps = np.exp(-np.array([1, 0, 1]) / (2 * softness**2))
    soft = np.zeros_like(disk)
    for row, down in enumerate(taps / taps.sum(), start=-1):
        for column, right in enumerate(taps / taps.sum(), start=-1):
            soft += down * right * np.roll(disk, (row, column), (0, 1))
    return warps.convolve(images, soft / soft.sum())


def gaussian_blur(images, _, sigma):
    """Spread each pixel by a Gaussian."""
    return gaussian_filter(images, (0, sigma, sigma, 0))


def glass_blur(images, random, sigma, reach, passes):
    """Give each pixel, between two blurs, the value of one up to `reach` above and to the left.

    That is what the original does where it sets out to swap the two; the frame stays.
    """
    images = gaussian_filter(images, (0, sigma, sigma, 0))
    number = np.arange(len(images))[:, np.newaxis, np.newaxis]
    here = np.arange(reach + 1, SIDE - reach + 1)
    for _ in range(passes):
        down, right = random.integers(-reach, reach, (2, len(images), len(here), len(here)))
        moved = images[number, here[:, np.newaxis] + down, here + right]
        images[:, here[:, np.newaxis], here] = moved
    return gaussian_filter(images, (0, sigma, sigma, 0))


def motion_blur(images, random, radius, sigma):
    """Drag each picture at an angle of its own, within 45 degrees of horizontal."""
    angles = random.uniform(-np.pi / 4, np.pi / 4, len(images))
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    weights = weights[weights > 1e-3] / weights[weights > 1e-3].sum()
    steps = np.arange(len(weights))[:, np.newaxis]
    down, right = np.rint(steps * np.sin(angles)), np.rint(steps * np.cos(angles))
    return warps.drag(images, down.astype(int), right.astype(int), weights)


def zoom_blur(images, _, most):
    """Average a picture and its central zooms by 1 to `most`, in steps of 0.01."""
    zooms = np.arange(1, most + 0.005, 0.01)
    return (images + sum(warps.zoom(images, zoom) for zoom in zooms)) / (len(zooms) + 1)


def fog(images, random, amount, decay):
    """Lay a fractal over each picture."""
    clouds = warps.fractal(random, len(images), SIDE, decay)[..., np.newaxis]
    brightest = images.max(axis=(1, 2, 3), keepdims=True)
    return (images + amount * clouds) * brightest / (brightest + amount)


def brightness(images, _, amount):
    """Add to the value of hue, saturation and value."""
    hsv = rgb2hsv(images)
    hsv[..., 2] = np.clip(hsv[..., 2] + amount, 0, 1)
    return hsv2rgb(hsv)


def contrast(images, _, factor):
    """Bring each channel closer to its mean."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    return (images - mean) * factor + mean


def saturate(images, _, factor, offset):
    """Change the saturation of hue, saturation and value."""
    hsv = rgb2hsv(images)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + offset, 0, 1)
    return hsv2rgb(hsv)


def jpeg(images, _, quality):
    """Save as JPEG, and load."""

    def reload(image):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _one_by_one(images, reload)


def pixelate(images, _, share):
    """Resize to a share of the side, and back, by boxes."""
    small = (int(SIDE * share),) * 2

    def coarsen(image):
        return image.resize(small, Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BOX)

    return _one_by_one(images, coarsen)


def elastic_transform(images, random, distance, smoothness, shift):
    """Shift three points of each picture, and displace its pixels smoothly."""
    return warps.stretch(images, random, SIDE * distance, SIDE * smoothness, SIDE * shift)


# Name to a function and its parameters at severities 1 to 5.
CORRUPTIONS = {
    "gaussian_noise": (gaussian_noise, [(0.04,), (0.06,), (0.08,), (0.09,), (0.1,)]),
    "shot_noise": (shot_noise, [(500,), (250,), (100,), (75,), (50,)]),
    "impulse_noise": (impulse_noise, [(0.01,), (0.02,), (0.03,), (0.05,), (0.07,)]),
    "defocus_blur": (defocus_blur, [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]),
    "glass_blur": (
        glass_blur,
        [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
    ),
    "motion_blur": (motion_blur, [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)]),
    "zoom_blur": (zoom_blur, [(1.05,), (1.1,), (1.15,), (1.2,), (1.25,)]),
    "fog": (fog, [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)]),
    "brightness": (brightness, [(0.05,), (0.1,), (0.15,), (0.2,), (0.3,)]),
    "contrast": (contrast, [(0.75,), (0.5,), (0.4,), (0.3,), (0.15,)]),
    "elastic_transform": (
        elastic_transform,
        [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)],
    ),
    "pixelate": (pixelate, [(0.95,), (0.9,), (0.85,), (0.75,), (0.65,)]),
    "jpeg_compression": (jpeg, [(80,), (65,), (58,), (50,), (40,)]),
    "speckle_noise": (speckle_noise, [(0.06,), (0.1,), (0.12,), (0.16,), (0.2,)]),
    "gaussian_blur": (gaussian_blur, [(0.4,), (0.6,), (0.7,), (0.8,), (1,)]),
    "saturate": (saturate, [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)]),
}
EXTRA = ("speckle_noise", "gaussian_blur", "saturate")  # not in the mean, as in the paper


def corrupt(images, kind, severity, *, seed=0):
    """Corrupt pictures.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 32, 32, 3), 0 to 255
    kind : str
        A name in `CORRUPTIONS`.
    severity : int, 1 to 5
    seed : int
        The same one gives the same; the first pictures don't depend on how many follow by more than
        their share of 500.

    Returns
    -------
    ndarray like `images`

    Raises
    ------
    ValueError
        If the pictures are others, or there is no such kind or severity.
    """
    images = checked_pictures(images)
    if kind not in CORRUPTIONS:
        raise ValueError(f"{kind!r} is no corruption; there are {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is {severity!r}, expected 1 to 5")
    function, parameters = CORRUPTIONS[kind]
    number = list(CORRUPTIONS).index(kind)
    corrupted = np.empty_like(images)
    for start in range(0, len(images), SHARE):
        part = slice(start, start + SHARE)
        random = np.random.default_rng([seed, number, severity, start])
        changed = function(images[part] / np.float32(255), random, *parameters[severity - 1])
        corrupted[part] = np.clip(changed, 0, 1) * 255  # cut off, as the official files are
    return corrupted


def _one_by_one(images, change):
    changed = [
        np.asarray(change(Image.fromarray(image))) for image in np.uint8(np.rint(images * 255))
    ]
    return np.stack(changed) / np.float32(255)
