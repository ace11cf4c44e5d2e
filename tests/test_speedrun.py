"""Two short runs on the drawn sample: what they record, sum up and draw, and how they resume."""

import json
import shutil
import sys

import keras
import numpy as np
import pytest
from folder_state import Interruption

from tools import recorded_runs
from tools import speedrun as tool
from tools.recipe import summarise
from tools.speedrun import notebook_histories, speedrun
from utils.base.files import sha256_of
from utils.results.reports import write_history
from utils.training.models import model_1

OPTIONS = {"runs": 2, "epochs": 1, "width": (4, 4, 4), "seed": 3, "patch_size": 45}
OPTIONS["validation_size"] = 0.1
VARIANT = "model_4_4-4-4_depth_2_epochs_1"
RUNS = [f"{VARIANT}_seed_3.json", f"{VARIANT}_seed_4.json"]


def make_root(folder, converted):
    """Lay out the sample as the first notebook does, with a history of the second."""
    shutil.copytree(converted.images_directory.parent, folder / "data" / "sample")
    dataset = {"name": "drawn sample", "directory": "data/sample", "results": "results/sample"}
    (folder / "data" / "dataset.json").write_text(json.dumps(dataset))
    history = {"val_accuracy": [0.2, 0.6], "seconds": [90.0, 60.0]}
    write_history(folder / "results" / "sample" / "model_1_quick_history.csv", history)
    return folder


@pytest.fixture(scope="module")
def finished(converted, tmp_path_factory):
    """A repository in which both runs are done, and what came out. Read only."""
    root = make_root(tmp_path_factory.mktemp("root"), converted)
    return root, speedrun(root, **OPTIONS)


def records_of(root):
    folder = root / "results" / "sample" / "speedrun"
    return [json.loads((folder / name).read_text()) for name in RUNS]


def test_each_run_is_recorded_with_its_seed_and_recipe(finished):
    root, _ = finished
    assert {path.name for path in (root / "results" / "sample" / "speedrun").iterdir()} == {
        *RUNS,
        f"{VARIANT}.json",
        f"{VARIANT}.pdf",
    }
    one, two = records_of(root)
    assert (one["seed"], two["seed"]) == (3, 4)
    assert one["history"]["loss"] != two["history"]["loss"]
    for record in (one, two):
        assert record["settings"]["width"] == [4, 4, 4]
        assert record["settings"]["bias_rate"] == 64
        assert record["settings"]["kernel_rate"] == 0.3
        assert record["settings"]["max_shift"] == 2
        assert record["settings"]["alternate"]
        assert record["test_images"] == 20
        assert record["test_accuracy"] * 20 == pytest.approx(round(record["test_accuracy"] * 20))
        assert record["validation_accuracy"] == record["history"]["val_accuracy"][-1]
        assert len(record["history"]["seconds"]) == 1
        assert record["hardware"]["cores"] > 0
    assert not list((root / "data" / "sample" / "checkpoints" / "speedrun").iterdir())


def test_the_recorded_recipe_is_what_it_trains_by(finished, monkeypatch):
    root, _ = finished
    seen = {}

    def train(models, train, validation, epochs, patch_size, final, schedule, momentum, **options):
        seen.update(options, epochs=epochs, patch_size=patch_size, momentum=momentum)
        raise Interruption

    monkeypatch.setattr(tool, "train_and_evaluate_models", train)
    with pytest.raises(Interruption):
        speedrun(root, **OPTIONS | {"epochs": 8})
    names = ["kernel_rate", "bias_rate", "weight_decay", "label_smoothing", "momentum"]
    settings = records_of(root)[0]["settings"]
    assert {name: seen[name] for name in names} == {name: settings[name] for name in names}
    assert (seen["epochs"], seen["patch_size"], seen["nesterov"]) == (8, 45, True)
    shutil.rmtree(root / "data" / "sample" / "checkpoints" / "speedrun")


def test_model_1_takes_its_turn_with_a_rate_of_its_own(finished):
    root, _ = finished
    speedrun(root, model="model_1", **{**OPTIONS, "runs": 1})
    results = root / "results" / "sample" / "speedrun"
    record = json.loads((results / "model_1_epochs_1_seed_3.json").read_text())
    assert (record["model"], record["parameters"]) == ("model_1", 552_874)
    assert record["settings"]["bias_rate"] == 1
    assert "width" not in record["settings"]
    for path in results.glob("model_1_*"):
        path.unlink()


def test_pictures_are_shifted_and_cut_as_asked_for(finished, monkeypatch):
    root, _ = finished
    seen = {}

    def read(names, **how):
        seen.update(how)
        raise Interruption

    monkeypatch.setattr(recorded_runs, "read_image_labels", read)
    with pytest.raises(Interruption):
        speedrun(root, **OPTIONS | {"epochs": 9}, max_shift=4, cutout=12)
    assert (seen["max_shift"], seen["cutout"], seen["alternate"]) == (4, 12, True)
    checkpoints = root / "data" / "sample" / "checkpoints" / "speedrun"
    (run,) = checkpoints.iterdir()  # not mixed up with runs of the usual pictures
    assert run.name == "model_4_4-4-4_depth_2_epochs_9_shift_4_cutout_12_seed_3"
    shutil.rmtree(checkpoints)


def test_a_teacher_takes_the_place_of_labels(finished, tmp_path):
    root, _ = finished
    teacher = tmp_path / "model_9.keras"
    model_1().save(teacher)
    speedrun(root, **{**OPTIONS, "runs": 1}, teacher=teacher)
    results = root / "results" / "sample" / "speedrun"
    record = json.loads((results / f"{VARIANT}_taught_by_model_9_seed_3.json").read_text())
    assert record["settings"]["teacher_sha256"] == sha256_of(teacher)
    assert record["settings"]["label_smoothing"] == 0
    # An untrained teacher says nothing: a tenth for each class, whatever the picture shows.
    assert record["history"]["loss"][0] == pytest.approx(np.log(10), abs=0.3)
    for path in results.glob("*_taught_by_*"):
        path.unlink()


def test_a_missing_teacher_is_named_before_anything_is_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no_teacher\.keras: no model there"):
        speedrun(tmp_path, teacher=tmp_path / "no_teacher.keras")


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="model is 'model_5', expected one of model_1, model_4"):
        speedrun(tmp_path, model="model_5")


def test_the_summary_is_of_both_runs(finished):
    root, summary = finished
    written = json.loads((root / "results" / "sample" / "speedrun" / f"{VARIANT}.json").read_text())
    assert written == summary
    assert summary["seeds"] == [3, 4]
    for name in ("test_accuracy", "test_accuracy_averaged", "minutes_of_training"):
        one, two = (record[name] for record in records_of(root))
        assert summary[name]["mean"] == pytest.approx((one + two) / 2)
        assert summary[name]["standard_deviation"] == pytest.approx(abs(one - two) / 2**0.5)


def test_a_further_call_sums_up_all_recorded_seeds(finished):
    root, summary = finished
    again = speedrun(root, **{**OPTIONS, "runs": 1, "seed": 4})
    assert {**again, "finished": None} == {**summary, "finished": None}


def test_the_figure_is_a_pdf(finished):
    root, _ = finished
    figure = root / "results" / "sample" / "speedrun" / f"{VARIANT}.pdf"
    assert figure.read_bytes().startswith(b"%PDF")


def test_the_interval_is_students():
    found = summarise([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found["runs"] == 5
    assert found["mean"] == pytest.approx(0.3)
    assert found["standard_deviation"] == pytest.approx(0.025**0.5)
    half = 2.776445 * (0.025 / 5) ** 0.5  # the 97.5 % quantile at 4 degrees, from a table
    assert found["confidence_interval_95"] == pytest.approx([0.3 - half, 0.3 + half], rel=1e-5)


def test_a_single_run_has_no_spread():
    found = summarise([0.9])
    assert found == {
        "runs": 1,
        "mean": 0.9,
        "standard_deviation": None,
        "confidence_interval_95": None,
    }


def test_finished_runs_are_not_repeated(finished, monkeypatch):
    root, summary = finished
    monkeypatch.setattr(tool, "train_once", lambda *_: pytest.fail("it ran again"))
    again = speedrun(root, **OPTIONS)
    assert {**again, "finished": None} == {**summary, "finished": None}


def test_a_record_of_other_settings_is_refused(finished):
    root, _ = finished
    before = records_of(root)
    for seed in (3, 9):  # that of a record, and a new one, which would be summed up with the others
        with pytest.raises(
            ValueError, match=r"_seed_[34].json: a record of other settings or data"
        ):
            speedrun(root, **{**OPTIONS, "patch_size": 30, "seed": seed})
    assert records_of(root) == before
    assert not list(root.rglob("*_seed_9*"))


def test_the_same_pictures_in_another_archive_are_the_same_data(finished, tmp_path, monkeypatch):
    _, summary = finished
    root = shutil.copytree(finished[0], tmp_path / "root")
    dataset = json.loads((root / "data" / "dataset.json").read_text())
    (root / "data" / "dataset.json").write_text(json.dumps(dataset | {"archive_sha256": "0"}))
    monkeypatch.setattr(tool, "train_once", lambda *_: pytest.fail("it ran again"))
    assert speedrun(root, **OPTIONS)["test_accuracy"] == summary["test_accuracy"]


def test_an_interrupted_run_goes_on_from_its_checkpoint(finished, converted, tmp_path, monkeypatch):
    root = make_root(tmp_path, converted)

    def interrupt(*_, **__):
        raise Interruption

    monkeypatch.setattr(tool, "measure", interrupt)  # after the training, before the record
    with pytest.raises(Interruption):
        speedrun(root, **OPTIONS)
    monkeypatch.undo()
    checkpoint = next((root / "data").rglob("model_4.npz"))
    with np.load(checkpoint) as file:
        history = json.loads(str(file["history"]))
    speedrun(root, **{**OPTIONS, "runs": 1})
    name = root / "results" / "sample" / "speedrun" / RUNS[0]
    record = json.loads(name.read_text())
    assert record["history"] == history  # its seconds, too: nothing was trained again
    uninterrupted = records_of(finished[0])[0]
    assert record["history"]["loss"] == pytest.approx(uninterrupted["history"]["loss"], rel=1e-4)
    assert record["test_accuracy"] == pytest.approx(uninterrupted["test_accuracy"], abs=0.051)


def test_an_interrupted_run_goes_on_with_its_own_teacher_only(finished, tmp_path, monkeypatch):
    root, checkpoints = finished[0], finished[0] / "data" / "sample" / "checkpoints" / "speedrun"

    def interrupt(*_, **__):
        raise Interruption

    monkeypatch.setattr(tool, "train_and_evaluate_models", interrupt)
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        model_1().save(tmp_path / f"model_9_{seed}.keras")
    teacher = tmp_path / "model_9.keras"
    shutil.copy(tmp_path / "model_9_0.keras", teacher)
    with pytest.raises(Interruption):
        speedrun(root, **OPTIONS, teacher=teacher)
    with pytest.raises(Interruption):  # the same once more
        speedrun(root, **OPTIONS, teacher=teacher)
    shutil.copy(tmp_path / "model_9_1.keras", teacher)
    with pytest.raises(ValueError, match=r"model_9_seed_3: checkpoints of other settings; delete"):
        speedrun(root, **OPTIONS, teacher=teacher)
    shutil.rmtree(checkpoints)


def test_histories_of_the_notebook_are_read_with_their_times(finished, tmp_path):
    root, _ = finished
    expected = {"epoch": [1.0, 2.0], "val_accuracy": [0.2, 0.6], "seconds": [90.0, 60.0]}
    assert notebook_histories(root / "results" / "sample") == {"model_1, quick profile": [expected]}
    write_history(tmp_path / "model_2_full_history.csv", {"val_accuracy": [0.5]})
    write_history(tmp_path / "model_1_gpu_history.csv", {"val_accuracy": [0.5], "seconds": [1.0]})
    assert notebook_histories(tmp_path) == {}


@pytest.mark.parametrize("name", ["runs", "epochs", "patch_size"])
def test_a_wrong_number_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        speedrun(tmp_path, **{name: 0})


def test_the_command_line_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["speedrun", "--width", "4,4,4", "--epochs", "1"])
    with pytest.raises(SystemExit, match=r"dataset\.json: nothing was converted yet; run"):
        tool.main()


def test_the_command_line_tells_each_run_and_their_mean(finished, monkeypatch, capsys):
    root, summary = finished
    monkeypatch.setattr(tool, "ROOT", root)
    arguments = ["--runs", "2", "--epochs", "1", "--width", "4,4,4", "--seed", "3"]
    monkeypatch.setattr(
        sys, "argv", ["speedrun", *arguments, "--patch-size", "45", "--validation-size", "0.1"]
    )
    tool.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0].split(":")[0] for line in lines[:2]] == ["seed 3", "seed 4"]
    accuracies = [f"test accuracy {record['test_accuracy']:.2%}" for record in records_of(root)]
    assert all(text in line for text, line in zip(accuracies, lines[:2], strict=True))
    assert f"test accuracy: mean {summary['test_accuracy']['mean']:.4g} of 2 runs" in lines[2]
