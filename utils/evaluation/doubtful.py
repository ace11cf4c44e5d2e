"""Several models' probabilities and the labels in, labels that they all contradict out."""

import numpy as np

from utils.evaluation.checks import checked_labels, checked_probabilities


def doubtful_labels(answers, labels, *, count=32):
    """Find the pictures whose label all models contradict by the same class.

    Parameters
    ----------
    answers : sequence of arrays of float, shape (N, 10), rows sum to 1
        The models' probabilities, calibrated.
    labels : array of int, shape (N,), 0 to 9
    count : int
        At most so many are returned.

    Returns
    -------
    list of dict
        ``test`` (int, place of the picture), ``label`` and ``answer`` (int, classes),
        ``probability`` (float, that of the answer, the mean over models) and
        ``probability_of_label``; the most confident first.

    Raises
    ------
    ValueError
        If there are no answers, or of different pictures.
    """
    if not len(answers):
        raise ValueError("no model's answers; pass those of one at least")
    answers = np.stack([checked_probabilities(answer) for answer in answers])
    labels = checked_labels(labels, answers.shape[1])
    predictions = answers.argmax(axis=2)
    agreed = (predictions == predictions[0]).all(axis=0) & (predictions[0] != labels)
    mean, rows = answers.mean(axis=0), np.arange(len(labels))
    confidence = np.where(agreed, mean[rows, predictions[0]], -1)
    best = np.argsort(-confidence, kind="stable")[: min(count, int(agreed.sum()))]
    return [
        {
            "test": int(row),
            "label": int(labels[row]),
            "answer": int(predictions[0][row]),
            "probability": round(float(mean[row, predictions[0][row]]), 4),
            "probability_of_label": round(float(mean[row, labels[row]]), 4),
        }
        for row in best
    ]
