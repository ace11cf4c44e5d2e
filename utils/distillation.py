"""Patches with labels in, the same patches with targets of shape (patch, classes) out.

A student that is to answer as a teacher does, to the same view of each picture, learns more from a
picture than its label tells (Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent", 2022).
"""

import tensorflow as tf


def ask_teacher(dataset, teacher):
    """Replace the labels of a dataset by what `teacher` (keras.Model) makes of its images.

    Targets are float32 of shape (patch, classes), 0 to 1; the teacher is asked in every pass, so
    that it sees the augmented images that the student sees.
    """
    return dataset.map(lambda images, _: (images, teacher(images, training=False)))


def one_hot(dataset, classes):
    """Replace the labels of a dataset by targets that are 1 for the class and 0 for the others."""
    return dataset.map(
        lambda images, labels: (
            images,
            tf.one_hot(tf.cast(tf.reshape(labels, (-1,)), tf.int32), classes),
        )
    )
