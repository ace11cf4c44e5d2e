"""The published Keras files: asked in any way they answer the same and stay the same."""

import os
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from utils.base.cifar10 import ROOT
from utils.results.model_files import load_model, save_model
from utils.training.models import model_1, model_2, model_3, model_4

PUBLISHED = sorted(path for path in (ROOT / "models").iterdir() if path.suffix in (".keras", ".h5"))
OLDEST = "3.5.0"  # of Keras that the files load in; the README says so
BUILDERS = {
    "model_1": lambda: model_1((32, 48, 3), 7),
    "model_2": lambda: model_2((32, 32, 3), weights=None, trainable=True),
    "model_2 enlarging": lambda: model_2((32, 32, 3), weights=None, trainable=True, resize_to=64),
    "model_2 frozen": lambda: model_2((32, 32, 3), weights=None, resize_to=64),
    "model_3 enlarging": lambda: model_3((32, 32, 3), weights=None, trainable=True, resize_to=40),
    "model_4": lambda: model_4((40, 32, 3), 120, width=(8, 8, 8), depth=3),
}


def assert_answers_the_same_and_stays(model):
    images = np.random.default_rng(0).random((5, *model.input_shape[1:]), np.float32)
    before = model.get_weights()
    called = np.asarray(model(images))
    one_by_one = np.concatenate([model(images[i : i + 1]) for i in range(5)])
    predicted = model.predict(images, verbose=0)
    np.testing.assert_allclose(one_by_one, called, atol=1e-4)
    np.testing.assert_allclose(predicted, called, atol=1e-4)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("name", BUILDERS)
def test_no_call_of_a_built_model_changes_it(name):
    assert_answers_the_same_and_stays(BUILDERS[name]())


@pytest.mark.parametrize(
    "path", [path for path in PUBLISHED if path.suffix == ".keras"], ids=lambda path: path.stem
)
def test_no_call_of_a_published_model_changes_it(path):
    assert_answers_the_same_and_stays(load_model(path))


LOAD = """
import sys, keras, numpy as np
assert keras.__version__ == sys.argv[1], keras.__version__
for path in sys.argv[3:]:
    model = keras.models.load_model(path, compile=False)
    images = np.load(sys.argv[2])
    np.save(path + ".npy", model.predict(images, verbose=0))
"""


@pytest.mark.skipif(
    "TEST_OLD_KERAS" not in os.environ,
    reason="set TEST_OLD_KERAS=1 to load the published files in the oldest Keras that can",
)
def test_the_published_files_answer_the_same_in_an_older_keras(tmp_path):
    keras_folder, images = tmp_path / "keras", np.random.default_rng(0).random((4, 32, 32, 3))
    install = ["-m", "pip", "install", "-q", "--no-deps", "--target", keras_folder]
    subprocess.run([sys.executable, *install, f"keras=={OLDEST}"], check=True)
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    copies = []
    for path in PUBLISHED:
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    copies += save_model(model_1(), tmp_path)
    subprocess.run(
        [sys.executable, "-c", LOAD, OLDEST, tmp_path / "images.npy", *copies],
        check=True,
        env=os.environ | {"PYTHONPATH": str(keras_folder)},
    )
    for path in copies:
        expected = load_model(path).predict(images.astype(np.float32), verbose=0)
        np.testing.assert_allclose(np.load(f"{path}.npy"), expected, atol=1e-4)


def _configuration(path):
    """Return what a model file says of its layers (str)."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return file.attrs["model_config"]
    with zipfile.ZipFile(path) as file:
        return file.read("config.json").decode()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_says_nothing_new_is_left_out_of_a_saved_file(tmp_path, suffix):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Resizing(16, 16, antialias=True)(inputs, training=False)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(x))
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x))
    (path,) = save_model(keras.Model(inputs, outputs, name="m"), tmp_path, suffixes=[suffix])
    content = _configuration(path)
    for name in ("input_axes", "quantization_config", "renorm", '"optional"', '"ragged"'):
        assert name not in content
    loaded = load_model(path)
    assert loaded.layers[1].antialias is True
    assert loaded.layers[1].get_config()["pad_to_aspect_ratio"] is False
