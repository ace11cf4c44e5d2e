"""Pictures mixed with their distorted selves: seeded, of the same kind, and really distorted."""

import numpy as np
import pytest
import tensorflow as tf

from utils.pipeline.augmix import augmix_batches, mix

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)


def test_bytes_stay_bytes_and_shares_stay_shares():
    mixed = mix(tf.constant(IMAGES), [1, 2])
    assert (mixed.dtype, mixed.shape) == (tf.uint8, IMAGES.shape)
    shares = mix(tf.constant(IMAGES / np.float32(255)), [1, 2]).numpy()
    assert 0 <= shares.min() < shares.max() <= 1
    np.testing.assert_allclose(mixed, shares * 255, atol=1)


def test_the_same_seed_mixes_alike_and_each_picture_otherwise():
    images = tf.constant(np.repeat(IMAGES[:1], 8, axis=0))
    mixed = mix(images, [1, 2]).numpy()
    np.testing.assert_array_equal(mixed, mix(images, [1, 2]))
    assert not np.array_equal(mixed, mix(images, [1, 3]))
    assert len(np.unique(mixed.reshape(8, -1), axis=0)) == 8


def test_the_picture_remains_what_it_was():
    away = np.abs(mix(tf.constant(IMAGES), [1, 2]).numpy().astype(float) - IMAGES).mean()
    assert 3 < away < 70


def test_every_pass_of_a_dataset_is_another_and_targets_stay():
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(8))).batch(4)
    mixed = augmix_batches(dataset, 0)
    assert int(mixed.cardinality()) == 2
    first, second = ([*mixed.as_numpy_iterator()] for _ in range(2))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in first]), np.arange(8))
    for batch, again, clean in zip(first, second, (IMAGES[:4], IMAGES[4:]), strict=True):
        np.testing.assert_array_equal(batch[0][:2], clean[:2])
        assert not np.array_equal(batch[0][2:], clean[2:])
        assert not np.array_equal(batch[0][2:], again[0][2:])


@pytest.mark.parametrize("value", [0, 255])
def test_no_pixel_leaves_its_range(value):
    mixed = mix(tf.fill((4, 32, 32, 3), tf.constant(value / 255, tf.float32)), [5, 6]).numpy()
    assert 0 <= mixed.min() <= mixed.max() <= 1
