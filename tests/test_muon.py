"""Muon against its definition: what it does to singular values, by NumPy's decomposition."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.model_training_testing import model_1, model_4, train_and_evaluate_models
from utils.training.optimizer import SGD, Muon, orthogonalise
from utils.training.whitening import whiten

OPTIONS = {"momentum": 0.85, "nesterov": True, "bias_rate": 8.0}
RATE, KERNEL_RATE = 0.1, 0.5
RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(3, 3, 4, 5)).astype(np.float32)
GRADIENTS = RANDOM.normal(size=(3, *KERNEL.shape)).astype(np.float32)


def expected_step(matrix):
    """Return the matrix with the quintic polynomial applied to its singular values three times."""
    u, values, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    values = values / np.linalg.norm(values)
    for _ in range(3):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return u @ np.diag(values) @ v


@pytest.mark.parametrize("shape", [(36, 5), (5, 36), (8, 8)], ids=["tall", "wide", "square"])
def test_a_matrix_becomes_nearly_orthogonal(shape):
    matrix = RANDOM.normal(size=shape).astype(np.float32)
    found = orthogonalise(matrix)
    np.testing.assert_allclose(found, expected_step(matrix), atol=1e-4)
    if shape != (8, 8):  # no singular value of these is near zero
        values = np.linalg.svd(found, compute_uv=False)
        assert values.min() > 0.5
        assert values.max() < 1.5


def test_no_gradient_makes_no_step():
    np.testing.assert_array_equal(orthogonalise(np.zeros((3, 4), np.float32)), np.zeros((3, 4)))


def test_a_kernel_is_brought_to_its_norm_and_takes_orthogonal_steps():
    kernel = keras.Variable(KERNEL, name="kernel")
    optimizer = Muon(RATE, kernel_rate=KERNEL_RATE, **OPTIONS)
    expected, summed = KERNEL.reshape(36, 5).astype(np.float64), 0
    for gradient in GRADIENTS:
        optimizer.apply([gradient], [kernel])
        summed = 0.6 * summed + gradient.reshape(36, 5)
        expected *= 5**0.5 / np.linalg.norm(expected)  # five filters
        nesterov = gradient.reshape(36, 5) + 0.6 * summed
        expected -= RATE * KERNEL_RATE * expected_step(nesterov)
        np.testing.assert_allclose(kernel.numpy().reshape(36, 5), expected, atol=1e-4)


def test_everything_else_is_trained_by_sgd():
    shapes = {"kernel": (7, 3), "depthwise_kernel": (3, 3, 4, 1)}
    shapes |= dict.fromkeys(("bias", "beta", "gamma"), (3,))
    gradients = {name: RANDOM.normal(size=(2, *shape)) for name, shape in shapes.items()}

    def steps(optimizer):
        variables = [keras.Variable(np.ones(shape), name=name) for name, shape in shapes.items()]
        for step in range(2):
            optimizer.apply([found[step] for found in gradients.values()], variables)
        return [variable.numpy() for variable in variables]

    options = OPTIONS | {"weight_decay": 0.3}
    for ours, theirs in zip(
        steps(Muon(RATE, kernel_rate=KERNEL_RATE, **options)),
        steps(SGD(RATE, **options)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_its_settings_make_another_one_alike():
    optimizer = Muon(RATE, kernel_rate=KERNEL_RATE, **OPTIONS)
    config = optimizer.get_config()
    assert (config["kernel_rate"], config["bias_rate"]) == (KERNEL_RATE, 8)
    saved = keras.saving.serialize_keras_object(optimizer)
    assert keras.saving.deserialize_keras_object(saved).get_config() == config


def test_it_needs_momentum():
    with pytest.raises(ValueError, match="momentum is 0, expected more: Muon sums gradients up"):
        Muon(RATE, kernel_rate=KERNEL_RATE)


def build_model_4():
    model = model_4(width=(4, 4, 4))
    whiten(model, RANDOM.random((9, 32, 32, 3), np.float32))
    return model


@pytest.mark.parametrize("build", [model_1, build_model_4], ids=["model_1", "model_4"])
def test_a_model_is_trained_with_a_kernel_rate(build):
    keras.utils.set_random_seed(0)
    model = build()
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    frozen = [weight.numpy() for weight in model.non_trainable_weights if "kernel" in weight.path]
    images = RANDOM.random((8, 32, 32, 3), np.float32)
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(8))).batch(8)
    rate = 1e-6  # too small to leave the norm
    train_and_evaluate_models([model], data, data, 1, None, True, rate, kernel_rate=0.3, verbose=0)
    for weight in model.trainable_weights:
        expected = before[weight.path]
        if len(weight.shape) == 4:
            expected = expected * weight.shape[-1] ** 0.5 / np.linalg.norm(expected)
        np.testing.assert_allclose(weight, expected, atol=1e-4, err_msg=weight.path)
    still = [weight.numpy() for weight in model.non_trainable_weights if "kernel" in weight.path]
    for ours, theirs in zip(still, frozen, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_step_is_as_long_as_the_kernel_rate_says():
    images = RANDOM.random((8, 8, 8, 3), np.float32)
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(8) % 4)).batch(8)
    steps = []
    for kernel_rate in (0.3, 0.6):
        keras.utils.set_random_seed(0)
        convolution = keras.layers.Conv2D(5, 3)
        layers = [keras.Input((8, 8, 3)), convolution, keras.layers.BatchNormalization()]
        layers += [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(4, "softmax")]
        model, kernel = keras.Sequential(layers), convolution.kernel
        before = kernel.numpy() * 5**0.5 / np.linalg.norm(kernel)
        options = {"kernel_rate": kernel_rate, "verbose": 0}
        train_and_evaluate_models([model], data, data, 1, None, True, 0.01, **options)
        steps.append(np.reshape(before - kernel, (-1, 5)) / 0.01)
    np.testing.assert_allclose(steps[1], 2 * steps[0], atol=1e-4)
    values = np.linalg.svd(steps[0] / 0.3, compute_uv=False)
    assert 0.5 < values.max() < 1.5


@pytest.mark.parametrize("rate", [0, -1, np.nan, "fast"])
def test_a_wrong_kernel_rate_is_refused(rate):
    images = np.zeros((4, 32, 32, 3), np.float32)
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(4))).batch(4)
    with pytest.raises(ValueError, match=f"kernel_rate is {rate!r}, expected a number more than 0"):
        train_and_evaluate_models([model_1()], data, data, 1, None, True, kernel_rate=rate)


def kernels_that_muon_trains(*layers):
    """Return for each of the layers how far a step leaves its kernel from the SGD's."""
    model = keras.Sequential([keras.Input((6, 6, 4)), *layers])
    kernels = [layer.kernel for layer in layers]
    for kernel in kernels:
        kernel.assign(RANDOM.normal(size=kernel.shape))
    gradients = [RANDOM.normal(size=kernel.shape).astype(np.float32) for kernel in kernels]
    before = [kernel.numpy() for kernel in kernels]
    optimizer = Muon(RATE, kernel_rate=KERNEL_RATE, **OPTIONS)
    optimizer.choose_kernels(model)
    optimizer.apply(gradients, kernels)
    return before, gradients, [kernel.numpy() for kernel in kernels]


def test_kernels_are_chosen_by_the_kind_of_their_layer():
    layers = keras.layers.DepthwiseConv2D(3, depth_multiplier=2), keras.layers.Conv2D(1, 3)
    nested = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(3, 1)])
    nested.kernel = nested.layers[0].kernel
    before, gradients, after = kernels_that_muon_trains(*layers, nested)
    sgd = before[0] - RATE * (1 + OPTIONS["momentum"]) * gradients[0]  # Nesterov's first step
    np.testing.assert_allclose(after[0], sgd, rtol=1e-5)
    for start, gradient, end in list(zip(before, gradients, after, strict=True))[1:]:
        filters = start.shape[-1]
        expected = start.reshape(-1, filters) * filters**0.5 / np.linalg.norm(start)
        matrix = gradient.reshape(-1, filters)
        expected = expected - RATE * KERNEL_RATE * expected_step(matrix)
        np.testing.assert_allclose(end.reshape(-1, filters), expected, atol=1e-4)


def test_a_transposed_convolution_is_normalised_over_its_filters():
    before, gradients, after = kernels_that_muon_trains(keras.layers.Conv2DTranspose(5, 3))
    start, gradient, end = (
        np.moveaxis(found[0], -2, -1).reshape(-1, 5) for found in (before, gradients, after)
    )
    expected = start * 5**0.5 / np.linalg.norm(start) - RATE * KERNEL_RATE * expected_step(gradient)
    np.testing.assert_allclose(end, expected, atol=1e-4)


def test_a_kernel_of_zeros_starts_to_learn():
    kernel = keras.Variable(np.zeros((3, 3, 4, 5), np.float32), name="kernel")
    Muon(RATE, kernel_rate=KERNEL_RATE, **OPTIONS).apply([GRADIENTS[0]], [kernel])
    expected = -RATE * KERNEL_RATE * expected_step(GRADIENTS[0].reshape(36, 5))
    np.testing.assert_allclose(kernel.numpy().reshape(36, 5), expected, atol=1e-4)
