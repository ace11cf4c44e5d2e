"""SGD with a rate of its own for the biases of batch normalisation, against Keras's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.model_training_testing import train_and_evaluate_models
from utils.training import tensorflow_engine as training
from utils.training.optimizer import SGD
from utils.training.twins import training_twin

NAMES = ("kernel", "bias", "gamma", "beta", "beta_2", "my_beta")
GRADIENTS = np.random.default_rng(0).normal(size=(4, len(NAMES), 3)).astype(np.float32)


def steps(optimizer):
    """Return the values, by name, of variables after four steps down the same gradients."""
    variables = [keras.Variable(np.ones(3, np.float32), name=name) for name in NAMES]
    for gradients in GRADIENTS:
        optimizer.apply(list(gradients), variables)
    return {variable.name: variable.numpy() for variable in variables}


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}],
    ids=["plain", "momentum", "Nesterov"],
)
def test_the_bias_rate_multiplies_the_steps_of_normalisation_biases_only(options):
    found = steps(SGD(0.01, bias_rate=64.0, **options))
    slow, fast = (steps(keras.optimizers.SGD(rate, **options)) for rate in (0.01, 0.64))
    for name in NAMES:
        expected = fast if name == "beta" else slow
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


def test_without_a_bias_rate_it_is_keras_own():
    options = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    expected = steps(keras.optimizers.SGD(0.1, **options))
    for name, value in steps(SGD(0.1, **options)).items():
        np.testing.assert_array_equal(value, expected[name])


def test_its_settings_make_another_one_alike():
    optimizer = SGD(0.1, momentum=0.7, nesterov=True, weight_decay=0.2, bias_rate=32.0)
    config = optimizer.get_config()
    assert config["bias_rate"] == 32
    assert SGD.from_config(config).get_config() == config
    saved = keras.saving.serialize_keras_object(optimizer)
    assert keras.saving.deserialize_keras_object(saved).get_config() == config


def normalised_model():
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(4, 3),
        keras.layers.BatchNormalization(scale=False, momentum=0.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((6, 6, 3)), *layers])


@pytest.mark.parametrize("twin", [training_twin, lambda model, tell: model], ids=["twin", "plain"])
def test_a_model_is_trained_with_the_bias_rate(twin, monkeypatch):
    monkeypatch.setattr(training, "training_twin", twin)
    images = np.random.default_rng(1).random((9, 6, 6, 3), np.float32)
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(9) % 3)).batch(9)
    changes = []
    for rate in (1.0, 16.0):
        model = normalised_model()
        before = model.get_weights()
        train_and_evaluate_models(
            [model], data, data, 1, None, True, 0.01, bias_rate=rate, verbose=0
        )
        pairs = zip(model.get_weights(), before, strict=True)
        changes.append([new - old for new, old in pairs])
    names = [variable.name for variable in model.weights]
    assert names.count("beta") == 2
    for name, slow, fast in zip(names, *changes, strict=True):
        factor = 16 if name == "beta" else 1
        np.testing.assert_allclose(fast, factor * slow, rtol=2e-3, atol=2e-6, err_msg=name)
