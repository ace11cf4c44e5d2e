"""Macro F1 without a library, for tests to compare with."""

import numpy as np


def f1_by_hand(labels, predictions, classes):
    """Macro F1 over `classes` (iterable of int) of integer labels and predictions."""
    scores = []
    for c in classes:
        hits = np.sum((labels == c) & (predictions == c))
        named = np.sum(labels == c) + np.sum(predictions == c)
        scores.append(2 * hits / named if named else 0.0)
    return np.mean(scores)
