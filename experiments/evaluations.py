"""What a model's answers are worth: one dictionary of evaluations, name to function.

Each takes a model's answers, with `logits(images)` and `features(images)`, and `Data`, and returns
a dict for ``record["scores"][name]``, or None where what it needs is not there. Whatever is fitted
or chosen, a temperature or a threshold, comes from training and validation pictures.
"""

import os

import numpy as np
from sklearn.metrics import confusion_matrix

from utils.base.cifar10 import CLASS_NAMES
from utils.evaluation import calibration, unknowns
from utils.evaluation.checks import checked_labels, checked_logits
from utils.evaluation.intervals import share_with_interval
from utils.evaluation.strange import strange_pictures
from utils.evaluation.test_sets import read_cifar10_1, read_cifar10_c, read_cifar10h

REFERENCE = 2500  # training pictures that scores of strangeness are fitted on
CORRUPTED = 500  # test pictures of each kind and severity, the same ones for all models
LARGE = 2_500_000  # parameters; of models with more, a pass takes minutes: so many pictures less
CORRUPTED_BY_LARGE = 200
PAGE_SCORE = "energy_and_pixels"


def right_answers(answers, pictures):
    """Return which pictures a model has right (ndarray of bool, shape (N,))."""
    return _logits(answers, pictures.images).argmax(axis=1) == pictures.labels


def evaluate_accuracy(answers, data):
    """Accuracy with Wilson's interval, of all and of each class, and the worst confusions."""
    labels = checked_labels(data.test.labels)
    predictions = _logits(answers, data.test.images).argmax(axis=1)
    right = predictions == labels
    matrix = confusion_matrix(labels, predictions, labels=range(len(CLASS_NAMES)))
    np.fill_diagonal(matrix, 0)
    worst = np.argsort(-matrix, axis=None, kind="stable")[:8]
    return {
        **share_with_interval(right),
        "classes": {
            name: share_with_interval(right[labels == number])
            for number, name in enumerate(CLASS_NAMES)
            if (labels == number).any()
        },
        "worst_confusions": [
            {
                "class": CLASS_NAMES[place // len(CLASS_NAMES)],
                "taken_for": CLASS_NAMES[place % len(CLASS_NAMES)],
                "pictures": int(matrix.flat[place]),
            }
            for place in worst
        ],
    }


def evaluate_calibration(answers, data):
    """Scores of the probabilities before and after one temperature, fitted on validation."""
    logits, labels = _logits(answers, data.test.images), data.test.labels
    temperature = _temperature(answers, data)
    found = {"temperature": temperature, "fitted_on_validation_pictures": len(data.validation[1])}
    for name, divisor in (("before", 1.0), ("after", temperature)):
        shares = calibration.probabilities_of(logits, divisor)
        found[name] = calibration.score_probabilities(shares, labels)
        found[name]["reliability"] = calibration.reliability(shares, labels)
    return found | {"risk_and_coverage": calibration.risk_and_coverage(shares, labels)}


def choose_threshold(answers, data):
    """What the page needs to say "none of the ten": score, threshold, and the usual pixels."""
    train, validation = _reference(answers, data)
    score = unknowns.SCORES[PAGE_SCORE](train, validation, _temperature(answers, data))
    usual = unknowns.fit_usual(train.images)
    return {
        "score": PAGE_SCORE,
        "threshold": unknowns.threshold_of(score(validation)),
        "pixels_weight": unknowns.pixels_weight(validation, usual),
        "usual_pixels": {name: np.round(values, 5).tolist() for name, values in usual.items()},
        "validation_pictures_answered": unknowns.PASSES,
        "fitted_on_training_pictures": len(train.labels),
    }


def evaluate_none_of_the_ten(answers, data):
    """How well each score tells strange pictures, beside what `choose_threshold` finds."""
    train, validation = _reference(answers, data)
    test = _answers_of(answers, *data.test)
    strange = {name: _answers_of(answers, images) for name, images in strange_pictures().items()}
    temperature = _temperature(answers, data)
    rows = {}
    for name, fit in unknowns.SCORES.items():
        score = fit(train, validation, temperature)
        threshold = unknowns.threshold_of(score(validation))
        known = score(test)
        kinds = {
            kind: unknowns.separation(known, score(pictures), threshold)
            for kind, pictures in strange.items()
        }
        passed = known >= threshold
        right = (test.logits.argmax(axis=1) == test.labels)[passed]
        rows[name] = {
            "threshold": threshold,
            "answered": share_with_interval(passed),
            "right_of_the_answered": share_with_interval(right),
            "mean_area_under_roc": float(np.mean([k["area_under_roc"] for k in kinds.values()])),
            "mean_refused": float(np.mean([k["refused"] for k in kinds.values()])),
            "kinds": kinds,
        }
    return choose_threshold(answers, data) | {"scores": rows}


def evaluate_corruptions(answers, data):
    """Accuracy under our own renderings of CIFAR-10-C; of its files with ``CIFAR10_C``."""
    # Imported here: the notebook needs the other evaluations, and has no scikit-image.
    from utils.evaluation.corruptions import (  # noqa: PLC0415
        CORRUPTIONS,
        EXTRA,
        SEVERITIES,
        corrupt,
    )

    folder = os.environ.get("CIFAR10_C")
    if folder:
        kinds, read, labels = read_cifar10_c(folder)
        chosen, source = np.arange(len(labels)), "the official files of CIFAR-10-C"
    else:
        kinds, labels = list(CORRUPTIONS), data.test.labels
        count = min(_corrupted_by(answers), len(labels))
        chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[:count])
        clean, source = data.test.images[chosen], "our own renderings, by CIFAR-10-C's parameters"

        def read(kind, severity):
            return corrupt(clean, kind, severity)

    table = {}
    for kind in kinds:
        table[kind] = [
            float((_logits(answers, read(kind, severity)).argmax(axis=1) == labels[chosen]).mean())
            for severity in SEVERITIES
        ]
    counted = [kind for kind in kinds if kind not in EXTRA]
    return {
        "source": source,
        "pictures_a_cell": len(chosen),
        "clean_accuracy": float(right_answers(answers, _part(data.test, chosen)).mean()),
        "mean_accuracy": float(np.mean([table[kind] for kind in counted])),
        "kinds_in_the_mean": counted,
        "accuracy": table,
    }


def evaluate_cifar10_1(answers, _):
    """Accuracy on CIFAR-10.1, if the environment's ``CIFAR10_1`` names its folder."""
    folder = os.environ.get("CIFAR10_1")
    if not folder:
        return None
    images, labels = read_cifar10_1(folder)
    return share_with_interval(_logits(answers, images).argmax(axis=1) == labels)


def evaluate_cifar10h(answers, data):
    """Agreement with people's answers, if the environment's ``CIFAR10H`` names their file."""
    path = os.environ.get("CIFAR10H")
    if not path:
        return None
    people = read_cifar10h(path, data.test.labels)
    logits = _logits(answers, data.test.images)
    shares = calibration.probabilities_of(logits, _temperature(answers, data))
    agree = shares.argmax(axis=1) == people.argmax(axis=1)
    return {
        "cross_entropy": float(-(people * np.log(np.maximum(shares, 1e-15))).sum(axis=1).mean()),
        "agreement": share_with_interval(agree),
        "disagree_most": np.argsort(-np.abs(people - shares).sum(axis=1))[:32].tolist(),
    }


EVALUATIONS = {
    "accuracy": evaluate_accuracy,
    "calibration": evaluate_calibration,
    "none_of_the_ten": evaluate_none_of_the_ten,
    "corruptions": evaluate_corruptions,
    "cifar10_1": evaluate_cifar10_1,
    "cifar10h": evaluate_cifar10h,
}


def _logits(answers, images):
    return checked_logits(answers.logits(images))


def _temperature(answers, data):
    if not len(data.validation.labels):
        raise ValueError("no validation pictures; hold some out (validation_size above 0)")
    return calibration.fit_temperature(
        _logits(answers, data.validation.images), data.validation.labels
    )


def _reference(answers, data):
    """Return the answers to a part of the training pictures and to the validation pictures."""
    step = max(1, len(data.train.labels) // REFERENCE)
    some = [part[::step][:REFERENCE] for part in data.train]
    return _answers_of(answers, *some), _answers_of(answers, *data.validation)


def _answers_of(answers, images, labels=None):
    images = np.ascontiguousarray(images)
    return unknowns.Answers(images, _logits(answers, images), answers.features(images), labels)


def _corrupted_by(answers):
    large = getattr(answers, "parameters", 0) > LARGE
    return CORRUPTED_BY_LARGE if large else CORRUPTED


def _part(pictures, chosen):
    return type(pictures)(pictures.images[chosen], pictures.labels[chosen])
