"""A training that is killed and started again ends as one that was never interrupted."""

import itertools
import json
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.download_handle_data import ROOT
from utils.model_training_testing import one_cycle_schedule, train_and_evaluate_models

PATCHES, EPOCHS = 4, 4
PROGRAM = """
import sys
from tests import test_training
test_training.train(sys.argv[1], pause=0.2)
"""


def seeded_data(pause=0):
    """Shuffled patches, another order in each pass; `pause` in seconds before each patch."""
    random = np.random.default_rng(0)
    images = random.random((5 * PATCHES, 4, 4, 3), np.float32)
    labels = random.integers(0, 3, len(images)).astype(np.int32)
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    dataset = dataset.shuffle(len(images), seed=1).batch(5)

    def wait(labels):
        time.sleep(pause)
        return labels

    def slowly(images, labels):
        return images, tf.ensure_shape(tf.numpy_function(wait, [labels], tf.int32), labels.shape)

    return dataset.map(slowly) if pause else dataset


def seeded_model():
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((4, 4, 3)),
        keras.layers.Conv2D(4, 3),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential(layers, name="small")


def train(folder, pause=0, epochs=EPOCHS, peak=0.1):
    """Train a small model; return its weights and its history."""
    model, data, validation = seeded_model(), seeded_data(pause), seeded_data()
    schedule = one_cycle_schedule(peak, PATCHES * epochs)
    _, history = train_and_evaluate_models(
        [model],
        data,
        validation,
        epochs,
        None,
        True,
        schedule,
        checkpoint_directory=folder,
        verbose=0,
    )
    return model.get_weights(), history


def assert_same(one, other):
    for weight, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def uninterrupted():
    return train(None)


def test_a_killed_training_goes_on_and_ends_at_the_same_weights(tmp_path, uninterrupted):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path], cwd=ROOT)
    while not (tmp_path / "small.npz").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9
    with np.load(tmp_path / "small.npz") as file:
        assert '"epochs": 4' in str(file["settings"])
        assert str(file["history"]).count(",") < 4 * EPOCHS  # it was stopped on its way
    weights, history = train(tmp_path)
    assert_same(weights, uninterrupted[0])
    assert history.epoch == [0, 1, 2, 3]
    for name, values in uninterrupted[1].history.items():
        if name != "seconds":
            assert history.history[name] == pytest.approx(values, rel=1e-4)


def test_a_finished_training_is_not_repeated(tmp_path, uninterrupted):
    train(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {path.name for path in stamps} == {"small.npz"}
    weights, history = train(tmp_path)
    assert_same(weights, uninterrupted[0])
    assert len(history.history["loss"]) == EPOCHS
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps


@pytest.mark.parametrize("change", [{"epochs": 5}, {"peak": 0.2}])
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, change):
    train(tmp_path)
    with pytest.raises(ValueError, match=r"small\.npz: a checkpoint of other settings"):
        train(tmp_path, **change)


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_a_damaged_checkpoint_is_named(tmp_path, keep):
    train(tmp_path)
    path = tmp_path / "small.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"small\.npz: a damaged checkpoint; delete it"):
        train(tmp_path)


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_before_it(tmp_path):
    patches = itertools.count()

    def spoil(images):
        return images * np.float32(1 if next(patches) < 2.5 * PATCHES else np.nan)

    def spoiled_later(images, labels):
        spoiled = tf.numpy_function(spoil, [images], tf.float32)
        return tf.ensure_shape(spoiled, images.shape), labels

    with pytest.raises(FloatingPointError, match="small: the loss became nan"):
        train_and_evaluate_models(
            [seeded_model()],
            seeded_data().map(spoiled_later),
            seeded_data(),
            EPOCHS,
            None,
            True,
            checkpoint_directory=tmp_path,
            verbose=0,
        )
    with np.load(tmp_path / "small.npz") as file:
        losses = json.loads(str(file["history"]))["loss"]
        arrays = [file[name] for name in file if name.isdigit()]
    assert losses
    assert np.isfinite(losses).all()
    assert all(np.isfinite(array).all() for array in arrays)
