"""Augmented pictures are compared with all 50 that can come out: 25 shifts, each also mirrored."""

import numpy as np
import pytest
import tensorflow as tf

from utils.pipeline.augment import augment_patches, cut_out, mirror_and_shift, views_to_average

VARIANTS = 50  # 0 to 24 as they are, 25 to 49 mirrored


def variants_of(image):
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    height, width = image.shape[:2]
    shifted = [
        padded[row : row + height, column : column + width]
        for row in range(5)
        for column in range(5)
    ]
    return np.stack(shifted + [shift[:, ::-1] for shift in shifted])


def which_variants(images, outputs):
    """Return, for each picture, which variant of it came out; fails unless it is exactly one."""
    found = []
    for image, output in zip(images, outputs, strict=True):
        matches = np.flatnonzero((variants_of(image) == output).all(axis=(1, 2, 3)))
        assert len(matches) == 1
        found.append(matches[0])
    return np.array(found)


def draw_images(count, shape=(8, 8, 3)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(32, 32, 3), (5, 9, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_outputs_are_shifts_of_the_picture_or_of_its_mirror(shape, dtype):
    images = draw_images(40, shape).astype(dtype)
    outputs = mirror_and_shift(tf.constant(images), 2, (1, 2)).numpy()
    assert outputs.dtype == dtype
    which_variants(images, outputs)


def test_all_variants_come_out_equally_often():
    images = draw_images(2000)
    found = which_variants(images, mirror_and_shift(tf.constant(images), 2, (3, 4)).numpy())
    counts = np.bincount(found, minlength=VARIANTS)
    assert counts.min() > 15  # of 40 expected, standard deviation 6.3
    assert counts.max() < 65
    assert np.mean(found >= VARIANTS // 2) == pytest.approx(0.5, abs=0.04)


def test_the_seed_decides():
    images = tf.constant(draw_images(50))
    one, again, other = (
        mirror_and_shift(images, 2, seed).numpy() for seed in ((1, 2), (1, 2), (1, 3))
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


# ---- cut_out


def test_squares_are_cut_out_everywhere_equally_often():
    images = np.arange(6 * 9, dtype=np.float32).reshape(1, 6, 9, 1) + 1000
    outputs = cut_out(tf.constant(np.repeat(images, 1000, axis=0)), 5, (1, 2)).numpy()
    places = {}
    for output in outputs[..., 0]:
        changed = output != images[0, :, :, 0]
        assert changed[changed.any(axis=1)][:, changed.any(axis=0)].all()  # a rectangle
        assert output[changed] == pytest.approx(images.mean())
        top, left = (int(np.argmax(changed.any(axis=axis))) for axis in (1, 0))
        places[top, left] = places.get((top, left), 0) + 1
        assert changed.sum() in (24, 25)  # one pixel may have the mean's own value
    assert len(places) == 2 * 5
    assert min(places.values()) > 60  # of 100 expected, standard deviation 9.5


def test_the_seed_decides_what_is_cut_out():
    images = tf.constant(draw_images(50))
    one, again, other = (cut_out(images, 3, seed).numpy() for seed in ((1, 2), (1, 2), (1, 3)))
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


# ---- augment_patches


@pytest.fixture
def patches():
    """Two patches of 20 and 15; both hold the same pictures as far as they go."""
    images = draw_images(20)
    images = np.concatenate([images, images[:15]])
    return tf.data.Dataset.from_tensor_slices((images, np.arange(35))).batch(20)


def passes_over(dataset, count):
    return [
        [np.concatenate(part) for part in zip(*dataset.as_numpy_iterator(), strict=True)]
        for _ in range(count)
    ]


def test_labels_and_order_stay(patches):
    [(images, labels)] = passes_over(patches, 1)
    [(outputs, output_labels)] = passes_over(augment_patches(patches, 2, 0), 1)
    np.testing.assert_array_equal(output_labels, labels)
    which_variants(images, outputs)


def test_the_last_patch_stays_small(patches):
    assert [len(labels) for _, labels in augment_patches(patches, 2, 0)] == [20, 15]


def test_each_patch_and_each_pass_gets_its_own_numbers(patches):
    [(images, _)] = passes_over(patches, 1)
    first, second = (
        which_variants(images, outputs)
        for outputs, _ in passes_over(augment_patches(patches, 2, 0), 2)
    )
    assert (first != second).any()
    assert (first[:15] != first[20:]).any()


def test_the_seed_decides_the_sequence_of_passes(patches):
    one, again, other = (
        np.stack([outputs for outputs, _ in passes_over(augment_patches(patches, 2, seed), 2)])
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_views_to_average_are_small_shifts_and_their_mirrors():
    images = draw_images(3)
    views = views_to_average(tf.constant(images))
    centre, step = 12, 6  # numbers of variants: no shift, and one row and one column further
    shifts = [centre - step, centre, centre + step]
    expected = shifts + [shift + VARIANTS // 2 for shift in shifts]
    assert [set(which_variants(images, view.numpy())) for view in views] == [{n} for n in expected]
