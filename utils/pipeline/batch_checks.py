"""Patches in, the same patches out; one that nobody can train on or score is refused.

TensorFlow itself takes a label outside the classes for a target of zeros, or for a NaN loss, as
the loss and the device have it, and a pixel that is NaN for whatever the layers make of it.
"""

import re
from contextlib import contextmanager

import numpy as np
import tensorflow as tf


def number_of_classes(model, images):
    """Return how many classes `model` (keras.Model) tells apart in `images`, a patch.

    ValueError naming the model if its outputs are not of shape (N, classes).
    """
    shape = np.shape(model(images[:1], training=False))
    if len(shape) != 2 or shape[1] < 2:
        raise ValueError(
            f"{model.name} gives outputs of shape {shape}, expected (pictures, classes); "
            "end it with a Dense layer that has a softmax over the classes"
        )
    return shape[1]


def refuse_endless(name, dataset):
    """Raise ValueError, which says `name`, if `dataset` (tf.data.Dataset) repeats for ever."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"{name} never ends; leave out its repeat()")


def checked(name, dataset, classes):
    """Return a dataset that fails at a label that is no class, or a pixel that is not finite.

    All in the graph: a program that ends while its pipeline calls Python may hang.

    Parameters
    ----------
    name : str
        Of the dataset, for the message.
    dataset : tf.data.Dataset
        Of (images float, labels of any number type) patches.
    classes : int
        How many the model has: the labels from 0 to `classes` - 1 are right.
    """

    def check(images, labels):
        if not images.dtype.is_floating:
            raise ValueError(
                f"{name} has pixels of {images.dtype.name}, expected floats from 0 to 1; "
                "divide bytes by 255"
            )
        numbers = tf.reshape(tf.cast(labels, tf.float32), (-1, 1))
        is_class = tf.reduce_any(numbers == tf.range(classes, dtype=tf.float32), axis=1)
        wrong = tf.strings.as_string(numbers[~is_class][:1], shortest=True)
        outside = [f"{name} has the label ", tf.strings.reduce_join(wrong), advice]
        with tf.control_dependencies(
            [
                tf.debugging.Assert(tf.reduce_all(is_class), [tf.strings.join(outside)]),
                tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(images)), [no_number]),
            ]
        ):
            return tf.identity(images), tf.identity(labels)

    advice = (
        f", but the model has {classes} classes, 0 to {classes - 1}; correct the labels or the "
        "width of the model's last layer"
    )
    no_number = f"{name} has a pixel that is NaN or infinite; look for what made it so"
    return dataset.map(check)


@contextmanager
def value_errors():
    """Raise what an assertion in a ``tf.data`` pipeline says as ValueError."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        message = re.search(r"assertion failed: \[(.*)\]$", str(error), re.MULTILINE)
        if message is None:
            raise
        raise ValueError(message[1]) from error
