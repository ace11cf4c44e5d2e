"""Training Model 1, against stock Keras `fit` on the same model; batch 128, made-up pictures."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from pairs import compare

from utils.fast_training import training_twin
from utils.model_training_testing import model_1

BATCH, STEPS = 128, 40


def compiled(model):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    random = np.random.default_rng(0)
    images = random.random((BATCH * STEPS, 32, 32, 3), np.float32)
    labels = random.integers(0, 10, BATCH * STEPS)
    patches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH)
    stock, twin = compiled(model_1()), compiled(training_twin(model_1()))
    for model in (stock, twin):
        model.fit(patches.take(2), shuffle=False, verbose=0)
    print(f"oneDNN: {os.environ.get('TF_ENABLE_ONEDNN_OPTS', 'as TensorFlow chooses')}")
    compare(
        "a training epoch",
        lambda: twin.fit(patches, shuffle=False, verbose=0),
        lambda: stock.fit(patches, shuffle=False, verbose=0),
        pairs=5,
    )
