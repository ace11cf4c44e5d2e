"""A model's answers in, how often they are right out."""

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

BATCH = 500  # pictures at a time
PLAIN_VIEW = 1  # which of the six views is the picture as it is


def six_views(images):
    """Return six views of pictures: as they are and mirrored, each also shifted by a pixel.

    Parameters
    ----------
    images : ndarray of shape (N, height, width, C), any dtype and range; sides of at least 2

    Returns
    -------
    list of 6 ndarrays like `images`
        Shifted towards either corner on the main diagonal, edges reflected; the plain one is
        number `PLAIN_VIEW`.
    """
    height, width = images.shape[1:3]
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], "reflect")
    shifted = [padded[:, i : i + height, i : i + width] for i in range(3)]
    return [*shifted, *(view[:, :, ::-1] for view in shifted)]


def probabilities(model, images):
    """Return what a model makes of pictures.

    Parameters
    ----------
    model : keras.Model
        Of pixels from 0 to 1.
    images : ndarray of uint8, shape (N, height, width, 3), 0 to 255

    Returns
    -------
    ndarray of float32, shape (N, classes), 0 to 1
    """
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    return np.concatenate([model.predict_on_batch(b / np.float32(255)) for b in batches])


def scores_of(answers, labels):
    """Return accuracy and macro-F1, 0 to 1, and the number of pictures (dict).

    Parameters
    ----------
    answers : ndarray of float, shape (N, classes)
    labels : ndarray of int, shape (N,)
    """
    predictions = answers.argmax(axis=1)
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "macro_f1": float(f1_score(labels, predictions, average="macro", zero_division=0)),
        "pictures": len(labels),
    }
