import keras
import numpy as np
import onnxruntime
import pytest

from tools.export_model import export_model, litert_runner, publish_onnx
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.files import sha256_of
from utils.results import onnx_files as module
from utils.results.onnx_files import add_onnx, export_onnx, onnx_runner
from utils.training.models import model_1, model_4

SHIPPED = sorted((ROOT / "models").glob("*.onnx"))


def built(builder):
    keras.utils.clear_session()
    model = builder()
    random = np.random.default_rng(0)
    model.set_weights([w + random.random(w.shape, np.float32) / 50 for w in model.get_weights()])
    return model


def saved(model, tmp_path):
    path = tmp_path / f"{model.name}.keras"
    model.save(path)
    keras.utils.clear_session()  # layers get their names anew, as in the program that exports
    return path


@pytest.mark.parametrize("builder", [model_1, model_4])
def test_both_files_predict_as_keras_does_for_any_number_of_pictures(builder, tmp_path):
    model = built(builder)
    differences = export_model(saved(model, tmp_path), tmp_path)
    onnx, litert = differences
    assert (onnx.name, litert.name) == (f"{model.name}.onnx", f"{model.name}.tflite")
    assert max(differences.values()) <= 1e-4
    images = np.random.default_rng(1).random((3, 32, 32, 3), np.float32)
    for run in (onnx_runner(onnx), litert_runner(litert)):
        for count in (1, 3):
            np.testing.assert_allclose(run(images[:count]), model(images[:count]), atol=1e-4)


def test_a_file_that_predicts_something_else_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "onnx_runner", lambda path: lambda images: np.zeros((1, 10)))
    with pytest.raises(ValueError, match=r"small\.onnx: differs by"):
        export_onnx(small(), tmp_path / "small.onnx", record=None)
    assert not list(tmp_path.iterdir())


def small(activation="softmax", units=10):
    """A model with what converters don't write as it is: Normalization, GELU, a model in it."""
    keras.utils.clear_session()
    layers = keras.layers
    gelu = [layers.Conv2D(4, 3, activation="gelu"), layers.Activation("gelu")]
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[0.1, 0.4, 0.7], variance=[0.5, 0.2, 0.1])(inputs)
    x = keras.Sequential([keras.Input((8, 8, 3)), *gelu])(x)
    x = layers.GlobalMaxPooling2D()(layers.BatchNormalization()(x))
    outputs = layers.Dense(units, activation, bias_initializer="random_normal")(x)
    return keras.Model(inputs, outputs, name="small")


def test_logits_are_the_head_s_of_the_features_and_the_file_explains_itself(tmp_path):
    model = small()
    images = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)
    path = tmp_path / "a.onnx"
    difference = export_onnx(
        model, path, record="results/a/seed_3.json", title="Tiny", images=images
    )
    session = onnxruntime.InferenceSession(path)
    logits, features = session.run(["logits", "features"], {"pixels": images})
    kernel, bias = map(np.asarray, model.layers[-1].get_weights())
    np.testing.assert_allclose(features @ kernel + bias, logits, atol=1e-6)
    expected = model(images, training=False).numpy()
    powers = np.exp(logits)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(probabilities - expected).max() == pytest.approx(difference, abs=1e-7)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["classes"].split(",") == list(CLASS_NAMES)
    assert (metadata["experiment"], metadata["title"]) == ("a", "Tiny")
    assert metadata["record"] == "results/a/seed_3.json"
    assert "8x8 pixels" in metadata["preparation"]


@pytest.mark.parametrize(
    ("model", "words"),
    [({"activation": "linear"}, "ends in .*; export a model"), ({"units": 9}, "expected 10 cl")],
)
def test_a_model_of_something_else_is_not_exported(tmp_path, model, words):
    with pytest.raises(ValueError, match=words):
        export_onnx(small(**model), tmp_path / "a.onnx", record=None)
    assert not list(tmp_path.iterdir())


def test_a_published_file_is_entered_in_its_record(tmp_path):
    record = {"experiment": "tiny", "seed": 2, "model": {"sha256": {}}, "scores": {}}
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    path = add_onnx(small(), tmp_path, record, images=images)
    assert path == tmp_path / "tiny.onnx"
    assert record["model"]["sha256"] == {"tiny.onnx": sha256_of(path)}
    assert record["scores"]["onnx"]["pictures"] == 9
    assert 0 <= record["scores"]["onnx"]["largest_difference"] <= 1e-5


def test_what_no_record_knows_is_not_published(tmp_path):
    path = saved(small(), tmp_path)
    with pytest.raises(ValueError, match=r"small\.keras: no record in results/ knows this file"):
        publish_onnx(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_answers_as_its_keras_file(path):
    model = keras.models.load_model(path.with_suffix(".keras"), compile=False)
    images = np.random.default_rng(0).random((64, *model.input_shape[1:]), np.float32)
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(onnx_runner(path)(images), expected, atol=1e-5)
