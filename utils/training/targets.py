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
