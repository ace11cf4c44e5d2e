import json

import numpy as np
import onnx
import pytest
from PIL import Image
from small_onnx import METADATA, WEIGHTS, write_onnx, write_recorded

from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.unusual import fit_usual, unusualness
from utils.serving.classifier import (
    SCORES,
    classify,
    load_classifier,
    load_models,
    run_in_batches,
    without_onnx,
)
from utils.serving.picture_input import prepare

CALIBRATED = {"calibration": {"temperature": 0.5}}
SHIPPED = sorted((ROOT / "models").glob("*.onnx"))


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (32, 32), (40, 200, 90)).save(tmp_path / "a.png")
    return prepare(tmp_path / "a.png", (32, 32))


def logits_of(images):
    return images.mean(axis=(1, 2)) @ WEIGHTS


def softmax(logits):
    powers = np.exp(np.float64(logits))
    return powers / powers.sum(axis=1, keepdims=True)


def test_percentages_are_those_of_logits_at_the_recorded_temperature(tmp_path, picture):
    classifier = load_classifier(write_recorded(tmp_path, scores=CALIBRATED), root=tmp_path)
    answer = classify(picture, classifier)
    logits = logits_of(picture.pixels[None] / 255)
    (expected,) = softmax(logits / 0.5)
    assert list(answer.shares) == list(CLASS_NAMES)
    np.testing.assert_allclose(list(answer.shares.values()), expected, atol=1e-5)
    assert answer.label == CLASS_NAMES[expected.argmax()]
    assert answer.picture is picture


def test_batches_of_any_length_give_probabilities_and_the_score(tmp_path):
    images = np.random.default_rng(0).random((300, 32, 32, 3), np.float32)
    classifier = load_classifier(write_recorded(tmp_path, scores=CALIBRATED), root=tmp_path)
    probabilities, scores = run_in_batches(classifier, images)
    logits = np.float64(logits_of(images))
    np.testing.assert_allclose(probabilities, softmax(logits / 0.5), atol=1e-5)
    np.testing.assert_allclose(scores, np.log(np.exp(logits).sum(axis=1)), atol=1e-4)


def test_the_record_says_which_score_is_compared_with_which_threshold(tmp_path, picture):
    pixels = picture.pixels[None]
    logits = logits_of(pixels / 255)
    usual = fit_usual(np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), np.uint8))
    chosen = {"usual_pixels": {name: values.tolist() for name, values in usual.items()}}
    chosen["pixels_weight"] = 0.5
    energy = float(np.log(np.exp(np.float64(logits)).sum()))
    values = {
        "energy": energy,
        "largest_logit": float(logits.max()),
        "energy_and_pixels": energy - 0.5 * float(unusualness(pixels, usual)[0]),
    }
    assert values.keys() == SCORES.keys()
    for score, value in values.items():
        for threshold, trusted in ((value + 0.01, False), (value - 0.01, True)):
            odd = {**chosen, "score": score, "threshold": threshold}
            path = write_recorded(tmp_path, scores={**CALIBRATED, "none_of_the_ten": odd})
            classifier = load_classifier(path, root=tmp_path)
            assert classify(picture, classifier).trusted is trusted
            assert classifier.notes == ()


@pytest.mark.parametrize("odd", [{}, {"score": "unheard of", "threshold": 1e9}])
def test_a_model_without_a_threshold_trusts_and_says_so(tmp_path, picture, odd):
    path = write_recorded(tmp_path, scores={**CALIBRATED, "none_of_the_ten": odd})
    classifier = load_classifier(path, root=tmp_path)
    assert classify(picture, classifier).trusted
    assert "has no threshold" in " ".join(classifier.notes)


def test_title_and_accuracy_are_the_record_s_and_the_best_comes_first(tmp_path):
    for name, scores in {
        "a": {"test": {"accuracy": 0.8}},
        "b": {"test": {"accuracy": 0.8}, "published": {"accuracy": 0.929}},
        "c": {},
    }.items():
        write_recorded(tmp_path, name, scores=scores)
    found, problems = load_models(tmp_path / "models", root=tmp_path)
    assert [each.name for each in found] == ["b", "a", "c"]
    assert [each.title for each in found] == [
        *("Tiny network, 92.9 %", "Tiny network, 80.0 %", "Tiny network"),
    ]
    assert "not calibrated" in " ".join(found[0].notes)
    assert problems == []


def test_a_file_without_metadata_is_taken_with_a_note(tmp_path, picture):
    path = write_onnx(tmp_path / "models" / "plain.onnx", metadata={})
    (classifier,), problems = load_models(path.parent, root=tmp_path)
    assert problems == []
    assert classifier.title == "plain"
    assert "names no record" in classifier.notes[0]
    assert classify(picture, classifier).trusted


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "not an ONNX model or a damaged"),
        (lambda path: path.write_bytes(b""), "not an ONNX model or a damaged"),
        (lambda path: write_onnx(path, shape=("N", 32, 32, 1)), "expected pixels, float of shape"),
        (lambda path: write_onnx(path, shape=(1, 32, 32, 3)), "expected pixels, float of shape"),
        (lambda path: write_onnx(path, shape=("N", "H", "W", 3)), "expected pixels, float"),
        (lambda path: write_onnx(path, classes=9), "to logits of 10 classes"),
        (lambda path: write_onnx(path, outputs=("a", "b")), "to logits of 10 classes"),
        (lambda path: write_onnx(path, operator="Own", domain="own"), "operators that ONNX"),
        (lambda path: write_onnx(path, external="weights.bin"), "weights in other files"),
        (
            lambda path: write_onnx(path, metadata={**METADATA, "classes": "dog,cat"}),
            "to logits of 2 classes",
        ),
        (
            lambda path: write_onnx(path, metadata={**METADATA, "record": "../etc/passwd"}),
            "no record in results/",
        ),
    ],
)
def test_an_unfitting_file_is_named_and_the_others_are_served(tmp_path, write, words):
    write(write_onnx(tmp_path / "models" / "odd.onnx"))
    write_recorded(tmp_path, scores={})
    found, (problem,) = load_models(tmp_path / "models", root=tmp_path)
    assert [each.name for each in found] == ["tiny"]
    assert problem.startswith("models/odd.onnx: ")
    assert words in problem
    assert problem.endswith("python -m tools.export_model")


def test_a_file_of_more_than_200_megabytes_is_not_read(tmp_path):
    path = tmp_path / "large.onnx"
    with open(path, "wb") as file:
        file.truncate(200 * 2**20 + 1)
    with pytest.raises(ValueError, match="more than 200 MB"):
        load_classifier(path)


def test_a_file_that_was_changed_since_its_record_is_refused(tmp_path):
    path = write_recorded(tmp_path, scores={})
    model = onnx.load(path)
    model.doc_string = "changed"
    onnx.save(model, path)
    with pytest.raises(ValueError, match=r"tiny\.onnx: changed since results/tiny/seed_0\.json"):
        load_classifier(path, root=tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": 3}', '{"model": {"sha256": 1}}'])
def test_a_damaged_record_is_named(tmp_path, content):
    path = write_recorded(tmp_path, scores={})
    (tmp_path / "results/tiny/seed_0.json").write_text(content)
    with pytest.raises(ValueError, match=r"^results/tiny/seed_0\.json: not the record of a run"):
        load_classifier(path, root=tmp_path)


@pytest.mark.parametrize("change", ["gone", "of another file"])
def test_without_its_record_a_model_is_taken_with_a_note(tmp_path, change):
    path = write_recorded(tmp_path, scores={"test": {"accuracy": 0.8}})
    record = tmp_path / "results/tiny/seed_0.json"
    record.write_text(json.dumps({"model": {"sha256": {"other.onnx": "0"}}, "scores": {}}))
    if change == "gone":
        record.unlink()
    classifier = load_classifier(path, root=tmp_path)
    assert classifier.accuracy is None
    assert "results/tiny/seed_0.json" in classifier.notes[0]


@pytest.mark.parametrize(
    "scores",
    [
        {"none_of_the_ten": {"score": "energy_and_pixels", "threshold": 1}},
        {"none_of_the_ten": {"score": "energy", "threshold": "1"}},
        {"calibration": {"temperature": "hot"}},
        {"published": {"accuracy": "high"}},
        {"calibration": []},
    ],
)
def test_a_record_of_other_numbers_is_named(tmp_path, scores):
    with pytest.raises(ValueError, match=r"^results/tiny/seed_0\.json: not what an evaluation"):
        load_classifier(write_recorded(tmp_path, scores=scores), root=tmp_path)


def test_other_json_in_the_folder_of_records_does_not_matter(tmp_path):
    write_recorded(tmp_path, scores={})
    (tmp_path / "results/notes.json").write_text("{")
    found, problems = load_models(tmp_path / "models", root=tmp_path)
    assert (len(found), problems) == (1, [])


def test_a_missing_model_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no model there; restore it"):
        load_classifier(tmp_path / "none.onnx")


def test_a_keras_file_without_onnx_gets_a_sentence_that_says_what_to_run(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"")
    (tmp_path / "b.keras").write_bytes(b"")
    (tmp_path / "b.onnx").write_bytes(b"")
    (sentence,) = without_onnx(tmp_path)
    assert f"python -m tools.export_model {tmp_path / 'a.keras'} --publish" in sentence


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_model_is_whole_and_knows_its_accuracy(path):
    classifier = load_classifier(path)
    assert classifier.accuracy > 0.9
    assert "record" not in " ".join(classifier.notes)
