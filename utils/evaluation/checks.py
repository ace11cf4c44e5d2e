"""Refuses answers and labels that can't be judged, and says what to pass instead."""

import numpy as np

from utils.base.cifar10 import CLASS_NAMES

CLASSES = len(CLASS_NAMES)


def checked_labels(labels, count=None):
    """Return `labels` as an array of int, shape (N,), 0 to 9; ValueError naming what is not.

    `count` (int, optional) is how many there have to be.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels have the shape {labels.shape} and dtype {labels.dtype}; pass one integer a "
            "picture, at least one"
        )
    outside = labels[(labels < 0) | (labels >= CLASSES)]
    if outside.size:
        raise ValueError(f"{outside[0]} is among the labels; pass classes from 0 to {CLASSES - 1}")
    if count not in (None, len(labels)):
        raise ValueError(f"{len(labels)} labels for {count} pictures; pass one a picture")
    return labels


def checked_logits(logits):
    """Return `logits` as an array of float64, shape (N, 10); ValueError naming what is wrong."""
    logits = np.asarray(logits, float)
    if logits.ndim != 2 or logits.shape[1] != CLASSES or not len(logits):
        raise ValueError(
            f"the model's answers have the shape {logits.shape}; pass a model of {CLASSES} "
            f"classes and at least one picture: (N, {CLASSES})"
        )
    if not np.isfinite(logits).all():
        row = int(np.argmin(np.isfinite(logits).all(axis=1)))
        raise ValueError(f"the model answers picture {row} by {logits[row]}; train it again")
    return logits


def checked_probabilities(probabilities):
    """Return them as an array of float64, shape (N, 10); ValueError if a row does not sum to 1."""
    probabilities = checked_logits(probabilities)
    sums = probabilities.sum(axis=1)
    wrong = np.flatnonzero((np.abs(sums - 1) > 1e-3) | (probabilities < 0).any(axis=1))
    if wrong.size:
        raise ValueError(
            f"the probabilities of picture {wrong[0]} sum to {sums[wrong[0]]:.4g}, or one is below "
            "0; pass what a softmax gives, not what it takes"
        )
    return probabilities


def checked_pictures(images):
    """Return `images` as an array of uint8, shape (N, 32, 32, 3); ValueError if it is none."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (32, 32, 3) or images.dtype != np.uint8:
        raise ValueError(
            f"pictures have the shape {images.shape} and dtype {images.dtype}; pass uint8 of "
            "shape (N, 32, 32, 3)"
        )
    if not len(images):
        raise ValueError("no pictures; pass at least one")
    return images
