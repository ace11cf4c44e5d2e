"""Which record is a model's, and which model is the best; and the files that are shipped."""

import json

import keras
import numpy as np
import pytest

import update_readme
from utils.base.files import sha256_of
from utils.results.records import MODELS, best_first

SHIPPED = best_first()
APART = [MODELS / folder / "model_4.keras" for folder in ("full", "wide")]


@pytest.fixture
def write(tmp_path):
    """Function that writes models (dict of name to bytes) and records (list of dict)."""

    def write(models, records):
        for folder in ("models", "results"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for name, content in models.items():
            (tmp_path / "models" / f"{name}.keras").write_bytes(content)
        for number, record in enumerate(records):
            (tmp_path / "results" / f"{number}.json").write_text(json.dumps(record))
        return tmp_path / "models", tmp_path / "results"

    return write


def names(found):
    return [path.stem for path in found]


def accuracies(found):
    return {path.stem: record.get("test_accuracy") for path, record in found.items()}


def record(model, accuracy, **more):
    return {"model": model, "test_accuracy": accuracy, **more}


def test_the_best_recorded_model_comes_first_and_those_without_a_record_last(write):
    models = dict.fromkeys(["model_1", "a", "b", "z"], b"")
    found = best_first(*write(models, [record("b", 0.7), record("z", 0.9), record("gone", 1)]))
    assert names(found) == ["z", "b", "model_1", "a"]
    assert accuracies(found) == {"z": 0.9, "b": 0.7, "model_1": None, "a": None}


@pytest.mark.parametrize("records", [[], [record("a", 0.9), record("model_1", 0.9)]])
def test_model_1_is_the_first_of_equals(write, records):
    assert names(best_first(*write({"a": b"", "model_1": b"", "z": b""}, records)))[0] == "model_1"


def test_without_any_model_it_is_model_1_that_is_missing(write):
    models, results = write({}, [record("model_1", 0.9, model_sha256={"model_1.keras": "0" * 64})])
    assert best_first(models, results) == {models / "model_1.keras": {}}
    assert best_first(models / "none", results / "none") == {models / "none" / "model_1.keras": {}}


def test_a_record_with_hashes_is_that_of_those_files_only(write):
    models, _ = write({"a": b"new"}, [])
    hashes = {"model_sha256": {"a.keras": sha256_of(models / "a.keras")}}
    others = {"model_sha256": {"a.keras": "0" * 64}}
    older = [record("a", 0.6), record("a", 0.8)]
    mine, overwritten = record("a", 0.5, **hashes), record("a", 0.9, **others)
    for records, expected in (
        ([*older, mine, overwritten], 0.5),
        ([*older, overwritten], 0.8),
        ([overwritten, record("a", 0.7, model_sha256={"a.h5": "0" * 64})], None),
    ):
        (models / "a.keras").write_bytes(b"new")
        for path in models.parent.glob("results/*"):
            path.unlink()
        assert accuracies(best_first(*write({}, records))) == {"a": expected}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Expecting value"),
        (b'{"model": "a", "test_acc', "Unterminated string"),
        (b"\xff\xfe", "codec can't decode"),
        (b"[]", "it lacks model, test_accuracy;"),
        (b'{"model": "a"}', "it lacks test_accuracy;"),
    ],
    ids=["empty", "half", "binary", "list", "key"],
)
def test_a_damaged_record_is_named_with_the_remedy(write, content, words):
    models, results = write({"a": b""}, [record("a", 0.5)])
    (results / "0.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"{words}.*git checkout.*make run") as caught:
        best_first(models, results)
    assert str(caught.value).startswith(f"{results / '0.json'}: ")


# ---- what is shipped


@pytest.mark.parametrize(
    "path", [*SHIPPED, *APART], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_both_files_of_a_shipped_model_predict_the_same(path):
    first, second = (
        keras.models.load_model(path.with_suffix(suffix), compile=False)
        for suffix in (".keras", ".h5")
    )
    images = np.random.default_rng(0).random((8, *first.input_shape[1:]), np.float32)
    np.testing.assert_array_equal(first(images), second(images))
    no_backbone = not any(isinstance(layer, keras.Model) for layer in first.layers)
    assert no_backbone, "name where its weights come from in models/README.md"


def test_the_tables_of_both_readmes_are_of_these_files_and_records(monkeypatch):
    written = []
    monkeypatch.setattr(update_readme, "write_text", lambda *call: written.append(call))
    update_readme.main()
    readme = update_readme.ROOT / "models" / "README.md"
    assert {path for path, _ in written} == {update_readme.ROOT / "README.md", readme}
    for path, text in written:
        assert text == path.read_text(encoding="utf-8"), "run 'make readme'"
    text = readme.read_text(encoding="utf-8")
    for path in readme.parent.glob("*.[kh]*"):
        assert text.count(f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} MB") == 1
        assert text.count(sha256_of(path)) == 1


def test_the_table_of_models_tells_the_scores_of_their_records(write):
    models, _ = write({"a": b"a" * 1_240_000, "b": b""}, [])
    found = {**record("a", 0.89204), "test_macro_f1": 0.89196}
    table = update_readme.models_table([models / "a.keras", models / "b.keras"], [found], models)
    first, second = (line.split(" | ") for line in table.splitlines()[2:])
    assert first[:4] == ["| `a.keras`", "1.2 MB", "89.20 %", "0.8920"]
    assert second[:4] == ["| `b.keras`", "0.0 MB", "unknown", "unknown"]


def test_the_grid_of_fine_tuned_models_has_its_best_at_the_end():
    own = {"model": "model_2", "parameters": 2918986, "minutes_of_training": 31.6}
    own |= {"test_macro_f1": 0.93807, "test_accuracy_averaged": 0.9472, "settings": {"seed": 7}}
    own |= {"hardware": {"processor": "Some CPU", "cores": 2}}
    records = [
        own | {"side": 96, "trained": "all layers", "test_accuracy": 0.93814},
        own | {"side": 32, "trained": "head", "test_accuracy": 0.3045},
    ]
    first, second = update_readme.transfer_table(records).splitlines()[2:]
    assert "| 32 | head |" in first
    assert second == (
        "| model_2 | 96 | all layers | 2,918,986 | 31.6 | **93.81 %** | 0.9381 | 94.72 % "
        "| 1, seed 7 | Some CPU, 2 cores |"
    )


def test_the_table_of_seeds_tells_mean_and_deviation():
    def of(mean, deviation=None):
        return {"mean": mean, "standard_deviation": deviation}

    hardware = {"processor": "Some CPU", "cores": 2}
    own = {"parameters": 1971650, "minutes_of_training": of(56.6), "hardware": hardware}
    settings = {"model": "model_4", "width": [64, 256, 256], "epochs": 10, "kernel_rate": 0.3}
    several = own | {"seeds": [0, 1], "settings": settings}
    several |= {"test_accuracy": of(0.93, 0.0012), "test_accuracy_averaged": of(0.9401, 0.001)}
    single = own | {"seeds": [5], "settings": {"model": "model_1", "epochs": 30}}
    single |= {"test_accuracy": of(0.9), "test_accuracy_averaged": of(0.91)}
    taught = {**single, "settings": single["settings"] | {"teacher_sha256": "0"}}
    taught["test_accuracy_averaged"] = of(0.92)
    first, third, second = update_readme.speedrun_table([several, single, taught]).splitlines()[2:]
    assert first == (
        "| model_1 | 1,971,650 | 30 | 56.6 | **90.00 %** | 91.00 % | 1, seed 5 "
        "| Some CPU, 2 cores |"
    )
    assert third.startswith(
        "| model_1, distilled | 1,971,650 | 30 | 56.6 | **90.00 %** | 92.00 % |"
    )
    assert "| model_4, 64-256-256, Muon | 1,971,650 | 10 |" in second
    assert "| **93.00 ± 0.12 %** | 94.01 ± 0.10 % | 2, seed 0, 1 |" in second
    assert "No run" in update_readme.speedrun_table([])


def test_a_table_without_its_place_is_refused():
    place = "<!-- runs -->\nold\n<!-- /runs -->\n"
    found = update_readme.put_between(f"before\n{place}after\n", "runs", "new\n")
    assert found == f"before\n{place}after\n".replace("old", "new")
    for text in ("before\n", "before\n<!-- runs -->\nold\n", "<!-- /runs -->\n<!-- runs -->\n"):
        with pytest.raises(ValueError, match="no place for the table of runs: put <!-- runs -->"):
            update_readme.put_between(text, "runs", "new\n")


def test_what_a_gpu_trained_names_it():
    own = {"model": "model_9", "profile": "gpu", "settings": {"final_epochs": 75}, "runs": 1}
    own |= {"seed": 0, "test_accuracy": 0.9, "test_macro_f1": 0.9, "test_accuracy_averaged": 0.9}
    own |= {"minutes_of_final_training": 0.7728, "hardware": {"processor": "A CPU", "cores": 2}}
    *_, row = update_readme.results_table([own | {"accelerator": "A GPU"}]).splitlines()
    assert row.endswith("| 75 epochs, 0.773 minutes | 1, seed 0 | A GPU |")
