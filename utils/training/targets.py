"""Labels in, what a network is to answer out: smoothed, one-hot, or what a teacher answers."""

import keras
import tensorflow as tf


def crossentropy(label_smoothing, teacher=None, *, rows=False):
    """Return the loss, a str or a function, of labels or of a `teacher`'s answers in their place.

    Labels are indices or, where `rows`, a share of each class. The loss's name tells checkpoints
    apart. ValueError if `label_smoothing` is not a share below 1.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}, expected 0 or more, less than 1")
    if teacher is None and not label_smoothing:
        return "categorical_crossentropy" if rows else "sparse_categorical_crossentropy"

    def loss(y_true, y_pred):
        if teacher is None and not rows:
            y_true = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(
            y_true, y_pred, label_smoothing=label_smoothing
        )

    loss.__name__ = f"crossentropy_smoothed_by_{label_smoothing}"  # tells checkpoints apart
    if teacher is not None:
        loss.__name__ += f"_taught_by_{teacher.name}"
    return loss


def one_hot(train_dataset, validation_dataset, teacher):
    """Return both datasets with labels that are 1 for the class and 0 for the `teacher`'s others.

    Targets are float32 of shape (N, classes).
    """
    classes = teacher.compute_output_shape(train_dataset.element_spec[0].shape)[-1]
    return in_rows(train_dataset, classes), in_rows(validation_dataset, classes)


def has_rows(dataset):
    """Tell whether the labels of a dataset of batches are rows, a number a class (bool)."""
    shape = dataset.element_spec[1].shape
    return shape.rank == 2 and shape[1] != 1


def in_rows(dataset, classes):
    """Return a dataset (tf.data.Dataset) whose labels are float32 rows of shape (N, classes)."""
    if has_rows(dataset):
        return dataset

    def change(images, labels, *weights):
        labels = tf.cast(tf.reshape(labels, (-1,)), tf.int32)
        return images, tf.one_hot(labels, classes), *weights

    return dataset.map(change)


def weights_of(class_weight, classes):
    """Return the weight of each class (dict): one that is not named counts once. None for None.

    ValueError if `class_weight` is no dict of class indices to weights.
    """
    if class_weight is None:
        return None
    if not isinstance(class_weight, dict) or not set(class_weight) <= set(range(classes)):
        raise ValueError(
            f"class_weight is {class_weight!r}, expected a dict of class indices, 0 to "
            f"{classes - 1}, to weights, such as {{0: 2.0}}"
        )
    return {number: float(class_weight.get(number, 1)) for number in range(classes)}
