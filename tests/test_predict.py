"""Prediction is compared with the model's own answers, its scores with those by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from f1_by_hand import f1_by_hand
from small_models import (
    constant_model,
    dataset_of,
    model_of_vectors,
    small_data,
    small_images,
    small_model,
    with_label,
    with_pixel,
)

from utils.model_training_testing import predict


@pytest.fixture(autouse=True)
def same_weights():
    """Models start from the same weights in every run, so that what a test needs of them holds."""
    keras.utils.set_random_seed(1)


@pytest.mark.parametrize("patch", [1, 5, 13, 64])
def test_predictions_are_in_order_and_scored_over_the_whole_dataset(patch):
    model, images = small_model(), small_images(13)
    model.set_weights([weight * 5 for weight in model.get_weights()])
    expected = np.argmax(model(images), axis=1)
    expected_labels = np.where(np.arange(13) < 9, expected, (expected + 1) % 3)
    data = dataset_of(images, expected_labels, patch)
    accuracy, macro_f1, predictions, labels = predict(model, data)
    np.testing.assert_array_equal(predictions, expected)
    np.testing.assert_array_equal(labels, expected_labels)
    assert type(accuracy) is type(macro_f1) is float
    assert accuracy == pytest.approx(9 / 13)
    classes = np.union1d(predictions, labels)
    assert len(classes) > 1
    assert macro_f1 == pytest.approx(f1_by_hand(labels, predictions, classes))


def test_labels_come_back_as_integers_without_an_axis_of_their_own():
    data = small_data().map(lambda images, labels: (images, tf.cast(labels, tf.float32)[:, None]))
    *_, labels = predict(small_model(), data)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, np.arange(13) % 3)


def test_test_time_augmentation_averages_six_views():
    model, images = small_model(), small_images(13)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    views = [padded[:, i : i + 2, i : i + 2] for i in range(3)]
    views += [view[:, :, ::-1] for view in views]
    model.set_weights([weight * 9 for weight in model.get_weights()])
    expected = np.argmax(np.mean([model(view) for view in views], axis=0), axis=1)
    assert (expected != np.argmax(model(images), axis=1)).any()
    data = dataset_of(images, expected)
    accuracy, _, predictions, _ = predict(model, data, test_time_augmentation=True)
    np.testing.assert_array_equal(predictions, expected)
    assert accuracy == 1


def test_predicting_shows_its_progress(capsys):
    data = dataset_of(small_images(6), [0, 1, 2, 0, 1, 2], 2)
    predict(small_model(), data)
    assert "predict: 100%" in capsys.readouterr().err
    predict(small_model(), data.filter(lambda images, labels: True))  # of unknown length
    assert "predict: 3it" in capsys.readouterr().err


def test_classes_that_neither_occur_nor_are_predicted_do_not_count():
    data = dataset_of(small_images(4), [0, 0, 0, 1])
    accuracy, macro_f1, _, _ = predict(constant_model("zero", 0), data)
    assert accuracy == 0.75
    assert macro_f1 == pytest.approx((6 / 7 + 0) / 2)


def test_predicting_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="test_dataset is empty"):
        predict(small_model(), small_data().take(0))


@pytest.mark.parametrize("label", [-1, 3, 10, 1.5, np.nan])
def test_predicting_for_a_label_outside_the_classes_is_refused(label):
    words = f"test_dataset has the label {label}, but the model has 3 classes, 0 to 2; correct"
    with pytest.raises(ValueError, match=words):
        predict(small_model(), with_label(label))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_predicting_for_a_pixel_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="test_dataset has a pixel that is NaN or infinite"):
        predict(small_model(), with_pixel(value))


def test_predicting_by_a_model_without_classes_is_refused():
    with pytest.raises(ValueError, match=r"rows gives outputs of shape \(1, 2, 6\), expected"):
        predict(model_of_vectors(), small_data())


def test_prediction_runs_in_inference_mode():
    model = small_model(hidden=[keras.layers.Dropout(0.9)])
    data = small_data(64, patch=64)
    one, two = predict(model, data)[2], predict(model, data)[2]
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, np.argmax(model(small_images(64), training=False), axis=1))


def test_predicting_an_endless_dataset_is_refused():
    with pytest.raises(ValueError, match="test_dataset never ends; leave out its repeat"):
        predict(small_model(), small_data().repeat())


def test_predicting_pixels_in_bytes_is_refused():
    data = small_data().map(lambda images, labels: (tf.cast(255 * images, tf.uint8), labels))
    with pytest.raises(ValueError, match="test_dataset has pixels of uint8, expected floats from"):
        predict(small_model(), data)
