"""Recipes of one's own: ``python -m experiments run my_recipes.py:mine my_recipes.py:own``."""

from dataclasses import replace

import keras

from experiments.recipes import EXPERIMENTS, Recipe


def network(image_shape, classes):
    """Return a network of one's own, of which as many can be made as there are seeds."""
    layers = [keras.Input(image_shape), keras.layers.AveragePooling2D(4), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(classes, "softmax")], name="network")


SMALL = {"epochs": 1, "batch_size": 45, "validation_size": 0.1}
mine = replace(EXPERIMENTS["airbench94"], width=(4, 4, 4), **SMALL)
own = Recipe(network, translate=1, flip="random", **SMALL)
