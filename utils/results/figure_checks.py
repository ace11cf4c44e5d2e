"""Refuses what `utils.plotting` can't draw, and says what to pass instead.

Enters: whatever a caller hands to a figure. Leaves: arrays and curves that can be drawn.
"""

from collections.abc import Mapping

import numpy as np

from utils.base.checks import positive_integer


def require(fine, message):
    """Raise ValueError with `message` unless `fine` is true."""
    if not fine:
        raise ValueError(message)


def checked_labels(name, values, length=None, classes=10):
    """Return `values`, of shape (N,) or (N, 1), as an array of class indices."""
    labels = np.asarray(values)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    require(
        labels.ndim == 1 and labels.size and labels.dtype.kind in "iu",
        f"{name} has shape {labels.shape} and dtype {labels.dtype}: pass a non-empty 1-D array of "
        "integer class indices (of one-hot rows or probabilities, np.argmax(..., axis=1))",
    )
    last = classes - 1
    outside = labels[(labels < 0) | (labels > last)][:3].tolist()
    advice = "" if classes != 10 else " (pass class_names of other classes)"
    require(not outside, f"{name} contains {outside}: class indices go from 0 to {last}{advice}")
    right = length in (None, len(labels))
    require(right, f"{name} has length {len(labels)} instead of {length}: pass one a picture")
    return labels


def checked_images(images_patch):
    """Return `images_patch` as an array of colour pictures."""
    images = np.asarray(images_patch)
    require(
        images.ndim == 4 and images.shape[-1] == 3 and images.size,
        f"images_patch has shape {images.shape}: pass (N, H, W, 3), N from 1 up "
        "(image[None] for a single picture)",
    )
    low, high = images.min(), images.max()
    require(
        images.dtype == np.uint8 or (images.dtype.kind == "f" and low >= 0 and high <= 1),
        f"images_patch has dtype {images.dtype} and pixels from {low} to {high}: pass uint8, or "
        "floats in [0, 1] (divide by 255 what goes up to 255)",
    )
    return images


def read_curves(epoch, history):
    """Return the curves of a Keras History or a dict, each with exactly `epoch` values."""
    positive_integer("epoch", epoch)
    curves = getattr(history, "history", history)
    require(
        isinstance(curves, Mapping) and {"accuracy", "loss"} <= set(curves),
        f"history holds {sorted(curves) if isinstance(curves, Mapping) else type(history)}: pass "
        'what fit() of a model compiled with metrics=["accuracy"] returned',
    )
    keys = ("accuracy", "val_accuracy", "loss", "val_loss")
    curves = {key: curves[key] for key in keys if key in curves}
    for key, values in curves.items():
        require(
            len(values) == epoch,
            f"epoch is {epoch}, but history has {len(values)} values of {key!r}: "
            "pass the number of epochs that were run",
        )
    return curves


def read_minutes(name, history):
    """Return the minutes from the start to the end of each epoch, and the accuracies then."""
    for key in ("seconds", "val_accuracy"):
        require(key in history, f"a history of {name!r} has no {key!r}: train it again")
    seconds, accuracies = history["seconds"], history["val_accuracy"]
    require(
        len(seconds) == len(accuracies) > 0,
        f"a history of {name!r} has {len(seconds)} times and {len(accuracies)} accuracies: "
        "pass one an epoch",
    )
    return np.cumsum(seconds) / 60, accuracies
