"""A model file in, ``.keras`` or ``.h5``; the model out, if it consists of plain Keras layers.

A model file says which classes and functions are to be looked up and called, and can hold code of
its own (Lambda). So what it says is read as text first, and anything but a plain layer is refused.
"""

import json
import zipfile
from pathlib import Path

import h5py
import keras

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
PLAIN = (PLAIN | {"Functional", "__keras_tensor__", "__tuple__"}) - UNSAFE


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
        unknown = next(_not_plain(_read_config(path)), None)
        model = None if unknown else keras.models.load_model(path, compile=False)
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
