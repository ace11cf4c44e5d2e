"""Corrupted pictures: by hand where they are simple, by SciPy and Pillow where they are not."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from utils.evaluation import warps
from utils.evaluation.corruptions import CORRUPTIONS, corrupt

RANDOM = np.random.default_rng(0)
GRAY = np.full((20, 32, 32, 3), 128, np.uint8)
PICTURES = np.uint8(
    np.clip(
        128 + 400 * ndimage.gaussian_filter(RANDOM.normal(size=(12, 32, 32, 3)), (0, 3, 3, 0)),
        0,
        255,
    )
)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_each_kind_is_seeded_and_leaves_pictures(kind):
    before = PICTURES.copy()
    mild, strong = (corrupt(PICTURES, kind, severity) for severity in (1, 5))
    np.testing.assert_array_equal(PICTURES, before)
    assert (mild.dtype, mild.shape) == (np.uint8, PICTURES.shape)
    np.testing.assert_array_equal(mild, corrupt(PICTURES, kind, 1))
    away = [np.abs(image.astype(int) - PICTURES).mean() for image in (mild, strong)]
    assert 0 < away[0] < 80
    if kind != "elastic_transform":  # whose severities trade shift for displacement
        assert away[0] < away[1]


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.04), (3, 0.08), (5, 0.1)])
def test_gaussian_noise_has_its_deviation(severity, deviation):
    noisy = corrupt(GRAY, "gaussian_noise", severity) / 255
    assert noisy.std() == pytest.approx(deviation, rel=0.02)
    assert noisy.mean() == pytest.approx(128 / 255, abs=0.004)


def test_shot_noise_is_poissons():
    assert (corrupt(GRAY, "shot_noise", 5) / 255).var() == pytest.approx(128 / 255 / 50, rel=0.03)


def test_impulse_noise_changes_its_share():
    noisy = corrupt(GRAY, "impulse_noise", 5)
    assert ((noisy == 0) | (noisy == 255)).mean() == pytest.approx(0.07, rel=0.05)
    assert (noisy == 128).mean() == pytest.approx(0.93, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "severity", "pixel", "expected"),
    [
        ("brightness", 2, (100, 50, 20), (125.5, 62.7, 25.1)),  # value 0.392 + 0.1, same hue
        ("saturate", 1, (200, 100, 100), (200, 170, 170)),  # saturation 0.5 times 0.3
        ("contrast", 2, (100, 50, 20), (100, 50, 20)),  # of one colour there is none
    ],
)
def test_colours_change_as_by_hand(kind, severity, pixel, expected):
    image = np.full((1, 32, 32, 3), pixel, np.uint8)
    found = corrupt(image, kind, severity)[0, 5, 5].astype(float)
    np.testing.assert_allclose(found, expected, atol=1)


def test_contrast_is_around_each_channels_mean():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, :16] = 200
    np.testing.assert_allclose(np.unique(corrupt(image, "contrast", 5)), [85, 115], atol=1)


def test_jpeg_is_pillows():
    file = io.BytesIO()
    Image.fromarray(PICTURES[0]).save(file, "JPEG", quality=58)
    found = corrupt(PICTURES, "jpeg_compression", 3)[0].astype(int)
    assert np.abs(found - np.asarray(Image.open(file))).max() <= 1


@pytest.mark.parametrize(
    "kind", ["defocus_blur", "gaussian_blur", "zoom_blur", "motion_blur", "pixelate"]
)
def test_what_has_no_detail_stays_under_a_blur(kind):
    assert np.abs(corrupt(GRAY, kind, 5).astype(int) - 128).max() <= 1


def test_glass_moves_pixels_up_to_its_reach():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, 16:] = 255
    moved = corrupt(image, "glass_blur", 1)[0, :, 3:30, 0]
    assert set(np.unique(moved)) == {0, 255}
    assert (moved[:16] == 0).all()
    assert 0 < (moved[16] == 0).mean() < 1  # a pixel comes from there or from one above
    assert (moved[17:] == 255).all()


def test_convolution_is_scipys():
    images, kernel = RANDOM.random((2, 9, 9, 3), np.float32), RANDOM.random((3, 3))
    expected = ndimage.convolve(images, kernel[np.newaxis, :, :, np.newaxis], mode="mirror")
    np.testing.assert_allclose(warps.convolve(images, kernel), expected, rtol=1e-4)


def test_samples_between_pixels_are_scipys():
    images = RANDOM.random((2, 8, 8, 3), np.float32)
    rows, columns = RANDOM.uniform(-5, 12, (2, 2, 8, 8))
    found = warps.sample(images, rows, columns)
    for number, image in enumerate(images):
        for channel in range(3):
            expected = ndimage.map_coordinates(
                image[..., channel], [rows[number], columns[number]], order=1, mode="mirror"
            )
            np.testing.assert_allclose(found[number, ..., channel], expected, atol=1e-5)


def test_a_zoom_keeps_the_middle_and_enlarges():
    image = np.zeros((1, 32, 32, 1), np.float32)
    image[:, 8:24, 8:24] = 1
    assert warps.zoom(image, 1.25).sum() == pytest.approx(400, rel=0.01)
    np.testing.assert_array_equal(warps.zoom(image, 1), image)


def test_a_fractal_is_smoother_where_it_decays_faster():
    smooth, rough = (warps.fractal(np.random.default_rng(0), 8, 32, decay) for decay in (3, 1.75))
    assert smooth.shape == (8, 32, 32)
    assert (smooth.min(), smooth.max()) == (0, 1)
    assert np.abs(np.diff(smooth, axis=1)).mean() < np.abs(np.diff(rough, axis=1)).mean()


def test_no_shift_and_no_displacement_is_no_change():
    images = PICTURES / np.float32(255)
    np.testing.assert_allclose(warps.stretch(images, RANDOM, 0, 0, 0), images, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "kind", "severity", "message"),
    [
        (GRAY / 255, "fog", 1, "dtype float64; pass uint8"),
        (GRAY[:, :16], "fog", 1, r"shape \(20, 16, 32, 3\)"),
        (GRAY[:0], "fog", 1, "no pictures"),
        (GRAY, "rain", 1, "'rain' is no corruption; there are gaussian_noise, "),
        (GRAY, "fog", 6, "severity is 6, expected 1 to 5"),
    ],
)
def test_what_can_not_be_corrupted_is_refused(images, kind, severity, message):
    with pytest.raises(ValueError, match=message):
        corrupt(images, kind, severity)
