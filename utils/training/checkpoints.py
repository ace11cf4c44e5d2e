"""A training's state after an epoch, to go on from: one ``.npz`` file, and the best model so far.

The file holds every variable of model and optimizer (weights, momentum, steps done, states of
random numbers), the history, and what it belongs to: settings, and fingerprints of the data, the
weights at the start and the teacher. A fingerprint is two numbers, norm and projection on a fixed
random direction, since sums of two processes differ in their last bits.
"""

import json
import weakref
import zipfile
from pathlib import Path

import keras
import numpy as np

from utils.base.files import atomic_path
from utils.training.twins import state_of

FINGERPRINTS = ("data", "starting weights", "teacher")
# What this process knows already: a dataset that shuffles begins otherwise when it is read again,
# and a model that was being trained has other weights than it started with.
_data_seen = weakref.WeakKeyDictionary()  # dataset: its fingerprint
_models_left = weakref.WeakKeyDictionary()  # model: checkpoint, its weights then, at the start


def settings_of(optimizer, loss, **others):
    """Return the settings that a checkpoint belongs to (dict): those given, and the optimizer's."""
    others["loss"] = loss if isinstance(loss, str) else loss.__name__
    given = {name: value for name, value in others.items() if value is not None}
    config = optimizer.get_config() | given
    del config["name"]  # that is numbered
    return json.loads(json.dumps(config, default=str))


def fingerprint_of(arrays):
    """Return [norm, projection] (float) of a list of arrays of numbers, whose order counts."""
    values = np.concatenate([np.ravel(np.asarray(array, np.float64)) for array in arrays])
    direction = np.random.default_rng(0).standard_normal(len(values))
    return [float(np.linalg.norm(values)), float(values @ direction)]


def fingerprint_of_data(dataset, batch=None):
    """Return the fingerprint of a dataset's first batch, images and labels, and its length.

    Parameters
    ----------
    dataset : tf.data.Dataset
        One that this process has seen before keeps the fingerprint that it had.
    batch : tuple of arrays, optional
        The first batch, where it has been read already.
    """
    if dataset not in _data_seen:
        images, labels = (batch or next(iter(dataset)))[:2]
        parts = keras.tree.flatten(images)
        _data_seen[dataset] = fingerprint_of([[int(dataset.cardinality())], labels, *parts])
    return _data_seen[dataset]


def starting_weights(model, checkpoint):
    """Return the fingerprint of the weights with which the training of `checkpoint` began."""
    now = fingerprint_of(model.get_weights())
    path, left, start = _models_left.get(model, (None, None, None))
    return start if path == str(checkpoint) and _alike(left, now) else now


def remember_start(model, checkpoint, start):
    """Note with what weights the training stops, so that it may go on in this process."""
    _models_left[model] = str(checkpoint), fingerprint_of(model.get_weights()), start


def save_checkpoint(path, model, optimizer, settings, history, finished=0):
    """Write a checkpoint; `finished` is the number of epochs asked for, where it stopped early."""
    state = state_of(model) + optimizer.variables
    values = {str(i): np.asarray(variable) for i, variable in enumerate(state)}
    texts = {"settings": settings, "history": history, "finished": finished}
    texts = {name: json.dumps(value) for name, value in texts.items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **values, **texts)


def load_checkpoint(path, model, optimizer, settings, epochs):
    """Set the variables to those of a checkpoint; return its history and how many epochs are done.

    ({}, 0) if there is none; all of them are done in one that a callback has stopped early.
    ValueError if it is damaged, of other settings, data, weights or teacher, or has more epochs.
    """
    if path is None or not Path(path).exists():
        return {}, 0
    state = state_of(model) + optimizer.variables
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            texts = [json.loads(str(file[name])) for name in ("settings", "history", "finished")]
            values = [file[str(i)] for i in range(len(file.files) - len(texts))]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: a damaged checkpoint; delete it to start over") from error
    found, history, finished = texts
    _refuse_others(path, found, settings)
    if [value.shape for value in values] != [tuple(variable.shape) for variable in state]:
        raise ValueError(f"{path}: a checkpoint of another model; delete it to start over")
    done = len(history["loss"])
    if done > epochs:
        raise ValueError(
            f"{path}: a checkpoint of {done} epochs, more than the {epochs} asked for; ask for at "
            "least as many or delete it to start over"
        )
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return history, epochs if finished == epochs else done


def save_best(model, folder):
    """Save a model in `folder` without optimizer, as ``<name>.keras`` or what loads elsewhere.

    Of a subclassed model, whose class is not in the file, these are the weights alone, as
    ``<name>.weights.h5``.
    """
    inputs = getattr(model, "inputs", None)
    suffix = ".weights.h5" if inputs is None else ".keras"
    with atomic_path(Path(folder) / f"{model.name}{suffix}") as temporary:
        if inputs is None:
            written = temporary.with_suffix(".weights.h5")  # Keras insists on it
            model.save_weights(written)
            written.replace(temporary)
        else:
            graph = model.inputs[0], model.outputs[0]  # of a Sequential that was never called
            if not isinstance(model, keras.Sequential):
                graph = model.input, model.output
            keras.Model(*graph, name=model.name).save(temporary)


def _refuse_others(path, found, settings):
    names = [name for name in found | settings if name not in FINGERPRINTS]
    others = {name: found.get(name) for name in names if found.get(name) != settings.get(name)}
    if others:
        raise ValueError(
            f"{path}: a checkpoint of other settings, made with {others}; delete it to start over"
        )
    for name in FINGERPRINTS:
        if not _alike(found.get(name), settings.get(name)):
            raise ValueError(
                f"{path}: a checkpoint of other {name}; delete it to start over, or pass the same "
                "again: with the same seed (keras.utils.set_random_seed) before the model is built"
            )


def _alike(one, other):
    """Tell whether two fingerprints are the same: strings, None, or lists of numbers."""
    if not (isinstance(one, list) and isinstance(other, list)):
        return one == other
    one, other = np.ravel(one), np.ravel(other)
    return one.shape == other.shape and np.allclose(one, other, rtol=0, atol=1e-4 * one.max())
