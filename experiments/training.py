"""One call trains: a recipe or a network, and pictures in, a trained model and its history out.

By whatever backend Keras has: TensorFlow on any CPU, or JAX on a GPU. Nothing is recorded.
"""

import inspect
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from experiments.data import Data
from experiments.own_data import as_data, read_pictures
from experiments.recipes import OWN, recipe_of
from utils.evaluation.scores import PLAIN_VIEW, probabilities, scores_of, six_views
from utils.results.model_files import plain_copy
from utils.training.models import NETWORKS, PRETRAINED
from utils.training.whitening import whiten

NETWORK_FIELDS = ("width", "depth", "dropout", "resize_to", "feature_scale")
# What says how a network is built or begins, and so nothing of one that is built already.
BUILDING = ("network", *NETWORK_FIELDS, "whitening_images", "trains", "init", "teacher")


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
    validation_data=None,
    class_weight=None,
    metrics=(),
    **changes,
):
    """Train a network by a recipe, any field of which can be changed by keyword.

    Parameters
    ----------
    experiment : str, Recipe or keras.Model
        A name in `experiments.recipes.EXPERIMENTS`, a recipe of one's own, or a network of one's
        own, from pixels in [0, 1] to a softmax, which `experiments.recipes.OWN` trains in place.
    data : Data, tuple of arrays, tf.data.Dataset or keras.utils.PyDataset
        As `load` returns it, or (images, labels), sample weights after them if you like, in
        batches or not. Images are uint8, or floats in [0, 1], which are rounded to 256 levels;
        labels are indices of shape (N,) or (N, 1), or one-hot rows. It is read into memory, and
        the recipe's `validation_size` of it held out.
    seed : int
        Of weights, order and augmentation.
    callbacks : sequence of keras.callbacks.Callback
        Handed to ``fit``; on the TensorFlow backend.
    teacher, init : keras.Model, optional
        For recipes that name one; a network of one's own may have a teacher.
    checkpoint : path-like, optional
        A folder; the same call goes on from what an interrupted one has left there.
    verbose : 0, 1 or 2
        As in ``keras.Model.fit``.
    validation_data : like `data`, optional
        Held out instead; its weights don't count.
    class_weight : dict of int to float, optional
        As in ``keras.Model.fit``; on the TensorFlow backend.
    metrics : sequence
        As in ``keras.Model.compile``, beside the accuracy; on the TensorFlow backend.
    **changes
        Fields of `experiments.recipes.Recipe`.

    Returns
    -------
    (keras.Model, keras.callbacks.History)

    Raises
    ------
    ValueError
        If there is no such experiment or field, a value or a picture makes no sense, the teacher or
        the model to begin with is missing, the backend can't do what the recipe asks for, or a
        field says how to build a network that is built already.

    Examples
    --------
    >>> from experiments import evaluate, load, train
    >>> data = load()
    >>> model, history = train("airbench94", data, label_smoothing=0)
    >>> evaluate(model, data)["test"]["accuracy"]
    """
    how = {"callbacks": callbacks, "teacher": teacher, "init": init, "checkpoint": checkpoint}
    how |= {"class_weight": class_weight, "metrics": metrics}
    if isinstance(experiment, keras.Model):
        recipe = _recipe_for(experiment, teacher, changes)
        how["model"] = experiment
    else:
        _, recipe = recipe_of(experiment, **changes)
    data = as_data(data, recipe.validation_size, validation_data)
    trained = train_by_recipe(recipe, data, seed=seed, verbose=verbose, **how)
    return trained.model, trained.history


def train_by_recipe(
    recipe,
    data,
    *,
    seed,
    teacher=None,
    init=None,
    callbacks=(),
    checkpoint=None,
    verbose=2,
    model=None,
    class_weight=None,
    metrics=(),
):
    """Do what `train` does, and tell more of it; also from a checkpoint.

    Parameters
    ----------
    recipe : Recipe
    data : Data
    seed, teacher, init, callbacks, checkpoint, verbose, class_weight, metrics
        As of `train`.
    model : keras.Model, optional
        What to train, in the place of the recipe's network.

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
    if model is None:
        model = build(recipe, data.train, init)
    else:
        _check_fits(model, data.train)
    engine = _engine()
    how = {"seed": seed, "teacher": teacher, "callbacks": keras.tree.flatten(callbacks or [])}
    if class_weight is not None or metrics:
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"class_weight is {class_weight!r}, metrics {metrics!r}, which only TensorFlow "
                "does; leave them out or set KERAS_BACKEND=tensorflow"
            )
        how |= {"class_weight": class_weight, "metrics": keras.tree.flatten(metrics or [])}
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
    if callable(recipe.network):
        return _build_own(recipe, pictures, options, init)
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
    _begin_with(model, init)
    return model


def _build_own(recipe, pictures, options, init):
    """Return what the recipe's own function builds, if it can be trained here, and saved."""
    name = recipe.network.__name__
    if recipe.trains == "head" or recipe.whitening_images:
        raise ValueError(
            f"trains is {recipe.trains!r} and whitening_images {recipe.whitening_images!r}, which "
            f"only networks of this repository know; leave them out for {name}"
        )
    given = pictures.images.shape[1:], int(pictures.labels.max()) + 1
    try:
        inspect.signature(recipe.network).bind(*given, **options)
    except TypeError as error:
        raise ValueError(f"{name} doesn't take {given} and {options}: {error}") from error
    model = recipe.network(*given, **options)
    if not isinstance(model, keras.Model):
        raise ValueError(f"{name} returns {type(model).__name__}, expected a keras.Model")
    _check_fits(model, pictures)
    plain_copy(model)  # says now, not after the training, why it can't be saved
    _begin_with(model, init)
    return model


def _begin_with(model, init):
    if init is not None:
        if [w.shape for w in model.weights] != [w.shape for w in init.weights]:
            raise ValueError(f"the model to begin with, {init.name}, is another network")
        model.set_weights(init.get_weights())


def _recipe_for(model, teacher, changes):
    """Return the recipe (Recipe) to train a network of one's own by, if it can do the `changes`."""
    for name in changes:
        if name in BUILDING:
            raise ValueError(
                f"{name} is {changes[name]!r}, but {model.name} is built already; leave it out, "
                "or build the model so"
            )
    _, recipe = recipe_of(OWN, **changes)
    return recipe if teacher is None else replace(recipe, teacher=teacher.name)


def _check_fits(model, pictures):
    """Refuse a network that doesn't take such pictures, or doesn't tell as many classes."""
    images, labels = pictures.images, pictures.labels
    inputs = getattr(model, "inputs", None) or []
    expected = [tuple(one.shape[1:]) for one in inputs]
    if len(inputs) > 1 or any(
        size not in (None, found)
        for shape in expected
        for size, found in zip(shape, images.shape[1:], strict=True)
    ):
        raise ValueError(
            f"{model.name} takes inputs of shape {expected}, but the pictures are "
            f"{images.shape[1:]}; a recipe trains networks of one input of that shape"
        )
    outputs = model(images[:1] / np.float32(255), training=False)
    several = isinstance(outputs, (dict, list, tuple))
    rows = None if several else keras.ops.convert_to_numpy(outputs)
    if several or rows.ndim != 2 or rows.min() < 0 or abs(rows.sum() - 1) > 0.01:
        raise ValueError(
            f"{model.name} gives {'several outputs' if several else f'outputs {rows.shape}'}, "
            "expected a row of probabilities a picture; end it with one softmax over the classes"
        )
    if labels.max() >= rows.shape[1]:
        raise ValueError(
            f"the label {labels.max()} is there, but {model.name} has {rows.shape[1]} classes, 0 "
            f"to {rows.shape[1] - 1}; correct the labels or the width of its last layer"
        )


def evaluate(model, data):
    """Tell how well a model does on the held-out and, in one look, on the test pictures.

    Parameters
    ----------
    model : keras.Model
    data : Data, or what `train` takes
        Anything but what `load` returns is test pictures.

    Returns
    -------
    dict of str to dict
        "validation", where there is such a part, "test", and "test_six_views", whose answers are
        averaged over six views of each picture (test-time augmentation): accuracy and macro_f1,
        0 to 1, and pictures.
    """
    test = data.test if isinstance(data, Data) else read_pictures("data", data)[0]
    scores = {}
    with full_precision():
        if isinstance(data, Data):
            held_out = probabilities(model, data.validation.images)
            scores["validation"] = scores_of(held_out, data.validation.labels)
        answers = [probabilities(model, view) for view in six_views(test.images)]
    return scores | {
        "test": scores_of(answers[PLAIN_VIEW], test.labels),
        "test_six_views": scores_of(sum(answers), test.labels),
    }


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
