"""Tables of all READMEs: what a row says, and that those there are of the records there."""

import copy

import pytest

from experiments import tables
from experiments.recipes import EXPERIMENTS
from experiments.tables import COLUMNS, experiments_table, groups_of, models_table, put_between
from utils.base.cifar10 import ROOT
from utils.base.files import sha256_of
from utils.results.records import RESULTS, read_record, read_records


@pytest.fixture
def group():
    """Two seeds of a made-up experiment."""
    first = read_record(RESULTS / "airbench94" / "seed_0.json")
    second = copy.deepcopy(first) | {"seed": 4}
    for record, accuracy, seconds in ((first, 0.90, 60.0), (second, 0.92, 180.0)):
        record["experiment"] = "made_up"
        record["scores"]["test"]["accuracy"] = accuracy
        record["training"]["seconds"] = seconds
    return [first, second]


def cells(table):
    header, _, *rows = (
        [cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()
    )
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_row_tells_mean_spread_and_hardware(group):
    (row,) = cells(experiments_table(groups_of(group)))
    assert list(row) == list(COLUMNS)
    assert row["experiment"] == "`made_up`"
    assert row["network"] == "airbench (Model 4) 64-256-256"
    assert row["parameters"] == "1,973,954"
    assert row["optimizer"] == "Muon"
    assert row["test accuracy"] == "**91.00 ± 1.41 %**"
    half = 12.7062 * 0.02 / 2  # Student's t of one degree, times the mean's standard error
    low, high = 91 - 100 * half, 91 + 100 * half
    assert row["95 % interval of the mean"] == f"{low:.2f} to {high:.2f} %"
    assert row["minutes"] == "2"
    assert row["seeds"] == "2 (0, 4)"
    assert row["hardware"] == "2 cores of AMD EPYC with bfloat16"


def test_one_seed_has_no_spread(group):
    (row,) = cells(experiments_table(groups_of(group[:1])))
    assert row["test accuracy"] == "**90.00 %**"
    assert row["95 % interval of the mean"] == ""


def test_a_new_column_is_one_line(group, monkeypatch):
    monkeypatch.setitem(COLUMNS, "momentum", lambda group: group[0]["recipe"]["momentum"])
    (row,) = cells(experiments_table(groups_of(group), tuple(COLUMNS)))
    assert row["momentum"] == "0.85"


def test_experiments_come_in_the_order_of_their_table(group):
    other = copy.deepcopy(group[0]) | {"experiment": "airbench96"}
    names = list(groups_of(sorted([*group, other], key=lambda one: one["experiment"])))
    assert names == ["airbench96", "made_up"]


def test_a_models_score_is_that_of_the_record_with_its_hash(group, tmp_path):
    for name in ("made_up.keras", "made_up.h5", "README.md"):
        (tmp_path / name).write_text(name)
    group[0]["model"]["sha256"]["made_up.keras"] = sha256_of(tmp_path / "made_up.keras")
    group[0]["model"]["sha256"]["made_up.h5"] = "0" * 64
    rows = {row["file"]: row["test accuracy"] for row in cells(models_table(tmp_path, group))}
    assert rows == {"`made_up.keras`": "90.00 %", "`made_up.h5`": "unknown"}
    group[0]["scores"]["published"] = {"accuracy": 0.5}
    rows = {row["file"]: row["test accuracy"] for row in cells(models_table(tmp_path, group))}
    assert rows["`made_up.keras`"] == "50.00 %"


def test_a_table_is_put_in_its_place():
    text = "before\n<!-- runs -->\nold\n<!-- /runs -->\nafter\n"
    assert put_between(text, "runs", "new\n") == text.replace("old", "new")
    for wrong in ("before\n", "before\n<!-- runs -->\nold\n", "<!-- /runs -->\n<!-- runs -->\n"):
        with pytest.raises(ValueError, match="no place for the table of runs: put <!-- runs -->"):
            put_between(wrong, "runs", "new\n")


def test_the_tables_there_are_of_the_files_and_records_there(monkeypatch):
    written = {}
    monkeypatch.setattr(tables, "write_text", lambda path, text: written.update({path: text}))
    monkeypatch.setattr("utils.plotting.plot_accuracy_over_minutes", lambda runs: _NoFigure())
    tables.write_tables()
    assert {path.relative_to(ROOT).as_posix() for path in written} == {
        "README.md",
        "results/README.md",
        "models/README.md",
    }
    for path, text in written.items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: python -m experiments tables"


class _NoFigure:
    def savefig(self, path, **_):
        path.write_bytes((RESULTS / "accuracy_over_minutes.pdf").read_bytes())


def test_every_published_model_has_a_record_of_its_file():
    hashes = {
        name: digest for one in read_records() for name, digest in one["model"]["sha256"].items()
    }
    published = [
        *ROOT.glob("models/*.keras"),
        *ROOT.glob("models/*.h5"),
        *ROOT.glob("models/*.onnx"),
    ]
    assert len(published) >= 10
    for path in published:
        assert path.stem in EXPERIMENTS
        assert hashes[path.name] == sha256_of(path)
