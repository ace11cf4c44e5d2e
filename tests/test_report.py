"""The report on published models of a small repository: scores, cards, lists and a page."""

import json
import sys

import numpy as np
import pytest
from experiment_roots import SMALL, make_root

from experiments import __main__ as command
from experiments import report as module
from experiments.answers import ModelAnswers
from experiments.recipes import EXPERIMENTS, Recipe
from experiments.runner import run
from utils.results.model_files import load_model
from utils.results.records import read_record, record_path, write_record


@pytest.fixture(scope="module")
def root(converted, tmp_path_factory):
    """A repository with two published models."""
    root = make_root(tmp_path_factory.mktemp("root"), converted)
    results = root / "results" / "sample"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("first", "second"):
            patch.setitem(EXPERIMENTS, name, Recipe("model_4", **SMALL))
            run(name, root=root)
            kept = results / "models" / "runs" / name / "seed_0.keras"
            published = results / "models" / f"{name}.keras"
            published.write_bytes(kept.read_bytes())
            record = read_record(record_path(results, name, 0))
            record["model"]["sha256"][published.name] = record["model"]["sha256"][kept.name]
            write_record(results, record)
    return root


@pytest.fixture
def table(monkeypatch, tmp_path):
    """Only these two are experiments; evaluations are quick ones; answers are kept elsewhere."""
    both = dict.fromkeys(("first", "second"), Recipe("model_4", **SMALL))
    monkeypatch.setattr(module, "EXPERIMENTS", both)
    quick = {name: module.EVALUATIONS[name] for name in ("accuracy", "calibration")}
    monkeypatch.setattr(module, "EVALUATIONS", quick)
    answers = lambda path: ModelAnswers(path, cache=tmp_path / "answers")  # noqa: E731
    monkeypatch.setattr(module, "ModelAnswers", answers)


@pytest.mark.usefixtures("table")
def test_the_report_evaluates_and_compares_all_published_models(root):
    lines = []
    module.write_report(root, report=lines.append)
    results = root / "results" / "sample"
    for name in ("first", "second"):
        scores = read_record(record_path(results, name, 0))["scores"]
        assert {"accuracy", "calibration", "near_duplicates", "test"} <= set(scores)
        assert (results / name / "card.png").stat().st_size > 10_000
        assert (results / name / "card.pdf").is_file()
    twins = json.loads((results / "near_duplicates.json").read_text())
    assert (twins["test_pictures"], twins["training_pictures"]) == (20, 90)
    page = (results / "REPORT.md").read_text()
    assert "| `first` | `second` |" in page
    assert "| 1 | no |" in page  # they answer alike: McNemar's p is 1
    assert (results / "doubtful_labels.png").is_file()
    again = []
    module.write_report(root, report=again.append)
    assert not [line for line in again if "calibration" in line]  # what is there stays


@pytest.mark.usefixtures("table")
def test_twins_are_told_by_the_names_of_their_pictures(root, monkeypatch):
    (root / "results" / "sample" / "near_duplicates.json").unlink(missing_ok=True)
    pair = {"test": 4, "train": 7, "likeness": 0.95}
    monkeypatch.setattr(module, "find_duplicates", lambda *_: [dict(pair)])
    _, data = module.answers_of("first", 0, root)
    found = module.find_twins(root, report=lambda _: None)["pairs"][0]
    folder = root / "data" / "sample"
    named = dict(line.split() for line in (folder / "train_names.txt").read_text().splitlines())
    assert int(named[found["training_picture"]]) == data.train.labels[7]
    assert found["test_picture"] in (folder / "test_names.txt").read_text().splitlines()[4]
    (root / "results" / "sample" / "near_duplicates.json").unlink()


@pytest.mark.usefixtures("table")
def test_the_list_of_cifair_is_taken_of_the_official_archive_only(root, monkeypatch, tmp_path):
    path = tmp_path / "duplicates_cifar10.csv"
    path.write_text("TestID,TrainID,Distance,Judgment\n4,99,0.25,1\n")
    monkeypatch.setenv("CIFAIR", str(path))
    with pytest.raises(ValueError, match="a list of another archive than this; unset it"):
        module.find_twins(root, report=lambda _: None)
    dataset = json.loads((root / "data" / "dataset.json").read_text())
    monkeypatch.setattr(module, "OFFICIAL_SHA256", dataset.get("archive_sha256"))
    found = module.find_twins(root, report=lambda _: None)
    names = (root / "data" / "sample" / "train_names.txt").read_text().splitlines()
    assert (found["source"], found["training_pictures"]) == ("ciFAIR", 100)
    assert found["pairs"][0]["training_picture"] in names[99]
    (root / "results" / "sample" / "near_duplicates.json").unlink()


def test_accuracy_with_and_without_twins():
    found = module.without_twins(np.array([True, False, True, True]), {"pairs": [{"test": 1}]})
    assert found["with_twin"]["share"] == 0
    assert found["without_twin"] == {
        "share": 1,
        "interval_95": pytest.approx([0.4385, 1], abs=1e-4),
        "pictures": 3,
    }


@pytest.mark.usefixtures("table")
def test_logits_are_those_whose_softmax_the_model_gives(root, tmp_path):
    path = root / "results" / "sample" / "models" / "first.keras"
    answers = ModelAnswers(path, cache=tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), np.uint8)
    powers = np.exp(answers.logits(images))
    expected = load_model(path).predict_on_batch(images / np.float32(255))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), expected, atol=1e-4)
    (kept,) = tmp_path.rglob("*.npz")
    again = ModelAnswers(path, cache=tmp_path)
    np.testing.assert_array_equal(again.features(images), answers.features(images))
    assert kept.exists()


def test_the_command_names_an_unknown_evaluation(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["experiments", "evaluate", "airbench94", "--on", "luck"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert "'luck' is no evaluation; there are accuracy" in str(caught.value)


def test_a_run_that_is_not_recorded_is_named(root):
    with pytest.raises(FileNotFoundError, match="no record of third, seed 0; run it first"):
        module.evaluate_run("third", root=root)
