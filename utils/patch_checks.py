"""Patches in, the same patches out; one that nobody can train on or score is refused.

TensorFlow itself takes a label outside the classes for a target of zeros, or for a NaN loss, as
the loss and the device have it, and a pixel that is NaN for whatever the layers make of it.
"""

import re
from contextlib import contextmanager

import numpy as np
import tensorflow as tf


def number_of_classes(model, outputs):
    """Return how many classes `model` (keras.Model) tells apart by its `outputs` for a patch.

    ValueError naming the model if they are not of shape (N, classes).
    """
    shape = np.shape(outputs)
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(
            f"{model.name} gives outputs of shape {shape}, expected (pictures, classes); "
            "end it with a Dense layer that has a softmax over the classes"
        )
    return shape[1]


def check_patch(name, images, labels, classes):
    """Raise ValueError if a pixel is not finite, or a label is none of the classes.

    Parameters
    ----------
    name : str
        Of the dataset, for the message.
    images : array of float, shape (N, height, width, 3)
    labels : array of int, shape (N,)
    classes : int
        How many the model has.
    """
    wrong = np.extract(~np.isin(labels, np.arange(classes)), labels)
    if wrong.size:
        raise ValueError(
            f"{name} has the label {wrong[0]}, but the model has {classes} classes, 0 to "
            f"{classes - 1}; correct the labels or the width of the model's last layer"
        )
    if not np.isfinite(images).all():
        raise ValueError(f"{name} has a pixel that is NaN or infinite; look for what made it so")


def checked(name, dataset, classes):
    """Return `dataset` (tf.data.Dataset) with `check_patch` on each patch as it is read."""

    def check(images, labels):
        check_patch(name, images, labels, classes)
        return True

    def pass_on(images, labels):
        with tf.control_dependencies([tf.numpy_function(check, [images, labels], tf.bool)]):
            return tf.identity(images), tf.identity(labels)

    return dataset.map(pass_on).prefetch(1)  # while the model is at the patch before


@contextmanager
def value_errors():
    """Raise a ValueError of a function in a ``tf.data`` pipeline as what it was."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        message = re.search(r"ValueError: (.*)\nTraceback", str(error))
        if message is None:
            raise
        raise ValueError(message[1]) from error
