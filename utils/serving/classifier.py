"""A saved model in, fast answers about pictures out, and whether to trust them.

Enters: a ``.keras`` file, with a record of its threshold beside it; pixels float32 in [0, 1].
Leaves: probabilities of the ten classes, and an energy score: the logarithm of the summed
exponentials of what the last layer hands to its softmax (Liu et al., "Energy-based
Out-of-distribution Detection", 2020). Low where the network finds nothing it knows.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from utils.base.cifar10 import CLASS_NAMES
from utils.base.files import sha256_of
from utils.pipeline.read_pictures import resize, to_float
from utils.results.model_files import load_model
from utils.results.records import read_record
from utils.serving.picture_input import load_square

BATCH = 128  # pictures a call


class Classifier(NamedTuple):
    """A loaded and warmed model.

    Attributes
    ----------
    name : str
        The file's name without suffix.
    image_shape : tuple of int
        Height and width of its input.
    run : callable
        Pixels float32 of shape (N, height, width, 3), 0 to 1, to probabilities of shape (N, 10)
        and energy scores of shape (N,), both float32 tensors.
    look : callable
        One picture, uint8 of shape (any height, any width, 3), to what the model sees of it, uint8
        of shape (height, width, 3), its probabilities and its score, all tensors.
    threshold : float or None
        Answers of a lower score are not to be trusted; None where nobody has chosen one.
    """

    name: str
    image_shape: tuple
    run: Callable
    look: Callable
    threshold: float | None


class Answer(NamedTuple):
    """What a model says of one picture.

    Attributes
    ----------
    label : str
        The most probable class.
    shares : dict of str to float
        Class name to probability, 0 to 1, in label order.
    trusted : bool
        False where it is probably none of the ten.
    seen : ndarray of uint8, shape (height, width, 3), 0 to 255
        The picture that the model was given.
    """

    label: str
    shares: dict
    trusted: bool
    seen: np.ndarray


def load_classifier(path):
    """Load the model at `path` (path-like, ``.keras``), and run it once.

    Returns
    -------
    Classifier

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If `load_model` refuses it, or it is no classifier of pictures into the
        ten classes with a softmax, or the record of its threshold is damaged.
    """
    path = Path(path)
    model = load_model(path)
    run, look = _compile(path, model)
    image_shape = model.input_shape[1:3]
    look(np.zeros((*image_shape, 3), np.uint8))
    return Classifier(path.stem, image_shape, run, look, _threshold(path))


def threshold_path(model_path):
    """Return where the record of a model's threshold lies (pathlib.Path): beside the model."""
    return Path(model_path).with_name(f"{Path(model_path).stem}_threshold.json")


def classify(picture, classifier):
    """Classify one picture.

    Parameters
    ----------
    picture : path-like, or ndarray of uint8, shape (side, side, 3)
        A file as `utils.serving.picture_input.load_square` takes, or what it returns.
    classifier : Classifier

    Returns
    -------
    Answer

    Raises
    ------
    ValueError
        If the file holds no picture; the message is a sentence for who uploaded it.
    """
    square = picture if isinstance(picture, np.ndarray) else load_square(picture)
    results = classifier.look(tf.constant(square))  # a function takes longer to make it a tensor
    seen, probabilities, score = (result.numpy() for result in results)
    shares = dict(zip(CLASS_NAMES, map(float, probabilities), strict=True))
    return Answer(
        CLASS_NAMES[int(probabilities.argmax())],
        shares,
        classifier.threshold is None or bool(score >= classifier.threshold),
        seen,
    )


def run_in_batches(classifier, images):
    """Run any number of pictures, in batches side by side.

    Parameters
    ----------
    classifier : Classifier
    images : ndarray of float32, shape (N, height, width, 3), 0 to 1

    Returns
    -------
    probabilities : ndarray of float32, shape (N, 10)
    scores : ndarray of float32, shape (N,)
    """
    batches = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # each core its own, not all one after one
        parts = list(threads.map(classifier.run, batches))
    probabilities, scores = zip(*parts, strict=True)
    return np.concatenate(probabilities), np.concatenate(scores)


def _compile(path, model):
    shape, head = model.input_shape, model.layers[-1]
    softmax = isinstance(head, keras.layers.Dense) and head.activation is keras.activations.softmax
    if (
        len(shape) != 4
        or None in shape[1:]
        or shape[3] != 3
        or not softmax
        or head.units != len(CLASS_NAMES)
    ):
        raise ValueError(
            f"{path}: input {shape}, last layer {head.name}; expected a network from (N, height, "
            f"width, 3) pixels to a softmax of {len(CLASS_NAMES)} classes"
        )
    head.activation = keras.activations.linear  # the model now ends before its softmax
    for layer in model.layers:
        if getattr(layer, "activation", None) is keras.activations.gelu:
            layer.activation = _gelu
    # Constants instead of variables let TensorFlow fold and fuse: an eighth less for a picture.
    kinds = (model.trainable_variables, model.non_trainable_variables)
    weights = [[weight.numpy() for weight in kind] for kind in kinds]

    @tf.function(input_signature=[tf.TensorSpec((None, *shape[1:]), tf.float32)], autograph=False)
    def run(images):
        logits, _ = model.stateless_call(*weights, images, training=False)
        return tf.nn.softmax(logits), tf.reduce_logsumexp(logits, axis=1)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)], autograph=False)
    def look(square):  # all in one graph: a call of each step by itself takes twice as long
        image = resize(square, shape[1:3])
        probabilities, scores = run(to_float(image)[tf.newaxis])
        return image, probabilities[0], scores[0]

    # Concrete functions: a tf.function takes half a millisecond a call to find its own.
    return run.get_concrete_function(), look.get_concrete_function()


def _gelu(x):
    """Return what Keras does by erfc, which takes TensorFlow longer; they differ by rounding."""
    return 0.5 * x * (1 + tf.math.erf(x / math.sqrt(2)))


def _threshold(path):
    """Return the threshold that was chosen for exactly this file, None if none was."""
    record = threshold_path(path)
    if not record.is_file():
        return None
    content = read_record(record, ("model_sha256", "threshold"), "make threshold")
    return content["threshold"] if content["model_sha256"] == sha256_of(path) else None
