"""A run's model saved for good: its files, their hashes and scores, report and matrices."""

import numpy as np
import pytest
from experiment_roots import SMALL, make_root

from experiments import publish as module
from experiments.answers import ModelAnswers
from experiments.publish import publish
from experiments.recipes import EXPERIMENTS, recipe_of
from experiments.runner import read_data, run
from utils.base.files import sha256_of
from utils.results.model_files import load_model
from utils.results.records import read_record


@pytest.fixture(scope="module")
def published(converted, tmp_path_factory):
    """The folders of results and models, and the record of what was published."""
    root = make_root(tmp_path_factory.mktemp("root"), converted)
    cache = tmp_path_factory.mktemp("answers")
    _, recipe = recipe_of("airbench94", **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPERIMENTS, "tiny", recipe)
        patch.setattr(module, "ModelAnswers", lambda path: ModelAnswers(path, cache=cache))
        run("tiny", root=root)
        record = publish("tiny", root=root)
        with pytest.raises(FileNotFoundError, match="no record of tiny, seed 7: run it first"):
            publish("tiny", 7, root=root)
    return root / "results" / "sample", record, read_data(0.1, root=root)


def test_all_files_are_there_and_hashed(published):
    results, record, _ = published
    assert read_record(results / "tiny" / "seed_0.json") == record
    hashes = record["model"]["sha256"]
    assert set(hashes) == {"seed_0.keras", "tiny.keras", "tiny.h5", "tiny.onnx"}
    for name in ("tiny.keras", "tiny.h5", "tiny.onnx"):
        assert hashes[name] == sha256_of(results / "models" / name)
    for name in ("report.csv", "report.md", "confusion_matrix.pdf"):
        assert (results / "tiny" / name).stat().st_size


def test_scores_are_those_of_the_published_file(published):
    results, record, data = published
    model = load_model(results / "models" / "tiny.keras")
    answers = model.predict(data.test.images / np.float32(255), verbose=0)
    right = answers.argmax(1) == data.test.labels
    scores = record["scores"]["published"]
    assert scores["accuracy"] == pytest.approx(right.mean())
    assert scores["right_of_the_first_512"] == right.sum()
    assert record["scores"]["onnx"]["largest_difference"] <= 1e-5


def test_the_page_finds_temperature_and_threshold(published):
    _, record, _ = published
    assert record["scores"]["calibration"]["temperature"] > 0
    assert np.isfinite(record["scores"]["none_of_the_ten"]["threshold"])
