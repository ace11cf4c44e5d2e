"""Pictures in, how unusual their pixels are out, whatever is in them: by numbers of their spectrum.

Photographs share a spectrum: each octave of detail has about as much contrast as the next. Text,
drawings, screenshots and noise have another. No network is asked, so that it also tells of pictures
that a network is sure about for want of better knowledge.
"""

import numpy as np

BLOCK = 8  # pixels; a side of the squares whose spectra are averaged
FLOOR = 1e-4  # of an energy, below which nothing is told apart: rounding to 8 bits makes as much
# Red, green and blue, 0 to 1, to brightness and two differences of colour, as in JPEG.
COLOURS = np.array(
    [[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32
)
_STEPS = np.arange(BLOCK)
COSINES = np.cos(np.pi * (2 * _STEPS + 1) * _STEPS[:, np.newaxis] / (2 * BLOCK)) * np.sqrt(
    2 / BLOCK
)
COSINES[0] /= np.sqrt(2)
# The orthonormal transform (DCT-II) of a square, flat: place, frequency. One large product is
# quicker than two small ones for each square.
TRANSFORM = np.kron(COSINES, COSINES).T.astype(np.float32)
_RINGS = np.maximum.outer(_STEPS, _STEPS).ravel()
RINGS = np.eye(BLOCK, dtype=np.float32)[_RINGS]
RINGS /= RINGS.sum(axis=0)  # frequencies to the mean of those as fine


def pixel_statistics(images):
    """Return numbers that tell how pictures look from afar.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 32, 32, 3), 0 to 255

    Returns
    -------
    ndarray of float64, shape (N, 34)
        Of brightness and both colours: the logarithm of the energy at each of eight frequencies,
        the mean, and the logarithm of the deviation; of the brightness' slopes in either direction:
        how peaked they are, by two ratios of moments.
    """
    count, side = images.shape[:2]
    channels = np.moveaxis(images, -1, 0).astype(np.float32, order="C").reshape(3, -1)
    planes = (COLOURS / 255 @ channels).reshape(3, count, side, side)
    blocks = planes.reshape(3, count, side // BLOCK, BLOCK, side // BLOCK, BLOCK)
    blocks = blocks.swapaxes(3, 4)  # colour, picture, block, block, row, column
    amplitudes = blocks.reshape(-1, BLOCK**2) @ TRANSFORM
    energies = np.square(amplitudes).reshape(3, count, -1, BLOCK**2).mean(axis=2)
    spectra = np.log(energies @ RINGS + FLOOR)
    flat = planes.reshape(3, count, -1)
    looks = [*spectra, flat.mean(axis=2).T, np.log(flat.std(axis=2).T + 0.01)]
    for axis in (1, 2):
        slopes = np.diff(planes[0], axis=axis).reshape(count, -1)
        slopes /= slopes.std(axis=1, keepdims=True) + 1e-3
        looks.append(np.log(np.abs(slopes).mean(axis=1, keepdims=True) + 1e-3))
        looks.append(np.log(np.square(np.square(slopes)).mean(axis=1, keepdims=True) + 1))
    return np.concatenate(looks, axis=1).astype(float)


def fit_usual(images):
    """Learn what is usual, from the training pictures.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 32, 32, 3)

    Returns
    -------
    dict
        ``mean``, shape (34,), and ``precision``, shape (34, 34), the inverse of the covariance of
        their statistics; ndarrays of float64.
    """
    statistics = pixel_statistics(images)
    covariance = np.cov(statistics.T) + 1e-6 * np.eye(statistics.shape[1])
    return {"mean": statistics.mean(axis=0), "precision": np.linalg.inv(covariance)}


def unusualness(images, usual):
    """Return how far from usual pictures are: their Mahalanobis distance, about 6 for most.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 32, 32, 3), 0 to 255
    usual : dict
        As `fit_usual` returns it, or with lists in place of the arrays.

    Returns
    -------
    ndarray of float64, shape (N,)
    """
    away = pixel_statistics(images) - np.asarray(usual["mean"])
    return np.sqrt(np.einsum("ij,jk,ik->i", away, np.asarray(usual["precision"]), away))
