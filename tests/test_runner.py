"""Runs on the drawn sample: what they record and keep, what they refuse, how they go on."""

import json
import shutil
import sys

import keras
import numpy as np
import pytest
from experiment_roots import SMALL, make_root
from folder_state import Interruption

from experiments import __main__ as command
from experiments import runner as module
from experiments.recipes import EXPERIMENTS, Recipe
from experiments.runner import run
from utils.base.files import sha256_of
from utils.results.model_files import load_model
from utils.results.records import read_records

NAME = "airbench94,width=4-4-4,epochs=1,batch_size=45,validation_size=0.1"


@pytest.fixture(scope="module")
def finished(converted, tmp_path_factory):
    """A repository in which two seeds are done, and their records. Read only."""
    root = make_root(tmp_path_factory.mktemp("root"), converted)
    return root, run("airbench94", [3, 4], root=root, **SMALL)


@pytest.fixture
def small_table(monkeypatch):
    """Experiments that build on one another, quick ones."""
    first = Recipe("model_4", 1, width=(4, 4, 4), batch_size=45, validation_size=0.1)
    for name, recipe in {
        "first": first,
        "second": Recipe(**{**first.recorded(), "init": "first"}),
        "pupil": Recipe(**{**first.recorded(), "teacher": "first"}),
    }.items():
        monkeypatch.setitem(EXPERIMENTS, name, recipe)


@pytest.fixture
def root(converted, tmp_path):
    return make_root(tmp_path, converted)


def test_each_run_is_recorded_with_its_seed_and_recipe(finished):
    root, records = finished
    folder = root / "results" / "sample" / NAME
    assert sorted(path.name for path in folder.iterdir()) == ["seed_3.json", "seed_4.json"]
    assert read_records(root / "results" / "sample") == records
    for seed, record in zip((3, 4), records, strict=True):
        assert (record["experiment"], record["seed"]) == (NAME, seed)
        assert record["recipe"]["width"] == [4, 4, 4]
        assert record["recipe"]["muon_lr_scale"] == 0.3
        parts = {"train": 90, "validation": 10, "test": 20}
        assert record["data"] == {"name": "drawn sample", "archive_sha256": None, **parts}
        history = record["training"]["history"]
        assert record["training"]["seconds"] == sum(history["seconds"])
        assert len(history["loss"]) == 1
        assert record["scores"]["test"]["pictures"] == 20
        assert record["training"]["device"]["cores"] > 0
    assert records[0]["training"]["history"]["loss"] != records[1]["training"]["history"]["loss"]
    assert not list((root / "data" / "sample" / "checkpoints").rglob("seed_*"))


def test_the_model_is_kept_and_has_the_recorded_scores(finished):
    root, (record, _) = finished
    path = root / "results" / "sample" / "models" / "runs" / NAME / "seed_3.keras"
    assert record["model"]["sha256"] == {path.name: sha256_of(path)}
    model = load_model(path)
    assert model.count_params() == record["model"]["parameters"]
    test = module.read_data(0.1, root=root).test
    right = model.predict(test.images / np.float32(255), verbose=0).argmax(1) == test.labels
    assert record["scores"]["test"]["accuracy"] == pytest.approx(right.mean())


def test_what_is_recorded_is_not_run_again(finished, monkeypatch):
    root, records = finished
    monkeypatch.setattr(module, "perform", lambda *_: pytest.fail("it ran again"))
    assert run("airbench94", [3, 4], root=root, **SMALL) == records


def test_seeds_are_added_later(finished, tmp_path):
    root = shutil.copytree(finished[0], tmp_path / "root")
    record, _ = run("airbench94", [5, 4], root=root, **SMALL)
    assert record["seed"] == 5
    assert [one["seed"] for one in read_records(root / "results" / "sample")] == [3, 4, 5]


def test_a_record_of_another_recipe_is_refused(finished, tmp_path):
    root = shutil.copytree(finished[0], tmp_path / "root")
    path = root / "results" / "sample" / NAME / "seed_3.json"
    record = json.loads(path.read_text())
    record["recipe"]["momentum"] = 0.5
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"seed_3\.json: a record of another run, with .*0\.5.*de"):
        run("airbench94", [9, 3], root=root, **SMALL)
    assert not list(root.rglob("seed_9*"))  # noticed before anything ran


def test_a_field_that_came_later_breaks_no_record(finished, tmp_path):
    root = shutil.copytree(finished[0], tmp_path / "root")
    path = root / "results" / "sample" / NAME / "seed_3.json"
    record = json.loads(path.read_text())
    assert record["recipe"].pop("trains") == "all"  # what it was before there was a choice
    path.write_text(json.dumps(record))
    assert run("airbench94", [3], root=root, **SMALL)[0]["seed"] == 3


def test_the_same_pictures_in_another_archive_are_the_same_data(finished, tmp_path, monkeypatch):
    root = shutil.copytree(finished[0], tmp_path / "root")
    place = root / "data" / "dataset.json"
    dataset = json.loads(place.read_text())
    place.write_text(json.dumps(dataset | {"archive_sha256": "0"}))
    monkeypatch.setattr(module, "perform", lambda *_: pytest.fail("it ran again"))
    assert run("airbench94", [3], root=root, **SMALL)
    place.write_text(json.dumps(dataset | {"name": "other pictures"}))
    with pytest.raises(ValueError, match=r"a record of another run, with .*'drawn sample'"):
        run("airbench94", [3], root=root, **SMALL)


def test_a_run_begins_with_the_model_of_its_own_seed(root, small_table):
    (second,) = run("second", [1], root=root)
    runs = root / "results" / "sample" / "models" / "runs"
    assert [path.stem for path in (runs / "first").iterdir()] == ["seed_1"]
    assert second["training"]["init_sha256"] == sha256_of(runs / "first" / "seed_1.keras")
    records = {one["experiment"]: one for one in read_records(root / "results" / "sample")}
    assert records["second"]["training"]["history"] != records["first"]["training"]["history"]


def test_all_seeds_have_the_teacher_of_seed_0(root, small_table):
    (pupil,) = run("pupil", [2], root=root)
    teacher = root / "results" / "sample" / "models" / "runs" / "first" / "seed_0.keras"
    assert pupil["training"]["teacher_sha256"] == sha256_of(teacher)
    # One epoch of one step's teacher says nothing: about a tenth for each class.
    assert pupil["training"]["history"]["loss"][0] == pytest.approx(np.log(10), abs=0.3)


def test_a_teacher_that_was_trained_anew_is_noticed(root, small_table):
    run("pupil", [0], root=root)
    teacher = root / "results" / "sample" / "first" / "seed_0.json"
    record = json.loads(teacher.read_text())
    record["model"]["sha256"] = {"seed_0.keras": "0" * 64}
    teacher.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"seed_0\.json: made with another teacher than .*delete"):
        run("pupil", [0, 1], root=root)


def test_a_recorded_model_that_is_gone_or_another_is_named(root, small_table):
    run("first", [0], root=root)
    path = root / "results" / "sample" / "models" / "runs" / "first" / "seed_0.keras"
    path.write_bytes(b"another model")
    with pytest.raises(FileNotFoundError, match=r"seed_0\.keras: not there, though .*delete the r"):
        run("pupil", [0], root=root)


def test_an_interrupted_run_goes_on_from_its_checkpoint(root, finished, monkeypatch):
    def interrupt(*_):
        raise Interruption

    monkeypatch.setattr(module, "keep", interrupt)  # after the training, before the record
    with pytest.raises(Interruption):
        run("airbench94", [3], root=root, **SMALL)
    monkeypatch.undo()
    assert not read_records(root / "results" / "sample")
    epochs = []
    monkeypatch.setattr(
        keras.callbacks.TerminateOnNaN, "on_epoch_begin", lambda *call: epochs.append(call)
    )
    (record,) = run("airbench94", [3], root=root, **SMALL)
    assert not epochs  # nothing was trained again
    _, (whole, _) = finished
    loss = record["training"]["history"]["loss"]
    assert loss == pytest.approx(whole["training"]["history"]["loss"], rel=1e-4)


def test_a_folder_that_cannot_be_written_is_noticed_before_anything_runs(root, monkeypatch):
    monkeypatch.setattr(module, "perform", lambda *_: pytest.fail("it ran"))
    (root / "results").touch()
    with pytest.raises(OSError, match="nothing can be written there"):
        run("airbench94", root=root)


def test_nothing_converted_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing was converted yet; run the first"):
        run("airbench94", root=tmp_path)


# ---- the command line


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["experiments", *arguments])
    command.main()


def test_it_lists_the_experiments(monkeypatch, capsys):
    call(monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)


def test_it_runs_with_fields_and_seeds(monkeypatch, capsys, finished):
    seen = []
    monkeypatch.setattr(
        command, "run", lambda *names, **how: seen.append((names, how)) or finished[1]
    )
    call(monkeypatch, "run", "a", "b", "--seeds", "0-2,5", "--set", "epochs=8", "cutout=none")
    assert [names for names, _ in seen] == [("a", [0, 1, 2, 5]), ("b", [0, 1, 2, 5])]
    assert {**seen[0][1], "report": None} == {"epochs": 8, "cutout": None, "report": None}
    assert "seed 3: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "a", "--seeds", "x"), "'x', expected seeds such as 0-4 or 0,3"),
        (("run", "a", "--seeds", "4-0"), "'4-0', expected seeds"),
        (("run", "a", "--set", "epoch=8"), "'epoch' is no field of a recipe"),
        (("run", "a", "--set", "epochs"), "epochs is '', expected"),
    ],
)
def test_what_it_does_not_understand_is_named(monkeypatch, capsys, arguments, words):
    with pytest.raises(SystemExit):
        call(monkeypatch, *arguments)
    assert words in capsys.readouterr().err


def test_what_is_missing_is_a_sentence(monkeypatch):
    with pytest.raises(SystemExit, match="'model_9' is no experiment; there are"):
        call(monkeypatch, "run", "model_9")
