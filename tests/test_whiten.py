"""Model 4 before, in and after training: identity at first, whitening that stays, a twin alike."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.model_training_testing import model_1, model_4, train_and_evaluate_models
from utils.training import tensorflow_engine as training
from utils.training.twins import training_twin
from utils.training.whitening import whiten

TINY = (4, 30, 6)  # filters of each block


def smooth_images(count=8, shape=(32, 32, 3)):
    """Images in which neighbours and channels are much alike, as in photographs."""
    images = np.random.default_rng(count).random((count, *shape), np.float32)
    images = (images + np.roll(images, 1, axis=1) + np.roll(images, 1, axis=2)) / 3
    return (images + images.mean(axis=-1, keepdims=True)) / 2


def whitened(depth):
    """A small Model 4 of that depth, whitened for `smooth_images()`."""
    keras.utils.set_random_seed(0)
    model = model_4(width=TINY, depth=depth)
    whiten(model, smooth_images())
    return model


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])


def test_at_first_the_convolutions_hand_the_channels_on():
    model = model_4(width=TINY, depth=3)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 10
    for layer in convolutions[1:]:
        inputs = np.random.default_rng(0).random((2, 5, 5, layer.input.shape[-1]), np.float32)
        outputs = layer(inputs).numpy()
        handed_on = min(inputs.shape[-1], outputs.shape[-1])
        np.testing.assert_allclose(outputs[..., :handed_on], inputs[..., :handed_on], atol=1e-6)
        assert (outputs[..., handed_on:].std(axis=(0, 1, 2)) > 0.01).all()


def squares_of(model, images):
    """Return the twelve components of each 2x2 square, shape (N, 12).

    The layer gives gelu(x) of them and of their negatives, and gelu(x) - gelu(-x) = x.
    """
    layer = model.get_layer("whitening")
    outputs = keras.Model(model.input, layer.output)(images).numpy()
    return (outputs[..., :12] - outputs[..., 12:]).reshape(-1, 12)


def test_whitened_squares_have_unit_variance_and_no_correlation():
    images = smooth_images(200, (32, 48, 3))
    model = model_4(images.shape[1:], width=TINY)
    before = squares_of(model, images)
    assert np.abs(before.T @ before / len(before) - np.eye(12)).max() > 0.5
    whiten(model, images)
    squares = squares_of(model, images)
    assert np.abs(squares.T @ squares / len(squares) - np.eye(12)).max() < 0.1
    # It holds for other pictures of the kind, too.
    others = squares_of(model, smooth_images(100, images.shape[1:]))
    assert np.abs(others.T @ others / len(others) - np.eye(12)).max() < 0.15


def test_flat_images_are_whitened_without_blowing_up():
    model = model_4(width=TINY)
    whiten(model, np.full((4, 32, 32, 3), 0.3, np.float32))
    assert np.abs(squares_of(model, smooth_images())).max() < 1000


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (smooth_images(2)[:0], r"shape \(0, 32, 32, 3\), expected one or more of \(32, 32, 3\)"),
        (smooth_images(2)[0], r"shape \(32, 32, 3\), expected"),
        (smooth_images(2)[:, :31], r"shape \(2, 31, 32, 3\), expected"),
        (smooth_images(2) * 255, r"go from .* to .*, expected 0 to 1; divide"),
        (smooth_images(2) - 0.5, "expected 0 to 1"),
        (smooth_images(2) * np.nan, "go from nan to nan"),
    ],
    ids=["none", "one", "cropped", "bytes", "centred", "NaN"],
)
def test_images_that_the_model_does_not_take_are_refused(images, words):
    model = model_4(width=TINY)
    before = model.get_layer("whitening").get_weights()
    with pytest.raises(ValueError, match=words):
        whiten(model, images)
    np.testing.assert_array_equal(model.get_layer("whitening").get_weights()[0], before[0])


def test_a_model_without_whitening_is_refused():
    with pytest.raises(ValueError, match="model_1 has no layer 'whitening'"):
        whiten(model_1(), smooth_images())


@pytest.mark.parametrize("twin", [training_twin, lambda model, tell: model], ids=["twin", "plain"])
def test_training_changes_the_biases_of_the_whitening_only(twin, monkeypatch, without_gpu):
    monkeypatch.setattr(training, "training_twin", twin)
    model = whitened(depth=2)
    before = model.get_weights()
    data = tf.data.Dataset.from_tensor_slices((smooth_images(), np.arange(8))).batch(4)
    options = {"nesterov": True, "weight_decay": 5e-3, "verbose": 0}
    train_and_evaluate_models([model], data, data, 1, None, True, 0.1, **options)
    kernel, *others = zip(model.get_weights(), before, strict=True)
    np.testing.assert_array_equal(*kernel)
    assert kernel[0].shape == (2, 2, 3, 24)
    assert all(np.abs(new - old).max() > 1e-6 for new, old in others)


def train_steps(model):
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    for _ in range(3):
        model.train_on_batch(smooth_images(), np.arange(8))
    return model.get_weights()


@pytest.mark.parametrize("undo", ["toggle", "load"])
def test_training_keeps_a_whitening_that_was_made_trainable(undo, tmp_path):
    model = whitened(2)
    if undo == "toggle":
        model.trainable = False
        model.trainable = True
    else:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    before = model.get_layer("whitening").kernel.numpy()
    data = tf.data.Dataset.from_tensor_slices((smooth_images(), np.arange(8) % 10)).batch(4)
    last = model.layers[-1].get_weights()[0]
    training.train_model(
        model, data, data, 1, keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy"
    )
    np.testing.assert_array_equal(model.get_layer("whitening").kernel, before)
    assert (model.layers[-1].get_weights()[0] != last).any()


def test_model_4_and_its_twin_agree_before_and_after_training(without_gpu):
    model = whitened(depth=3)
    twin = training_twin(model)
    fused = [layer for layer in twin.layers if type(layer).__name__ == "FusedBatchNormalization"]
    assert len(fused) == 9
    np.testing.assert_allclose(twin(smooth_images()), model(smooth_images()), atol=1e-5)
    before = model.get_weights()
    after, expected = train_steps(twin), train_steps(model)
    for weight, expected_weight in zip(after, expected, strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-3, atol=1e-4)
    means = [i for i, variable in enumerate(model.weights) if variable.name == "moving_mean"]
    assert len(means) == 9
    assert all(np.abs(after[i] - before[i]).max() > 0.01 for i in means)
