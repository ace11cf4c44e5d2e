import json

import keras
import numpy as np
import pytest
from PIL import Image

from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.files import sha256_of
from utils.load_patchs import load_images_patch, read_image_labels
from utils.model_training_testing import model_1, model_3
from utils.serving.classifier import classify, load_classifier, run_in_batches, threshold_path

SHIPPED = sorted((ROOT / "models").glob("*.keras"))


@pytest.fixture(scope="module")
def model():
    return model_1()


@pytest.fixture(scope="module")
def model_path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model_1.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def classifier(model_path):
    return load_classifier(model_path)


def test_the_page_and_the_notebooks_get_the_same_from_the_same_files(model, classifier, converted):
    names = converted.test_names.read_text().splitlines()
    dataset = read_image_labels(
        converted.test_names, 20, (32, 32), images_directory=converted.images_directory
    )
    images, _ = next(iter(dataset))
    expected = model(images, training=False).numpy()
    for line, probabilities in zip(names, expected, strict=True):
        path = next(converted.images_directory.glob(f"*/{line.split()[0]}"))
        answer = classify(path, classifier)
        assert list(answer.shares) == list(CLASS_NAMES)
        np.testing.assert_allclose(list(answer.shares.values()), probabilities, atol=1e-6)
        assert answer.label == CLASS_NAMES[probabilities.argmax()]
        np.testing.assert_array_equal(
            answer.seen, np.rint(load_images_patch([path])[0] * 255).astype(np.uint8)
        )


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_of_another_size_is_resized_as_the_notebooks_do(
    model, classifier, tmp_path, suffix
):
    path = tmp_path / f"a.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    images = load_images_patch([path], image_shape=(32, 32))
    answer = classify(path, classifier)
    expected = model(images, training=False).numpy()[0]
    np.testing.assert_allclose(list(answer.shares.values()), expected, atol=1e-6)
    np.testing.assert_array_equal(answer.seen, np.rint(images[0] * 255).astype(np.uint8))


def test_batches_of_any_length_give_what_the_model_gives(model, classifier):
    images = np.random.default_rng(0).random((300, 32, 32, 3), np.float32)
    probabilities, scores = run_in_batches(classifier, images)
    np.testing.assert_allclose(probabilities, model(images, training=False), atol=1e-6)
    head = model.layers[-1]
    hidden = images
    for layer in model.layers[:-1]:
        hidden = layer(hidden, training=False)
    logits = hidden.numpy() @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(scores, np.log(np.exp(logits).sum(axis=1)), atol=1e-4)


def test_a_model_on_a_backbone_loads_too(tmp_path):
    model_3((32, 32, 3), weights=None).save(tmp_path / "model_3.keras")
    classifier = load_classifier(tmp_path / "model_3.keras")
    probabilities, _ = run_in_batches(classifier, np.zeros((1, 32, 32, 3), np.float32))
    assert probabilities.shape == (1, 10)


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_model_of_other_layers_gives_what_keras_gives(tmp_path, use_bias):
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    filtered = layers.Activation("gelu")(layers.Conv2D(4, 3, activation="gelu")(inputs))
    features = layers.GlobalMaxPooling2D()(filtered)
    head = layers.Dense(10, "softmax", use_bias=use_bias, bias_initializer="random_normal")
    model = keras.Model(inputs, head(layers.Rescaling(1 / 9)(features)))
    model.save(tmp_path / "other.keras")
    images = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    probabilities, _ = run_in_batches(load_classifier(tmp_path / "other.keras"), images)
    np.testing.assert_allclose(probabilities, model(images), atol=1e-6)


def test_a_threshold_counts_for_the_very_file_it_was_chosen_for(model_path, converted):
    picture = next(converted.images_directory.glob("*/*.png"))
    record = threshold_path(model_path)
    for digest, threshold, trusted in (
        (sha256_of(model_path), 1e9, False),
        (sha256_of(model_path), -1e9, True),
        ("0" * 64, 1e9, True),
    ):
        record.write_text(json.dumps({"model_sha256": digest, "threshold": threshold}))
        assert classify(picture, load_classifier(model_path)).trusted is trusted
    record.unlink()
    assert classify(picture, load_classifier(model_path)).trusted


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"model_', "Unterminated string"), ('{"threshold": 1}', "it lacks model_sha256;")],
)
def test_a_damaged_record_of_a_threshold_is_named_with_the_remedy(model_path, content, words):
    record = threshold_path(model_path)
    record.write_text(content)
    with pytest.raises(ValueError, match=f"{words}.* with 'make threshold'") as caught:
        load_classifier(model_path)
    record.unlink()
    assert str(caught.value).startswith(f"{record}: ")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_model_has_a_threshold_of_its_own(path):
    classifier = load_classifier(path)
    assert classifier.threshold is not None, "run 'make threshold' and commit what it writes"


def test_a_missing_model_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras: no model there; train one"):
        load_classifier(tmp_path / "none.keras")


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_truncated_model_is_named(model_path, tmp_path, share):
    content = model_path.read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"cut\.keras: not a Keras model or a damaged one"):
        load_classifier(tmp_path / "cut.keras")


@pytest.mark.parametrize(
    ("shape", "units", "activation"),
    [
        ((32, 32, 1), 10, "softmax"),
        ((None, None, 3), 10, "softmax"),
        ((32, 32, 3), 9, "softmax"),
        ((32, 32, 3), 10, "linear"),
    ],
)
def test_a_model_of_something_else_is_refused(tmp_path, shape, units, activation):
    inputs = keras.Input(shape)
    features = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(units, activation)(features)
    keras.Model(inputs, outputs).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"other\.keras: input .* expected a network"):
        load_classifier(tmp_path / "other.keras")
