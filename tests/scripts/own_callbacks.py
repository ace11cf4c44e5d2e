"""Keras's callbacks, metrics and weights of classes, more epochs later, and its own `fit` after."""

import sys

import keras
import numpy as np

from utils.model_training_testing import custom_f1_score, predict, train_and_evaluate_models

keras.utils.set_random_seed(0)
folder = sys.argv[1]
random = np.random.default_rng(0)
labels = random.integers(0, 3, 60)
images = (random.random((60, 8, 8, 3)) + labels[:, None, None, None]) / 3
train, validation = (images[:45], labels[:45]), (images[45:], labels[45:])


def network():
    """Return a small network of Keras's layers, which a twin trains."""
    keras.utils.set_random_seed(0)
    inner = [keras.layers.Conv2D(4, 3, activation="gelu"), keras.layers.BatchNormalization()]
    last = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 3)), *inner, *last], name="network")


options = {
    "callbacks": [
        keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(f"{folder}/best.keras", save_best_only=True),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)),
    ],
    "class_weight": {0: 2.0},
    "metrics": ["accuracy", custom_f1_score],
    "checkpoint_directory": folder,
    "verbose": 0,
}
for epochs in (2, 3):  # the second goes on from the first
    model, history = train_and_evaluate_models(
        [network()], train, validation, epochs, 15, True, 0.1, **options
    )
    assert len(history.history["val_custom_f1_score"]) == epochs
loss, accuracy, f1 = model.evaluate(*validation, verbose=0)
assert abs(accuracy - predict(model, validation)[0]) < 1e-6
model.fit(*train, epochs=1, verbose=0)
keras.models.load_model(f"{folder}/best.keras").evaluate(*validation, verbose=0)
print(f"{len(history.epoch)} epochs, learning rates {history.history['learning_rate']}")
