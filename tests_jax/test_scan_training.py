"""Training in compiled scans against Keras's own, step by step; JAX takes the processor here."""

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
from jax import numpy as jnp
from keras import ops

from utils.pipeline.augment import views_to_average
from utils.training.jax_engine import augment, measure_on_device, train_in_scans, twin_of
from utils.training.models import model_4, whiten
from utils.training.optimizer import make_optimizer, one_cycle_schedule

EPOCHS, COUNT = 3, 24
SETTINGS = {
    "epochs": EPOCHS,
    "patch_size": COUNT,  # an epoch is one step, so that the order within it makes no difference
    "peak_rate_of_128": 0.5,
    "warm_up": 0.25,
    "momentum": 0.9,
    "weight_decay": 0.3,
    "label_smoothing": 0.2,
    "bias_rate": 16.0,
    "max_shift": 0,
    "cutout": None,
}


def draw_pictures(seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (COUNT, 32, 32, 3), np.uint8), random.integers(0, 10, COUNT)


def scaled(images):
    return images / np.float32(255)


IMAGES, LABELS = draw_pictures(0)
HELD_OUT = draw_pictures(1)


def build():
    model = model_4(width=(4, 6, 8))
    whiten(model, scaled(IMAGES))
    return model


def mirrored(number):
    """Return the training pictures of an epoch: each is mirrored in every second one."""
    images = IMAGES.copy()
    images[1 - number % 2 :: 2] = images[1 - number % 2 :: 2, :, ::-1]
    return scaled(images)


@pytest.fixture(scope="module")
def trained():
    """Three runs of three epochs; each a seed, a model, its history and seconds of compilation."""
    seeds = [0, 1, 0]
    return list(
        train_in_scans(build, seeds, (IMAGES, LABELS), HELD_OUT, SETTINGS, policy="float32")
    )


def train_by_keras(seed, kernel_rate=None, size=COUNT):
    """Return a model and each epoch's mean loss, in steps of `size` pictures in their order."""
    keras.utils.set_random_seed(seed)
    model = build()
    rate = one_cycle_schedule(0.5 * size / 128, EPOCHS * COUNT // size, warm_up=0.25)
    optimizer = make_optimizer(rate, 0.9, True, 0.3, 16.0, kernel_rate)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=0.2))
    targets = ops.one_hot(LABELS, 10)
    losses = []
    for number in range(EPOCHS):
        images = mirrored(number)
        parts = [slice(start, start + size) for start in range(0, COUNT, size)]
        losses.append(np.mean([model.train_on_batch(images[i], targets[i]) for i in parts]))
    return model, losses


def test_each_run_ends_where_keras_ends(trained):
    for seed, model, history, _ in trained[:2]:
        expected, losses = train_by_keras(seed)
        np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
        for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)


def test_with_a_kernel_rate_it_is_muon_step_by_step(monkeypatch):
    monkeypatch.setattr(jax.random, "permutation", lambda key, count: jnp.arange(count))
    settings = SETTINGS | {"kernel_rate": 0.5, "patch_size": COUNT // 3}
    ((_, model, history, _),) = train_in_scans(
        build, [0], (IMAGES, LABELS), HELD_OUT, settings, policy="float32"
    )
    expected, losses = train_by_keras(0, kernel_rate=0.5, size=COUNT // 3)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-3)
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=5e-3, atol=5e-3)


def test_the_history_tells_of_each_epoch_and_the_first_run_compiles(trained):
    compilations = [compilation for *_, compilation in trained]
    assert compilations[0] > 0 == sum(compilations[1:])
    for _, model, history, _ in trained:
        assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
            ("loss", "accuracy", "val_accuracy", "seconds"), EPOCHS
        )
        answers = model.predict(scaled(HELD_OUT[0]), verbose=0).argmax(1)
        assert history["val_accuracy"][-1] == pytest.approx(np.mean(answers == HELD_OUT[1]))
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_seeds_repeat_and_differ(trained):
    (_, first, history, _), (_, other, *_), (_, again, same, _) = trained
    assert history["loss"] == same["loss"]
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.get_weights()[-2], other.get_weights()[-2])


def test_a_teacher_answers_to_what_the_pupil_sees(trained):
    teacher = trained[0][1]
    settings = SETTINGS | {"peak_rate_of_128": 1e-9, "label_smoothing": 0.0}
    ((_, pupil, history, _),) = train_in_scans(
        build, [5], (IMAGES, LABELS), HELD_OUT, settings, teacher=teacher, policy="float32"
    )
    for number, loss in enumerate(history["loss"]):  # with such a rate the pupil stays as it was
        images = mirrored(number)
        expected = keras.losses.categorical_crossentropy(
            teacher(images, training=False), pupil(images, training=True)
        )
        assert loss == pytest.approx(float(ops.mean(expected)), rel=1e-5)


def test_fewer_pictures_than_a_patch_holds_are_refused():
    settings = SETTINGS | {"patch_size": COUNT + 1}
    with pytest.raises(ValueError, match="24 training pictures, patch_size is 25; lower it"):
        next(train_in_scans(build, [0], (IMAGES, LABELS), HELD_OUT, settings))


def test_a_loss_that_is_no_number_ends_the_run():
    runs = train_in_scans(
        build, [0], (IMAGES, LABELS), HELD_OUT, SETTINGS | {"peak_rate_of_128": 1e38}
    )
    with pytest.raises(FloatingPointError, match="model_4: the loss became nan in epoch 3; lower"):
        next(runs)


# ---- augmentation


def test_pictures_are_mirrored_and_shifted_each_in_its_own_way():
    key = keras.random.SeedGenerator(0).next()
    turned = np.arange(COUNT) % 3 == 0
    images = np.asarray(augment(IMAGES, turned, {"max_shift": 2}, key))
    assert images.dtype == np.uint8
    found = set()
    for image, original, turn in zip(images, IMAGES, turned, strict=True):
        source = np.pad(
            original[:, ::-1] if turn else original, ((2, 2), (2, 2), (0, 0)), "reflect"
        )
        places = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if np.array_equal(image, source[row : row + 32, column : column + 32])
        ]
        assert len(places) == 1
        found |= set(places)
    assert len(found) > 8
    assert {row for row, _ in found} == {column for _, column in found} == set(range(5))


def test_a_square_of_each_picture_is_painted_over():
    key = keras.random.SeedGenerator(0).next()
    nothing = np.zeros(COUNT, bool)
    images = np.asarray(augment(IMAGES, nothing, {"max_shift": 0, "cutout": 9}, key))
    mean = IMAGES.mean((0, 1, 2)).astype(np.uint8)
    corners = set()
    for image, original in zip(images, IMAGES, strict=True):
        rows, columns = np.nonzero((image != original).any(-1))
        top, left = rows.min(), columns.min()
        corners.add((top, left))
        assert rows.max() - top == columns.max() - left == 8
        np.testing.assert_array_equal(image[top : top + 9, left : left + 9], [[mean] * 9] * 9)
        assert len(rows) >= 80  # one of 81 may have had that colour before
    assert len(corners) > 12


# ---- the scores, and the twin


def test_scores_are_those_of_predictions(trained):
    model = trained[0][1]
    images = np.concatenate([draw_pictures(seed)[0] for seed in range(22)])  # more than one patch
    labels = np.random.default_rng(2).integers(0, 10, len(images))
    views = views_to_average(tf.constant(scaled(images)))
    views = [model.predict(view.numpy(), verbose=0, batch_size=500) for view in views]
    plain = model.predict(scaled(images), verbose=0, batch_size=500)
    scores = measure_on_device(model, images, labels)
    assert scores["test_images"] == len(images) == 528
    assert scores["parameters"] == model.count_params()
    assert scores["test_accuracy"] == pytest.approx(np.mean(plain.argmax(1) == labels))
    assert scores["test_accuracy_averaged"] == pytest.approx(
        np.mean(sum(views).argmax(1) == labels)
    )
    assert 0 < scores["test_macro_f1"] < 1
    assert 0 < scores["test_macro_f1_averaged"] < 1


def test_the_twin_computes_in_bfloat16_but_for_its_ends(trained):
    inner = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(2, 3)], name="inner")
    model = keras.Sequential([inner, keras.layers.Flatten(), keras.layers.Dense(2)])
    twin = twin_of(model, "mixed_bfloat16")
    assert [layer.compute_dtype for layer in twin.layers[0].layers] == ["bfloat16"]
    assert [layer.compute_dtype for layer in twin.layers[1:]] == ["bfloat16", "float32"]
    assert {weight.dtype for weight in twin.weights} == {"float32"}
    whitened = trained[0][1]
    twin = twin_of(whitened, "mixed_bfloat16")
    assert [v.trainable for v in twin.weights] == [v.trainable for v in whitened.weights]
    np.testing.assert_allclose(twin(scaled(IMAGES)), whitened(scaled(IMAGES)), atol=0.02)
