"""Evaluations of a made-up model's answers, in which the test set chooses nothing; and its card."""

import json

import numpy as np
import pytest

from experiments import evaluations
from experiments.data import Data, Pictures
from experiments.evaluations import EVALUATIONS
from utils.base.unusual import unusualness
from utils.evaluation.card import draw_card, draw_doubtful
from utils.evaluation.unknowns import energy


class MadeUp:
    """Answers by the mean colours of the quarters of a picture: a fixed linear network."""

    def __init__(self, scale=6.0):
        self.weights = scale * np.random.default_rng(0).normal(size=(12, 10))

    def features(self, images):
        quarters = images.reshape(len(images), 2, 16, 2, 16, 3).mean(axis=(2, 4)) / 255
        return (quarters - 0.5).reshape(len(images), 12)

    def logits(self, images):
        return self.features(images) @ self.weights


def pictures(count, seed, right=0.8):
    """Pictures whose labels the made-up model has right that often."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    images = coarse // 2 + random.integers(0, 128, (count, 32, 32, 3), np.uint8)
    labels = MadeUp().logits(images).argmax(axis=1)
    other = random.random(count) > right
    labels[other] = random.integers(0, 10, other.sum())
    return Pictures(images, labels)


DATA = Data(pictures(200, 0), pictures(100, 1), pictures(150, 2))


@pytest.fixture(autouse=True)
def few_strange_pictures(monkeypatch):
    noise = np.random.default_rng(5).integers(0, 256, (30, 32, 32, 3), np.uint8)
    monkeypatch.setattr(evaluations, "strange_pictures", lambda: {"noise": noise})
    monkeypatch.setattr(evaluations, "CORRUPTED", 20)
    for variable in ("CIFAR10_C", "CIFAR10_1", "CIFAR10H"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_each_evaluation_is_a_dict_for_the_record_or_nothing(name):
    found = EVALUATIONS[name](MadeUp(), DATA)
    if name in ("cifar10_1", "cifar10h"):
        assert found is None
    else:
        assert json.loads(json.dumps(found)) == found


def test_accuracy_is_counted_by_class_with_its_confusions():
    found = EVALUATIONS["accuracy"](MadeUp(), DATA)
    predictions = MadeUp().logits(DATA.test.images).argmax(axis=1)
    assert found["share"] == pytest.approx((predictions == DATA.test.labels).mean())
    assert sum(one["pictures"] for one in found["classes"].values()) == 150
    worst = found["worst_confusions"]
    assert worst[0]["pictures"] >= worst[-1]["pictures"]
    assert all(one["class"] != one["taken_for"] for one in worst)


def test_neither_temperature_nor_threshold_sees_the_test_pictures():
    other = DATA._replace(test=pictures(50, 9, right=0.1))
    for name, key in (
        ("calibration", "temperature"),
        ("none_of_the_ten", "threshold"),
        ("none_of_the_ten", "usual_pixels"),
    ):
        assert EVALUATIONS[name](MadeUp(), DATA)[key] == EVALUATIONS[name](MadeUp(), other)[key]


def test_the_page_can_compute_its_score_from_the_record():
    found = EVALUATIONS["none_of_the_ten"](MadeUp(), DATA)
    logits = MadeUp().logits(DATA.validation.images)
    score = energy(logits) - found["pixels_weight"] * unusualness(
        DATA.validation.images, found["usual_pixels"]
    )
    assert (score >= found["threshold"]).mean() == pytest.approx(0.95, abs=0.02)


def test_corruptions_are_averaged_over_kinds_without_the_extra_ones():
    found = EVALUATIONS["corruptions"](MadeUp(), DATA)
    assert found["pictures_a_cell"] == 20
    assert len(found["accuracy"]) == 16
    counted = [found["accuracy"][kind] for kind in found["kinds_in_the_mean"]]
    assert np.shape(counted) == (13, 5)
    assert found["mean_accuracy"] == pytest.approx(np.mean(counted))
    assert "own renderings" in found["source"]


def test_people_s_answers_are_compared_with_calibrated_ones(monkeypatch):
    people = np.eye(10)[DATA.test.labels] * 0.9 + 0.01
    monkeypatch.setenv("CIFAR10H", "people.npy")
    monkeypatch.setattr(evaluations, "read_cifar10h", lambda path, labels: people)
    found = EVALUATIONS["cifar10h"](MadeUp(), DATA)
    assert found["agreement"]["share"] == EVALUATIONS["accuracy"](MadeUp(), DATA)["share"]
    assert found["cross_entropy"] > 0
    assert len(found["disagree_most"]) == 32


def test_nothing_is_calibrated_without_validation_pictures():
    empty = DATA._replace(validation=Pictures(DATA.test.images[:0], DATA.test.labels[:0]))
    with pytest.raises(ValueError, match="no validation pictures; hold some out"):
        EVALUATIONS["calibration"](MadeUp(), empty)


def test_a_model_of_other_classes_is_refused():
    model = MadeUp()
    model.weights = model.weights[:, :7]
    with pytest.raises(ValueError, match="pass a model of 10 classes"):
        EVALUATIONS["accuracy"](model, DATA)


def test_the_card_shows_what_was_evaluated_and_says_what_was_not():
    scores = {name: EVALUATIONS[name](MadeUp(), DATA) for name in ("accuracy", "calibration")}
    record = {"model": {"parameters": 120}, "scores": scores}
    figure = draw_card("made_up", record)
    assert figure.get_suptitle().startswith("made_up, 120 parameters: ")
    assert f"{scores['accuracy']['share']:.2%} of 150" in figure.get_suptitle()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "corruptions:\nnot evaluated" in texts
    assert any(text.startswith("0.") and " → " in text for text in texts)
    scores |= {
        name: EVALUATIONS[name](MadeUp(), DATA) for name in ("none_of_the_ten", "corruptions")
    }
    texts = [text.get_text() for axes in draw_card("m", record).axes for text in axes.texts]
    assert f"{100 * scores['corruptions']['accuracy']['fog'][2]:.0f}" in texts
    assert not any("not evaluated" in text for text in texts)


def test_doubtful_pictures_stand_under_label_and_answer():
    one = {"test": 3, "label": 3, "answer": 5, "probability": 0.97}
    figure = draw_doubtful(DATA.test.images, [one])
    assert figure.axes[0].get_title() == "label cat\ndog 97%"
    assert len(figure.axes[0].images) == 1
