"""Pictures of 2x2 pixels in three classes, and models that are quick to train on them."""

import keras
import numpy as np
import tensorflow as tf


def dataset_of(images, labels, patch=5):
    return tf.data.Dataset.from_tensor_slices((images, np.array(labels, np.int32))).batch(patch)


def small_images(count):
    return np.random.default_rng(count).random((count, 2, 2, 3), np.float32)


def small_data(count=13, patch=5):
    return dataset_of(small_images(count), np.arange(count) % 3, patch)


def small_model(name="small", hidden=()):
    """A softmax over three classes of 2x2 pictures, with `hidden` layers before it."""
    layers = [keras.Input((2, 2, 3)), *hidden, keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")], name=name)


def constant_model(name, label):
    """A model that answers `label` to every picture."""
    model = small_model(name)
    model.set_weights([np.zeros((12, 3)), 5 * np.eye(3)[label]])
    return model


def with_label(label, count=13, patch=5):
    """Data with one `label` of its own kind, in the second patch."""
    labels = np.arange(count) % 3 if isinstance(label, int) else np.arange(count) % 3.0
    labels[7] = label
    return tf.data.Dataset.from_tensor_slices((small_images(count), labels)).batch(patch)


def with_pixel(value):
    """Data with one pixel of that `value`, in the second patch."""
    images = small_images(13)
    images[7, 1, 0, 2] = value
    return dataset_of(images, np.arange(13) % 3)


def model_of_vectors():
    """A model that answers a picture with two rows of three numbers."""
    return keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Reshape((2, 6))], name="rows")
