"""A model's file in, its logits and features of any pictures out, each asked for once.

Both come from one pass: features are what the last layer is given, logits what it hands to its
softmax. They are kept in ``build/answers/``, by the hashes of model and pictures, so that a report
that was interrupted goes on, and another evaluation needs no second pass.
"""

import hashlib
import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.files import atomic_path, sha256_of
from utils.results.model_files import load_model

BATCH = 250  # pictures a call
KEPT_FROM = 200  # pictures; the answers to fewer are quick to compute


class ModelAnswers:
    """What a model answers to pictures.

    Parameters
    ----------
    path : path-like
        Of a model of (N, 32, 32, 3) pixels and ten classes, whose last layer is a softmax.
    cache : path-like, optional
        Folder of what is kept.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or `load_model` refuses it, or it is another kind of model.
    """

    def __init__(self, path, *, cache=ROOT / "build" / "answers"):
        model = load_model(path)
        self.parameters = model.count_params()
        self._run = _compile(path, model)
        self._cache = Path(cache) / sha256_of(path)[:16]
        self._last = None, None  # pictures and the answers to them

    def logits(self, images):
        """Return what the softmax is given, float32 of shape (N, 10), of uint8 `images`."""
        return self._both(images)[1]

    def features(self, images):
        """Return what the last layer is given, float32 of shape (N, D), of uint8 `images`."""
        return self._both(images)[0]

    def _both(self, images):
        if self._last[0] is not images:
            self._last = images, self._find(images)
        return self._last[1]

    def _find(self, images):
        if len(images) < KEPT_FROM:
            return self._compute(images)
        place = self._cache / f"{hashlib.sha256(np.ascontiguousarray(images)).hexdigest()[:16]}.npz"
        if not place.exists():
            features, logits = self._compute(images)
            with atomic_path(place) as temporary, open(temporary, "wb") as file:
                np.savez(file, features=features, logits=logits)
        with np.load(place) as kept:
            return kept["features"], kept["logits"]

    def _compute(self, images):
        starts = range(0, len(images), BATCH)
        parts = [self._run(tf.constant(images[start : start + BATCH])) for start in starts]
        return [np.concatenate([part[i].numpy() for part in parts]) for i in (0, 1)]


def _compile(path, model):
    head = model.layers[-1]
    softmax = isinstance(head, keras.layers.Dense) and head.activation is keras.activations.softmax
    if model.input_shape[1:] != (32, 32, 3) or not softmax or head.units != len(CLASS_NAMES):
        raise ValueError(
            f"{path}: input {model.input_shape}, last layer {head.name}; expected a network from "
            f"(N, 32, 32, 3) pixels to a softmax of {len(CLASS_NAMES)} classes"
        )
    head.activation = keras.activations.linear  # the model now ends before its softmax
    for layer in model.layers:
        if getattr(layer, "activation", None) is keras.activations.gelu:
            layer.activation = _gelu
    both = keras.Model(model.inputs, [head.input, head.output])

    @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.uint8)], autograph=False)
    def run(images):
        return both(tf.cast(images, tf.float32) / 255, training=False)

    return run


def _gelu(x):
    """Return what Keras does by erfc, which takes TensorFlow longer; they differ by rounding."""
    return 0.5 * x * (1 + tf.math.erf(x / math.sqrt(2)))
