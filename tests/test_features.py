"""Heads on features that a frozen backbone found once."""

import numpy as np
import pytest
import tensorflow as tf

from utils.load_patchs import read_image_labels
from utils.pipeline.features import cache_features, split_at_features
from utils.training.models import model_1, model_2, model_3


@pytest.fixture(scope="module")
def model():
    return model_2((32, 32, 3), weights=None)


@pytest.mark.parametrize("build", [model_2, model_3])
def test_head_after_backbone_is_the_model(build):
    model = build((32, 32, 3), 4, weights=None)
    images = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
    backbone, head = split_at_features(model)
    features = backbone(images, training=False)
    assert features.shape == (3, {"model_2": 1280, "model_3": 512}[model.name])
    np.testing.assert_allclose(head(features), model(images, training=False), atol=1e-6)


def test_training_the_head_trains_the_model(model):
    before = model.get_weights()
    _, head = split_at_features(model)
    head.set_weights([weights + 1 for weights in head.get_weights()])
    changed = [(old != new).any() for old, new in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * (len(changed) - 4) + [True] * 4


def test_a_model_that_pools_nothing_is_refused():
    with pytest.raises(ValueError, match="model_1 pools no features; pass what model_2 or"):
        split_at_features(model_1())


def test_features_keep_order_and_labels(model, converted):
    backbone, _ = split_at_features(model)
    how = {"images_directory": converted.images_directory}
    dataset = read_image_labels(converted.test_names, 7, (32, 32), **how)
    cached = list(cache_features(backbone, dataset).as_numpy_iterator())
    assert len(cached) == 20
    images, labels = next(iter(dataset.rebatch(20)))
    features = np.stack([features for features, _ in cached])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, backbone(images), atol=1e-5)
    assert [label for _, label in cached] == list(labels)


def test_no_pictures_have_no_features(model):
    backbone, _ = split_at_features(model)
    shapes = (tf.zeros((0, 32, 32, 3)), tf.zeros(0, tf.int32))
    with pytest.raises(ValueError, match="the dataset is empty; check the names file"):
        cache_features(backbone, tf.data.Dataset.from_tensor_slices(shapes).batch(2))
