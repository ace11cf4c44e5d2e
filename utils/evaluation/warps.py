"""What corruptions have in common: pixels moved about, in batches of float32 (N, side, side, 3)."""

import numpy as np
from scipy.ndimage import gaussian_filter


def convolve(images, kernel):
    """Convolve each channel with a kernel (array, odd sides); edges reflected."""
    reach = len(kernel) // 2
    padded = np.pad(images, [(0, 0), (reach, reach), (reach, reach), (0, 0)], "reflect")
    height, width = images.shape[1:3]
    total = np.zeros_like(images)
    for (y, x), weight in np.ndenumerate(kernel[::-1, ::-1].astype(np.float32)):
        if weight:
            total += weight * padded[:, y : y + height, x : x + width]
    return total


def drag(images, down, right, weights):
    """Sum up pictures moved by whole pixels, edges repeated.

    `down` and `right` are arrays of int, shape (steps, N); `weights` has one a step.
    """
    side = images.shape[1]
    number = np.arange(len(images))[:, np.newaxis, np.newaxis]
    total = np.zeros_like(images)
    for weight, dy, dx in zip(weights.astype(np.float32), down, right, strict=True):
        rows = np.clip(np.arange(side) + dy[:, np.newaxis], 0, side - 1)[:, :, np.newaxis]
        columns = np.clip(np.arange(side) + dx[:, np.newaxis], 0, side - 1)[:, np.newaxis]
        total += weight * images[number, rows, columns]
    return total


def zoom(images, factor):
    """Enlarge pictures around their middle, bilinearly; `factor` is at least 1."""
    side = images.shape[1]
    middle = (side - 1) / 2
    places = middle + (np.arange(side) - middle) / factor
    weights = np.maximum(0, 1 - np.abs(places[:, np.newaxis] - np.arange(side)))  # (to, from)
    weights = weights.astype(np.float32)
    rows = np.matmul(weights, images.reshape(len(images), side, -1)).reshape(images.shape)
    return np.matmul(weights, rows)


def fractal(random, count, side, decay):
    """Return clouds by the diamond-square algorithm, float32 of shape (count, side, side), 0 to 1.

    `side` is a power of 2; edges meet. The larger `decay`, the smoother.
    """
    clouds = np.zeros((count, side, side), np.float32)
    step, wobble = side, 100.0

    def wobbled(total):
        noise = random.uniform(-wobble, wobble, total.shape).astype(np.float32)
        return total / 4 + wobble * noise / 100

    while step >= 2:
        half = step // 2
        corners = clouds[:, ::step, ::step]
        pairs = corners + np.roll(corners, -1, 1)
        clouds[:, half::step, half::step] = wobbled(pairs + np.roll(pairs, -1, 2))
        middles, corners = clouds[:, half::step, half::step], clouds[:, ::step, ::step]
        above = middles + np.roll(middles, 1, 1)
        clouds[:, ::step, half::step] = wobbled(above + corners + np.roll(corners, -1, 2))
        beside = middles + np.roll(middles, 1, 2)
        clouds[:, half::step, ::step] = wobbled(beside + corners + np.roll(corners, -1, 1))
        step, wobble = half, wobble / decay
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    return clouds / clouds.max(axis=(1, 2), keepdims=True)


def stretch(images, random, distance, smoothness, shift):
    """Warp each picture by the shift of three points, and displace its pixels smoothly; in pixels.

    `distance` is what the displacements, uniform in [-1, 1], are multiplied by after they were
    smoothed by a Gaussian of `smoothness`; `shift` is the most that a point moves, each way.
    """
    count, side = images.shape[:2]
    near, far = side // 2 - side // 3, side // 2 + side // 3
    points = np.array([(far, far), (far, near), (near, near)], float)  # (x, y)
    moved = points + random.uniform(-shift, shift, (count, 3, 2))
    ones = np.ones((count, 3, 1))
    # From where a pixel goes to where it comes from: the affine map of the moved points to them.
    back = np.linalg.solve(np.concatenate([moved, ones], 2), np.broadcast_to(points, moved.shape))
    y, x = np.mgrid[:side, :side].astype(float)
    places = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    sources = (places @ back).reshape(count, side, side, 2)
    moves = random.uniform(-1, 1, sources.shape)
    if smoothness:
        moves = gaussian_filter(moves, (0, smoothness, smoothness, 0), truncate=3)
    sources += distance * moves
    return sample(images, sources[..., 1], sources[..., 0])


def sample(images, rows, columns):
    """Return the pixels at places between pixels, bilinearly, edges reflected.

    `rows` and `columns` are arrays of float, shape (N, side, side).
    """
    number = np.arange(len(images))[:, np.newaxis, np.newaxis]
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down = (rows - top)[..., np.newaxis].astype(np.float32)
    right = (columns - left)[..., np.newaxis].astype(np.float32)

    def at(y, x):
        return images[number, _reflect(y, images.shape[1]), _reflect(x, images.shape[2])]

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def _reflect(index, side):
    index = np.abs(index) % (2 * side - 2)
    return side - 1 - np.abs(side - 1 - index)
