"""A made-up classifier's threshold: which score it is, and how often it is right by the record."""

import json
import sys

import numpy as np
import pytest

from tools import choose_threshold as tool
from utils.base import cifar10
from utils.base.files import sha256_of
from utils.load_patchs import extract_labels, read_image_labels
from utils.pipeline.names_file import split_names_file
from utils.serving.classifier import Classifier, threshold_path


@pytest.fixture
def data(converted, tmp_path, monkeypatch):
    """The drawn sample is what the tool takes for CIFAR-10: 90 pictures, 10 held out, 20 of test.

    A dict of names to images and labels.
    """
    monkeypatch.setattr(cifar10, "DATA_DIRECTORY", converted.images_directory.parent)
    monkeypatch.setitem(tool.SPLIT, "validation_size", 0.1)  # it has a hundred
    rest, held_out = tmp_path / "rest.txt", tmp_path / "held_out.txt"
    split_names_file(converted.train_names, rest, held_out, validation_size=0.1, seed=0)
    files = {"validation": held_out, "test": converted.test_names}
    return {
        name: extract_labels(read_image_labels(file, 20, (32, 32))) for name, file in files.items()
    }


def classifier_of(score, share=lambda image: 0.5, label=lambda image: 0):
    """Return a classifier that gives `share(image)` to the class `label(image)`."""

    def run(images):
        probabilities = np.empty((len(images), 10), np.float32)
        for row, image in zip(probabilities, images, strict=True):
            row[:] = (1 - share(image)) / 9
            row[label(image)] = share(image)
        return probabilities, np.array([score(image) for image in images], np.float32)

    return Classifier("made_up", (32, 32), run, None, None)


def brightness(image):
    return float(np.mean(image))


def test_nine_of_ten_held_out_pictures_pass(data):
    images, _ = data["validation"]
    found = tool.measure(classifier_of(brightness))
    scores = [brightness(image) for image in images]
    assert len(scores) == 10
    assert sum(score >= found["threshold"] for score in scores) == 9
    assert found["validation"]["pictures"] == 10


def test_it_tells_how_many_test_pictures_pass_and_are_right(data):
    images, labels = data["test"]
    found = tool.measure(classifier_of(brightness))
    passed = np.array([brightness(image) >= found["threshold"] for image in images])
    assert 0 < passed.sum() < 20
    assert found["test"] == {
        "pictures": 20,
        "share_that_passes": passed.mean(),
        "accuracy": 0.1,  # it says class 0 of two pictures of each
        "accuracy_of_those_that_pass": np.mean(labels[passed] == 0),
    }


def test_a_perfect_score_refuses_all_other_things(data):
    known = {image.tobytes() for images, _ in data.values() for image in images}
    found = tool.measure(classifier_of(lambda image: image.tobytes() in known))
    others = found["other_things"]
    assert {name: other["share_refused"] for name, other in others.items()} == {
        "photographs": 1,
        "parts_of_photographs": 1,
        "small_gray_faces": 1,
    }
    assert others["parts_of_photographs"]["pictures"] == 9 * others["photographs"]["pictures"]
    assert others["small_gray_faces"]["pictures"] == 100
    areas = found["area_under_roc_test_against_parts_of_photographs"]
    assert areas["energy"] == 1
    assert areas["largest_probability"] == 0.5  # which is the same for all


def test_the_temperature_cools_who_is_too_sure_and_warms_who_is_not(data):
    right = {image.tobytes(): label for image, label in zip(*data["validation"], strict=True)}

    def temperature(share, label):
        classifier = classifier_of(brightness, lambda _: share, label)
        areas = tool.measure(classifier)["area_under_roc_test_against_parts_of_photographs"]
        return areas["its_temperature"]

    assert temperature(0.99, lambda _: 0) > 1.5  # right once in ten times
    assert temperature(0.5, lambda image: right.get(image.tobytes(), 0)) < 0.5  # always right


def test_the_record_lies_beside_its_model(data, tmp_path, monkeypatch, capsys):
    model = tmp_path / "made_up.keras"
    model.write_bytes(b"some model")
    monkeypatch.setattr(tool, "load_classifier", lambda _: classifier_of(brightness))
    monkeypatch.setattr(sys, "argv", ["choose_threshold", str(model)])
    tool.main()
    record = json.loads(threshold_path(model).read_text())
    assert record["model_sha256"] == sha256_of(model)
    assert record["threshold"] == pytest.approx(
        tool.measure(classifier_of(brightness))["threshold"], abs=1e-4
    )
    assert "made_up_threshold.json" in capsys.readouterr().out


def test_a_model_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["choose_threshold", str(tmp_path / "none.keras")])
    with pytest.raises(SystemExit, match=r"none\.keras: no model there; train one"):
        tool.main()
