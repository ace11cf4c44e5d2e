"""Scores that are low for pictures of none of the ten, against SciPy, scikit-learn and by hand."""

import numpy as np
import pytest
from scipy.fft import dctn
from scipy.spatial.distance import mahalanobis
from sklearn.neighbors import NearestNeighbors

from utils.base.unusual import COLOURS, fit_usual, pixel_statistics, unusualness
from utils.evaluation.strange import strange_pictures
from utils.evaluation.unknowns import SCORES, Answers, energy, separation, threshold_of

RANDOM = np.random.default_rng(0)


def smooth_pictures(count):
    """Pictures with about as much contrast in each octave, as photographs have."""
    random = np.random.default_rng(count)
    pictures = np.zeros((count, 32, 32, 3))
    for side in (2, 4, 8, 16, 32):
        noise = (
            random.normal(size=(count, side, side, 1)) + random.normal(size=(count, 1, 1, 3)) / 4
        )
        pictures += noise.repeat(32 // side, axis=1).repeat(32 // side, axis=2)
    return np.uint8(np.clip(128 + 20 * pictures, 0, 255))


def answers(count=60, seed=0):
    """Made-up answers to smooth pictures: features cluster by class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    features = random.normal(size=(count, 12)) + 4 * np.eye(10, 12)[labels]
    return Answers(smooth_pictures(count), features[:, :10], features, labels)


TRAIN = answers(200, seed=1)


def test_energy_is_the_logarithm_of_summed_exponentials():
    assert energy(np.log([[1, 2, 3]]))[0] == pytest.approx(np.log(6))


def test_mahalanobis_is_scipys_distance_to_the_nearest_mean():
    score = SCORES["mahalanobis"](TRAIN, None, 1)
    means = np.stack([TRAIN.features[TRAIN.labels == label].mean(axis=0) for label in range(10)])
    inverse = np.linalg.inv(np.cov((TRAIN.features - means[TRAIN.labels]).T))
    some = answers(5)
    for found, vector in zip(score(some), some.features, strict=True):
        assert found == pytest.approx(-(min(mahalanobis(vector, m, inverse) for m in means) ** 2))


def test_neighbours_are_scikit_learns():
    some = answers(5)
    distances, _ = (
        NearestNeighbors(metric="cosine").fit(TRAIN.features).kneighbors(some.features, 50)
    )
    np.testing.assert_allclose(
        SCORES["nearest_neighbours"](TRAIN, None, 1)(some), 1 - distances[:, -1], rtol=1e-5
    )


@pytest.mark.parametrize("name", SCORES)
def test_each_score_is_lower_for_what_is_of_no_class(name):
    strange = answers(50, seed=3)
    strange = strange._replace(
        features=RANDOM.normal(size=(50, 12)) * [*[1] * 10, 9, 9],
        logits=RANDOM.normal(size=(50, 10)),
        images=RANDOM.integers(0, 256, (50, 32, 32, 3), np.uint8),
    )
    score = SCORES[name](TRAIN, answers(100, seed=2), 0.5)
    known = score(answers(100, seed=4))
    found = separation(known, score(strange), threshold_of(score(answers(100, seed=2))))
    assert found["area_under_roc"] > 0.8
    assert found["pictures"] == 50


def test_separation_is_the_share_of_pairs_in_order():
    found = separation([1, 2, 3, 4], [0, 2.5], 1.5)
    assert found == {"area_under_roc": pytest.approx(6 / 8), "refused": 0.5, "pictures": 2}


def test_as_many_validation_pictures_pass_as_asked_for():
    scores = RANDOM.normal(size=1000)
    assert (scores >= threshold_of(scores, passes=0.95)).mean() == pytest.approx(0.95, abs=0.002)


@pytest.mark.parametrize(
    ("scores", "message"), [([], "no validation pictures"), ([1, np.nan], "NaN or infinite")]
)
def test_no_threshold_without_scores(scores, message):
    with pytest.raises(ValueError, match=message):
        threshold_of(scores)


def test_the_spectrum_is_that_of_scipys_cosine_transform():
    images = smooth_pictures(3)
    plane = (images / 255 @ COLOURS.T)[..., 0]
    blocks = plane.reshape(3, 4, 8, 4, 8)
    energies = (dctn(blocks, axes=(2, 4), norm="ortho") ** 2).mean(axis=(1, 3))
    expected = np.log(energies[:, 0, 0] + 1e-4)
    np.testing.assert_allclose(pixel_statistics(images)[:, 0], expected, rtol=1e-4)
    finest = np.log(np.concatenate([energies[:, 7, :], energies[:, :7, 7]], 1).mean(1) + 1e-4)
    np.testing.assert_allclose(pixel_statistics(images)[:, 7], finest, rtol=1e-3)


def test_usual_pictures_are_nearer_than_others():
    usual = fit_usual(smooth_pictures(300))
    near = unusualness(smooth_pictures(50), usual)
    assert near.mean() == pytest.approx(34**0.5, rel=0.25)
    lists = {name: values.tolist() for name, values in usual.items()}  # as a record holds them
    np.testing.assert_allclose(unusualness(smooth_pictures(50), lists), near)
    flat = np.full((1, 32, 32, 3), 90, np.uint8)
    assert unusualness(flat, usual)[0] > near.max()


def test_strange_pictures_are_drawn_alike_from_the_same_seed():
    first, again, other = (strange_pictures(seed=seed) for seed in (0, 0, 1))
    for kind, pictures in first.items():
        assert pictures.dtype == np.uint8
        assert pictures.shape[1:] == (32, 32, 3)
        assert pictures.std() > 5
        np.testing.assert_array_equal(pictures, again[kind])
    assert not np.array_equal(first["text"], other["text"])
    assert len(first["parts_of_photographs"]) == 9 * len(first["photographs"])
