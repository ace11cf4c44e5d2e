"""Recipes and networks of one's own, in the place of those of this repository."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from experiment_roots import make_root

from experiments import __main__ as command
from experiments import evaluate, load, train
from experiments import runner as module
from experiments.own_recipes import register
from experiments.recipes import EXPERIMENTS, Recipe
from experiments.runner import run
from experiments.tables import experiments_table, groups_of
from utils.results.records import read_records

FILE = """
from dataclasses import replace

import keras

from experiments.recipes import EXPERIMENTS, Recipe


def small(image_shape, classes):
    layers = [keras.Input(image_shape), keras.layers.AveragePooling2D(8), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(classes, "softmax")], name="small")


def number(image_shape, classes):
    return 3


HOW = {"epochs": 1, "batch_size": 45, "validation_size": 0.1}
mine = replace(EXPERIMENTS["airbench94"], width=(4, 4, 4), **HOW)
begin = Recipe(small, **HOW)
goes_on = Recipe(small, **HOW | {"init": "begin"})
airbench96 = begin
unbuilt = replace(begin, network=number)
wide = replace(begin, width=(1, 2, 3))
"""
PIXELS = np.random.default_rng(0).integers(0, 80, (60, 8, 8, 3), np.uint8)
LABELS = np.arange(60) % 3
IMAGES = PIXELS + np.uint8(80) * LABELS[:, None, None, None].astype(np.uint8)
ROWS = keras.utils.to_categorical(LABELS, 3)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of recipes; the table of experiments is left as it was."""
    monkeypatch.setattr("experiments.own_recipes._registered", {})
    known = dict(EXPERIMENTS)
    path = tmp_path / "my_recipes.py"
    path.write_text(FILE)
    yield path
    EXPERIMENTS.clear()
    EXPERIMENTS.update(known)


@pytest.fixture
def root(converted, tmp_path):
    return make_root(tmp_path, converted)


def softmax(name="own", classes=3):
    keras.utils.set_random_seed(0)
    inner = [
        keras.layers.Conv2D(4, 3, activation="gelu"),
        keras.layers.BatchNormalization(momentum=0.5),
    ]
    last = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 3)), *inner, *last], name=name)


# ---- recipes in a file


def test_a_recipe_of_a_file_is_run_and_recorded_and_stands_in_the_tables(
    file, root, monkeypatch, capsys
):
    monkeypatch.setattr(command, "run", lambda *names, **how: run(*names, **how, root=root))
    monkeypatch.setattr(sys, "argv", ["experiments", "run", f"{file}:mine"])
    command.main()
    assert "mine, seed 0: " in capsys.readouterr().out
    (record,) = read_records(root / "results" / "sample")
    assert (root / "results" / "sample" / "mine" / "seed_0.json").exists()
    assert record["recipe"]["muon_lr_scale"] == EXPERIMENTS["airbench94"].muon_lr_scale
    assert "| `mine` | airbench (Model 4) 4-4-4 |" in experiments_table(groups_of([record]))
    monkeypatch.setattr(module, "perform", lambda *_: pytest.fail("it ran again"))
    command.main()


def test_a_network_of_a_file_goes_on_from_another_of_it(file, root):
    run(register(f"{file}:goes_on"), [1], root=root)
    first, second = read_records(root / "results" / "sample")
    assert [first["experiment"], second["experiment"]] == ["begin", "goes_on"]
    assert second["recipe"]["network"] == "small"
    assert second["training"]["init_sha256"] in first["model"]["sha256"].values()
    assert "| `goes_on` | small |" in experiments_table(groups_of([second]))
    assert run("goes_on", [1], root=root) == [second]  # as it is recorded


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", "'nobody' is no Recipe there; there are mine, begin, goes_on"),
        ("airbench96", "there is another experiment airbench96; call yours otherwise"),
    ],
)
def test_what_is_no_recipe_of_ones_own_is_named(file, monkeypatch, capsys, name, words):
    monkeypatch.setattr(sys, "argv", ["experiments", "run", f"{file}:{name}"])
    with pytest.raises(SystemExit):
        command.main()
    assert words in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"elsewhere.py:mine: no file '.*elsewhere.py'"):
        register(f"{file.parent}/elsewhere.py:mine")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unbuilt", "number returns int, expected a keras.Model"),
        ("wide", r"small doesn't take .* and {'width': \(1, 2, 3\)}"),
    ],
)
def test_what_builds_no_network_is_named(file, root, name, words):
    with pytest.raises(ValueError, match=words):
        run(register(f"{file}:{name}"), root=root)


def subclassed(image_shape, classes):
    class Own(keras.Model):
        def __init__(self, last):
            super().__init__(name="subclassed")
            self.last = last

        def call(self, images):
            return self.last(keras.ops.mean(images, axis=(1, 2)))

    return Own(keras.layers.Dense(classes, "softmax"))


def test_a_network_that_cannot_be_saved_is_refused_before_it_is_trained():
    with pytest.raises(ValueError, match="subclassed can't be saved: what get_config"):
        train(Recipe(subclassed, 1, validation_size=0.2), (IMAGES, LABELS), verbose=0)


# ---- a network in the place of an experiment


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, number):
        part = slice(10 * number, 10 * number + 10)
        return IMAGES[part] / 255, ROWS[part]


def dataset():
    return tf.data.Dataset.from_tensor_slices((IMAGES / np.float32(255), LABELS))


TAKEN = {
    "bytes": lambda: (IMAGES, LABELS),
    "floats and a column": lambda: (IMAGES / 255, LABELS[:, None]),
    "weights and rows": lambda: (IMAGES, ROWS, np.ones(60)),
    "batches": lambda: dataset().batch(7),
    "one by one": dataset,
    "PyDataset": lambda: Batches(workers=1),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_data_of_each_kind_is_the_same_to_the_one_call(kind):
    model = softmax()
    _, history = train(model, TAKEN[kind](), epochs=1, batch_size=20, verbose=0)
    reference, expected = train(softmax(), (IMAGES, LABELS), epochs=1, batch_size=20, verbose=0)
    assert history.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-4)
    scores = evaluate(model, TAKEN[kind]())
    assert scores["test"]["pictures"] == 60
    assert scores == evaluate(reference, (IMAGES, LABELS))


def test_a_network_of_ones_own_is_trained_in_place_and_learns():
    model = softmax()
    found, history = train(model, (IMAGES, LABELS), epochs=8, batch_size=10, verbose=0)
    assert found is model
    assert history.history["loss"][-1] < 0.9 * history.history["loss"][0]
    _, accuracy = model.evaluate(IMAGES / 255, LABELS, verbose=0)
    assert accuracy == pytest.approx(evaluate(model, (IMAGES, LABELS))["test"]["accuracy"])


def test_weights_of_pictures_and_of_classes_count():
    def loss(weights=(), **options):
        options |= {"epochs": 1, "batch_size": 30, "learning_rate": 1e-6, "verbose": 0}
        both = {"validation_data": (IMAGES, LABELS), **options}
        return train(softmax(), (IMAGES, LABELS, *weights), **both)[1].history["loss"][0]

    weights = np.where(LABELS == 0, 3.0, 1.0)
    assert loss([np.full(60, 2.0)]) == pytest.approx(2 * loss(), rel=1e-3)
    assert loss([weights]) == pytest.approx(loss(class_weight={0: 3.0}), rel=1e-3)
    assert loss([weights]) > 1.2 * loss()


def test_a_teacher_callbacks_and_metrics_are_taken():
    epochs = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(logs))
    options = {"callbacks": note, "teacher": softmax("teacher"), "epochs": 2, "verbose": 0}
    metrics = ["accuracy", keras.metrics.TopKCategoricalAccuracy(2, name="top")]
    train(softmax(), (IMAGES, LABELS), metrics=metrics, **options)
    assert {"accuracy", "top", "val_top"} <= epochs[0].keys()


@pytest.mark.parametrize(
    ("model", "data", "options", "words"),
    [
        (
            softmax,
            (IMAGES, LABELS),
            {"width": (1, 2, 3)},
            r"width is \(1, 2, 3\), but own is built",
        ),
        (softmax, (IMAGES, LABELS), {"trains": "head"}, "trains is 'head', but own is built"),
        (lambda: softmax(classes=2), (IMAGES, LABELS), {}, "the label 2 is there, but own has 2 c"),
        (softmax, (IMAGES[..., :1], LABELS), {}, r"own takes inputs of shape \[\(8, 8, 3\)\], but"),
        (
            softmax,
            (IMAGES / 1.0, LABELS),
            {},
            "float64 images from .* floats from 0 to 1, or uint8",
        ),
        (softmax, (IMAGES, LABELS - 1), {}, "labels that are no class indices"),
        (softmax, (IMAGES, LABELS.astype(str)), {}, "labels of <U.* expected class indices"),
        (softmax, (IMAGES, 0.8 * ROWS + 0.2 / 3), {}, "rows of labels that are not one-hot"),
        (softmax, (dataset(), dataset()), {}, "no pair of arrays; pass .* as validation_data"),
        (softmax, (IMAGES, LABELS), {"class_weight": [1, 2, 3]}, "class_weight is .1, 2, 3.*dict"),
        ("airbench94", (IMAGES, LABELS), {}, "0.02 of 60 pictures of 3 classes can't be held out"),
        (
            softmax,
            (IMAGES, LABELS),
            {"epochs": 1},
            "54 training pictures in batches of 128 are one",
        ),
        (softmax, (IMAGES, LABELS, LABELS), {"distort": "augmix"}, "weights can't be used"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(model, data, options, words):
    model = model() if callable(model) else model
    with pytest.raises(ValueError, match=words):
        train(model, data, **{"epochs": 2, "verbose": 0} | options)


def test_a_part_of_ones_own_is_held_out_of_the_repositorys_pictures(root):
    data = load(0.1, root=root)
    small = Recipe("model_4", 1, width=(4, 4, 4), batch_size=45)
    _, history = train(small, data, validation_data=data.test, verbose=0)
    _, other = train(small, data, verbose=0)
    assert history.history["loss"] == other.history["loss"]
    assert history.history["val_loss"] != other.history["val_loss"]
