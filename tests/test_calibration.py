"""Scores of probabilities by hand and by scikit-learn, and the temperature that mends them."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve

from utils.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    probabilities_of,
    reliability,
    risk_and_coverage,
    score_probabilities,
)


def sure(label, share):
    """A row of probabilities that gives `share` to `label`, and the rest to all others alike."""
    row = np.full(10, (1 - share) / 9)
    row[label] = share
    return row


HAND = np.array([sure(0, 0.9), sure(1, 0.9), sure(2, 0.6), sure(3, 0.6)])
LABELS = np.array([0, 1, 2, 9])  # the last is wrong


def drawn(count=4000, scale=1.0):
    """Logits whose softmax is the truth about the labels, times `scale`."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (count, 10))
    labels = np.array([random.choice(10, p=row) for row in softmax(logits, axis=1)])
    return logits * scale, labels


def test_scores_are_those_of_the_hand():
    found = score_probabilities(HAND, LABELS)
    shares = [0.9, 0.9, 0.6, 0.4 / 9]
    assert found["negative_log_likelihood"] == pytest.approx(-np.log(shares).mean())
    first, third = 0.1**2 + 9 * (0.1 / 9) ** 2, 0.4**2 + 9 * (0.4 / 9) ** 2
    last = 0.6**2 + (1 - 0.4 / 9) ** 2 + 8 * (0.4 / 9) ** 2
    assert found["brier"] == pytest.approx((2 * first + third + last) / 4)
    # Two pictures are 10 points too unsure; of the other two, 60 % sure, half are right.
    assert found["ece_equal_width"] == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_bins_of_equal_mass_hold_as_many_pictures():
    found = reliability(HAND, LABELS, bins=2, equal_mass=True)
    assert found == {
        "confidence": pytest.approx([0.6, 0.9]),
        "accuracy": [0.5, 1],
        "pictures": [2, 2],
    }
    assert expected_calibration_error(HAND, LABELS, bins=2, equal_mass=True) == pytest.approx(0.1)


def test_bins_of_equal_width_are_scikit_learns():
    logits, labels = drawn()
    shares = probabilities_of(logits)
    found = reliability(shares, labels)
    right, confidence = calibration_curve(
        shares.argmax(axis=1) == labels, shares.max(axis=1), n_bins=15
    )
    np.testing.assert_allclose(found["accuracy"], right)
    np.testing.assert_allclose(found["confidence"], confidence)
    assert sum(found["pictures"]) == len(labels)


@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_the_temperature_takes_back_what_logits_were_multiplied_by(scale):
    assert fit_temperature(*drawn(scale=scale)) == pytest.approx(scale, rel=0.05)


def test_the_temperature_makes_percentages_true_and_changes_no_class():
    logits, labels = drawn(scale=3)
    before, after = (probabilities_of(logits, t) for t in (1, fit_temperature(logits, labels)))
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert expected_calibration_error(after, labels) < 0.02
    assert expected_calibration_error(before, labels) > 0.1


def test_the_surest_are_answered_first():
    found = risk_and_coverage(HAND, LABELS)
    assert found["coverage"][49] == 0.5
    assert found["accuracy"][49] == 1
    assert found["accuracy"][-1] == 0.75
    assert found["area_under_risk"] == pytest.approx(0.25 / 4)


@pytest.mark.parametrize(
    ("answers", "labels", "message"),
    [
        (HAND * 0.5, LABELS, r"picture 0 sum to 0\.5"),
        (np.where(HAND > 0.8, np.nan, HAND), LABELS, "answers picture 0 by"),
        (HAND, LABELS + 1, "10 is among the labels; pass classes from 0 to 9"),
        (HAND, LABELS[:2], "2 labels for 4 pictures"),
        (HAND[:, :3], LABELS, "pass a model of 10 classes"),
        (HAND, LABELS / 2, "pass one integer a picture"),
    ],
)
def test_what_is_no_answer_is_refused(answers, labels, message):
    with pytest.raises(ValueError, match=message):
        score_probabilities(answers, labels)


def test_a_temperature_needs_validation_pictures():
    with pytest.raises(ValueError, match="no validation pictures; hold some out"):
        fit_temperature(np.empty((0, 10)), np.empty(0, int))
