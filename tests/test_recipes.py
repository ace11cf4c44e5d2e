"""The table of experiments: what a recipe refuses, how it is changed, and how it is recorded."""

import subprocess
import sys

import pytest

from experiments.recipes import EXPERIMENTS, Recipe, parse, recipe_of
from utils.base.cifar10 import ROOT
from utils.results.records import read_records


def test_a_changed_field_extends_the_name():
    assert recipe_of("airbench94") == ("airbench94", EXPERIMENTS["airbench94"])
    name, recipe = recipe_of("airbench94", epochs=8, width=(64, 128, 128), label_smoothing=0)
    assert name == "airbench94,epochs=8,width=64-128-128,label_smoothing=0"
    assert (recipe.epochs, recipe.width, recipe.label_smoothing) == (8, (64, 128, 128), 0)
    assert recipe_of("airbench94", epochs=10)[0] == "airbench94"  # as it was


def test_names_of_other_values_differ():
    names = {
        recipe_of("airbench94", **{field: value})[0]
        for field, value in (
            ("learning_rate", 0.1234567),
            ("learning_rate", 0.1234568),
            ("cutout", 12),
            ("cutout", 8),
        )
    }
    assert len(names) == 4


@pytest.mark.parametrize("recipe", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_what_is_recorded_is_the_recipe(recipe):
    recorded = recipe.recorded()
    assert Recipe(**recorded) == recipe
    assert None not in recorded.values()
    assert {recipe.init, recipe.teacher} - {None} <= set(EXPERIMENTS)


def test_nothing_is_recorded_that_is_not_applied():
    for recipe in EXPERIMENTS.values():
        assert (recipe.whitening_images is not None) == (recipe.network == "model_4")
        assert (recipe.width is not None) == (recipe.network == "model_4")
        assert (recipe.dropout is not None) == (recipe.network == "model_1")


def test_the_notebooks_candidates_see_as_many_pictures_by_their_best_known_settings():
    candidates = [recipe for name, recipe in EXPERIMENTS.items() if name.startswith("candidate_")]
    pictures = {one.epochs * one.steps_per_epoch * one.batch_size for one in candidates}
    assert pictures == {20_480}
    assert {one.network for one in candidates} == {"model_1", "model_2", "model_3", "model_4"}
    candidate, published = EXPERIMENTS["candidate_model_3"], EXPERIMENTS["vgg16_head"]
    for field in ("feature_scale", "learning_rate"):
        assert getattr(candidate, field) == getattr(published, field)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs is 0, expected 1 to"),
        ({"learning_rate": -1}, "learning_rate is -1, expected"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, expected"),
        ({"label_smoothing": 1.5}, "label_smoothing is 1.5, expected 0 to 1"),
        ({"flip": "sometimes"}, "flip is 'sometimes', expected one of"),
        ({"trains": "tail"}, "trains is 'tail', expected one of"),
        ({"translate": None}, "flip is 'alternate', cutout None, but translate None"),
        ({"epoch": 3}, "'epoch' is no field of a recipe; there are network, epochs"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        recipe_of("airbench94", **changes)


def test_an_unknown_experiment_is_told_which_there_are():
    with pytest.raises(ValueError, match="'airbench' is no experiment; there are airbench94, "):
        recipe_of("airbench")


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("epochs", "8", 8),
        ("learning_rate", "0.05", 0.05),
        ("width", "64,128,128", (64, 128, 128)),
        ("width", "64-128-128", (64, 128, 128)),
        ("cutout", "none", None),
        ("flip", "random", "random"),
        ("muon_lr_scale", "None", None),
    ],
)
def test_values_are_read_as_their_fields_have_them(field, text, value):
    assert parse(field, text) == value


@pytest.mark.parametrize(
    ("field", "text"), [("epochs", "many"), ("epochs", "none"), ("width", "64,x"), ("depths", "2")]
)
def test_a_value_of_another_kind_is_refused(field, text):
    with pytest.raises(ValueError, match=field):
        parse(field, text)


def test_no_cutout_is_none():
    assert recipe_of("airbench96", cutout=0)[1].cutout is None


def test_the_table_needs_neither_backend():
    script = (
        "import sys; from experiments.recipes import EXPERIMENTS; import experiments;"
        "print([name for name in ('keras', 'tensorflow', 'jax') if name in sys.modules])"
    )
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_record_there_is_of_its_recipe():
    """So that no published number needs another recipe than the table's."""
    records = read_records()
    assert len(records) >= 42
    for record in records:
        name = record["experiment"].partition(",")[0]
        recorded = Recipe(**record["recipe"])
        if name == record["experiment"]:
            assert recorded == EXPERIMENTS[name], record["experiment"]
