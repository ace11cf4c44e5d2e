"""Parts of figures: titles of pictures, and a confusion matrix of few or many classes."""

import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from sklearn.metrics import confusion_matrix

from utils.results.figure_checks import checked_labels, require

ANNOTATED_UP_TO = 20  # classes of a confusion matrix; of more, colours alone can be read
NAMED_UP_TO = 120  # classes; of more, every second or third name stands beside the matrix
CELL = 0.14  # inches of each of more classes, for a name of 7 points beside it
WHITE_TEXT_ABOVE = 71  # percent: there black and white text contrast alike with "Blues" (4.6:1)


def picture_titles(labels, predictions, confidences, class_names):
    """Return for each picture "true" or "true -> predicted", with a second line if confident."""
    titles = [class_names[label] for label in labels]
    if predictions is not None:
        guesses = checked_labels("predictions", predictions, len(labels), len(class_names))
        pairs = zip(labels, guesses, strict=True)
        titles = [f"{class_names[true]} -> {class_names[guess]}" for true, guess in pairs]
    if confidences is not None:
        require(predictions is not None, "confidences without predictions: pass predictions too")
        shares = np.asarray(confidences, dtype=float)
        shares = shares.max(axis=1, initial=0) if shares.ndim == 2 else shares
        require(
            shares.shape == labels.shape and np.all((shares >= 0) & (shares <= 1)),
            f"confidences are {confidences!r}: pass {len(labels)} probabilities in [0, 1]",
        )
        titles = [f"{name}\n{share:.0%} sure" for name, share in zip(titles, shares, strict=True)]
    return titles


def draw_confusion(axes, name, actual, predicted, class_names):
    """Draw one confusion matrix whose rows are percentages, without a colour bar."""
    counts = confusion_matrix(actual, predicted, labels=range(len(class_names)))
    # At least 1, so that the row of a class that never occurs is 0 and not NaN.
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = len(class_names) <= ANNOTATED_UP_TO
    look = {"vmin": 0, "vmax": 100, "cmap": "Blues", "linewidths": 0.5 * few, "square": True}
    every = math.ceil(len(class_names) / NAMED_UP_TO)
    look |= {"xticklabels": False, "yticklabels": False, "rasterized": every > 1}
    sns.heatmap(shares, annot=few, fmt=".1f", cbar=False, ax=axes, **look)
    ticks = np.arange(0.5, len(class_names), every), class_names[::every]
    axes.set_xticks(*ticks)
    axes.set_yticks(*ticks)
    for text, share in zip(axes.texts, shares.flat, strict=False):  # no texts if there are many
        text.set(color="white" if share > WHITE_TEXT_ABOVE else "black", fontsize=9)
    axes.set_title(f"{name}: accuracy {np.mean(actual == predicted):.1%}")
    axes.set(xlabel="Predicted class", ylabel="True class")
    size = None if few else 7
    axes.tick_params(axis="y", rotation=0, labelsize=size)
    axes.tick_params(axis="x", labelsize=size)
    turned = 45 if few else 90
    mode = {"ha": "right", "rotation_mode": "anchor"} if few else {}
    plt.setp(axes.get_xticklabels(), rotation=turned, **mode)


def side_of_confusion(classes):
    """Return the inches that a confusion matrix of `classes` (int) takes with its names."""
    if classes <= 10:
        return 6.25
    return max(8.5, 2 + CELL * min(classes, NAMED_UP_TO))
