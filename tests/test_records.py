"""Records: what they must have, what they say of a machine, and what several seeds sum up to."""

import copy
import json
import os
import platform
import sys
from datetime import UTC, datetime, timedelta

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.base.cifar10 import ROOT
from utils.results import records as module
from utils.results.records import (
    RESULTS,
    describe_training,
    hardware,
    processor,
    read_record,
    read_records,
    record_path,
    summarise,
    versions,
    write_record,
)

HISTORY = {"loss": [2.0, 1.5], "val_accuracy": [0.3, 0.5], "seconds": [60.0, 30.0]}


@pytest.fixture
def record():
    return {
        "experiment": "some",
        "seed": 3,
        "recipe": {"network": "model_4", "epochs": 2},
        "data": {"name": "Käse", "archive_sha256": None, "train": 9, "validation": 1, "test": 2},
        "training": describe_training(HISTORY, engine="tensorflow", bfloat16=False),
        "model": {"parameters": 7, "sha256": {"seed_3.keras": "0" * 64}},
        "scores": {"test": {"accuracy": 0.5}},
    }


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    path = write_record(tmp_path, record)
    assert path == tmp_path / "some" / "seed_3.json" == record_path(tmp_path, "some", 3)
    assert read_record(path) == record
    assert read_records(tmp_path) == [record]


def test_records_come_by_experiment_and_seed(record, tmp_path):
    for name, seed in (("b", 10), ("b", 9), ("a", 11)):
        write_record(tmp_path, record | {"experiment": name, "seed": seed})
    (tmp_path / "b" / "other.json").write_text("{}")
    (tmp_path / "other.json").write_text("[]")
    found = [(one["experiment"], one["seed"]) for one in read_records(tmp_path)]
    assert found == [("a", 11), ("b", 9), ("b", 10)]
    assert read_records(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ((), None, "the record is NoneType, expected an object"),
        (("seed",), "3", "seed is '3', which a record never has"),
        (("recipe",), [], "recipe is list, expected an object"),
        (("data", "train"), 0.5, "train is 0.5, which a record never has"),
        (("training", "device", "bfloat16"), None, "bfloat16 is None, which a record never has"),
    ],
)
def test_what_is_no_record_is_refused_and_not_written(record, tmp_path, part, value, words):
    path = write_record(tmp_path, record)
    before = path.read_bytes()
    wrong = copy.deepcopy(record)
    place = wrong
    for name in part[:-1]:
        place = place[name]
    if part:
        place[part[-1]] = value
        with pytest.raises(ValueError, match=words):
            write_record(tmp_path, wrong)
    assert path.read_bytes() == before
    path.write_text(json.dumps(wrong if part else value))
    with pytest.raises(ValueError, match=words) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("part", module.SCHEMA)
def test_what_it_lacks_is_named(record, tmp_path, part):
    path = write_record(tmp_path, record)
    del record[part]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=f"the record lacks '{part}'; delete it and run it again"):
        read_record(path)


@pytest.mark.parametrize("content", [b"", b'{"seed": 3, "reci', b"\xff\xfe"])
def test_a_damaged_record_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "seed_0.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"seed_0\.json: a damaged record: .*git checkout"):
        read_record(path)


def test_what_json_cannot_hold_leaves_the_old_record(record, tmp_path):
    path = write_record(tmp_path, record)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_record(tmp_path, record | {"scores": {"test": object()}})
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_every_record_there_has_the_schema():
    assert len(read_records(RESULTS)) >= 42
    assert len(read_records(RESULTS)) == len(list(RESULTS.glob("*/seed_*.json")))


# ---- what it says of the machine


def test_it_tells_when_on_what_and_by_what_it_was_trained():
    before = datetime.now(UTC) - timedelta(seconds=1)
    found = describe_training(HISTORY, engine="tensorflow", bfloat16=True, accelerator="A GPU")
    assert before <= datetime.fromisoformat(found["finished"]) <= datetime.now(UTC)
    assert found["seconds"] == 90
    assert found["history"] == HISTORY
    assert found["device"] == {
        "accelerator": "A GPU",
        **processor(),
        "cores": os.cpu_count(),
        "bfloat16": True,
    }
    assert found["versions"] == {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "numpy": np.__version__,
        "scikit-learn": sys.modules["sklearn"].__version__,
        "tensorflow": tf.__version__,
    }


def test_versions_are_the_modules_own_whatever_the_distribution_is_called(monkeypatch):
    monkeypatch.setattr(tf, "__version__", "2.99.0.dev20270101")  # as of tf-nightly
    assert versions("tensorflow")["tensorflow"] == "2.99.0.dev20270101"


def test_the_commit_is_that_of_the_clone_and_none_elsewhere(monkeypatch, tmp_path):
    if (ROOT / ".git").exists():
        commit = module.commit()
        assert len(commit.removesuffix("-dirty")) == 12
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert module.commit() is None


def test_the_processor_is_told_by_family_and_model(monkeypatch, tmp_path):
    information = tmp_path / "cpuinfo"
    monkeypatch.setattr(module, "CPU_INFO", information)
    information.write_text(
        "processor : 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n"
        "model name\t: Fast CPU @ 2: really\n\nprocessor : 1\nmodel\t\t: 3\n"
    )
    assert processor() == {
        "processor": "Fast CPU @ 2: really",
        "vendor": "AuthenticAMD",
        "family": 26,
        "model": 2,
    }
    information.unlink()
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert processor() == {
        "processor": platform.machine(),
        "vendor": None,
        "family": None,
        "model": None,
    }


def test_hardware_is_told_in_words(record):
    device = record["training"]["device"]
    device.update(processor="A CPU", cores=2)
    assert hardware(record) == "2 cores of A CPU"
    device["bfloat16"] = True
    assert hardware(record) == "2 cores of A CPU with bfloat16"
    device["accelerator"] = "A GPU"
    assert hardware(record) == "A GPU"


# ---- several seeds


def test_the_interval_is_students():
    found = summarise([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found["runs"] == 5
    assert found["mean"] == pytest.approx(0.3)
    assert found["standard_deviation"] == pytest.approx(0.025**0.5)
    half = 2.776445 * (0.025 / 5) ** 0.5  # the 97.5 % quantile at 4 degrees, from a table
    assert found["confidence_interval_95"] == pytest.approx([0.3 - half, 0.3 + half], rel=1e-5)


def test_a_single_run_has_no_spread():
    assert summarise([0.9]) == {
        "runs": 1,
        "mean": 0.9,
        "standard_deviation": None,
        "confidence_interval_95": None,
    }
