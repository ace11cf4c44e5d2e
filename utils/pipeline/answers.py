"""A model and batches in, its probabilities and the labels out, as arrays in their order."""

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from utils.pipeline.augment import views_to_average
from utils.pipeline.batch_checks import checked, number_of_classes
from utils.pipeline.batches import as_batches, class_indices, first_batch


def answers_of(model, name, data, *, views=False):
    """Ask a model batch by batch, with a progress bar.

    Parameters
    ----------
    model : keras.Model
        Of any backend.
    name : str
        Of the data, for messages.
    data : tf.data.Dataset, tuple of arrays, or keras.utils.PyDataset
        As `batches.as_batches` takes.
    views : bool
        Average over `views_to_average` of each image.

    Returns
    -------
    probabilities : ndarray of float, shape (N, classes), 0 to 1
    labels : ndarray of int64, shape (N,)
        Of one-hot rows the class.
    """
    batches = as_batches(name, data)
    images = first_batch(name, batches)[0]
    if views and not isinstance(images, tf.Tensor):
        raise ValueError(f"{name} has several inputs, of which no views can be averaged")
    probabilities, labels = [], []
    batches = checked(name, batches, number_of_classes(model, images))
    count = int(batches.cardinality())
    for images, batch_labels, *_ in tqdm(batches, "predict", count if count > 0 else None):
        seen = views_to_average(images) if views else [images]
        probabilities.append(sum(_ask(model, view) for view in seen) / len(seen))
        labels.append(class_indices(batch_labels))
    return np.concatenate(probabilities), np.concatenate(labels)


def _ask(model, images):
    """Return what `model` answers; where it is mirrored on devices, each has seen all images."""
    if keras.backend.backend() != "tensorflow":
        images = tf.nest.map_structure(np.asarray, images)
    return model.predict_on_batch(images)[: len(tf.nest.flatten(images)[0])]
