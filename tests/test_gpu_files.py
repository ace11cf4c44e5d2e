"""What goes to a GPU, packed from the drawn sample, and what comes back and is shipped."""

import json
import shutil
import sys

import keras
import numpy as np
import pytest

from tools import pack_pictures as pack_tool
from tools import ship_gpu_runs as ship_tool
from tools.pack_pictures import pack_pictures
from tools.ship_gpu_runs import ship
from utils.base.files import sha256_of
from utils.load_patchs import extract_labels, read_image_labels
from utils.results.model_files import save_model

DATASET = {"name": "drawn sample", "directory": "data/sample", "results": "results/sample"}
HISTORY = {"loss": [2.0, 1.5], "val_accuracy": [0.3, 0.5], "seconds": [60.0, 30.0]}


@pytest.fixture
def root(converted, tmp_path):
    """A repository in which the first notebook has converted the sample."""
    shutil.copytree(converted.images_directory.parent, tmp_path / "data" / "sample")
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(DATASET))
    return tmp_path


def read_all(root, names):
    how = {"images_directory": root / "data" / "sample" / "images"}
    return extract_labels(read_image_labels(names, 50, (32, 32), **how))


def in_order(images, labels):
    return sorted(
        (int(label), image.tobytes()) for image, label in zip(images, labels, strict=True)
    )


def test_every_picture_is_packed_once_with_its_label(root):
    with np.load(pack_pictures(root, validation_size=0.1)) as file:
        packed = dict(file)
    assert json.loads(str(packed["dataset"])) == DATASET
    images, labels = read_all(root, root / "data" / "sample" / "test_names.txt")
    np.testing.assert_array_equal(packed["test"], np.rint(images * 255))
    np.testing.assert_array_equal(packed["test_labels"], labels)
    assert packed["validation_size"] == 0.1
    assert packed["test"].dtype == np.uint8
    images, labels = read_all(root, root / "data" / "sample" / "train_names.txt")
    expected = in_order(np.rint(images * 255).astype(np.uint8), labels)
    held_out = in_order(packed["validation"], packed["validation_labels"])
    assert len(held_out) == 10
    assert sorted(held_out + in_order(packed["train"], packed["train_labels"])) == expected


def test_a_repository_without_pictures_is_refused(tmp_path, monkeypatch):
    for tool in (pack_tool, ship_tool):
        monkeypatch.setattr(tool, "ROOT", tmp_path)
        monkeypatch.setattr(sys, "argv", ["tool"])
        with pytest.raises(SystemExit, match="nothing was converted yet; run the first notebook"):
            tool.main()


@pytest.fixture
def trained(root):
    """What a GPU run would have left there, of a network too small to learn much."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 9, 4), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")], name="model_1")
    models = root / "results" / "sample" / "models" / "gpu" / "model_1_long"
    (path,) = save_model(model, models, suffixes=[".keras"], half_precision=True)
    record = {
        "model": "model_1",
        "data": DATASET,
        "seed": 0,
        "settings": {"epochs": 2, "patch_size": 7, "validation_size": 0.1},
        "parameters": model.count_params(),
        "accelerator": "a GPU",
        "versions": {"jax": "1"},
        "validation_accuracy": 0.5,
        "minutes_of_training": 1.5,
        "history": HISTORY,
        "model_sha256": {path.name: sha256_of(path)},
    }
    place = root / "results" / "sample" / "gpu" / "model_1_long_seed_0.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(record))
    return keras.models.load_model(models / "model_1.keras")


def test_what_is_shipped_is_the_trained_model_with_its_scores_here(root, trained):
    record = ship(root, "model_1_long")
    results = root / "results" / "sample"
    assert json.loads((results / "model_1_gpu.json").read_text()) == record
    images, labels = read_all(root, root / "data" / "sample" / "test_names.txt")
    right = trained.predict(images, verbose=0).argmax(1) == labels
    assert record["test_accuracy"] == pytest.approx(right.mean())
    assert record["right_of_the_first"] == right.sum()
    assert (record["accelerator"], record["minutes_of_final_training"]) == ("a GPU", 1.5)
    assert record["settings"]["final_epochs"] == 2
    assert record["versions_of_training"] == {"jax": "1"}
    assert set(record["model_sha256"]) == {"model_1.keras", "model_1.h5"}
    for name in record["model_sha256"]:
        shipped = keras.models.load_model(results / "models" / name, compile=False)
        for ours, theirs in zip(shipped.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert (results / "model_1_gpu_history.csv").read_text().splitlines()[1] == "1,2.0,0.3,60.0"
    assert (results / "model_1_gpu_confusion_matrix.pdf").read_bytes().startswith(b"%PDF")
    report = (results / "model_1_gpu_report.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in report[1:3]] == ["airplane", "automobile"]


def test_what_is_not_there_to_be_shipped_is_named(root):
    with pytest.raises(ValueError, match="'model_4' is not shipped, expected one of model_1_long,"):
        ship(root, "model_4")
    with pytest.raises(FileNotFoundError, match=r"model_3_seed_0.json: no such run yet;"):
        ship(root, "model_3")


def test_a_record_without_its_model_is_named_with_the_remedy(root, trained):
    folder = root / "results" / "sample"
    model = folder / "models" / "gpu" / "model_1_long" / "model_1.keras"
    trained.save(model)  # in single precision: another file
    with pytest.raises(ValueError, match=r"not the model that .*_seed_0\.json tells of; delete "):
        ship(root, "model_1_long")
    model.unlink()
    with pytest.raises(FileNotFoundError, match=rf"no model there; delete {folder / 'gpu'}, then"):
        ship(root, "model_1_long")
    assert not list(folder.glob("model_1_gpu*"))
