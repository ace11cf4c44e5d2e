"""A frozen backbone's features in, a trained head out: the backbone runs once, not in every epoch.

Enters: Model 2 or 3 with a frozen backbone, and patches of pictures without augmentation.
Leaves: patches of features, float32 of shape (patch, filters), and the model's layers behind them.
"""

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from utils.pipeline.batches import refuse_endless, without_autotuning


def split_at_features(model):
    """Split a model behind its pooled features into two that share its weights.

    Parameters
    ----------
    model : keras.Model
        As `utils.training.models.model_2` or `model_3` returns it.

    Returns
    -------
    backbone : keras.Model
        Pictures to features.
    head : keras.Model
        Features to class probabilities; training it trains the model.

    Raises
    ------
    ValueError
        If the model pools no features.
    """
    kinds = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
    pooling = next((layer for layer in model.layers if isinstance(layer, kinds)), None)
    if pooling is None:
        raise ValueError(f"{model.name} pools no features; pass what model_2 or model_3 returns")
    head = keras.Model(pooling.output, model.output, name=f"{model.name}_head")
    return keras.Model(model.input, pooling.output, name=f"{model.name}_backbone"), head


def cache_features(backbone, dataset):
    """Run a backbone once over a dataset, with a progress bar.

    Parameters
    ----------
    backbone : keras.Model
        As `split_at_features` returns it.
    dataset : tf.data.Dataset
        Of (images float32 in [0, 1], integer labels) patches; the same pictures in every pass.

    Returns
    -------
    tf.data.Dataset
        Of (features float32, labels) single examples, in memory: shuffle and batch it.

    Raises
    ------
    ValueError
        If the dataset is empty or endless.
    """
    refuse_endless("the dataset", dataset)
    count = int(dataset.cardinality())
    features, labels = [], []
    for images, patch_labels in tqdm(dataset, backbone.name, count if count > 0 else None):
        features.append(backbone.predict_on_batch(images))
        labels.append(np.asarray(patch_labels))
    if not labels:
        raise ValueError("the dataset is empty; check the names file it was made from")
    cached = tf.data.Dataset.from_tensor_slices((np.concatenate(features), np.concatenate(labels)))
    return without_autotuning(cached)
