"""Counts of right answers in, what they are worth out: intervals, and tests in pairs.

Three questions, three answers. How far may the accuracy of this model be off, had other pictures
been drawn? Wilson's interval. How far may the mean over seeds be off, had other seeds been drawn?
Student's t (`utils.results.records.summarise`). Is this model better than that one on the same
pictures? McNemar's exact test, which looks only at pictures that one has right and the other wrong.
"""

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def wilson_interval(right, count, *, confidence=CONFIDENCE):
    """Return the interval (list of two float, 0 to 1) of a share by Wilson's score.

    Parameters
    ----------
    right, count : int
        Of `count` pictures, `right` are right; 0 <= right <= count, count at least 1.
    confidence : float, 0 to 1

    Raises
    ------
    ValueError
        If there is no picture, or more are right than there are.
    """
    if not 0 <= right <= count or count < 1:
        raise ValueError(f"{right} right of {count} pictures; pass 0 to all of at least one")
    found = stats.binomtest(int(right), int(count)).proportion_ci(confidence, method="wilson")
    return [float(found.low), float(found.high)]


def share_with_interval(is_true):
    """Return ``{share, interval_95, pictures}`` (dict) of an array of bool, shape (N,)."""
    is_true = np.asarray(is_true, bool)
    interval = wilson_interval(int(is_true.sum()), is_true.size)
    return {"share": float(is_true.mean()), "interval_95": interval, "pictures": is_true.size}


def compare_in_pairs(first_right, second_right):
    """Compare two models on the same pictures by McNemar's exact test.

    Parameters
    ----------
    first_right, second_right : array of bool, shape (N,)
        Which pictures each has right, in the same order.

    Returns
    -------
    dict
        ``only_first``, ``only_second`` (int): pictures that only one has right; ``difference``
        (float) of the accuracies, first less second; ``p_value`` (float, 0 to 1, two-sided).

    Raises
    ------
    ValueError
        If they are not of the same pictures, or of none.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(
            f"answers of the shapes {first.shape} and {second.shape}; pass those of both models to "
            "the same pictures, at least one"
        )
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    apart = only_first + only_second
    p_value = float(stats.binomtest(only_first, apart).pvalue) if apart else 1.0
    return {
        "only_first": only_first,
        "only_second": only_second,
        "difference": (only_first - only_second) / first.size,
        "p_value": p_value,
    }
