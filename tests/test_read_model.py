"""Model files that others made are read, refused or named, and run nothing."""

import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from utils.base.cifar10 import ROOT
from utils.results.model_files import load_model

SUFFIXES = (".keras", ".h5")
SHAPE = (4, 4, 3)


def model_of(*middle, **options):
    layers = [keras.Input(SHAPE), *middle, keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential(layers, **options)


def branching_model():
    """A model in a model, with a merge, a wrapper, a regularizer, a constraint and a policy."""
    inner = model_of(keras.layers.Conv2D(2, 1, kernel_regularizer="l2", bias_constraint="non_neg"))
    inputs = keras.Input((2, *SHAPE))
    left = keras.layers.TimeDistributed(inner)(inputs)
    right = keras.layers.Activation("swish", dtype="mixed_float16")(left)
    return keras.Model(inputs, keras.layers.Concatenate()([left, right]))


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    """Where a model file goes, in either format."""
    return tmp_path / f"model{request.param}"


@pytest.mark.parametrize("build", [model_of, branching_model])
def test_a_model_of_plain_layers_answers_as_before(path, build):
    model = build()
    model.save(path)
    images = np.random.default_rng(0).random((5, *model.input_shape[1:]), np.float32)
    loaded = load_model(path)
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)
    assert not loaded.compiled


def mean_output(y_true, y_pred):
    return keras.ops.mean(y_pred)


def test_a_loss_of_ones_own_is_left_out(path):
    model = model_of()
    model.compile("sgd", loss=mean_output)
    model.save(path)
    assert not load_model(path).compiled


# ---- damaged or of something else


def test_a_missing_file_is_named_with_the_remedy(path):
    with pytest.raises(FileNotFoundError, match=f"{path}: no model there; train one"):
        load_model(path)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named_with_the_remedy(path, share):
    model_of().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=f"{path}: not a Keras model or a damaged one") as caught:
        load_model(path)
    assert "train one with 'make run'" in str(caught.value)


def write_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "no model")


def write_list(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "[]")


def write_weights(path):
    model_of().save_weights(path.with_name("model.weights.h5"))
    path.with_name("model.weights.h5").rename(path)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "no JSON"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("some text"),
        *(write_zip, write_list, write_weights, write_hdf5),
    ],
)
def test_a_file_of_something_else_is_named(path, write):
    write(path)
    with pytest.raises(ValueError, match=f"{path}: not a Keras model or a damaged one"):
        load_model(path)


def test_a_file_whose_weights_do_not_fit_is_named(path):
    model_of().save(path)
    change_config(path, lambda text: text.replace('"units": 10', '"units": 11'))
    with pytest.raises(ValueError, match=f"{path}: not a Keras model or a damaged one"):
        load_model(path)


# ---- code


def change_config(path, change):
    """Change the text in a model file that describes its layers."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = change(file.attrs["model_config"])
        return
    shutil.copy(path, path.with_suffix(".old"))
    with zipfile.ZipFile(path.with_suffix(".old")) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "config.json" else content)


@keras.saving.register_keras_serializable("tests")
class Payload(keras.layers.Layer):
    """A layer that leaves a mark when it is made from a file."""

    mark = None

    @classmethod
    def from_config(cls, config):
        if cls.mark:
            cls.mark.touch()
        return super().from_config(config)


def payloads(mark):
    """Return models that leave a mark when they are loaded."""
    touch = keras.layers.Lambda(lambda x: __import__("pathlib").Path(mark).touch() or x)
    flat = [keras.Input(SHAPE), keras.layers.Flatten()]
    return {
        "Lambda": model_of(touch),
        "Lambda in a model in the model": keras.Sequential([*flat, keras.Sequential([touch])]),
        "Lambda in a wrapper": model_of(keras.layers.TimeDistributed(touch)),
        "class of one's own": model_of(Payload()),
    }


@pytest.mark.parametrize("kind", payloads(""))
def test_code_in_a_file_is_refused_and_not_run(path, tmp_path, kind, monkeypatch):
    mark = tmp_path / "mark"
    payloads(str(mark))[kind].save(path)
    monkeypatch.setattr(Payload, "mark", mark)
    mark.unlink(missing_ok=True)
    name = "tests>Payload" if "class" in kind else "Lambda"
    with pytest.raises(ValueError, match=f"{path}: has .*{name}, which is no plain Keras layer"):
        load_model(path)
    assert not mark.exists()
    keras.models.load_model(path, compile=False, safe_mode=False)
    assert mark.exists()  # the payload is a real one


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"class_name": "system", "module": "os"}, "os.system"),
        ({"class_name": "Flatten", "module": "evil.layers"}, "evil.layers.Flatten"),
        ({"class_name": "Flatten", "module": "keras_hub"}, "keras_hub.Flatten"),
        ({"class_name": "get_file", "module": "keras.utils"}, "keras.utils.get_file"),
        ({"class_name": "function", "config": "save_img"}, "function"),
        ({"class_name": "__lambda__", "config": {"value": "4wA="}}, "__lambda__"),
        ({"class_name": "TFSMLayer", "config": {"filepath": "/tmp"}}, "TFSMLayer"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}, "StringLookup"),
        ({"registered_name": "cifar10>FusedBatchNormalization"}, "cifar10>FusedBatch"),
        ({"class_name": ["Flatten"]}, "Flatten"),
        ({"class_name": None}, "None"),
    ],
)
def test_what_is_no_plain_layer_is_named(path, change, named):
    def replace(text):
        config = json.loads(text)
        config["config"]["layers"][1].update(change)
        return json.dumps(config)

    model_of().save(path)
    change_config(path, replace)
    with pytest.raises(ValueError, match="which is no plain Keras layer") as caught:
        load_model(path)
    assert named in str(caught.value)


def test_all_that_the_tools_and_the_experiments_read_is_read_here():
    folders = ("experiments", "tools", "utils")
    files = [ROOT / "app.py", *(p for folder in folders for p in (ROOT / folder).rglob("*.py"))]
    readers = {path.name for path in files if "models.load_model(" in path.read_text("utf-8")}
    assert readers == {"model_files.py", "deploy_model.py"}  # that in the text of a card
