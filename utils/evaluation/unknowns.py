"""Answers in, a score that is low for pictures of none of the ten out, and how well it does.

Each way to score learns from training pictures, and where it has to be weighed from validation
pictures, never from strange ones. All are computed from logits, from features (what the last layer
is given) or from the pixels, so that a program that has an ONNX file's outputs can do the same.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import special
from sklearn.metrics import roc_auc_score

from utils.base.unusual import fit_usual, unusualness

PASSES = 0.95  # share of the validation pictures that is answered
PIXELS_WEIGHT = 0.75  # of the pixels against the energy, each in standard deviations
NEIGHBOURS = 50
PRINCIPAL = 12  # dimensions of the features that ViM takes for known


class Answers(NamedTuple):
    """What is known of pictures, and of none of the strange ones when something is fitted.

    Attributes
    ----------
    images : ndarray of uint8, shape (N, 32, 32, 3)
    logits : ndarray of float, shape (N, 10)
    features : ndarray of float, shape (N, D)
    labels : ndarray of int, shape (N,), or None
    """

    images: np.ndarray
    logits: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None = None


def energy(logits):
    """Return the logarithm of the summed exponentials (Liu et al., 2020)."""
    return special.logsumexp(np.asarray(logits, float), axis=1)


def fit_energy(_train, _validation, _temperature):
    """Score by the energy."""
    return lambda answers: energy(answers.logits)


def fit_largest_probability(_train, _validation, temperature, *, calibrated):
    """Score by the largest probability, as it is or at the temperature."""
    divisor = temperature if calibrated else 1.0
    return lambda answers: special.softmax(answers.logits / divisor, axis=1).max(axis=1)


def fit_largest_logit(_train, _validation, _temperature):
    """Score by the largest logit."""
    return lambda answers: answers.logits.max(axis=1)


def fit_gen(_train, _validation, _temperature, *, power=0.1):
    """Score by the generalised entropy of all ten (Liu et al., "GEN", 2023)."""

    def score(answers):
        shares = special.softmax(np.asarray(answers.logits, float), axis=1)
        return -((shares * (1 - shares)) ** power).sum(axis=1)

    return score


def fit_mahalanobis(train, _validation, _temperature):
    """Score by the distance to the nearest class mean of the features (Lee et al., 2018)."""
    features = np.asarray(train.features, float)
    classes = np.unique(train.labels)
    means = np.stack([features[train.labels == label].mean(axis=0) for label in classes])
    inside = features - means[np.searchsorted(classes, train.labels)]
    precision = np.linalg.pinv(np.cov(inside.T), rcond=1e-8, hermitian=True)

    def score(answers):
        away = answers.features[:, np.newaxis] - means
        return -np.einsum("icj,jk,ick->ic", away, precision, away, optimize=True).min(axis=1)

    return score


def fit_neighbours(train, _validation, _temperature):
    """Score by the cosine to the fiftieth nearest training picture (Sun et al., 2022)."""
    known = _unit(train.features)
    number = min(NEIGHBOURS, len(known))

    def score(answers):
        return np.partition(_unit(answers.features) @ known.T, -number, axis=1)[:, -number]

    return score


def fit_vim(train, _validation, _temperature):
    """Score by the energy less what of the features is outside their main directions (Wang, 2022).

    Around the features' mean, not the point where all logits are 0, for which the last layer's
    weights would be needed.
    """
    features = np.asarray(train.features, float)
    centre = features.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov((features - centre).T))
    rest = directions[:, : -min(PRINCIPAL, features.shape[1] - 1)]

    def outside(answers):
        return np.linalg.norm((answers.features - centre) @ rest, axis=1)

    scale = train.logits.max(axis=1).mean() / max(outside(train).mean(), 1e-12)
    return lambda answers: energy(answers.logits) - scale * outside(answers)


def fit_pixels(train, _validation, _temperature):
    """Score by the pixels alone: see `utils.base.unusual`."""
    usual = fit_usual(train.images)
    return lambda answers: -unusualness(answers.images, usual)


def fit_energy_and_pixels(train, validation, _temperature):
    """Score by the energy less a multiple of how unusual the pixels are."""
    usual = fit_usual(train.images)
    weight = pixels_weight(validation, usual)
    return lambda answers: energy(answers.logits) - weight * unusualness(answers.images, usual)


def pixels_weight(validation, usual):
    """Return what `unusualness` is multiplied by (float) before the energy is lessened by it."""
    spread = unusualness(validation.images, usual).std()
    return float(PIXELS_WEIGHT * energy(validation.logits).std() / max(spread, 1e-12))


SCORES = {  # name to a function of training and validation `Answers` and the temperature
    "energy": fit_energy,
    "largest_probability": partial(fit_largest_probability, calibrated=False),
    "largest_probability_calibrated": partial(fit_largest_probability, calibrated=True),
    "largest_logit": fit_largest_logit,
    "generalised_entropy": fit_gen,
    "mahalanobis": fit_mahalanobis,
    "nearest_neighbours": fit_neighbours,
    "vim": fit_vim,
    "pixels": fit_pixels,
    "energy_and_pixels": fit_energy_and_pixels,
}


def threshold_of(scores, *, passes=PASSES):
    """Return the score (float) that the share `passes` of validation pictures reach.

    ValueError if there are none, or a score is NaN or infinite.
    """
    scores = np.asarray(scores, float)
    if not scores.size:
        raise ValueError("no validation pictures; hold some out (validation_size above 0)")
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite; the model is broken, train it again")
    return float(np.quantile(scores, 1 - passes, method="lower"))


def separation(known, strange, threshold):
    """Tell how well a score tells strange pictures from known ones.

    Parameters
    ----------
    known, strange : arrays of float, shapes (N,) and (M,)
        Scores of test pictures and of pictures of none of the ten.
    threshold : float

    Returns
    -------
    dict
        ``area_under_roc`` (0.5 is chance, 1 perfect), ``refused`` (share of the strange ones) and
        ``pictures`` (int, of the strange ones).
    """
    is_known = np.repeat([True, False], [len(known), len(strange)])
    return {
        "area_under_roc": float(roc_auc_score(is_known, np.concatenate([known, strange]))),
        "refused": float((np.asarray(strange) < threshold).mean()),
        "pictures": len(strange),
    }


def _unit(vectors):
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
