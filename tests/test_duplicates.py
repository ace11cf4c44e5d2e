"""Planted twins are found, mirrored and shifted too; and labels that all models contradict."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from utils.evaluation.doubtful import doubtful_labels
from utils.evaluation.duplicates import find_duplicates, likeness, nearest_pictures


def pictures(count, seed):
    noise = np.random.default_rng(seed).normal(size=(count, 32, 32, 3))
    return np.uint8(np.clip(128 + 300 * gaussian_filter(noise, (0, 2, 2, 0)), 0, 255))


TEST, TRAIN = pictures(6, 0), pictures(40, 1)


def test_twins_are_found_mirrored_and_shifted_too():
    train = TRAIN.copy()
    train[30] = TEST[1]
    train[7] = TEST[2][:, ::-1]
    train[11] = np.roll(TEST[4], (1, -2), (0, 1))
    train[12] = np.uint8(TEST[5] // 2 + 40)  # darker, with less contrast
    features = np.zeros((46, 3)) + np.random.default_rng(0).normal(size=(46, 3))
    found = find_duplicates(TEST, features[:6], train, features[6:])
    assert {pair["test"]: pair["train"] for pair in found} == {1: 30, 2: 7, 4: 11, 5: 12}
    assert found[0]["likeness"] >= found[-1]["likeness"] > 0.95


def test_features_propose_what_pixels_do_not():
    near = nearest_pictures([[1, 0], [0, 2]], [[0, 1], [3, 0.1], [1, 1]], count=2)
    np.testing.assert_array_equal(near, [[1, 2], [0, 2]])


def test_likeness_is_a_correlation():
    red = TEST[:1].astype(float)
    other = TRAIN[:1].astype(float)
    centred = [(x - x.mean(axis=(1, 2), keepdims=True)).ravel() for x in (red, other)]
    expected = np.corrcoef(*centred)[0, 1]
    found = likeness(TEST[:1], TRAIN[:1], largest_shift=0)[0]
    mirrored = np.corrcoef(
        centred[0], (other[:, :, ::-1] - other.mean((1, 2), keepdims=True)).ravel()
    )
    assert found == pytest.approx(max(expected, mirrored[0, 1]), abs=1e-5)
    assert likeness(TEST[:1], np.full((1, 32, 32, 3), 9, np.uint8))[0] == -1


def test_labels_are_doubtful_where_all_models_agree_against_them():
    def row(label, share):
        return np.where(np.arange(10) == label, share, (1 - share) / 9)

    first = [row(1, 0.9), row(2, 0.8), row(3, 0.99), row(4, 0.7)]
    second = [row(1, 0.7), row(2, 1.0), row(5, 0.99), row(4, 0.9)]
    found = doubtful_labels([first, second], np.array([0, 0, 0, 4]))
    assert [(one["test"], one["label"], one["answer"]) for one in found] == [(1, 0, 2), (0, 0, 1)]
    assert [one["probability"] for one in found] == [0.9, 0.8]
    assert len(doubtful_labels([first], np.array([0, 0, 0, 4]), count=1)) == 1
    with pytest.raises(ValueError, match="no model's answers"):
        doubtful_labels([], np.array([0]))
