"""Small runs on few pictures: what they record and leave, and what is refused."""

import json
import sys

import keras
import numpy as np
import pytest

from tools import gpu_runs as tool
from tools.gpu_runs import RUNS, gpu_runs
from tools.recipe import VALIDATION_SIZE, recorded
from utils.base.files import sha256_of
from utils.results.records import RESULTS

DATASET = {"name": "CIFAR-10", "directory": "data", "results": "results"}
SMALL = {"epochs": 1, "patch_size": 8, "runs": 2}


def pack(root):
    random = np.random.default_rng(0)
    arrays = {"dataset": json.dumps(DATASET), "validation_size": 0.02}
    for part, count in (("train", 19), ("validation", 4), ("test", 6)):
        arrays[part] = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
        arrays[f"{part}_labels"] = random.integers(0, 10, count)
    (root / "data").mkdir()
    np.savez(root / "data" / "pictures.npz", **arrays)
    return root


def read(root, name):
    return json.loads((root / "results" / "gpu" / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A repository with two runs of a small Model 4, and what came out. Read only."""
    root = pack(tmp_path_factory.mktemp("root"))
    return root, gpu_runs(root, ["model_4"], **SMALL, width=[4, 4, 4])


def test_each_seed_is_recorded_and_all_are_summed_up(finished):
    root, (summary,) = finished
    records = [read(root, f"model_4_seed_{seed}.json") for seed in (0, 1)]
    assert read(root, "model_4.json") == summary
    assert summary["seeds"] == [0, 1]
    accuracies = [record["test_accuracy"] for record in records]
    assert summary["test_accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    for record in records:
        assert record["accelerator"] == summary["accelerator"]
        assert record["settings"] == summary["settings"]
        assert record["settings"]["width"] == [4, 4, 4]
        assert record["settings"]["validation_size"] == 0.02
        assert record["versions"]["jax"]
        assert record["test_images"] == 6
        assert record["minutes_of_training"] == pytest.approx(record["history"]["seconds"][0] / 60)
        assert record["validation_accuracy"] == record["history"]["val_accuracy"][-1]
    assert records[0]["history"]["loss"] != records[1]["history"]["loss"]


def test_the_first_seeds_model_is_kept_in_half_precision(finished):
    root, _ = finished
    path = root / "models" / "gpu" / "model_4" / "model_4.keras"
    assert read(root, "model_4_seed_0.json")["model_sha256"] == {path.name: sha256_of(path)}
    assert "model_sha256" not in read(root, "model_4_seed_1.json")
    for weight in keras.models.load_model(path).get_weights():
        assert weight.dtype == np.float32
        if weight.ndim > 1:
            np.testing.assert_array_equal(weight, weight.astype(np.float16))


def test_what_is_recorded_is_not_repeated(finished, monkeypatch):
    root, summaries = finished
    monkeypatch.setattr(tool, "_build", lambda *_: pytest.fail("it ran again"))
    assert gpu_runs(root, ["model_4"], **SMALL, width=[4, 4, 4]) == summaries
    with pytest.raises(ValueError, match=r"model_4_seed_0.json: a record of other settings"):
        gpu_runs(root, ["model_4"], **SMALL, width=[4, 4, 6])


@pytest.mark.parametrize("name", RUNS)
def test_what_is_shipped_is_recorded_of_these_settings(name):
    """So that `make gpu` has nothing to do, and the README's table is of these runs."""
    settings = {**RUNS[name], "validation_size": VALIDATION_SIZE}
    for seed in range(settings.pop("runs")):
        assert recorded(RESULTS / "gpu" / f"{name}_seed_{seed}.json", settings, DATASET)


def test_a_pupil_without_its_teacher_is_refused(finished):
    root, _ = finished
    with pytest.raises(FileNotFoundError, match="no teacher there; run model_4_wide first"):
        gpu_runs(root, ["model_1_long"], **SMALL)


def test_an_unknown_run_and_missing_pictures_are_named(tmp_path):
    with pytest.raises(ValueError, match="'model_9' is no run, expected one of model_4, "):
        gpu_runs(tmp_path, ["model_4", "model_9"])
    with pytest.raises(FileNotFoundError, match="no pictures there; run 'python -m"):
        gpu_runs(tmp_path, ["model_4"])


def test_the_command_line_wants_a_gpu(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu_runs", "model_4"])
    with pytest.raises(SystemExit, match="JAX finds no GPU here"):
        tool.main()
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(SystemExit, match="start with KERAS_BACKEND=jax"):
        tool.main()


@pytest.mark.parametrize("name", tool.RUNS)
def test_every_run_builds_its_model(name, monkeypatch):
    seen = {}
    monkeypatch.setattr(tool, "model_3", lambda *_, **options: seen.update(options))
    monkeypatch.setenv("VGG16_WEIGHTS", "here.h5")
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    model = tool._build(tool.RUNS[name], images)
    if name == "model_3":
        assert seen == {"weights": "here.h5", "trainable": True, "feature_scale": 1 / 30}
    else:
        assert model.name == tool.RUNS[name]["model"]
        rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
        assert rates == ([0] * 4 if model.name == "model_1" else [])
