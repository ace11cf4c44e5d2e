"""Batches in, the same batches out; one that nobody can train on or score is refused.

TensorFlow itself takes a label outside the classes for a target of zeros, or for a NaN loss, as
the loss and the device have it, and a pixel that is NaN for whatever the layers make of it.
"""

import re
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

SUM_TOLERANCE = 0.01  # of probabilities, which bfloat16 rounds
OVERSHOOT = 0.1  # that bicubic resizing and changes of contrast may leave beyond [0, 1]


def check_keras():
    """Raise ValueError unless Keras is set as a training by TensorFlow needs it."""
    backend, order = keras.backend.backend(), keras.config.image_data_format()
    if backend != "tensorflow":
        raise ValueError(
            f"Keras's backend is {backend}, but this trains by TensorFlow; set "
            "KERAS_BACKEND=tensorflow, or train by experiments.train, which knows jax too"
        )
    if order != "channels_last":
        raise ValueError(
            f"Keras's image_data_format is {order}, but pictures here have their channels last; "
            "set it by keras.config.set_image_data_format, or in ~/.keras/keras.json"
        )


def number_of_classes(model, images):
    """Return how many classes `model` (keras.Model) tells apart in `images`, a batch.

    ValueError naming the model if its outputs are not of shape (N, classes), or no probabilities.
    """
    first = tf.nest.map_structure(lambda part: np.asarray(part[:1]), images)
    outputs = model(first, training=False)
    if isinstance(outputs, (dict, list, tuple)):
        raise ValueError(
            f"{model.name} has {len(outputs)} outputs; make a model of the one that tells the "
            "classes: keras.Model(model.input, model.outputs[0])"
        )
    rows = keras.ops.convert_to_numpy(outputs)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(
            f"{model.name} gives outputs of shape {rows.shape}, expected (pictures, classes); "
            "end it with a Dense layer that has a softmax over the classes"
        )
    # NaN passes: weights that a training has spoilt are the training's business to tell.
    if rows.min() < 0 or abs(rows.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"{model.name} gives outputs from {rows.min():.3g} to {rows.max():.3g} that sum to "
            f"{rows.sum():.3g}, no probabilities; end it with a softmax, as by "
            "keras.Sequential([model, keras.layers.Softmax()])"
        )
    return rows.shape[1]


def checked(name, batches, classes):
    """Return batches that fail at a label that is no class, or pixels that no model here takes.

    All in the graph: a program that ends while its pipeline calls Python may hang.

    Parameters
    ----------
    name : str
        Of the dataset, for the message.
    batches : tf.data.Dataset
        As `batches.as_batches` returns it. Pictures are floats in [0, 1], as are all inputs of
        rank 4 with up to four channels; other inputs need only be finite.
    classes : int
        How many the model has: the labels from 0 to `classes` - 1 are right.

    Returns
    -------
    tf.data.Dataset
        Of (images, labels), and sample weights where they came: labels are int32 of shape
        (N,), or float32 rows of shape (N, `classes`) where such came, one-hot or softer.
    """
    images, labels, *_ = batches.element_spec
    for part in tf.nest.flatten(images):
        if not part.dtype.is_floating and (_is_picture(part) or images is part):
            raise ValueError(
                f"{name} has pixels of {part.dtype.name}, expected floats from 0 to 1; "
                "divide bytes by 255"
            )
    columns = labels.shape[1] if labels.shape.rank == 2 else 1
    if labels.shape.rank > 2 or columns not in (1, classes):
        raise ValueError(
            f"{name} has labels of shape {tuple(labels.shape)}, but the model has {classes} "
            f"classes; pass indices of shape (N,) or one-hot rows of {classes}"
        )

    def check(images, labels, *weights):
        problems = [_wrong_labels(name, labels, classes, columns)]
        problems += [_wrong_pixels(name, part) for part in tf.nest.flatten(images)]
        right = [tf.debugging.Assert(problem == "", [problem]) for problem in problems]
        with tf.control_dependencies(right):
            images = tf.nest.map_structure(tf.identity, images)
        labels = tf.reshape(labels, (-1,)) if columns == 1 else labels
        return images, tf.cast(labels, tf.int32 if columns == 1 else tf.float32), *weights

    return batches.map(check)


def _wrong_labels(name, labels, classes, columns):
    """Return what is wrong with the labels of a batch, a tensor of string, or an empty one."""
    labels = tf.cast(labels, tf.float32)
    if columns == classes:
        sums = tf.reduce_sum(labels, axis=1)
        is_row = tf.reduce_all(labels >= 0, axis=1) & (tf.abs(sums - 1) <= SUM_TOLERANCE)
        message = f"{name} has a row of labels that is no share of {classes} classes: "
        advice = "; pass rows from 0 to 1 that sum to 1, or class indices"
        return _unless(
            tf.reduce_all(is_row),
            lambda: [message, tf.strings.format("{}", labels[~is_row][0]), advice],
        )
    numbers = tf.reshape(labels, (-1, 1))
    is_class = tf.reduce_any(numbers == tf.range(classes, dtype=tf.float32), axis=1)
    advice = (
        f", but the model has {classes} classes, 0 to {classes - 1}; correct the labels or the "
        "width of the model's last layer"
    )
    return _unless(
        tf.reduce_all(is_class),
        lambda: [
            f"{name} has the label ",
            tf.strings.as_string(numbers[~is_class][0, 0], shortest=True),
            advice,
        ],
    )


def _wrong_pixels(name, part):
    """Return what is wrong with the pixels of a batch, a tensor of string, or an empty one."""
    if not part.dtype.is_floating:
        return tf.constant("")
    no_number = f"{name} has a pixel that is NaN or infinite; look for what made it so"
    are_finite = tf.reduce_all(tf.math.is_finite(part))
    if not _is_picture(part):
        return _unless(are_finite, lambda: [no_number])

    def message():
        low, high = (
            tf.strings.as_string(tf.cast(pixel, tf.float32), shortest=True)
            for pixel in (tf.reduce_min(part), tf.reduce_max(part))
        )
        advice = ", expected 0 to 1; divide what goes up to 255 by 255, halve [-1, 1] and add 0.5"
        outside = tf.strings.join([f"{name} has pixels from ", low, " to ", high, advice])
        return [tf.where(are_finite, outside, no_number)]

    half = tf.constant(0.5, part.dtype)
    return _unless(tf.reduce_all(tf.abs(part - half) <= half + OVERSHOOT), message)


def _unless(right, message):
    """Return an empty string where `right`, else what `message` returns, joined."""
    return tf.cond(right, lambda: tf.constant(""), lambda: tf.strings.join(message()))


def _is_picture(part):
    return part.shape.rank == 4 and (part.shape[-1] or 1) <= 4


@contextmanager
def value_errors():
    """Raise what an assertion in a ``tf.data`` pipeline says as ValueError."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        message = re.search(r"assertion failed: \[(.*)\]$", str(error), re.MULTILINE)
        if message is None:
            raise
        raise ValueError(message[1].replace("\\'", "'")) from error
