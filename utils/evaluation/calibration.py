"""Logits and labels in, whether the percentages are true out, and one temperature that mends them.

Of all pictures that a calibrated model calls 70 % a deer, 70 % are deer. The temperature divides
the logits before the softmax: above 1 it makes answers softer, below 1 firmer, and it changes no
class (Guo et al., "On Calibration of Modern Neural Networks", 2017).
"""

import numpy as np
from scipy import special
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from utils.base.checks import positive_number
from utils.evaluation.checks import (
    CLASSES,
    checked_labels,
    checked_logits,
    checked_probabilities,
)

BINS = 15
SMALLEST, LARGEST = 0.05, 20.0  # temperature; what lies beyond is no answer but a degenerate model


def probabilities_of(logits, temperature=1.0):
    """Return ``softmax(logits / temperature)``, float64 of shape (N, 10).

    `logits` is an array of shape (N, 10). ValueError if it is not, or `temperature` not above 0.
    """
    positive_number("temperature", temperature)
    return special.softmax(checked_logits(logits) / temperature, axis=1)


def fit_temperature(logits, labels):
    """Return the temperature (float) with the lowest negative log-likelihood of `labels`.

    Parameters
    ----------
    logits : array of float, shape (N, 10)
        Of validation pictures, which the model did not learn from.
    labels : array of int, shape (N,), 0 to 9

    Raises
    ------
    ValueError
        If there are no validation pictures, or shapes or labels are wrong.
    """
    if not len(labels):
        raise ValueError("no validation pictures; hold some out (validation_size above 0)")
    logits = checked_logits(logits)
    labels = checked_labels(labels, len(logits))
    own = logits[np.arange(len(labels)), labels]

    def loss(log_temperature):
        scale = np.exp(-log_temperature)
        return (special.logsumexp(logits * scale, axis=1) - own * scale).mean()

    limits = np.log([SMALLEST, LARGEST])
    return float(np.exp(minimize_scalar(loss, bounds=limits, method="bounded").x))


def score_probabilities(probabilities, labels):
    """Score probabilities by what came true.

    Parameters
    ----------
    probabilities : array of float, shape (N, 10), rows sum to 1
    labels : array of int, shape (N,), 0 to 9

    Returns
    -------
    dict of str to float
        ``negative_log_likelihood`` (nats, 0 is best), ``brier`` (0 to 2: the squared distance to
        the label, summed over classes), and the expected calibration error (0 to 1) over 15 bins of
        equal width, ``ece_equal_width``, and of equally many pictures, ``ece_equal_mass``.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, len(probabilities))
    classes = np.arange(CLASSES)
    firm = np.clip(probabilities, 1e-15, 1)
    firm /= firm.sum(axis=1, keepdims=True)
    return {
        "negative_log_likelihood": float(log_loss(labels, firm, labels=classes)),
        "brier": float(((probabilities - np.eye(CLASSES)[labels]) ** 2).sum(axis=1).mean()),
        "ece_equal_width": expected_calibration_error(probabilities, labels),
        "ece_equal_mass": expected_calibration_error(probabilities, labels, equal_mass=True),
    }


def expected_calibration_error(probabilities, labels, *, bins=BINS, equal_mass=False):
    """Return how far confidence and accuracy lie apart (float, 0 to 1), averaged over pictures.

    Parameters and errors are those of `reliability`.
    """
    found = reliability(probabilities, labels, bins=bins, equal_mass=equal_mass)
    counts = np.array(found["pictures"])
    gaps = np.abs(np.array(found["accuracy"]) - found["confidence"])
    return float((counts * gaps).sum() / counts.sum())


def reliability(probabilities, labels, *, bins=BINS, equal_mass=False):
    """Put pictures into bins by the largest probability, and compare it with the accuracy there.

    Parameters
    ----------
    probabilities : array of float, shape (N, 10), rows sum to 1
    labels : array of int, shape (N,), 0 to 9
    bins : int
    equal_mass : bool
        Bins of equally many pictures instead of equally wide ones.

    Returns
    -------
    dict of str to list
        ``confidence`` and ``accuracy`` (float, means of a bin) and ``pictures`` (int) of each bin
        that has any.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, len(probabilities))
    confidences = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    if equal_mass:
        groups = np.array_split(np.argsort(confidences, kind="stable"), bins)
    else:  # the upper edge belongs to its bin, as in Guo et al.
        numbers = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
        groups = [np.flatnonzero(numbers == number) for number in range(bins)]
    groups = [group for group in groups if group.size]
    return {
        "confidence": [float(confidences[group].mean()) for group in groups],
        "accuracy": [float(right[group].mean()) for group in groups],
        "pictures": [int(group.size) for group in groups],
    }


def risk_and_coverage(probabilities, labels):
    """Say what share is right of the most confident pictures, for each share answered.

    Returns
    -------
    dict
        ``coverage`` and ``accuracy`` (lists of float, 0 to 1) at every percent answered, and
        ``area_under_risk`` (float): the mean error over all coverages, 0 is best.
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, len(probabilities))
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    accuracies = np.cumsum(right) / np.arange(1, len(right) + 1)
    answered = np.ceil(np.arange(1, 101) / 100 * len(right)).astype(int)
    return {
        "coverage": (answered / len(right)).tolist(),
        "accuracy": accuracies[answered - 1].tolist(),
        "area_under_risk": float(1 - accuracies.mean()),
    }
