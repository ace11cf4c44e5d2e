"""What Keras takes comes out as the same batches, in whatever form it was passed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import dataset_of, small_data, small_images, small_model

from utils.load_patchs import extract_labels, read_image_labels
from utils.model_training_testing import predict
from utils.pipeline.batch_checks import checked, value_errors
from utils.pipeline.batches import as_batches
from utils.pipeline.features import cache_features

IMAGES, LABELS = small_images(13), np.arange(13) % 3
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
WEIGHTS = np.linspace(0, 1, 13, dtype=np.float32)


class Batches(keras.utils.PyDataset):
    """Batches of five, made in Python, which counts its passes."""

    passes = 0

    def __len__(self):
        return 3

    def __getitem__(self, number):
        part = slice(5 * number, 5 * number + 5)
        return IMAGES[part], LABELS[part, None]

    def on_epoch_end(self):
        self.passes += 1


class BatchList:
    """As PyTorch's DataLoader: a length, and another pass whenever it is asked."""

    def __len__(self):
        return 2

    def __iter__(self):
        return iter([[IMAGES[:8], LABELS[:8]], [IMAGES[8:], LABELS[8:]]])


def of_unknown_shapes():
    types = (tf.float32, tf.int32)
    return tf.data.Dataset.from_generator(lambda: zip(IMAGES, LABELS, strict=True), types)


FORMS = {
    "batched": small_data,
    "single": lambda: small_data().unbatch(),
    "single of unknown shape": of_unknown_shapes,
    "arrays": lambda: (IMAGES, LABELS),
    "list": lambda: [IMAGES.astype(float), LABELS],
    "plain lists": lambda: (IMAGES.tolist(), LABELS.tolist()),
    "tensors": lambda: (tf.constant(IMAGES), tf.constant(LABELS)),
    "sample weights": lambda: (IMAGES, LABELS, WEIGHTS),
    "column": lambda: (IMAGES, LABELS[:, None]),
    "one-hot": lambda: (IMAGES, ONE_HOT),
    "one-hot batches": lambda: dataset_of(IMAGES, LABELS).map(lambda x, y: (x, tf.one_hot(y, 3))),
    "single one-hot": lambda: tf.data.Dataset.from_tensor_slices((IMAGES, ONE_HOT)),
    "PyDataset": Batches,
    "batches in a list of their own": BatchList,
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return small_model()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_predicted_and_collected_as_the_same_pictures(model, form):
    _, _, predictions, labels, shares = predict(model, FORMS[form](), return_probabilities=True)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_allclose(shares, model(IMAGES), rtol=1e-5)
    np.testing.assert_array_equal(predictions, np.argmax(shares, axis=1))
    images, labels = extract_labels(FORMS[form]())
    np.testing.assert_allclose(images, IMAGES, rtol=1e-6)
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == np.int32


def test_sample_weights_and_soft_labels_stay_beside_the_images():
    soft = 0.9 * ONE_HOT + 0.1 / 3
    batches = checked("data", as_batches("data", (IMAGES, soft, WEIGHTS), 4), 3)
    assert int(batches.cardinality()) == 4
    _, rows, weights = map(np.concatenate, zip(*batches.as_numpy_iterator(), strict=True))
    np.testing.assert_allclose(rows, soft)
    np.testing.assert_array_equal(weights, WEIGHTS)


def test_arrays_come_in_another_order_in_every_pass_if_asked_to():
    batches = as_batches("data", (IMAGES, np.arange(13)), 13, shuffle=True)
    first, second = (next(iter(batches))[1].numpy().tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(13))


def test_a_pydataset_is_told_that_a_pass_has_ended():
    data = Batches()
    batches = as_batches("data", data)
    for _ in range(2):
        assert sum(1 for _ in batches) == 3
    assert data.passes == 2


def test_several_inputs_are_batched_together():
    batches = as_batches("data", ({"a": IMAGES, "b": WEIGHTS[:, None]}, LABELS), 13)
    images, labels = next(iter(checked("data", batches, 3)))
    np.testing.assert_array_equal(images["b"][:, 0], WEIGHTS)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (IMAGES, "data is an array; pass a tf.data.Dataset of"),
        ({"x": IMAGES, "y": LABELS}, "data is of type dict; pass a tf.data.Dataset of"),
        (iter([(IMAGES, LABELS)]), "data is of type list_iterator; pass"),
        ((IMAGES,), "data is a tuple of 1 parts; pass"),
        ((IMAGES, LABELS[:5]), "data has parts of different lengths, 13, 5; pass as many"),
        ((IMAGES[:0], LABELS[:0]), "data is empty; pass at least one picture"),
        ((IMAGES, (LABELS, LABELS)), "labels of type tuple; pass one tensor of labels, and train"),
        ((IMAGES, ["a"] * 13), "data has labels of string; pass class indices from 0"),
        (tf.data.Dataset.from_tensor_slices(IMAGES), "data gives what is of type TensorSpec, not"),
        (tf.data.Dataset.from_tensor_slices({"x": IMAGES}), "data gives what is of type dict, not"),
    ],
)
def test_what_else_is_passed_is_named_with_what_to_pass(data, words):
    with pytest.raises(ValueError, match="data") as caught:
        as_batches("data", data)
    assert words.replace("of type TensorSpec", "an array") in str(caught.value)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES * 255, r"test_dataset has pixels from 0\..* to 25.*, expected 0 to 1; divide what"),
        (IMAGES * 2 - 1, r"test_dataset has pixels from -0.9.* to 0.9.*, expected 0 to 1; divide"),
    ],
)
def test_pixels_of_another_range_are_refused(model, images, words):
    with pytest.raises(ValueError, match=words):
        predict(model, (images, LABELS))


def test_what_resizing_leaves_beyond_the_range_is_taken(model):
    images = IMAGES.copy()
    images[0, 0, 0] = (-0.05, 1.05, 1)
    assert len(predict(model, (images, LABELS))[2]) == 13


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (ONE_HOT[:, :2], r"labels of shape \(None, 2\), but the model has 3 classes; pass indices"),
        (ONE_HOT * 2, r"row of labels that is no share of 3 classes: \[.*2.*\]; pass rows"),
    ],
)
def test_rows_of_labels_that_do_not_fit_are_refused(model, labels, words):
    with pytest.raises(ValueError, match=words):
        predict(model, (IMAGES, labels))


def test_a_model_that_ends_in_logits_is_refused():
    logits = keras.Sequential([*small_model().layers[:-1], keras.layers.Dense(3)], name="raw")
    logits(IMAGES)
    logits.layers[-1].bias.assign([1.0, 5, -2])
    with pytest.raises(ValueError, match=r"raw gives outputs from .* no probabilities; end"):
        predict(logits, (IMAGES, LABELS))
    predict(keras.Sequential([logits, keras.layers.Softmax()]), (IMAGES, LABELS))


def test_a_model_of_several_outputs_is_named():
    inputs = keras.Input((2, 2, 3))
    flat = keras.layers.Flatten()(inputs)
    heads = [keras.layers.Dense(3, activation="softmax")(flat) for _ in range(2)]
    model = keras.Model(inputs, heads, name="two")
    with pytest.raises(ValueError, match="two has 2 outputs; make a model of the one that tells"):
        predict(model, (IMAGES, LABELS))


def test_no_pipeline_is_tuned_while_it_runs(converted):
    names = {"images_directory": converted.images_directory}
    pipelines = [
        read_image_labels(converted.test_names, 8, (32, 32), **names),
        read_image_labels(
            converted.test_names, 8, (8, 8), shuffle=True, max_shift=1, alternate=True, **names
        ),
        cache_features(small_model(), small_data()),
        *(as_batches("data", form()) for form in FORMS.values()),
    ]
    for pipeline in pipelines:
        assert pipeline.map(lambda *batch: batch).options().autotune.enabled is False


def test_what_a_check_says_is_a_value_error():
    batches = checked("data", as_batches("data", (IMAGES, LABELS + 1)), 3)
    with pytest.raises(ValueError, match="data has the label 3, but"), value_errors():
        list(batches)
