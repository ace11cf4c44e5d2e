"""Training in compiled scans against Keras's own, step by step; JAX takes the processor here."""

from dataclasses import replace
from typing import NamedTuple

import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp
from keras import ops

from experiments.data import Data, Pictures
from experiments.recipes import Recipe
from experiments.training import evaluate
from utils.evaluation.scores import six_views
from utils.training import jax_engine
from utils.training.jax_engine import augment, train_in_scans, twin_of
from utils.training.models import model_4
from utils.training.optimizer import make_optimizer, one_cycle_schedule
from utils.training.whitening import whiten

EPOCHS, COUNT = 3, 24
RECIPE = Recipe(
    network="model_4",
    epochs=EPOCHS,
    width=(4, 6, 8),
    batch_size=COUNT,  # an epoch is one step, so that the order within it makes no difference
    learning_rate=0.5,
    momentum=0.9,
    weight_decay=0.3,
    label_smoothing=0.2,
    bias_lr_scale=16.0,
    translate=0,
    flip="alternate",
)


def draw_pictures(seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (COUNT, 32, 32, 3), np.uint8), random.integers(0, 10, COUNT)


def scaled(images):
    return images / np.float32(255)


class Parts(NamedTuple):
    train: tuple
    validation: tuple


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


def train(seed, recipe=RECIPE, **options):
    """Train as a run does; returns the model, its history (dict) and the facts."""
    keras.utils.set_random_seed(seed)
    model = build()
    data = (IMAGES, LABELS), HELD_OUT
    options = {"policy": "float32", "verbose": 0, **options}
    history, facts = train_in_scans(model, recipe, Parts(*data), seed=seed, **options)
    return model, history.history, facts


@pytest.fixture(scope="module")
def trained():
    """Three runs of three epochs, of seeds 0, 1, 0."""
    return [train(seed) for seed in (0, 1, 0)]


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
    for seed, (model, history, _) in enumerate(trained[:2]):
        expected, losses = train_by_keras(seed)
        np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
        for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)


def test_with_a_kernel_rate_it_is_muon_step_by_step(monkeypatch):
    monkeypatch.setattr(jax.random, "permutation", lambda key, count: jnp.arange(count))
    model, history, _ = train(0, replace(RECIPE, muon_lr_scale=0.5, batch_size=COUNT // 3))
    expected, losses = train_by_keras(0, kernel_rate=0.5, size=COUNT // 3)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-3)
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=5e-3, atol=5e-3)


def test_the_history_tells_of_each_epoch_and_the_first_run_compiles(trained):
    compilations = [facts["compilation_seconds"] for *_, facts in trained]
    assert compilations[0] > 0 == sum(compilations[1:])
    for model, history, facts in trained:
        assert (facts["engine"], facts["bfloat16"]) == ("jax", False)
        assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
            ("loss", "accuracy", "val_accuracy", "seconds"), EPOCHS
        )
        answers = model.predict(scaled(HELD_OUT[0]), verbose=0).argmax(1)
        assert history["val_accuracy"][-1] == pytest.approx(np.mean(answers == HELD_OUT[1]))
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_seeds_repeat_and_differ(trained):
    (first, history, _), (other, *_), (again, same, _) = trained
    assert history["loss"] == same["loss"]
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.get_weights()[-2], other.get_weights()[-2])


def test_a_teacher_answers_to_what_the_pupil_sees(trained):
    teacher = trained[0][0]
    recipe = replace(RECIPE, learning_rate=1e-9, label_smoothing=0.0)
    pupil, history, _ = train(5, recipe, teacher=teacher)
    for number, loss in enumerate(history["loss"]):  # with such a rate the pupil stays as it was
        images = mirrored(number)
        expected = keras.losses.categorical_crossentropy(
            teacher(images, training=False), pupil(images, training=True)
        )
        assert loss == pytest.approx(float(ops.mean(expected)), rel=1e-5)


def test_fewer_pictures_than_a_batch_holds_are_refused():
    with pytest.raises(ValueError, match="24 training pictures, batch_size is 25; lower it"):
        train(0, replace(RECIPE, batch_size=COUNT + 1))


def test_callbacks_are_refused_and_not_forgotten():
    with pytest.raises(ValueError, match="can call no callbacks; leave them out or use"):
        train(0, callbacks=[keras.callbacks.TerminateOnNaN()])


def test_a_loss_that_is_no_number_ends_the_run():
    recipe = replace(RECIPE, learning_rate=1e38)
    with pytest.raises(FloatingPointError, match="model_4: the loss became nan in epoch 3; lower"):
        train(0, recipe, policy="mixed_bfloat16")


def test_fewer_steps_an_epoch_are_taken_as_asked_for():
    recipe = replace(RECIPE, batch_size=COUNT // 3, steps_per_epoch=1, epochs=2)
    model, *_ = train(0, recipe)
    one, *_ = train(0, replace(recipe, learning_rate=1e-30))
    moved = [
        np.abs(a - b).max() for a, b in zip(model.get_weights(), one.get_weights(), strict=True)
    ]
    assert max(moved) > 0


@pytest.mark.parametrize("flip", ["random", None])
def test_pictures_are_flipped_as_the_recipe_says(flip, monkeypatch):
    seen = []

    def note(images, mirrored, *others):
        jax.debug.callback(lambda flags: seen.append(np.asarray(flags)), mirrored)
        return images

    monkeypatch.setattr(jax_engine, "augment", note)
    train(0, replace(RECIPE, flip=flip))
    jax.effects_barrier()
    shares = [flags.mean() for flags in seen]
    assert len(shares) == EPOCHS
    if flip is None:
        assert not any(shares)
    else:
        assert 0.1 < np.mean(shares) < 0.9
        assert any((flags != seen[0]).any() and (flags == seen[0]).any() for flags in seen[1:])


# ---- augmentation


def test_pictures_are_mirrored_and_shifted_each_in_its_own_way():
    key = keras.random.SeedGenerator(0).next()
    turned = np.arange(COUNT) % 3 == 0
    images = np.asarray(augment(IMAGES, turned, 2, None, key))
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
    images = np.asarray(augment(IMAGES, nothing, 0, 9, key))
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
    model = trained[0][0]
    images = np.concatenate([draw_pictures(seed)[0] for seed in range(22)])  # more than one batch
    labels = np.random.default_rng(2).integers(0, 10, len(images))
    pictures = Pictures(images, labels)
    views = [model.predict(scaled(view), verbose=0, batch_size=500) for view in six_views(images)]
    plain = model.predict(scaled(images), verbose=0, batch_size=500)
    scores = evaluate(model, Data(pictures, Pictures(*HELD_OUT), pictures))
    assert scores["test"]["pictures"] == len(images) == 528
    assert scores["test"]["accuracy"] == pytest.approx(np.mean(plain.argmax(1) == labels))
    right = sum(views).argmax(1) == labels
    assert scores["test_six_views"]["accuracy"] == pytest.approx(right.mean())
    assert 0 < scores["test"]["macro_f1"] < 1


def test_operations_and_layers_of_another_dtype_stay_as_they_are():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(3, 3, padding="same")(inputs)
    x = keras.layers.Flatten()(keras.ops.relu(x + inputs))
    x = keras.layers.ReLU(dtype="float16")(keras.layers.Dense(10)(x))
    model = keras.Model(inputs, keras.layers.Activation("softmax")(x))
    twin = twin_of(model, "mixed_bfloat16")
    assert [one.compute_dtype for one in twin.layers[-2:]] == ["float16", "float32"]
    (convolution,) = [one for one in twin.layers if isinstance(one, keras.layers.Conv2D)]
    assert convolution.compute_dtype == "bfloat16"
    np.testing.assert_allclose(twin(scaled(IMAGES)), model(scaled(IMAGES)), atol=0.02)


def test_the_twin_computes_in_bfloat16_but_for_its_ends(trained):
    inner = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(2, 3)], name="inner")
    model = keras.Sequential([inner, keras.layers.Flatten(), keras.layers.Dense(2)])
    twin = twin_of(model, "mixed_bfloat16")
    assert [layer.compute_dtype for layer in twin.layers[0].layers] == ["bfloat16"]
    assert [layer.compute_dtype for layer in twin.layers[1:]] == ["bfloat16", "float32"]
    assert {weight.dtype for weight in twin.weights} == {"float32"}
    whitened = trained[0][0]
    twin = twin_of(whitened, "mixed_bfloat16")
    assert [v.trainable for v in twin.weights] == [v.trainable for v in whitened.weights]
    np.testing.assert_allclose(twin(scaled(IMAGES)), whitened(scaled(IMAGES)), atol=0.02)
