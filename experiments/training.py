"""One call trains: a recipe and arrays in, a trained model and its history out.

By whatever backend Keras has: TensorFlow on any CPU, or JAX on a GPU. Nothing is recorded.
"""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from experiments.data import Data, Pictures, split
from experiments.recipes import recipe_of
from utils.evaluation.scores import PLAIN_VIEW, probabilities, scores_of, six_views
from utils.training.models import NETWORKS, PRETRAINED
from utils.training.whitening import whiten

NETWORK_FIELDS = ("width", "depth", "dropout", "resize_to", "feature_scale")


class Trained(NamedTuple):
    """What an engine returns.

    Attributes
    ----------
    model : keras.Model
    history : keras.callbacks.History
        loss, accuracy, val_loss, val_accuracy and seconds, an entry an epoch.
    facts : dict
        What a record says of the computing: engine, bfloat16, accelerator, compilation_seconds.
    """

    model: keras.Model
    history: keras.callbacks.History
    facts: dict


def train(
    experiment,
    data,
    *,
    seed=0,
    callbacks=(),
    teacher=None,
    init=None,
    checkpoint=None,
    verbose=2,
    **changes,
):
    """Train a network by a recipe, any field of which can be changed by keyword.

    Parameters
    ----------
    experiment : str or Recipe
        A name in `experiments.recipes.EXPERIMENTS`, or a recipe of one's own.
    data : Data, or a pair of (images, labels)
        As `load` returns it; of a pair, the recipe's `validation_size` is held out.
    seed : int
        Of weights, order and augmentation.
    callbacks : sequence of keras.callbacks.Callback
        Handed to ``fit``; on the TensorFlow backend.
    teacher, init : keras.Model, optional
        For recipes that name one.
    checkpoint : path-like, optional
        A folder; the same call goes on from what an interrupted one has left there.
    verbose : 0, 1 or 2
        As in ``keras.Model.fit``.
    **changes
        Fields of `experiments.recipes.Recipe`.

    Returns
    -------
    (keras.Model, keras.callbacks.History)

    Raises
    ------
    ValueError
        If there is no such experiment or field, a value or a picture makes no sense, the teacher or
        the model to begin with is missing, or the backend can't do what the recipe asks for.

    Examples
    --------
    >>> from experiments import evaluate, load, train
    >>> data = load()
    >>> model, history = train("airbench94", data, label_smoothing=0)
    >>> evaluate(model, data)["test"]["accuracy"]
    """
    _, recipe = recipe_of(experiment, **changes)
    data = as_data(data, recipe.validation_size)
    how = {"callbacks": callbacks, "teacher": teacher, "init": init, "checkpoint": checkpoint}
    trained = train_by_recipe(recipe, data, seed=seed, verbose=verbose, **how)
    return trained.model, trained.history


def train_by_recipe(
    recipe, data, *, seed, teacher=None, init=None, callbacks=(), checkpoint=None, verbose=2
):
    """Do what `train` does, and tell more of it; also from a checkpoint.

    Parameters
    ----------
    recipe : Recipe
    data : Data
    seed, teacher, init, callbacks, checkpoint, verbose
        As of `train`.

    Returns
    -------
    Trained
    """
    for name, given in (("teacher", teacher), ("init", init)):
        if (getattr(recipe, name) is None) != (given is None):
            raise ValueError(
                f"the recipe's {name} is {getattr(recipe, name)!r}, but "
                f"{'no' if given is None else 'a'} model was given as {name}=; pass both or neither"
            )
    keras.utils.set_random_seed(seed)  # first of all: weights and order follow it
    checkpoint = checkpoint and Path(checkpoint)
    model = build(recipe, data.train, init)
    engine = _engine()
    how = {"seed": seed, "teacher": teacher, "callbacks": callbacks}
    return Trained(
        model, *engine(model, recipe, data, checkpoint=checkpoint, verbose=verbose, **how)
    )


def build(recipe, pictures, init=None):
    """Return the untrained network of a recipe, or one with the weights of `init` (keras.Model).

    `pictures` (Pictures) are those of the training: they tell size and classes, and whiten.
    """
    images, classes = pictures.images, int(pictures.labels.max()) + 1
    options = {name: getattr(recipe, name) for name in NETWORK_FIELDS}
    options = {name: value for name, value in options.items() if value is not None}
    if recipe.network not in NETWORKS:
        raise ValueError(f"network is {recipe.network!r}, expected one of {', '.join(NETWORKS)}")
    if recipe.network in PRETRAINED:
        weights = os.environ.get(PRETRAINED[recipe.network]) or "imagenet"
        options["weights"] = None if init is not None or weights == "none" else weights
        options["trainable"] = recipe.trains == "all"
    elif recipe.trains == "head":
        raise ValueError(f"trains is 'head', but {recipe.network} has no backbone to freeze")
    try:
        model = NETWORKS[recipe.network](images.shape[1:], classes, **options)
    except TypeError as error:
        raise ValueError(f"{recipe.network} takes none of {options}: {error}") from error
    if recipe.whitening_images:
        whiten(model, images[: recipe.whitening_images] / np.float32(255))
    if init is not None:
        if [w.shape for w in model.weights] != [w.shape for w in init.weights]:
            raise ValueError(f"the model to begin with, {init.name}, is another network")
        model.set_weights(init.get_weights())
    return model


def evaluate(model, data):
    """Tell how well a model does on the held-out and, in one look, on the test pictures.

    Parameters
    ----------
    model : keras.Model
    data : Data

    Returns
    -------
    dict of str to dict
        "validation", "test", and "test_six_views", whose answers are averaged over six views of
        each picture (test-time augmentation): accuracy and macro_f1, 0 to 1, and pictures.
    """
    with full_precision():
        held_out = probabilities(model, data.validation.images)
        answers = [probabilities(model, view) for view in six_views(data.test.images)]
    return {
        "validation": scores_of(held_out, data.validation.labels),
        "test": scores_of(answers[PLAIN_VIEW], data.test.labels),
        "test_six_views": scores_of(sum(answers), data.test.labels),
    }


def as_data(data, validation_size):
    """Return `Data` as it is, or make it of two arrays; what is held out is the test then too."""
    if isinstance(data, Data):
        return data
    try:
        images, labels = map(np.asarray, data)
    except (TypeError, ValueError):
        raise ValueError(
            f"data is {type(data).__name__}, expected what load() returns, or (images, labels)"
        ) from None
    labels = labels.reshape(-1)
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}, labels {labels.shape}; expected "
            "uint8 of shape (N, height, width, 3), 0 to 255, and N labels"
        )
    kept, held_out = split(labels, validation_size)
    validation = Pictures(images[held_out], labels[held_out])
    return Data(Pictures(images[kept], labels[kept]), validation, validation)


def _engine():
    """Return what trains on Keras's backend; imported here, since no machine need have both."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from experiments.tensorflow_runs import train_on_tensorflow  # noqa: PLC0415

        return train_on_tensorflow
    if backend == "jax":
        from utils.training.jax_engine import train_in_scans  # noqa: PLC0415

        return train_in_scans
    raise ValueError(f"Keras's backend is {backend!r}; set KERAS_BACKEND to tensorflow or jax")


def full_precision():
    """Return a context in which JAX multiplies matrices in float32, as TensorFlow does."""
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax  # noqa: PLC0415

    return jax.default_matmul_precision("highest")
