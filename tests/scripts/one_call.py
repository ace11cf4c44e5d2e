"""The experiment's one call, with a network and arrays of one's own, and with a teacher."""

import keras
import numpy as np

from experiments import evaluate, train

random = np.random.default_rng(0)
labels = random.integers(0, 3, (80, 1))
images = random.integers(0, 80, (80, 10, 10, 3), np.uint8)
images += np.uint8(80) * labels[:, :, None, None].astype(np.uint8)


def my_model(width, name):
    """Return a network of one convolution."""
    inner = [keras.layers.Conv2D(width, 3), keras.layers.GlobalAveragePooling2D()]
    last = keras.layers.Dense(3, activation="softmax")
    return keras.Sequential([keras.Input((10, 10, 3)), *inner, last], name=name)


keras.utils.set_random_seed(0)
data = (images[:60], labels[:60])
test = (images[60:], keras.utils.to_categorical(labels[60:], 3))
OPTIONS = {"epochs": 8, "batch_size": 10, "learning_rate": 3, "verbose": 0}
teacher, _ = train(my_model(8, "teacher"), data, **OPTIONS)
pupil, history = train(my_model(4, "pupil"), data, teacher=teacher, validation_data=test, **OPTIONS)
print(f"{len(history.epoch)} epochs, accuracy {evaluate(pupil, test)['test']['accuracy']:.2f}")
try:
    train(pupil, data, width=(64, 128, 128))
except ValueError as problem:
    print(problem)
