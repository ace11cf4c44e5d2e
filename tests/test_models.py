"""The metric by hand; the builders against `keras.applications` on their own scale."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from f1_by_hand import f1_by_hand
from sklearn.metrics import f1_score

from utils.model_training_testing import (
    custom_f1_score,
    model_1,
    model_2,
    model_3,
    model_4,
)
from utils.results.model_files import save_model
from utils.training.whitening import whiten

SHAPE = (32, 32, 3)
NORMALISED, GELU = ("BatchNormalization",), ("Activation", "gelu")  # as `layer_list` tells them
BACKBONES = {
    "model_2": (model_2, keras.applications.MobileNetV2, keras.applications.mobilenet_v2),
    "model_3": (model_3, keras.applications.VGG16, keras.applications.vgg16),
}


# ---- custom_f1_score


def random_probabilities(count, classes, sharpness):
    logits = np.random.default_rng(count).normal(0, sharpness, (count, classes))
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits)).astype(np.float32)


@pytest.mark.parametrize("form", ["one-hot", "(N,)", "(N, 1)"])
@pytest.mark.parametrize(("count", "classes", "sharpness"), [(200, 10, 1), (200, 10, 9), (7, 3, 4)])
def test_f1_is_that_of_scikit_learn_on_rounded_predictions(form, count, classes, sharpness):
    probabilities = random_probabilities(count, classes, sharpness)
    labels = np.random.default_rng(1).integers(0, classes, count)
    labels[::2] = probabilities.argmax(axis=1)[::2]
    one_hot = np.eye(classes)[labels]
    expected = f1_score(one_hot, np.round(probabilities), average="macro", zero_division=0)
    y_true = {"one-hot": one_hot, "(N,)": labels, "(N, 1)": labels[:, None]}[form]
    assert float(custom_f1_score(y_true, probabilities)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32])
def test_f1_takes_labels_of_any_type(dtype):
    labels = np.array([0, 2, 1, 2])
    probabilities = np.eye(3, dtype=np.float32)[[0, 2, 2, 2]]
    expected = f1_by_hand(labels, np.array([0, 2, 2, 2]), range(3))
    assert float(custom_f1_score(labels.astype(dtype), probabilities)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "predictions", "expected"),
    [([0, 1, 2], [0, 1, 2], 1), ([0, 1, 2], [1, 2, 0], 0), ([0, 0, 0], [0, 0, 0], 1 / 3)],
    ids=["all right", "all wrong", "classes that never occur count as 0"],
)
def test_f1_of_plain_cases(labels, predictions, expected):
    score = custom_f1_score(np.array(labels), np.eye(3, dtype=np.float32)[predictions])
    assert float(score) == pytest.approx(expected)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_f1_is_a_metric_that_loads_without_custom_objects(tmp_path, suffix, one_hot):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=[custom_f1_score], run_eagerly=True)
    x = np.random.default_rng(0).normal(0, 9, (30, 4))
    labels = np.arange(30) % 3
    y = np.eye(3)[labels] if one_hot else labels
    model.train_on_batch(x, y)
    expected = float(custom_f1_score(labels, model(x)))
    model.save(tmp_path / f"model{suffix}")
    loaded = keras.models.load_model(tmp_path / f"model{suffix}")
    for one in (model, loaded):
        scores = one.evaluate(x, y, batch_size=30, verbose=0, return_dict=True)
        assert scores["custom_f1_score"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(None, None), (None, 3), None], ids=str)
@pytest.mark.parametrize("one_hot", [True, False])
def test_f1_takes_labels_whose_shape_a_graph_does_not_know(shape, one_hot):
    labels, probabilities = np.array([0, 1, 2, 2, 1]), np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    given = np.eye(3)[labels] if one_hot else labels[:, None].astype(float)
    if shape == (None, 3) and not one_hot:
        shape = (None, 1)
    signature = [tf.TensorSpec(shape, tf.float64), tf.TensorSpec((None, 3), tf.float32)]
    found = tf.function(custom_f1_score, input_signature=signature)(given, probabilities)
    assert float(found) == pytest.approx(float(custom_f1_score(labels, probabilities)))


# ---- the builders


@pytest.fixture(scope="session")
def weight_files(tmp_path_factory):
    """Model name to a weight file of its backbone: random weights, statistics of noise."""
    files = {}
    for name, (_, application, _) in BACKBONES.items():
        backbone = application(input_shape=SHAPE, include_top=False, weights=None)
        for layer in backbone.layers:
            layer.momentum = 0  # of batch normalisation
        backbone(random_images(16), training=True)
        files[name] = tmp_path_factory.mktemp("weights") / f"{name}.weights.h5"
        backbone.save_weights(files[name])
    return files


@pytest.fixture(scope="session")
def built(weight_files):
    """The four models by name, on random weights. Read only."""
    models = [
        model_1(),
        *(BACKBONES[name][0](SHAPE, weights=weight_files[name]) for name in BACKBONES),
        model_4(width=(8, 8, 8), depth=3),
    ]
    whiten(models[-1], random_images())
    return {model.name: model for model in models}


def random_images(count=4):
    return np.random.default_rng(1).random((count, *SHAPE), np.float32)


def batch_statistics(model):
    """Return the moving averages of all batch normalisations, also in nested models."""
    return [
        weight.numpy()
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        for weight in (layer.moving_mean, layer.moving_variance)
    ]


def layer_list(model):
    """Return (layer class, what matters of its settings) for each layer."""
    interesting = ("filters", "kernel_size", "padding", "pool_size", "rate", "units", "activation")
    layers = []
    for layer in model.layers:
        config = layer.get_config() if not isinstance(layer, keras.Model) else {}
        layers.append(
            (type(layer).__name__, *(config[key] for key in interesting if key in config))
        )
    return layers


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_dropout_of_model_1_is_a_share_of_the_usual_rates(built, share):
    usual, ours = (
        [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
        for model in (built["model_1"], model_1(dropout=share))
    )
    assert ours == pytest.approx([rate * share for rate in usual])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_dropout_that_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match=f"dropout is {share}, expected 0 to 1"):
        model_1(dropout=share)


def test_model_1_is_the_documented_stack(built):
    expected = []
    for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4)):
        convolution = ("Conv2D", filters, (3, 3), "same", "relu")
        expected += [convolution, ("BatchNormalization",)] * 2
        expected += [("MaxPooling2D", "valid", (2, 2)), ("Dropout", rate)]
    expected += [("Flatten",), ("Dense", 128, "relu"), ("BatchNormalization",), ("Dropout", 0.5)]
    expected += [("Dense", 10, "softmax")]
    assert layer_list(built["model_1"]) == expected
    assert built["model_1"].input_shape == (None, *SHAPE)
    assert built["model_1"].count_params() == 552_874


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("model_2", [("Dense", 512, "relu"), ("Dense", 10, "softmax")]),
        ("model_3", [("Dense", 10, "softmax")]),
    ],
)
def test_backbone_models_end_with_pooling_and_the_documented_head(built, name, head):
    layers = layer_list(built[name])
    assert layers[2:] == [("Functional",), ("GlobalAveragePooling2D",), *head]
    backbone = built[name].layers[2]
    reference = BACKBONES[name][1](input_shape=SHAPE, include_top=False, weights=None)
    assert backbone.count_params() == reference.count_params()


@pytest.mark.parametrize(
    ("options", "width", "depth", "count"),
    [
        ({"width": (64, 128, 128)}, (64, 128, 128), 2, 570_306),
        ({}, (64, 256, 256), 2, 1_973_954),
        ({"width": [128, 384, 384], "depth": 2}, (128, 384, 384), 2, 4_608_322),
        ({"width": (128, 384, 512), "depth": 3}, (128, 384, 512), 3, 9_921_858),
    ],
)
def test_model_4_is_the_documented_stack(options, width, depth, count):
    model = model_4(**options)
    expected = [("InputLayer",), ("Normalization",), ("Conv2D", 24, (2, 2), "valid", "gelu")]
    for filters in width:
        convolution = ("Conv2D", filters, (3, 3), "same", "linear")
        expected += [convolution, ("MaxPooling2D", "valid", (2, 2))]
        expected += [NORMALISED, GELU, *[convolution, NORMALISED, GELU] * (depth - 1)]
        if depth == 3:
            expected.insert(-1, ("Add",))
    expected += [("GlobalMaxPooling2D",), ("Rescaling",), ("Dense", 10, "softmax")]
    assert layer_list(model) == expected
    assert model.input_shape == (None, *SHAPE)
    assert model.count_params() == count
    assert not any(layer.scale for layer in model.layers if "BatchNorm" in type(layer).__name__)


@pytest.mark.parametrize("depth", [2, 3])
def test_model_4_takes_any_shape_and_number_of_classes(depth):
    model = model_4((48, 40, 3), 4, width=(3, 30, 5), depth=depth)
    images = np.random.default_rng(1).random((2, 48, 40, 3), np.float32)
    assert model(images).shape == (2, 4)
    assert model.name == "model_4"


def test_the_residual_of_model_4_bridges_the_last_two_convolutions_of_a_block(built):
    layers = built["model_4"].layers
    places = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Add)]
    assert len(places) == 3
    for place in places:  # GELU, convolution, BN, GELU, convolution, BN, Add
        parts = [layers[place - 6].output, layers[place - 1].output, layers[place].output]
        first, last, added = keras.Model(layers[0].output, parts)(random_images())
        np.testing.assert_allclose(added, first + last, atol=1e-6)
        assert np.abs(first).max() > 0.1


@pytest.mark.parametrize("width", [(64, 256), (64, 256, 0), (64, 256.0, 256), 64, None, "abc"])
def test_a_wrong_width_is_refused(width):
    with pytest.raises(ValueError, match="width") as caught:
        model_4(width=width)
    assert repr(width) in str(caught.value)


@pytest.mark.parametrize("depth", [1, 4, 0, "2", None, 2.5])
def test_a_wrong_depth_is_refused(depth):
    with pytest.raises(ValueError, match="depth") as caught:
        model_4(depth=depth)
    assert repr(depth) in str(caught.value)


@pytest.mark.parametrize("name", ["model_1", *BACKBONES, "model_4"])
def test_models_give_class_probabilities(built, name):
    probabilities = built[name](random_images(), training=False).numpy()
    assert probabilities.shape == (4, 10)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_features_are_those_of_the_backbone_on_its_own_scale(built, weight_files, name):
    _, application, module = BACKBONES[name]
    backbone = application(input_shape=SHAPE, include_top=False, weights=weight_files[name])
    images = random_images()
    expected = np.mean(backbone(module.preprocess_input(images * 255)), axis=(1, 2))
    pooling = next(layer for layer in built[name].layers if "GlobalAverage" in type(layer).__name__)
    features = keras.Model(built[name].input, pooling.output)(images)
    spread = expected.std(axis=0).mean()  # from picture to picture
    assert spread > 0.02 * expected.mean()
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * spread)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("trainable", [False, True])
def test_any_shape_and_number_of_classes_can_be_built(name, trainable):
    model = BACKBONES[name][0]((40, 64, 3), 4, weights=None, trainable=trainable)
    assert model.input_shape == (None, 40, 64, 3)
    assert model.output_shape == (None, 4)
    assert model.name == name
    head = {"model_2": 4, "model_3": 2}[name]
    backbone = model.layers[2]
    assert len(model.trainable_weights) == head + (len(backbone.trainable_weights))
    assert bool(backbone.trainable_weights) == trainable


@pytest.mark.parametrize("trainable", [False, True])
def test_only_a_trainable_backbone_updates_its_batch_statistics(weight_files, trainable):
    model = model_2(SHAPE, weights=weight_files["model_2"], trainable=trainable)
    model.trainable = True  # a frozen backbone is called in inference mode none the less
    before = batch_statistics(model)
    model(random_images(), training=True)
    changed = [(old != new).any() for old, new in zip(before, batch_statistics(model), strict=True)]
    assert len(changed) == 104
    assert set(changed) == {trainable}


@pytest.mark.parametrize("name", BACKBONES)
def test_a_model_can_enlarge_its_pictures(weight_files, name):
    build, images = BACKBONES[name][0], random_images()
    model = build(SHAPE, weights=weight_files[name], resize_to=40)
    large = build((40, 40, 3), weights=weight_files[name])
    large.set_weights(model.get_weights())
    enlarged = tf.image.resize(images, (40, 40))  # bilinear
    assert model.input_shape == (None, *SHAPE)
    np.testing.assert_allclose(model(images), large(enlarged), atol=1e-5)


def test_the_head_of_model_3_can_scale_its_features(weight_files):
    images = random_images()
    plain = model_3(SHAPE, weights=weight_files["model_3"])
    scaled = model_3(SHAPE, weights=weight_files["model_3"], feature_scale=0.25)
    *backbone, kernel, bias = plain.get_weights()
    scaled.set_weights([*backbone, 4 * kernel, bias])
    np.testing.assert_allclose(scaled(images), plain(images), atol=1e-5)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), "1", None])
def test_a_wrong_scale_of_features_is_refused(scale):
    with pytest.raises(ValueError, match="feature_scale is"):
        model_3(SHAPE, weights=None, feature_scale=scale)


@pytest.mark.parametrize("build", [model_2, model_3])
@pytest.mark.parametrize("side", [31, 0, -96, 96.0, "96", True])
def test_a_wrong_side_to_resize_to_is_refused(build, side):
    with pytest.raises(ValueError, match="resize_to") as caught:
        build(SHAPE, weights=None, resize_to=side)
    assert repr(side) in str(caught.value)


@pytest.mark.parametrize("build", [model_2, model_3, model_4])
@pytest.mark.parametrize(
    "shape",
    [
        (32, 32),
        (31, 32, 3),
        (32, 31, 3),
        (32, 32, 1),
        (32, 32, 3, 1),
        (32.0, 32, 3),
        (None, None, 3),
        32,
    ],
)
def test_a_wrong_image_shape_is_refused(build, shape):
    with pytest.raises(ValueError, match="image_shape") as caught:
        build(shape)
    assert repr(shape) in str(caught.value)


@pytest.mark.parametrize("build", [model_2, model_3, model_4])
@pytest.mark.parametrize("class_len", [1, 0, -2, 2.5, True, "8", None])
def test_a_wrong_number_of_classes_is_refused(build, class_len):
    with pytest.raises(ValueError, match="class_len") as caught:
        build(SHAPE, class_len)
    assert repr(class_len) in str(caught.value)


@pytest.mark.parametrize("build", [model_2, model_3])
def test_a_missing_weight_file_is_named(build, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        build(SHAPE, weights=tmp_path / "missing.h5")
    assert str(tmp_path / "missing.h5") in str(caught.value)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_failed_download_of_weights_says_what_to_do(monkeypatch, name):
    def offline(*, weights, **_):
        assert weights == "imagenet"
        raise Exception("URL fetch failure")  # as Keras does

    build, application, _ = BACKBONES[name]
    monkeypatch.setattr(keras.applications, application.__name__, offline)
    words = r"URL fetch failure; pass the path of a weight file .*_WEIGHTS\) or None"
    with pytest.raises(ConnectionError, match=words):
        build(SHAPE)


@pytest.mark.parametrize("build", [model_2, model_3])
def test_a_file_that_holds_no_weights_is_named(build, tmp_path):
    path = tmp_path / "text.weights.h5"
    path.write_text("These are no weights.")
    with pytest.raises(ValueError, match="not a weight file of") as caught:
        build(SHAPE, weights=path)
    assert str(path) in str(caught.value)


def class_names_and_modules(config):
    """Yield (class name, module, registered name) of all that a configuration describes."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config["class_name"], config.get("module"), config.get("registered_name")
        for value in config.values():
            yield from class_names_and_modules(value)
    elif isinstance(config, list):
        for value in config:
            yield from class_names_and_modules(value)


@pytest.mark.parametrize("name", ["model_1", *BACKBONES, "model_4"])
def test_saved_models_predict_the_same_and_have_standard_layers_only(built, tmp_path, name):
    images = random_images()
    expected = built[name](images, training=False)
    keras_path, h5_path = save_model(built[name], tmp_path)
    for path in (keras_path, h5_path):
        loaded = keras.models.load_model(path)
        np.testing.assert_allclose(loaded(images, training=False), expected, atol=1e-6)
    with zipfile.ZipFile(keras_path) as archive:
        configs = [json.loads(archive.read("config.json"))]
    with h5py.File(h5_path) as file:
        configs.append(json.loads(file.attrs["model_config"]))
    for config in configs:
        found = set(class_names_and_modules(config))
        assert len(found) > 5
        for class_name, module, registered_name in found:
            assert class_name != "Lambda"
            assert (module or "keras").startswith("keras")
            assert ">" not in (registered_name or "")  # package>class: not of Keras
