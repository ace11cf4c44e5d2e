"""Weights of pictures, labels in columns and rows, single examples: each the same to a training."""

import keras
import numpy as np
import tensorflow as tf

from utils.load_patchs import extract_labels
from utils.model_training_testing import predict, train_and_evaluate_models

random = np.random.default_rng(0)
labels = random.integers(0, 4, 40)
images = ((random.random((40, 6, 6, 3)) + labels[:, None, None, None]) / 4).astype(np.float32)
rows = keras.utils.to_categorical(labels, 4)
single = tf.data.Dataset.from_tensor_slices((images, rows))
KINDS = {
    "columns": (images, labels[:, None]),
    "rows": (images, rows),
    "weights": (images, labels, np.ones(40)),
    "single": single,
    "batches": single.batch(8),
}


def network():
    """Return a new network, which begins as all others."""
    keras.utils.set_random_seed(0)
    inner = [keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")]
    return keras.Sequential([keras.Input((6, 6, 3)), *inner], name="network")


losses = {}
for kind, data in KINDS.items():
    _, history = train_and_evaluate_models(
        network(), data, (images, labels), 1, 40, True, label_smoothing=0.1, verbose=0
    )
    losses[kind] = round(history.history["val_loss"][0], 4)
    accuracy, *_ = predict(network(), data)
    assert (extract_labels(data)[1] == labels).all()
print(losses)
for wrong in (images, (images, labels, labels, labels), (255 * images, labels), "pictures"):
    try:
        train_and_evaluate_models(network(), wrong, (images, labels), 1, 40, True, verbose=0)
    except ValueError as problem:
        print(problem)
