"""The twin is compared with the plain model: same answers, same training, same moving averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.model_training_testing import model_1, train_and_evaluate_models
from utils.training import twins as fast_training
from utils.training.twins import has_bfloat16, training_twin

layers = keras.layers


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])


@pytest.fixture
def processor_with_bfloat16(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("flags\t\t: fpu avx512f avx512_bf16 sse\n", encoding="utf-8")
    monkeypatch.setattr(fast_training, "CPU_INFO", info)
    monkeypatch.setattr(fast_training, "gains_by_bfloat16", lambda: True)


def randomise(model):
    """Give every weight, moving averages included, a value of its own."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if "float" in weight.dtype:
            limits = (-0.2, 0.2) if len(weight.shape) > 1 else (0.5, 1.5)
            weight.assign(random.uniform(*limits, weight.shape))
    return model


def convolution_model(**normalisation):
    """Two normalised layers, one behind a convolution, with `normalisation` as its settings."""
    return randomise(
        keras.Sequential(
            [
                keras.Input((8, 6, 3)),
                layers.Conv2D(4, 3, activation="relu"),
                layers.BatchNormalization(**normalisation),
                layers.Flatten(),
                layers.Dense(6, activation="relu"),
                layers.BatchNormalization(),
                layers.Dense(3, activation="softmax"),
            ],
            name="small",
        )
    )


def branching_model():
    inputs = keras.Input((8, 6, 3))
    inner = keras.Sequential([keras.Input((8, 6, 4)), layers.Conv2D(4, 1)], name="inner")
    left = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(inputs))
    outputs = layers.GlobalAveragePooling2D()(layers.add([left, inner(left)]))
    return randomise(keras.Model(inputs, layers.Dense(3, activation="softmax")(outputs)))


def nested_model(trainable=True):
    inner = convolution_model(momentum=0.8)
    inner.trainable = trainable
    inputs = keras.Input((8, 6, 3))
    outputs = layers.Dense(4, activation="softmax")(inner(layers.Rescaling(2.0)(inputs)))
    return keras.Model(inputs, outputs)


MODELS = {
    "plain": convolution_model,
    "other settings": lambda: convolution_model(momentum=0.7, epsilon=0.1),
    "without centre": lambda: convolution_model(center=False),
    "without scale": lambda: convolution_model(scale=False),
    "renormalised": lambda: convolution_model(renorm=True),
    "over rows": lambda: convolution_model(axis=1),
    "frozen": lambda: convolution_model(trainable=False),
    "branches": branching_model,
    "nested": nested_model,
}


def random_data(model, count=7):
    random = np.random.default_rng(1)
    images = random.normal(0.4, 0.3, (count, *model.input_shape[1:])).astype(np.float32)
    return images.clip(0, 1), np.arange(count) % model.output_shape[-1]


def train_steps(model, count):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    images, labels = random_data(model)
    for step in range(count):
        model.train_on_batch(images[step:], labels[step:])
    return model.get_weights()


def assert_all_close(weights, expected):
    assert len(weights) == len(expected)
    for weight, expected_weight in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_the_twin_answers_and_trains_as_the_model(kind):
    model = MODELS[kind]()
    twin = training_twin(model)
    assert twin is not model
    images, _ = random_data(model)
    np.testing.assert_allclose(twin(images), model(images), rtol=1e-5, atol=1e-6)
    before = model.get_weights()
    after = train_steps(twin, 3)
    assert_all_close(model.get_weights(), before)  # it has weights of its own
    assert_all_close(after, train_steps(model, 3))
    assert max(np.abs(new - old).max() for new, old in zip(after, before, strict=True)) > 0.01


def test_one_step_moves_the_averages_by_the_batch_statistics():
    model = randomise(
        keras.Sequential([keras.Input((4, 4, 2)), layers.BatchNormalization(momentum=0.75)])
    )
    images = np.random.default_rng(2).normal(3, 2, (5, 4, 4, 2)).astype(np.float32)
    twin = training_twin(model)
    twin(images, training=True)
    gamma, beta, mean, variance = model.get_weights()
    expected_mean = 0.75 * mean + 0.25 * images.mean(axis=(0, 1, 2))
    expected_variance = 0.75 * variance + 0.25 * images.var(axis=(0, 1, 2))
    assert_all_close(twin.get_weights(), [gamma, beta, expected_mean, expected_variance])


def test_model_1_and_its_twin_agree():
    model = randomise(model_1())
    twin = training_twin(model)
    images, _ = random_data(model)
    np.testing.assert_allclose(twin(images), model(images), rtol=1e-4, atol=1e-6)
    fused = [layer for layer in twin.layers if type(layer).__name__ == "FusedBatchNormalization"]
    assert len(fused) == 7
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]


def test_layers_of_a_model_within_the_model_are_fused_too():
    twin = training_twin(nested_model())
    kinds = [type(layer).__name__ for layer in twin.layers[2].layers]
    assert kinds.count("FusedBatchNormalization") == 2


def test_trained_weights_are_carried_back_to_the_plain_model():
    model = convolution_model()
    images, labels = random_data(model, 12)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    reference = keras.models.clone_model(model)
    reference.set_weights(model.get_weights())
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    reference.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    reference.fit(data, epochs=2, shuffle=False, verbose=0)
    trained, _ = train_and_evaluate_models([model], data, data, 2, 4, True, 0.1, verbose=0)
    assert trained is model
    assert_all_close(model.get_weights(), reference.get_weights())
    assert {type(layer).__module__.partition(".")[0] for layer in model.layers} == {"keras"}


def test_what_was_learnt_until_an_interruption_is_carried_back(monkeypatch):
    model = convolution_model()
    before = model.get_weights()

    def interrupt(self, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.callbacks.TerminateOnNaN, "on_epoch_end", interrupt)
    data = tf.data.Dataset.from_tensor_slices(random_data(model, 12)).batch(4)
    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate_models([model], data, data, 2, 4, True, 0.1, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_a_model_that_was_compiled_with_a_loss_of_ones_own_has_a_twin():
    model = convolution_model()
    model.compile("sgd", loss=lambda y_true, y_pred: keras.ops.mean(y_pred))
    twin = training_twin(model)
    assert not twin.compiled
    assert model.compiled
    assert_all_close(twin.get_weights(), model.get_weights())


def test_a_model_in_which_no_normalisation_learns_is_its_own_twin():
    model = keras.Sequential([keras.Input((2, 2, 3)), layers.Flatten(), layers.Dense(3)])
    assert training_twin(model) is model
    model = nested_model(trainable=False)
    assert training_twin(model) is model


def test_on_a_gpu_a_model_is_its_own_twin(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    model = convolution_model()
    assert training_twin(model) is model


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx512f avx512_bf16", True), ("amx_bf16", True), ("avx2", False)]
)
def test_bfloat16_is_found_among_the_flags_of_the_processor(tmp_path, monkeypatch, flags, expected):
    monkeypatch.setattr(fast_training, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(fast_training, "gains_by_bfloat16", lambda: True)
    assert not has_bfloat16()  # no such file: not Linux
    (tmp_path / "cpuinfo").write_text(f"model name\t: avx512\nflags\t: fpu {flags}\n", "utf-8")
    assert has_bfloat16() is expected
    monkeypatch.setattr(fast_training, "gains_by_bfloat16", lambda: False)  # without oneDNN
    assert not has_bfloat16()


@pytest.mark.usefixtures("processor_with_bfloat16")
def test_in_bfloat16_the_twin_answers_and_trains_nearly_as_the_model():
    model = convolution_model()
    twin = training_twin(model)
    images, _ = random_data(model)
    np.testing.assert_allclose(twin(images), model(images), atol=0.01)
    assert np.abs(twin(images) - model(images)).max() > 1e-6  # the convolution is in bfloat16
    before, after, expected = model.get_weights(), train_steps(twin, 3), train_steps(model, 3)
    for start, end, right in zip(before, after, expected, strict=True):
        assert np.abs(end - right).max() < 0.05 * np.abs(right - start).max() + 1e-3


@pytest.mark.usefixtures("processor_with_bfloat16")
def test_what_was_trained_in_bfloat16_is_a_float32_model():
    model = convolution_model()
    images, labels = random_data(model, 12)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    before = model.get_weights()
    train_and_evaluate_models([model], data, data, 1, 4, True, 0.1, verbose=0)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert all((new != old).any() for new, old in zip(model.get_weights(), before, strict=True))


# ---- each trick alone


def gradients_by(layer, images):
    """Return what a layer makes of images in training, and the gradients of a weighted sum."""
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = tf.cast(layer(images, training=True), tf.float32)
        weights = tf.cos(tf.range(tf.size(outputs), dtype=tf.float32))
        total = tf.reduce_sum(outputs * tf.reshape(weights, outputs.shape))
    variables = [variable.value for variable in layer.trainable_variables]
    return [outputs, *tape.gradient(total, [images, *variables])]


@pytest.mark.parametrize(
    "layer",
    [
        layers.Activation("gelu"),
        layers.Dense(5, activation="gelu"),
        layers.Conv2D(5, 3, padding="same"),
        layers.Conv2D(5, (4, 3), padding="same", use_bias=False, activation="gelu"),
        layers.Conv2D(5, 3, padding="same", strides=2),
        layers.Conv2D(4, 3, padding="same", groups=2),
        layers.Conv2D(5, 3, padding="same", dilation_rate=2),
        layers.Conv2D(5, 3),
        layers.BatchNormalization(),
        layers.BatchNormalization(scale=False, epsilon=0.1),
    ],
)
def test_a_replaced_layer_has_the_gradients_of_the_plain_one(layer, monkeypatch):
    monkeypatch.setitem(fast_training.SIDE_FOR_PRODUCTS, "float32", 8)
    plain = type(layer).from_config(layer.get_config())
    normalisation = layers.BatchNormalization()  # so that there is a twin
    model = randomise(keras.Sequential([keras.Input((7, 6, 4)), plain, normalisation]))
    twin = training_twin(model)
    assert twin is not model
    images = np.random.default_rng(3).normal(size=(3, 7, 6, 4)).astype(np.float32)
    found, expected = (gradients_by(one.layers[0], images) for one in (twin, model))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def residual_model():
    """Two convolutions bridged by an operator, and an output whose precision is its own."""
    inputs = keras.Input((8, 6, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="gelu")(inputs)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    x = keras.ops.relu(x + y)
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
    outputs = layers.Activation("softmax", dtype="float32")(x)
    return randomise(keras.Model(inputs, outputs))


@pytest.mark.usefixtures("processor_with_bfloat16")
def test_operators_and_an_output_of_its_own_precision_have_a_twin_in_bfloat16():
    model = residual_model()
    twin = training_twin(model)
    assert twin is not model
    policies = {layer.name.rstrip("_0123456789"): layer.dtype_policy.name for layer in twin.layers}
    assert policies["conv2d"] == policies["batch_normalization"] == "mixed_bfloat16"
    assert policies["dense"] == policies["activation"] == "float32"
    images, _ = random_data(model)
    np.testing.assert_allclose(twin(images), model(images), atol=0.03)
    for ours, theirs in zip(train_steps(twin, 2), train_steps(model, 2), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.1)


@pytest.mark.usefixtures("processor_with_bfloat16")
def test_layers_of_another_policy_keep_it():
    model = keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            layers.Conv2D(4, 3, dtype="mixed_float16"),
            layers.BatchNormalization(dtype="mixed_bfloat16"),
        ]
    )
    policies = [layer.dtype_policy.name for layer in training_twin(model).layers]
    assert policies == ["mixed_float16", "mixed_bfloat16"]


@pytest.mark.usefixtures("processor_with_bfloat16")
@pytest.mark.parametrize("build", [residual_model, convolution_model, nested_model])
def test_the_score_of_a_training_in_bfloat16_is_the_models_own(build):
    model = build()
    images, labels = random_data(model, 24)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    scores = train_and_evaluate_models([model], data, data, 2, None, False, 0.05, verbose=0)
    answers = model.predict(images, verbose=0)
    assert scores[model.name] == pytest.approx(np.mean(answers.argmax(1) == labels))


def test_what_a_layer_has_learnt_of_the_data_before_is_in_the_twin():
    inner = keras.Sequential([keras.Input((8, 6, 3)), layers.Normalization()], name="inner")
    inner.layers[0].adapt(np.random.default_rng(0).normal(3, 2, (9, 8, 6, 3)))
    model = keras.Sequential([keras.Input((8, 6, 3)), inner, layers.BatchNormalization()])
    twin = training_twin(model)
    assert twin is not model
    images = np.random.default_rng(1).random((2, 8, 6, 3), np.float32)
    np.testing.assert_allclose(twin(images), model(images), rtol=1e-4, atol=1e-5)


def test_a_model_without_a_twin_says_so():
    lines = []
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Lambda(lambda x: x), layers.BatchNormalization()],
        name="own",
    )
    assert training_twin(model, lines.append) is model
    assert [line.partition(":")[0] for line in lines] == ["own"]
    training_twin(keras.Sequential([keras.Input((4,)), layers.Dense(2)]), lines.append)
    assert len(lines) == 1  # it would gain nothing
