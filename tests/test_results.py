"""What is written is read back by other means, and compared."""

import csv

import keras
import numpy as np
import pytest

from utils.base.cifar10 import CLASS_NAMES
from utils.results.model_files import save_model
from utils.results.reports import markdown_table, write_classification_report


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def read_markdown(text):
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert set(lines[1]) == {"---"}
    return [lines[0], *lines[2:]]


# ---- save_model


@pytest.fixture
def model():
    """A compiled model with batch statistics that are not the initial ones."""
    layers = [
        keras.Input((4, 4, 3)),
        keras.layers.Conv2D(2, 3),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential(layers, name="small")
    model.layers[1].moving_mean.assign([0.3, -0.4])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_model_is_saved_in_both_formats(model, tmp_path):
    folder = tmp_path / "new" / "models"
    assert save_model(model, folder) == [folder / "small.keras", folder / "small.h5"]
    assert names_in(folder) == ["small.h5", "small.keras"]
    images = np.random.default_rng(0).random((5, 4, 4, 3), np.float32)
    for name in names_in(folder):
        loaded = keras.models.load_model(folder / name)
        np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)
        assert loaded.name == "small"
        assert not loaded.compiled
    assert model.compiled


def test_half_precision_halves_the_files_and_comes_back_as_float32(model, tmp_path):
    wide = keras.Sequential([keras.Input((100,)), keras.layers.Dense(500, name="a")], name="wide")
    whole = [path.stat().st_size for path in save_model(wide, tmp_path / "whole")]
    halved = [path.stat().st_size for path in save_model(wide, tmp_path, half_precision=True)]
    assert all(
        50_000 * 2 < one < two - 50_000 * 1.9 for one, two in zip(halved, whole, strict=True)
    )
    images = np.random.default_rng(0).random((5, 4, 4, 3), np.float32)
    for path in save_model(model, tmp_path, half_precision=True):
        loaded = keras.models.load_model(path, compile=False)
        np.testing.assert_allclose(loaded(images), model(images), atol=2e-3)
        for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
            assert ours.dtype == np.float32
            kept = np.float16 if theirs.ndim > 1 else np.float32  # of means, variances and biases
            np.testing.assert_array_equal(ours, theirs.astype(kept))
    assert names_in(tmp_path) == ["small.h5", "small.keras", "whole", "wide.h5", "wide.keras"]


def test_weights_too_large_for_half_precision_are_refused(model, tmp_path):
    save_model(model, tmp_path)
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    kernel = model.layers[0].kernel
    kernel.assign(np.full(kernel.shape, -70_000))
    with pytest.raises(ValueError, match=r"has weights beyond 65504\.0; save it whole"):
        save_model(model, tmp_path, half_precision=True)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


def test_a_saved_model_replaces_the_old_one(model, tmp_path):
    save_model(model, tmp_path)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    for path in save_model(model, str(tmp_path)):
        loaded = keras.models.load_model(path)
        for weight, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_a_model_that_was_trained_with_a_loss_of_ones_own_loads_plainly(model, tmp_path):
    model.compile("sgd", loss=lambda y_true, y_pred: keras.ops.mean(y_pred))
    for path in save_model(model, tmp_path):
        keras.models.load_model(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_failure_leaves_the_old_model_and_nothing_else(model, tmp_path, monkeypatch, suffix):
    paths = save_model(model, tmp_path)
    old = {path.suffix: path.read_bytes() for path in paths}
    save = keras.Model.save

    def fail_half_way(self, path, *arguments, **options):
        if path.suffix != suffix:
            return save(self, path, *arguments, **options)
        path.write_bytes(b"half a model")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", fail_half_way)
    with pytest.raises(OSError, match="No space left"):
        save_model(model, tmp_path)
    assert {path.suffix: path.read_bytes() for path in paths} == old
    assert names_in(tmp_path) == ["small.h5", "small.keras"]


# ---- write_classification_report

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 9])
PREDICTIONS = np.array([0, 0, 1, 2, 1, 1, 1, 9])
BY_HAND = {  # class: precision, recall, F1, support
    "airplane": (2 / 2, 2 / 4, 2 / 3, 4),
    "automobile": (2 / 4, 2 / 2, 2 / 3, 2),
    "bird": (0, 0, 0, 1),
    "truck": (1, 1, 1, 1),
}


def test_the_report_gives_each_class_and_both_averages(tmp_path):
    table = write_classification_report(tmp_path / "report", LABELS, PREDICTIONS)
    header, *rows = read_csv(tmp_path / "report.csv")
    assert header == ["class", "precision", "recall", "f1-score", "support"]
    assert [row[0] for row in rows] == [*CLASS_NAMES, "macro avg", "weighted avg"]
    numbers = {row[0]: [float(value) for value in row[1:]] for row in rows}
    for name in CLASS_NAMES:  # one that never occurs keeps its row
        assert numbers[name] == pytest.approx(BY_HAND.get(name, (0, 0, 0, 0)), abs=5e-5)
    by_class = np.array([BY_HAND.get(name, (0, 0, 0, 0)) for name in CLASS_NAMES])
    scores, support = by_class[:, :3], by_class[:, 3]
    assert numbers["macro avg"] == pytest.approx([*scores.mean(axis=0), 8], abs=5e-5)
    assert numbers["weighted avg"] == pytest.approx([*(support @ scores / 8), 8], abs=5e-5)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == table
    assert read_markdown(table) == [header, *rows]


def test_the_report_is_the_same_for_lists_and_for_any_order(tmp_path):
    table = write_classification_report(tmp_path / "one", LABELS, PREDICTIONS)
    turned = write_classification_report(
        tmp_path / "two", LABELS[::-1].tolist(), PREDICTIONS[::-1].tolist()
    )
    assert turned == table


def test_a_perfect_report(tmp_path):
    labels = np.arange(10)
    table = write_classification_report(tmp_path / "report", labels, labels)
    for name, *numbers, support in read_markdown(table)[1:]:
        assert numbers == ["1.0000"] * 3
        assert support == ("10" if "avg" in name else "1")


@pytest.mark.parametrize("strange", [-1, 10, 11])
@pytest.mark.parametrize("kind", ["labels", "predictions"])
def test_a_class_that_is_none_of_the_ten_is_refused_and_nothing_is_written(tmp_path, kind, strange):
    wrong = {"labels": LABELS, "predictions": PREDICTIONS}
    wrong[kind] = np.append(wrong[kind][1:], strange)
    with pytest.raises(ValueError, match=f"{strange} is among the labels or predictions"):
        write_classification_report(tmp_path / "report", **wrong)
    assert names_in(tmp_path) == []


def test_different_lengths_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        write_classification_report(tmp_path / "report", LABELS, PREDICTIONS[1:])
    assert names_in(tmp_path) == []


# ---- markdown_table


def test_a_table_has_a_line_for_each_row():
    table = markdown_table(["name", "n"], [["a b", 1], ["c", 0.5]])
    assert table == "| name | n |\n| --- | --- |\n| a b | 1 |\n| c | 0.5 |\n"
    assert markdown_table(["name"], []) == "| name |\n| --- |\n"
