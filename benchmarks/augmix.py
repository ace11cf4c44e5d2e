"""What AugMix takes of a training step of the network that is trained with it, on this machine.

    PYTHONPATH=. python benchmarks/augmix.py

Both are done in turn, on the same made-up batch: `utils.pipeline.augmix.mix` of as much of it as is
mixed, and a step of the page's network with all of it, as stock Keras computes it. Takes a minute
on two idle cores.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from pairs import compare

from utils.pipeline.augmix import CLEAN, mix
from utils.training.models import model_4

BATCH, STEPS = 128, 5


def main():
    random = np.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (BATCH, 32, 32, 3), np.uint8))
    pixels = tf.image.convert_image_dtype(images, tf.float32)
    labels = tf.constant(random.integers(0, 10, BATCH))
    model = model_4(width=(32, 128, 128))
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    augment = tf.function(mix)

    def mix_batches():
        for step in range(STEPS):
            augment(images[round(CLEAN * BATCH) :], tf.constant([0, step]))

    def train():
        for _ in range(STEPS):
            model.train_on_batch(pixels, labels)

    mix_batches()
    train()
    compare("mixing a batch, against a step of training", mix_batches, train)


if __name__ == "__main__":
    main()
