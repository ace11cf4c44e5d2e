"""Batches that are made in Python, and one-hot labels whose shape nobody knows beforehand."""

import keras
import numpy as np
import tensorflow as tf

from utils.model_training_testing import custom_f1_score, predict


class Stripes(keras.utils.PyDataset):
    """Pictures with stripes across or along."""

    def __len__(self):
        return 4

    def __getitem__(self, number):
        random = np.random.default_rng(number)
        labels = random.integers(0, 2, 16)
        images = random.random((16, 6, 6, 3), np.float32) / 2
        images[labels == 0, ::2] += 0.5
        images[labels == 1, :, ::2] += 0.5
        return images, keras.utils.to_categorical(labels, 2)


keras.utils.set_random_seed(0)
signature = (
    tf.TensorSpec((None, 6, 6, 3), tf.float32),
    tf.TensorSpec((None, None), tf.float32),
)
stripes = Stripes()
dataset = tf.data.Dataset.from_generator(
    lambda: (stripes[number] for number in range(4)), output_signature=signature
)
model = keras.Sequential(
    [keras.Input((6, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
)
model.compile("adam", "categorical_crossentropy", metrics=["accuracy", custom_f1_score])
model.fit(dataset, epochs=40, verbose=0)
scores = [predict(model, data)[0] for data in (stripes, dataset, dataset.unbatch())]
assert scores[0] == scores[1] == scores[2]
print(f"accuracy {scores[0]:.2f}")
