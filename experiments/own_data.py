"""Pictures of one's own, as Keras takes them, in; `Data` of uint8 pictures out.

Taken are what `load` returns, ``(images, labels)`` of arrays, ``tf.data``, batched or not, and
``keras.utils.PyDataset``. Images are uint8, 0 to 255, or floats in [0, 1], which are rounded to as
many levels; labels are indices of shape (N,) or (N, 1), or one-hot rows.
"""

import numpy as np

from experiments.data import Data, Pictures, split


def as_data(data, validation_size, validation_data=None):
    """Return `Data` as it is, or make it of pictures of one's own.

    Parameters
    ----------
    data : Data, or what the module names
    validation_size : int or float
        Pictures to hold out, or their share, where there is no `validation_data`.
    validation_data : like `data`, optional

    Returns
    -------
    Data
        What is held out of own pictures is their test too. Of three parts, the third weighs the
        training pictures.

    Raises
    ------
    ValueError
        If it is none of these, or has pixels or labels of another kind; says what to pass.
    """
    if isinstance(data, Data):
        if validation_data is None:
            return data
        held_out, _ = read_pictures("validation_data", validation_data)
        return data._replace(validation=held_out)
    pictures, weights = read_pictures("data", data)
    if validation_data is not None:
        held_out, _ = read_pictures("validation_data", validation_data)
        return Data(pictures, held_out, held_out, weights=weights)
    kept, held_out = split(pictures.labels, validation_size)
    validation = pictures.take(held_out)
    return Data(
        pictures.take(kept),
        validation,
        validation,
        weights=weights if weights is None else weights[kept],
    )


def read_pictures(name, data):
    """Return `Pictures`, and what each counts (ndarray of float, or None), of `data`.

    ValueError, which says `name`, as of `as_data`.
    """
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        parts = [np.asarray(part) for part in data]
    else:
        parts = _collect(name, data)
    images, labels, *weights = parts
    images, labels = _pixels(name, images), _indices(name, labels)
    if len(images) != len(labels) or any(len(part) != len(images) for part in weights):
        raise ValueError(
            f"{name} has {len(images)} images, but {len(labels)} labels"
            f"{''.join(f' and {len(part)} weights' for part in weights)}; pass as many of each"
        )
    return Pictures(images, labels), (np.float32(weights[0]) if weights else None)


def _collect(name, data):
    """Read what comes in batches, or one by one, to its end."""
    from utils.pipeline.batches import as_batches  # noqa: PLC0415  # TensorFlow

    batches = as_batches(name, data).as_numpy_iterator()
    images, labels, *weights = zip(*batches, strict=True)
    if not isinstance(images[0], np.ndarray):
        raise ValueError(f"{name} has several inputs; train by train_and_evaluate_models")
    return [np.concatenate(part) for part in (images, labels, *weights)]


def _pixels(name, images):
    if images.dtype == object:
        raise ValueError(
            f"{name} is no pair of arrays; pass (images, labels), and what is to be held out as "
            "validation_data"
        )
    if images.ndim != 4 or not len(images) or images.dtype.kind not in "uif":
        raise ValueError(
            f"{name} has images of {images.dtype} of shape {images.shape}; expected one or more of "
            "shape (N, height, width, channels)"
        )
    if images.dtype == np.uint8:
        return images
    low, high = images.min(), images.max()
    most = 1 if images.dtype.kind == "f" else 255
    if not 0 <= low <= high <= most:  # NaN is neither
        raise ValueError(
            f"{name} has {images.dtype} images from {low:.6g} to {high:.6g}; expected floats from "
            "0 to 1, or uint8 from 0 to 255"
        )
    return np.uint8(np.rint(images * (255 // most)))


def _indices(name, labels):
    if labels.dtype.kind not in "uifb" or labels.ndim not in (1, 2):
        raise ValueError(
            f"{name} has labels of {labels.dtype} of shape {labels.shape}; expected class indices "
            "of shape (N,), or one-hot rows"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not ((labels == labels.max(axis=1, keepdims=True)).sum(axis=1) == 1).all() or not (
            np.isin(labels, (0, 1)).all()
        ):
            raise ValueError(
                f"{name} has rows of labels that are not one-hot, from which a recipe doesn't "
                "learn; train by train_and_evaluate_models, or pass class indices"
            )
        return labels.argmax(axis=1)
    indices = labels.reshape(-1).astype(np.int64)
    if (indices != labels.reshape(-1)).any() or indices.min(initial=0) < 0:
        raise ValueError(f"{name} has labels that are no class indices; pass integers from 0")
    return indices
