"""How far an accuracy may be off, and which of two models is better: values worked out by hand."""

import math

import numpy as np
import pytest

from utils.evaluation.intervals import compare_in_pairs, share_with_interval, wilson_interval


@pytest.mark.parametrize(("right", "count"), [(9, 10), (0, 7), (7, 7), (9290, 10_000)])
def test_wilson_is_his_formula(right, count):
    z, share = 1.959963984540054, right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count)
    half *= math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    assert wilson_interval(right, count) == pytest.approx([middle - half, middle + half])


def test_a_share_comes_with_its_interval():
    found = share_with_interval(np.array([True] * 9 + [False]))
    assert found == {"share": 0.9, "interval_95": pytest.approx([0.5958, 0.9821], abs=1e-4)} | {
        "pictures": 10
    }


@pytest.mark.parametrize(("right", "count"), [(1, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(right, count):
    with pytest.raises(ValueError, match=f"{right} right of {count} pictures; pass"):
        wilson_interval(right, count)


def test_only_pictures_that_one_has_right_tell_two_models_apart():
    both, first, second = [(1, 1)] * 80, [(1, 0)] * 9, [(0, 1)]
    right = np.array(both + first + second + [(0, 0)] * 10, bool)
    found = compare_in_pairs(*right.T)
    # Of ten fair coins, nine or more alike: 2 (1 + 10) of 2^10.
    assert found == {
        "only_first": 9,
        "only_second": 1,
        "difference": pytest.approx(0.08),
        "p_value": pytest.approx(22 / 1024),
    }


def test_equal_answers_are_no_difference():
    right = np.array([True, False, True])
    assert compare_in_pairs(right, right)["p_value"] == 1


@pytest.mark.parametrize(("first", "second"), [([True], [True, False]), ([], [])])
def test_answers_to_other_pictures_are_refused(first, second):
    with pytest.raises(ValueError, match="to the same pictures, at least one"):
        compare_in_pairs(first, second)
