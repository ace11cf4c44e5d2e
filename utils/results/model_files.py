"""Models in, files out, and back: ``.keras`` and ``.h5``, of plain Keras layers only.

A model file says which classes and functions are to be looked up and called, and can hold code of
its own (Lambda). So what it says is read as text first, and anything but a plain layer is refused.
"""

import json
import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import h5py
import keras
import numpy as np

from utils.base.files import atomic_path

# Layers that run what the file holds, or read other files that it names.
UNSAFE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
UNSAFE |= {"StringLookup", "IntegerLookup", "TextVectorization"}
MODULES = (
    *(keras.layers, keras.models, keras.initializers, keras.regularizers, keras.constraints),
    keras.dtype_policies,
)
PLAIN = {
    name for module in MODULES for name, kind in vars(module).items() if isinstance(kind, type)
}
# Arguments that Keras got after 3.4, with the values that say nothing: left out, older ones load.
NEW_ARGUMENTS = {
    **dict.fromkeys(("input_axes", "output_axes", "quantization_config", "renorm_clipping"), None),
    **dict.fromkeys(("renorm", "optional", "ragged", "pad_to_aspect_ratio", "antialias"), False),
    "renorm_momentum": 0.99,
}
PLAIN = (PLAIN | {"Functional", "__keras_tensor__", "__tuple__"}) - UNSAFE


def save_model(model, directory, *, suffixes=(".keras", ".h5"), half_precision=False, name=None):
    """Save a model as ``<directory>/<model name>.keras`` and ``.h5``.

    What is saved is the plain network without optimizer and metrics, so that it loads anywhere
    without custom objects.

    Parameters
    ----------
    model : keras.Model
    directory : path-like
    suffixes : sequence of str
        Which of the two formats.
    half_precision : bool
        Keep kernels as float16 in the files, of about half the size; loaded, they are float32
        again. What has one axis stays as it is: means, variances, biases.

    name : str, optional
        Of the files, without suffix; the model's own by default.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    ValueError
        If a weight is too large for half precision, or the model can't be built from what its
        layers say of themselves.
    """
    plain = plain_copy(model)
    paths = [Path(directory) / f"{name or model.name}{suffix}" for suffix in suffixes]
    # None gets its name before all are written; `.keras`, which the page reads, gets it last.
    with ExitStack() as stack:
        for temporary in [stack.enter_context(atomic_path(path)) for path in paths]:
            _without_locks(temporary, partial(_save, plain, half_precision), writes=True)
    return paths


def plain_copy(model):
    """Return a model like `model` (keras.Model), made of what its layers say of themselves.

    ValueError, saying why, if that builds no such model: then it can't be saved.
    """
    try:
        plain = model.from_config(model.get_config())  # a clone would be compiled as the model is
        plain.set_weights(model.get_weights())
    except Exception as error:  # a model of one's own raises whatever it likes
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        reason = _why_not(model) or f"what get_config() says of it builds no such model ({reason})"
        raise ValueError(
            f"{model.name} can't be saved: {reason}; build it of Keras's layers by "
            "keras.Sequential or keras.Model(inputs, outputs), or keep its weights by save_weights"
        ) from error
    return plain


def _why_not(layer):
    """Return which layer in `layer` can't be made again (str), None if that is not the reason."""
    for inner in getattr(layer, "layers", []):
        kind = type(inner)
        if isinstance(inner, keras.layers.Lambda):
            return f"it has a Lambda, {inner.name}, whose Python code would have to be in the file"
        registered = keras.saving.get_registered_name(kind)
        is_own = not kind.__module__.startswith("keras.")
        if is_own and keras.saving.get_registered_object(registered) is not kind:
            return (
                f"its layer {inner.name} is a {kind.__name__}, which is not Keras's and not "
                "registered by keras.saving.register_keras_serializable"
            )
        if reason := _why_not(inner):
            return reason
    return None


def _save(plain, half_precision, path):
    plain.save(path)
    change_config(path, without_new_arguments)
    if half_precision:
        _halve(path)


def _without_locks(path, act, *, writes=False):
    """Return ``act(path)``; by a copy elsewhere if the file system has no locks for HDF5."""
    try:
        return act(path)
    except OSError as error:
        if "unable to lock file" not in str(error):
            raise
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        if not writes:
            shutil.copyfile(path, copy)
        result = act(copy)
        if writes:
            shutil.copyfile(copy, path)
        return result


def load_model(path):
    """Load the model at `path` (path-like, ``.keras`` or ``.h5``), not compiled.

    Returns
    -------
    keras.Model

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model file, a damaged one, or has anything but plain Keras layers; such a
        file runs nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no model there; train one with 'make run'")
    try:
        unknown, model = _without_locks(path, _load)
    except Exception as error:  # whatever Keras, zipfile and h5py raise on a damaged file
        raise ValueError(
            f"{path}: not a Keras model or a damaged one ({type(error).__name__}); "
            "restore it with git, or train one with 'make run'"
        ) from error
    if unknown:
        raise ValueError(
            f"{path}: has {unknown}, which is no plain Keras layer and may run code; "
            "build it from plain layers, or train another with 'make run'"
        )
    return model


def _load(path):
    """Return what is no plain layer in a file (str or None), and its model if all are."""
    unknown = next(_not_plain(_read_config(path)), None)
    return unknown, None if unknown else keras.models.load_model(path, compile=False)


def change_config(path, change):
    """Let `change` (function of a dict, which returns one) rewrite what a file says of its layers.

    `path` (pathlib.Path) is a ``.keras`` or ``.h5`` file; its weights stay as they are.
    """
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = change(json.loads(file.attrs["model_config"]))
            file.attrs["model_config"] = json.dumps(config).encode()
        return
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts["config.json"] = json.dumps(change(json.loads(parts["config.json"])))
    with zipfile.ZipFile(path, "w") as file:
        for name, part in parts.items():
            file.writestr(name, part)


def without_new_arguments(config):
    """Return `config` (dict or list, as JSON has it) without what older Keras doesn't know."""
    if isinstance(config, list):
        return list(map(without_new_arguments, config))
    if not isinstance(config, dict):
        return config
    return {
        name: without_new_arguments(part)
        for name, part in config.items()
        if name not in NEW_ARGUMENTS or part != NEW_ARGUMENTS[name]
    }


def _read_config(path):
    """Return what a model file says of its layers, a dict as Keras will read it."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as file:
            config = json.loads(file.read("config.json"))
            return {**config, "compile_config": None}  # as it is loaded
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def _not_plain(config):
    """Yield the name of each class or function in `config` that a plain layer has no use for."""
    if isinstance(config, dict) and "class_name" in config:
        name, module = config["class_name"], config.get("module") or "keras"
        of_keras = isinstance(module, str) and f"{module}.".startswith("keras.")
        is_own = config.get("registered_name") not in (None, name)
        if not isinstance(name, str) or name not in PLAIN or not of_keras or is_own:
            yield f"{module}.{config.get('registered_name') or name}"
    if isinstance(config, (dict, list)):
        for part in config.values() if isinstance(config, dict) else config:
            yield from _not_plain(part)


def _halve(path):
    """Store the weights of the model file at `path` as float16; Keras brings them back."""
    with tempfile.TemporaryDirectory() as folder:
        if path.suffix == ".h5":
            shutil.move(_halved(path, Path(folder) / "halved.h5"), path)
            return
        with zipfile.ZipFile(path) as file:
            file.extractall(folder)
        weights = Path(folder) / "model.weights.h5"
        shutil.move(_halved(weights, Path(folder) / "halved.h5"), weights)
        with zipfile.ZipFile(path, "w") as file:
            for part in sorted(Path(folder).iterdir()):
                file.write(part, part.name)


def _halved(source, target):
    """Copy an HDF5 file (both pathlib.Path), float32 arrays as float16, and return `target`."""
    largest = np.finfo(np.float16).max

    def copy(name, part):
        if isinstance(part, h5py.Dataset):
            values = part[()]
            if part.dtype == np.float32 and part.ndim > 1:  # a small variance would become zero
                if np.abs(values).max(initial=0) > largest:
                    raise ValueError(f"{name} has weights beyond {largest}; save it whole")
                values = values.astype(np.float16)
            copied = file.create_dataset(name, data=values)
        else:
            copied = file.require_group(name)
        copied.attrs.update(part.attrs)

    with h5py.File(source) as original, h5py.File(target, "w") as file:
        file.attrs.update(original.attrs)
        original.visititems(copy)
    return target
