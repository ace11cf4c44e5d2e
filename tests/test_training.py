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
from folder_state import files_below, room_for
from killed import environment

from utils.load_patchs import read_image_labels
from utils.model_training_testing import one_cycle_schedule, train_and_evaluate_models
from utils.training import tensorflow_engine as training

PATCHES, EPOCHS = 4, 4
PROGRAM = """
import sys
from pathlib import Path
import test_training
from utils.training import twins as fast_training
fast_training.CPU_INFO = Path("none")  # float32, as in conftest
test_training.train(sys.argv[1], lambda: test_training.seeded_data(pause=0.2))
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


def train(folder, read=seeded_data, epochs=EPOCHS, peak=0.01, **options):
    """Train a small model on what `read` returns; return its weights and its history.

    Slowly: sums of two processes differ in their last bits, by where their memory lies, and a
    higher rate makes more of that.
    """
    options = {"bias_rate": 8.0, "label_smoothing": 0.1} | options
    model, data, validation = seeded_model(), read(), seeded_data()
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
        **options,
    )
    return model.get_weights(), history


def assert_same(one, other):
    for weight, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def uninterrupted():
    return train(None)


def test_a_killed_training_goes_on_and_ends_at_the_same_weights(tmp_path, uninterrupted):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path], env=environment())
    while not (tmp_path / "small.npz").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9
    with np.load(tmp_path / "small.npz") as file:
        assert '"steps": 4' in str(file["settings"])
        assert str(file["history"]).count(",") < 4 * EPOCHS  # it was stopped on its way
    weights, history = train(tmp_path)
    assert_same(weights, uninterrupted[0])
    assert history.epoch == [0, 1, 2, 3]
    for name, values in uninterrupted[1].history.items():
        if name != "seconds":
            assert history.history[name] == pytest.approx(values, rel=1e-4)


def test_a_finished_training_is_not_repeated(tmp_path, uninterrupted):
    train(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    names = {path.relative_to(tmp_path).as_posix() for path in stamps}
    assert names == {"small.npz", "best", "best/small.keras"}
    weights, history = train(tmp_path)
    assert_same(weights, uninterrupted[0])
    assert len(history.history["loss"]) == EPOCHS
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps


def validation_accuracy(path):
    model = keras.models.load_model(path)
    images, labels = next(iter(seeded_data().unbatch().batch(5 * PATCHES)))
    return float(np.mean(model(images).numpy().argmax(axis=1) == labels))


def interrupt_after(monkeypatch, epochs):
    """Let a training be interrupted when it has written that checkpoint."""

    def interrupt(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        if epoch + 1 == epochs:
            raise KeyboardInterrupt

    on_epoch_end = training._Keep.on_epoch_end
    monkeypatch.setattr(training._Keep, "on_epoch_end", interrupt)


def test_a_training_on_shuffled_cached_and_shifted_pictures_goes_on(
    tmp_path, monkeypatch, converted
):
    def pictures():
        dataset = read_image_labels(
            converted.train_names,
            25,
            (4, 4),
            images_directory=converted.images_directory,
            shuffle=True,
            cache="memory",
            max_shift=1,
            seed=0,
        )
        return dataset.map(lambda images, labels: (images, labels % 3))

    expected, _ = train(None, pictures)
    interrupt_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, pictures)
    weights, _ = train(tmp_path, pictures)
    assert_same(weights, expected)


def test_lookahead_is_the_average_done_by_hand(monkeypatch):
    monkeypatch.setattr(training.Lookahead, "INTERVAL", 3)
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(20, 6)).astype(np.float32), np.arange(20) % 3
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    average = start = model.get_weights()
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    for step in range(8):  # two epochs of four
        model.train_on_batch(images[step % 4 * 5 :][:5], labels[step % 4 * 5 :][:5])
        if step in (2, 3, 6, 7):
            kept = 0.95**5 * ((step + 1) / 8) ** 3
            pairs = zip(average, model.get_weights(), strict=True)
            average = [kept * old + (1 - kept) * new for old, new in pairs]
            model.set_weights(average)
    model.set_weights(start)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)
    train_and_evaluate_models([model], data, data, 2, None, True, 0.5, lookahead=True, verbose=0)
    assert_same(model.get_weights(), average)


def test_a_training_with_lookahead_goes_on(tmp_path, monkeypatch, uninterrupted):
    expected, _ = train(None, lookahead=True)
    interrupt_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lookahead=True)
    weights, _ = train(tmp_path, lookahead=True)
    assert_same(weights, expected)
    changed = zip(weights, uninterrupted[0], strict=True)
    assert max(np.abs(one - other).max() for one, other in changed) > 1e-3
    with pytest.raises(ValueError, match=r"a checkpoint of other settings, .*'lookahead': True"):
        train(tmp_path)


@pytest.mark.parametrize("stopped_after", [None, 4])
def test_the_best_epoch_is_kept_although_later_ones_are_worse(tmp_path, monkeypatch, stopped_after):
    settings = {"epochs": 6, "peak": 0.3, "bias_rate": 1, "label_smoothing": 0}
    if stopped_after:
        interrupt_after(monkeypatch, stopped_after)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, **settings)
    _, history = train(tmp_path, **settings)
    scores = history.history["val_accuracy"]
    assert max(scores) > max(scores[3:])
    assert validation_accuracy(tmp_path / "best" / "small.keras") == pytest.approx(max(scores))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 5},
        {"peak": 0.2},
        {"bias_rate": 4.0},
        {"label_smoothing": 0.2},
        {"label_smoothing": 0.0},
    ],
)
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


def train_on_spoiled_data(folder, factor):
    """Train on pictures that are multiplied by `factor` from the middle of the third epoch on."""
    patches = itertools.count()

    def spoil(images):
        return images * np.float32(1 if next(patches) < 2.5 * PATCHES else factor)

    def spoiled_later(images, labels):
        spoiled = tf.numpy_function(spoil, [images], tf.float32)
        return tf.ensure_shape(spoiled, images.shape), labels

    train_and_evaluate_models(
        [seeded_model()],
        seeded_data().map(spoiled_later),
        seeded_data(),
        EPOCHS,
        None,
        True,
        checkpoint_directory=folder,
        verbose=0,
    )


def assert_sound_checkpoint(folder):
    """All that was kept is finite; return the number of epochs."""
    best = keras.models.load_model(folder / "best" / "small.keras")
    assert all(np.isfinite(weight).all() for weight in best.get_weights())
    images, _ = next(iter(seeded_data()))
    assert np.isfinite(best(images)).all()  # huge weights are as bad
    with np.load(folder / "small.npz") as file:
        history = json.loads(str(file["history"]))
        arrays = [file[name] for name in file if name.isdigit()]
    assert history["loss"]
    assert np.isfinite([history["loss"], history["val_loss"]]).all()
    assert all(np.isfinite(array).all() for array in arrays)
    return len(history["loss"])


@pytest.mark.parametrize(
    ("factor", "error", "words"),
    [
        (np.nan, ValueError, "train_dataset has a pixel that is NaN or infinite"),
        (np.inf, ValueError, "train_dataset has a pixel that is NaN or infinite"),
        (3e38, ValueError, "train_dataset has pixels from"),
    ],
)
def test_what_is_not_finite_stops_and_leaves_the_checkpoint_before_it(
    tmp_path, factor, error, words
):
    with pytest.raises(error, match=words):
        train_on_spoiled_data(tmp_path, factor)
    assert files_below(tmp_path).keys() == {"small.npz", "best/small.keras"}
    assert_sound_checkpoint(tmp_path)


def test_weights_that_the_last_step_of_an_epoch_spoils_are_not_kept(tmp_path):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([2 * PATCHES - 2], [0.01, 1e38])
    data = seeded_data()
    with pytest.raises(FloatingPointError, match=r"small: the loss became (nan|inf) in epoch 2"):
        train_and_evaluate_models(
            [seeded_model()],
            data,
            data,
            EPOCHS,
            None,
            True,
            rate,
            checkpoint_directory=tmp_path,
            verbose=0,
        )
    assert assert_sound_checkpoint(tmp_path) == 1


def test_full_disk_stops_the_training_and_the_checkpoint_before_it_serves(
    tmp_path, monkeypatch, uninterrupted
):
    save, kept = training.save_checkpoint, []

    def save_once(*arguments):
        with room_for(1000 if kept else 1_000_000):
            save(*arguments)
        kept.append((tmp_path / "small.npz").read_bytes())

    monkeypatch.setattr(training, "save_checkpoint", save_once)
    with pytest.raises(OSError, match="File too large"):
        train(tmp_path)
    monkeypatch.undo()
    files = files_below(tmp_path)
    assert files.keys() == {"small.npz", "best/small.keras"}
    assert files["small.npz"] == kept[0]
    weights, _ = train(tmp_path)
    assert_same(weights, uninterrupted[0])


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nobody"])
def test_checkpoints_that_nobody_can_write_are_noticed_before_any_data_is_read(tmp_path, place):
    (tmp_path / "file").touch()

    def never():
        raise AssertionError("the data was read")
        yield

    data = tf.data.Dataset.from_generator(never, output_signature=seeded_data().element_spec)
    with pytest.raises(OSError, match=f"{place}: nothing can be written there"):
        train_and_evaluate_models(
            [seeded_model()], data, data, 1, None, True, checkpoint_directory=tmp_path / place
        )
    assert files_below(tmp_path) == {"file": b""}
