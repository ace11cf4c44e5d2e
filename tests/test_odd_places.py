"""File systems without locks, many threads, and settings of Keras that nobody here expects."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import keras
import numpy as np
import pytest
from small_models import small_data, small_images, small_model

from utils.base.cifar10 import ROOT
from utils.base.files import locked, write_text
from utils.model_training_testing import model_1, model_4, train_and_evaluate_models
from utils.results.model_files import load_model, save_model
from utils.training.whitening import whiten


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_nothing_can_be_locked_one_still_works_after_the_other(tmp_path, monkeypatch, number):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    inside, most = [], []

    def work(_):
        with locked(tmp_path):
            inside.append(threading.get_ident())
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert most == [1] * 4


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_models_are_saved_and_loaded_where_hdf5_gets_no_lock(tmp_path, monkeypatch, suffix):
    class Locking(h5py.File):
        """Fails as HDF5 does for files below the folder `odd`."""

        def __init__(self, name, *args, **options):
            if "odd" in str(name):
                raise OSError("Unable to open file (unable to lock file, errno = 37)")
            super().__init__(name, *args, **options)

    monkeypatch.setattr(h5py, "File", Locking)
    model = small_model()
    (path,) = save_model(model, tmp_path / "odd", suffixes=[suffix])
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    np.testing.assert_array_equal(load_model(path)(small_images(4)), model(small_images(4)))


def test_many_threads_write_the_same_file(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: write_text(tmp_path / "a.txt", f"{number}" * 999), range(64)))
    assert len(set((tmp_path / "a.txt").read_text())) <= 2
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_channels_first_are_refused_before_anything_is_built_or_trained():
    model = small_model()
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="image_data_format is channels_first"):
            model_1()
        with pytest.raises(ValueError, match="image_data_format is channels_first"):
            train_and_evaluate_models([model], small_data(), small_data(), 1, 5, True)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_is_whitened_in_mixed_precision(policy):
    images = np.random.default_rng(0).random((20, 32, 32, 3), np.float32)
    keras.config.set_dtype_policy(policy)
    try:
        model = model_4(width=(8, 8, 8))
        whiten(model, images)
    finally:
        keras.config.set_dtype_policy("float32")
    plain = model_4(width=(8, 8, 8))
    whiten(plain, images)
    kernels = [np.abs(one.get_layer("whitening").kernel) for one in (model, plain)]
    np.testing.assert_allclose(*kernels, atol=0.5)


OTHER_BACKEND = """
import keras, numpy as np
from utils.model_training_testing import predict, train_and_evaluate_models
layers = [keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
model = keras.Sequential(layers)
images, labels = np.random.default_rng(0).random((9, 2, 2, 3), np.float32), np.arange(9) % 3
for views in (False, True):
    predictions = predict(model, (images, labels), test_time_augmentation=views)[2]
assert len(predictions) == 9
try:
    train_and_evaluate_models([model], (images, labels), (images, labels), 1, 3, True)
except ValueError as error:
    print(error)
"""


def test_another_backend_predicts_and_is_told_from_the_start_that_it_does_not_train():
    pytest.importorskip("jax")
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", OTHER_BACKEND]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert "Keras's backend is jax, but this trains by TensorFlow; set KERAS_BACKEND" in done.stdout


MIRRORED = """
import keras, numpy as np, tensorflow as tf
from utils.model_training_testing import predict
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
layers = [keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = keras.Sequential(layers)
images, labels = np.random.default_rng(0).random((9, 2, 2, 3), np.float32), np.arange(9) % 3
_, _, predictions, found, shares = predict(model, (images, labels), return_probabilities=True)
assert found.tolist() == labels.tolist()
kernel, bias = model.get_weights()
np.testing.assert_array_equal(predictions, np.argmax(images.reshape(9, -1) @ kernel + bias, 1))
print(shares.shape)
"""


def test_a_model_on_two_devices_predicts_each_picture_once():
    command, environment = [sys.executable, "-c", MIRRORED], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert "(9, 3)" in done.stdout


def test_what_cannot_be_saved_is_explained(tmp_path):
    class Own(keras.Model):
        """A model that doesn't say how it was made."""

        def __init__(self, width):
            super().__init__(name="own")
            self.dense = keras.layers.Dense(width)

        def call(self, inputs):
            return self.dense(inputs)

    model = Own(3)
    model(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"own can't be saved: .* build it of Keras's layers"):
        save_model(model, tmp_path)


class Doubled(keras.layers.Layer):
    """A layer that is registered nowhere."""

    def call(self, inputs):
        return 2 * inputs


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            lambda: keras.layers.Lambda(lambda x: 2 * x, name="twice"),
            "it has a Lambda, twice, ",
        ),
        (
            lambda: Doubled(name="twice"),
            "its layer twice is a Doubled, which is not Keras's",
        ),
    ],
)
def test_a_layer_that_cannot_be_saved_is_named(tmp_path, layer, words):
    inner = keras.Sequential([keras.Input((4,)), layer()])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)], name="own")
    with pytest.raises(ValueError, match=f"own can't be saved: {words}"):
        save_model(model, tmp_path)
