"""Networks that are not made of plain layers: trained as they are, or a sentence says why not."""

import sys

import keras
import numpy as np

from utils.model_training_testing import (
    custom_f1_score,
    predict,
    save_model,
    train_and_evaluate_models,
)

layers = keras.layers
keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
labels = random.integers(0, 3, 48)
images = ((random.random((48, 8, 8, 3)) + labels[:, None, None, None]) / 3).astype(np.float32)
rows = keras.utils.to_categorical(labels, 3)


class Scaled(layers.Layer):
    """A layer that is registered nowhere."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale


class Subclassed(keras.Model):
    """A network that is a class."""

    def __init__(self):
        super().__init__(name="subclassed")
        self.convolution, self.scaled = layers.Conv2D(4, 3, activation="gelu"), Scaled()
        self.last = layers.Dense(3, activation="softmax")

    def call(self, inputs):
        return self.last(keras.ops.mean(self.scaled(self.convolution(inputs)), axis=(1, 2)))


def residual():
    """Return a network with operators in its graph."""
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(4, 3, padding="same")(inputs)
    b = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(a))
    x = layers.GlobalAveragePooling2D()(keras.ops.relu(a + b) * 0.5)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="residual")


def two_inputs():
    """Return a network of pictures and of a number beside each."""
    inputs = [keras.Input((8, 8, 3)), keras.Input((1,))]
    x = layers.Lambda(lambda x: keras.ops.mean(x, axis=(1, 2)))(inputs[0])
    x = layers.Concatenate()([x, inputs[1]])
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="two_inputs")


numbers = random.random((48, 1), np.float32)
for model, data in (
    (Subclassed(), (images, rows)),
    (residual(), (images, labels)),
    (two_inputs(), ((images, numbers), labels)),
):
    _, history = train_and_evaluate_models(
        [model], data, data, 2, 12, True, 0.1, metrics=[custom_f1_score], verbose=2
    )
    assert history.history["loss"][1] < history.history["loss"][0]
    print(f"{model.name}: accuracy {predict(model, data)[0]:.2f}")
    try:
        print(f"saved as {save_model(model, sys.argv[1])[0].name}")
    except ValueError as problem:
        print(problem)
heads = keras.Model(model.inputs, [model.output, model.output], name="heads")
try:
    train_and_evaluate_models([heads], data, data, 1, 12, True)
except ValueError as problem:
    print(problem)
