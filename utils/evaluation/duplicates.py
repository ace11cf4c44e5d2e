"""Features and pixels in, pairs of a test picture with its twin among the training pictures out.

Barz and Denzler ("Do We Train on Test Data? Purging CIFAR of Near-Duplicates", 2020) looked at the
nearest pairs one by one and judged 286 to be twins. Here a program judges: the training pictures
with the most similar features or 8x8 pixels are proposed, mirrored too, and a pair counts if the
pixels fit, the one mirrored or shifted where that makes them fit better.
"""

import numpy as np

from utils.evaluation.checks import checked_pictures

CANDIDATES = 5  # training pictures proposed for each test picture, each way
LARGEST_SHIFT = 3  # pixels, each way
SIMILAR = 0.9  # correlation of pixels from which on a pair counts
# Pixels a side to by how much less a pair may fit before it is given up: a shift costs.
MARGINS = {8: 0.3, 16: 0.1, 32: 0.0}
SHARE = 500  # test pictures compared at a time


def nearest_pictures(features, others, *, count=CANDIDATES):
    """Return the `count` nearest of `others` by cosine: indices (N, count), the nearest first.

    Parameters
    ----------
    features, others : arrays of float, shapes (N, D) and (M, D)
        Of N pictures, and of M among which is looked.
    """
    features, others = _unit(features), _unit(others)
    count = min(count, len(others))
    found = np.empty((len(features), count), int)
    for start in range(0, len(features), SHARE):
        closeness = features[start : start + SHARE] @ others.T
        best = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(closeness, best, 1), axis=1, kind="stable")
        found[start : start + SHARE] = np.take_along_axis(best, order, 1)
    return found


def likeness(images, others, *, largest_shift=LARGEST_SHIFT):
    """Return how alike pictures are pair by pair: the best correlation over shifts and mirrors.

    Parameters
    ----------
    images, others : ndarrays of uint8, shape (N, 32, 32, 3)
    largest_shift : int
        Pixels, each way, of `others`; what then lies outside is left out.

    Returns
    -------
    ndarray of float, shape (N,), -1 to 1
        Of the pixels' brightness and colour around each channel's mean; 1 also for pictures that
        differ in brightness and contrast only. A picture of one colour is like none.
    """
    images, others = checked_pictures(images), checked_pictures(others)
    return _best_correlation(images.astype(np.float32), others.astype(np.float32), largest_shift)


def find_duplicates(images, features, others, other_features, *, similar=SIMILAR):
    """Find which pictures have a twin among others.

    Parameters
    ----------
    images, others : ndarrays of uint8, shapes (N, 32, 32, 3) and (M, 32, 32, 3)
        Test pictures and training pictures.
    features, other_features : arrays of float, shapes (N, D) and (M, D)
        What a network sees in them.
    similar : float, -1 to 1
        Correlation from which on a pair counts.

    Returns
    -------
    list of dict
        ``test`` and ``train`` (int, places of the two pictures) and ``likeness`` (float); one a
        test picture that has a twin, the most alike first.
    """
    coarse, mirrored, coarse_others = map(thumbnails, (images, images[:, :, ::-1], others))
    proposed = np.concatenate(
        [
            nearest_pictures(features, other_features),
            nearest_pictures(coarse, coarse_others),
            nearest_pictures(mirrored, coarse_others),
        ],
        axis=1,
    )
    number, twin = np.repeat(np.arange(len(images)), proposed.shape[1]), proposed.ravel()
    for side, margin in MARGINS.items():  # ever finer, ever fewer
        alike = _compare(_shrunk(images, side), _shrunk(others, side), number, twin, side // 10)
        number, twin, alike = (one[alike >= similar - margin] for one in (number, twin, alike))
    found = {}
    for pair in np.argsort(-alike, kind="stable"):
        found.setdefault(int(number[pair]), (int(twin[pair]), round(float(alike[pair]), 4)))
    return [{"test": one, "train": two, "likeness": value} for one, (two, value) in found.items()]


def thumbnails(images):
    """Return pictures in 8x8 pixels around each channel's mean, rows of length 1: (N, 192)."""
    pixels = _shrunk(checked_pictures(images), 8)
    pixels = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    return _unit(pixels.reshape(len(images), -1))


def _shrunk(images, side):
    """Return pictures in float32 with `side` pixels a side, a divisor of 32, by means."""
    size = images.shape[1] // side
    parts = images.reshape(len(images), side, size, side, size, 3)
    return parts.mean(axis=(2, 4), dtype=np.float32)


def _compare(images, others, number, twin, largest_shift):
    """Return the best correlation of each pair of `images[number]` and `others[twin]`."""
    alike = np.empty(len(number))
    for start in range(0, len(number), SHARE):
        part = slice(start, start + SHARE)
        pair = images[number[part]], others[twin[part]]
        alike[part] = _best_correlation(*pair, largest_shift)
    return alike


def _best_correlation(images, others, largest_shift):
    best = np.full(len(images), -1.0)
    moves = range(-largest_shift, largest_shift + 1)
    for right in (others, others[:, :, ::-1]):
        for down in moves:
            for aside in moves:
                best = np.maximum(best, _correlation(images, right, down, aside))
    return best


def _unit(vectors):
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _correlation(images, others, down, aside):
    """Return the correlation of each pair where both overlap, `others` moved by whole pixels."""
    height, width = images.shape[1:3]
    rows, columns = _overlap(down, height), _overlap(aside, width)
    first, second = images[:, rows[0], columns[0]], others[:, rows[1], columns[1]]
    first = (first - first.mean(axis=(1, 2), keepdims=True)).reshape(len(images), -1)
    second = (second - second.mean(axis=(1, 2), keepdims=True)).reshape(len(images), -1)
    products = np.einsum("ij,ij->i", first, second)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.where(lengths > 1, products / np.maximum(lengths, 1), -1)


def _overlap(move, length):
    """Return where pictures overlap, of which the second is moved: two slices."""
    first = slice(max(move, 0), length + min(move, 0))
    return first, slice(max(-move, 0), length - max(move, 0))
