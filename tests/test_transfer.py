"""Heads trained on features that a frozen backbone found once; the tool's records of all cells."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from folder_state import Interruption

from tools import transfer as tool
from tools.transfer import transfer
from utils.base.files import sha256_of
from utils.load_patchs import read_image_labels
from utils.model_training_testing import predict
from utils.training.features import cache_features, split_at_features
from utils.training.models import model_1, model_2, model_3

SETTINGS = {"patch_size": 30, "head_epochs": 2, "epochs": 2}
RECORDS = ["model_2_40_frozen.json", "model_2_40_tuned.json"]


@pytest.fixture(scope="module")
def model():
    return model_2((32, 32, 3), weights=None)


def small_model(image_shape, *, weights, trainable, resize_to):
    """Stands for Model 2, which takes long to build; learns from scratch, whatever `weights`."""
    assert weights == "a file"
    inputs = keras.Input(image_shape)
    features = keras.layers.Resizing(resize_to, resize_to)(inputs)
    features = keras.layers.Conv2D(6, 5, strides=4, activation="relu")(features)
    features = keras.layers.BatchNormalization(trainable=trainable)(features)
    features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(inputs, keras.layers.Dense(10, "softmax")(features), name="model_2")


@pytest.fixture(autouse=True, scope="module")
def small_builder():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOBILENETV2_WEIGHTS", "a file")
        patch.setitem(tool.BUILDERS, "model_2", (small_model, "MOBILENETV2_WEIGHTS"))
        yield


def make_root(folder, converted):
    """Lay out the sample as the first notebook does."""
    shutil.copytree(converted.images_directory.parent, folder / "data" / "sample")
    dataset = {"name": "drawn sample", "directory": "data/sample", "results": "results/sample"}
    (folder / "data" / "dataset.json").write_text(json.dumps(dataset))
    return folder


@pytest.fixture(scope="module")
def finished(converted, tmp_path_factory):
    """A repository in which one cell is done, and what came out. Read only."""
    root = make_root(tmp_path_factory.mktemp("root"), converted)
    return root, transfer(root, ["model_2_40"], **SETTINGS)


@pytest.mark.parametrize("build", [model_2, model_3])
def test_head_after_backbone_is_the_model(build):
    model = build((32, 32, 3), 4, weights=None)
    images = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    backbone, head = split_at_features(model)
    features = backbone(images, training=False)
    assert features.shape == (3, {"model_2": 1280, "model_3": 512}[model.name])
    np.testing.assert_allclose(head(features), model(images, training=False), atol=1e-6)


def test_training_the_head_trains_the_model(model):
    before = model.get_weights()
    _, head = split_at_features(model)
    head.set_weights([weights + 1 for weights in head.get_weights()])
    changed = [(old != new).any() for old, new in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * (len(changed) - 4) + [True] * 4


def test_a_model_that_pools_nothing_is_refused():
    with pytest.raises(ValueError, match="model_1 pools no features; pass what model_2 or"):
        split_at_features(model_1())


def test_features_keep_order_and_labels(model, converted):
    backbone, _ = split_at_features(model)
    how = {"images_directory": converted.images_directory}
    dataset = read_image_labels(converted.test_names, 7, (32, 32), **how)
    cached = list(cache_features(backbone, dataset).as_numpy_iterator())
    assert len(cached) == 20
    images, labels = next(iter(dataset.rebatch(20)))
    features = np.stack([features for features, _ in cached])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, backbone(images), atol=1e-5)
    assert [label for _, label in cached] == list(labels)


def test_no_pictures_have_no_features(model):
    backbone, _ = split_at_features(model)
    shapes = (tf.zeros((0, 32, 32, 3)), tf.zeros(0, tf.int32))
    with pytest.raises(ValueError, match="the dataset is empty; check the names file"):
        cache_features(backbone, tf.data.Dataset.from_tensor_slices(shapes).batch(2))


def test_both_runs_of_a_cell_are_recorded(finished):
    root, records = finished
    folder = root / "results" / "sample" / "transfer"
    assert sorted(path.name for path in folder.iterdir()) == RECORDS
    assert [json.loads((folder / name).read_text()) for name in RECORDS] == records
    assert [record["trained"] for record in records] == ["head", "all layers"]
    for record in records:
        assert (record["model"], record["side"]) == ("model_2", 40)
        assert record["parameters"] == 76 * 6 + 4 * 6 + 7 * 10
        assert record["test_images"] == 20
        assert record["test_accuracy"] * 20 == pytest.approx(round(record["test_accuracy"] * 20))
        assert record["validation_accuracy"] == record["history"]["val_accuracy"][-1]
        assert len(record["history"]["loss"]) == 2
        assert record["settings"]["rate"] == tool.OWN_SETTINGS["model_2"]["rate"]
    assert not list((root / "data" / "sample" / "checkpoints" / "transfer").iterdir())


def test_the_fine_tuned_model_is_saved(finished, converted):
    root, (_, tuned) = finished
    path = root / "results" / "sample" / "models" / "transfer" / "model_2_40" / "model_2.keras"
    assert tuned["model_sha256"] == {path.name: sha256_of(path)}
    how = {"images_directory": converted.images_directory}
    test = read_image_labels(converted.test_names, 20, (32, 32), **how)
    accuracy, *_ = predict(keras.models.load_model(path), test)
    assert accuracy == tuned["test_accuracy"]


def test_what_is_recorded_is_not_repeated(finished, monkeypatch):
    root, records = finished
    monkeypatch.setattr(tool, "train_cell", lambda *_: pytest.fail("it ran again"))
    assert transfer(root, ["model_2_40"], **SETTINGS) == records


def test_a_record_of_other_settings_is_refused(finished):
    root, _ = finished
    with pytest.raises(ValueError, match=f"{RECORDS[0]}: a record of other settings or data"):
        transfer(root, ["model_2_40"], **{**SETTINGS, "epochs": 3})


def test_an_interrupted_run_goes_on_to_the_same_end(finished, converted, tmp_path, monkeypatch):
    _, (_, whole) = finished
    other = make_root(tmp_path, converted)
    calls = []

    def interrupt(self, epoch, logs=None):
        calls.append(epoch)
        if len(calls) == SETTINGS["head_epochs"] + 2:  # the second epoch of all layers
            raise Interruption

    monkeypatch.setattr(keras.callbacks.TerminateOnNaN, "on_epoch_begin", interrupt)
    with pytest.raises(Interruption):
        transfer(other, ["model_2_40"], **SETTINGS)
    monkeypatch.setattr(tool, "train_head", lambda *_: pytest.fail("the head was trained again"))
    frozen = other / "results" / "sample" / "transfer" / RECORDS[0]
    record = frozen.read_text()
    frozen.unlink()
    with pytest.raises(ValueError, match="model_2_40: checkpoints of other settings; delete it"):
        transfer(other, ["model_2_40"], **SETTINGS, head_rate=0.01)
    frozen.write_text(record)
    _, resumed = transfer(other, ["model_2_40"], **SETTINGS)
    assert len(calls) == SETTINGS["head_epochs"] + 3
    assert resumed["history"]["loss"] == pytest.approx(whole["history"]["loss"], rel=1e-4)
    assert resumed["test_accuracy"] == whole["test_accuracy"]


@pytest.mark.parametrize("cell", ["model_1_32", "model_2", "model_2_31", "model_2_x", "", None])
def test_what_is_no_cell_is_refused(tmp_path, cell):
    with pytest.raises(ValueError, match="is no cell, expected model_2_<side> or model_3_<side>"):
        transfer(tmp_path, [cell])


def test_nothing_converted_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing was converted yet; run the first"):
        transfer(tmp_path)
