"""Training is compared with SGD by hand, the schedule with its formula."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
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

from utils.load_patchs import read_image_labels
from utils.model_training_testing import (
    one_cycle_schedule,
    predict,
    train_and_evaluate_models,
)

SHAPE = (32, 32, 3)
NO_POSITIVE_INTEGERS = [0, -1, 1.5, True, "3"]


# ---- train_and_evaluate_models


@pytest.fixture(autouse=True)
def same_weights():
    """Models start from the same weights in every run, so that what a test needs of them holds."""
    keras.utils.set_random_seed(1)


NO_STEP = 1e-12  # a learning rate that changes no answer


@pytest.fixture
def constants():
    """Constant models with data on which "one" wins in validation and "zero" in training."""
    train = dataset_of(small_images(10), [0] * 8 + [1] * 2)
    validation = dataset_of(small_images(10), [1] * 7 + [0] * 2 + [2])
    return [constant_model("zero", 0), constant_model("one", 1)], train, validation


def test_without_final_model_every_validation_accuracy_is_returned(constants):
    models, train, validation = constants
    scores = train_and_evaluate_models(models, train, validation, 1, 5, False, NO_STEP, verbose=0)
    assert scores == pytest.approx({"zero": 0.2, "one": 0.7})


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_final_model_is_the_best_on_validation_data(constants, order):
    models, train, validation = constants
    models = [models[i] for i in order]
    best, history = train_and_evaluate_models(
        models, train, validation, 2, 5, True, NO_STEP, verbose=0
    )
    assert any(best is model for model in models)
    assert best.name == "one"
    assert set(history.history) == {"accuracy", "loss", "val_accuracy", "val_loss", "seconds"}
    assert history.history["accuracy"] == pytest.approx([0.2, 0.2])
    assert history.history["val_accuracy"] == pytest.approx([0.7, 0.7])


def test_the_score_is_that_of_the_model_as_it_is_returned():
    data = small_data(60)
    models = [small_model("one"), small_model("two", [keras.layers.BatchNormalization()])]
    scores = train_and_evaluate_models(models, data, data, 5, 4, False, 0.5, verbose=0)
    for model in models:
        assert scores[model.name] == pytest.approx(predict(model, data)[0])


def sgd_by_hand(weights, images, labels, rates, momentum=0.9, nesterov=False, weight_decay=0.0):
    """Full-batch steps of a softmax regression on flattened images; `rates` has one a step.

    `weight_decay` is of the kernel only.
    """
    x, targets = images.reshape(len(images), -1).astype(float), np.eye(3)[labels]
    weights = [weight.astype(float) for weight in weights]
    velocities = [0.0, 0.0]
    for rate in rates:
        exponentials = np.exp(x @ weights[0] + weights[1])
        error = (exponentials / exponentials.sum(axis=1, keepdims=True) - targets) / len(x)
        for i, gradient in enumerate((x.T @ error, error.sum(axis=0))):
            velocities[i] = momentum * velocities[i] - rate * gradient
            change = momentum * velocities[i] - rate * gradient if nesterov else velocities[i]
            weights[i] = weights[i] * (1 - rate * weight_decay * (weights[i].ndim == 2)) + change
    return weights


@pytest.mark.parametrize(
    ("arguments", "named", "rate", "options"),
    [
        ((), {}, 0.001, {"momentum": 0.9}),
        ((0.5, 0.3), {}, 0.5, {"momentum": 0.3}),
        (
            (),
            {"l_r": 0.5, "mome": 0.7, "nesterov": True},
            0.5,
            {"momentum": 0.7, "nesterov": True},
        ),
        ((0.5,), {"weight_decay": 0.2}, 0.5, {"weight_decay": 0.2}),
    ],
    ids=["plain call", "rate and momentum", "by name, Nesterov", "weight decay"],
)
def test_training_is_sgd_with_momentum(arguments, named, rate, options):
    images, labels = small_images(6), np.arange(6) % 3
    model, data = small_model(), dataset_of(images, labels, 6)
    model.set_weights([model.get_weights()[0], np.array([0.5, -0.5, 0.1])])
    expected = sgd_by_hand(model.get_weights(), images, labels, [rate] * 8, **options)
    train_and_evaluate_models([model], data, data, 8, 6, True, *arguments, verbose=0, **named)
    for weight, expected_weight in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-4, atol=1e-6)


def test_the_learning_rate_may_be_a_schedule():
    images, labels = small_images(6), np.arange(6) % 3
    model, data = small_model(), dataset_of(images, labels, 6)
    schedule = one_cycle_schedule(0.8, 5)
    rates = [float(schedule(step)) for step in range(5)]
    expected = sgd_by_hand(model.get_weights(), images, labels, rates)
    train_and_evaluate_models([model], data, data, 5, None, True, schedule, verbose=0)
    for weight, expected_weight in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("batch_size", "steps"), [(None, 3), (5, 3), (4, 4), (99, 1)])
def test_batch_size_sets_the_number_of_steps(batch_size, steps):
    done = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: done.append(batch)
    )
    train_and_evaluate_models(
        [small_model()],
        small_data(13, patch=5),
        small_data(),
        *(2, batch_size, True),
        callbacks=[count],
        verbose=0,
    )
    assert done == 2 * list(range(steps))


def test_the_same_seed_gives_the_same_weights():
    def train(seed):
        keras.utils.set_random_seed(seed)
        model = small_model(hidden=[keras.layers.Dropout(0.5)])
        train_and_evaluate_models([model], small_data(), small_data(), 2, 4, True, 0.1, verbose=0)
        return np.concatenate([weight.ravel() for weight in model.get_weights()])

    one = train(1)
    np.testing.assert_allclose(train(1), one, rtol=1e-5, atol=1e-7)
    assert np.abs(train(2) - one).max() > 0.01


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing_spreads_a_share_of_the_target(smoothing):
    images, labels = small_images(8), np.arange(8) % 3
    model, data = small_model(), dataset_of(images, labels, 8)
    targets = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    expected = -np.mean(np.sum(targets * np.log(model(images)), axis=1))
    options = {"label_smoothing": smoothing, "verbose": 0}
    _, history = train_and_evaluate_models([model], data, data, 1, 8, True, NO_STEP, **options)
    assert history.history["loss"] == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.5])
def test_a_wrong_label_smoothing_is_refused(smoothing):
    with pytest.raises(ValueError, match="label_smoothing") as caught:
        train_and_evaluate_models(
            [small_model()], small_data(), small_data(), 1, 5, True, label_smoothing=smoothing
        )
    assert repr(smoothing) in str(caught.value)


@pytest.mark.parametrize("rate", [0, -1.0, np.inf, np.nan, True, "64", None])
@pytest.mark.parametrize("name", ["l_r", "bias_rate"])
def test_a_wrong_rate_is_refused(name, rate):
    with pytest.raises(ValueError, match=f"{name} is {rate!r}, expected a number more than 0"):
        train_and_evaluate_models(
            [small_model()], small_data(), small_data(), 1, 5, True, **{name: rate}
        )


@pytest.mark.parametrize(
    ("name", "value"), [("mome", -0.1), ("mome", 1.1), ("mome", np.nan), ("weight_decay", -1e-3)]
)
def test_a_wrong_momentum_or_weight_decay_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}, expected"):
        train_and_evaluate_models(
            [small_model()], small_data(), small_data(), 1, 5, True, **{name: value}
        )


def test_a_dataset_of_unknown_length_trains_as_any_other():
    data = small_data(13, patch=5)
    unknown = data.filter(lambda images, labels: True)
    assert unknown.cardinality() == tf.data.UNKNOWN_CARDINALITY
    models = [small_model("known"), small_model("unknown")]
    models[1].set_weights(models[0].get_weights())
    options = {"weight_decay": 0.2, "verbose": 0}
    for model, dataset in zip(models, (data, unknown), strict=True):
        done = []
        count = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, done=done: done.append(batch)
        )
        options["callbacks"] = [count]
        train_and_evaluate_models([model], dataset, dataset, 2, None, True, 0.5, **options)
        assert done == [0, 1, 2, 0, 1, 2]
    for weight, expected in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("l_r", "hidden"),
    [(0.1, [keras.layers.Rescaling(3e38), keras.layers.BatchNormalization()]), (1e38, [])],
)
def test_a_loss_that_is_not_finite_stops_and_names_the_model(l_r, hidden):
    data = dataset_of(small_images(10), np.arange(10) % 3)
    models = [small_model("bad", hidden), small_model("not reached")]
    weights = models[1].get_weights()
    with pytest.raises(FloatingPointError, match="bad: the loss became"):
        train_and_evaluate_models(models, data, small_data(), 3, 5, False, l_r, verbose=0)
    for weight, before in zip(models[1].get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_no_models_are_refused():
    with pytest.raises(ValueError, match="models_list is empty"):
        train_and_evaluate_models([], small_data(), small_data(), 1, 5, True)


def test_models_of_the_same_name_are_refused():
    models = [small_model("twin"), small_model("other"), small_model("twin")]
    with pytest.raises(ValueError, match=r"'twin', 'other', 'twin'"):
        train_and_evaluate_models(models, small_data(), small_data(), 1, 5, True)


@pytest.mark.parametrize("epochs", [*NO_POSITIVE_INTEGERS, None])
def test_a_wrong_number_of_epochs_is_refused(epochs):
    with pytest.raises(ValueError, match="epochs") as caught:
        train_and_evaluate_models([small_model()], small_data(), small_data(), epochs, 5, True)
    assert repr(epochs) in str(caught.value)


@pytest.mark.parametrize("batch_size", NO_POSITIVE_INTEGERS)
def test_a_wrong_batch_size_is_refused(batch_size):
    with pytest.raises(ValueError, match="batch_size") as caught:
        train_and_evaluate_models([small_model()], small_data(), small_data(), 1, batch_size, True)
    assert repr(batch_size) in str(caught.value)


@pytest.mark.parametrize("which", ["train", "validation"])
def test_an_empty_dataset_is_refused(which):
    data = {"train": small_data(), "validation": small_data()}
    data[which] = data[which].take(0)
    with pytest.raises(ValueError, match=f"{which}_dataset is empty"):
        train_and_evaluate_models([small_model()], data["train"], data["validation"], 1, 5, True)


def test_an_endless_dataset_is_refused():
    endless = small_data().repeat()
    for data, words in (
        ((endless, small_data()), "train"),
        ((small_data(), endless), "validation"),
    ):
        with pytest.raises(ValueError, match=f"{words}_dataset never ends; leave out its repeat"):
            train_and_evaluate_models([small_model()], *data, 1, 5, True)


def test_pixels_in_bytes_are_refused():
    data = small_data().map(lambda images, labels: (tf.cast(255 * images, tf.uint8), labels))
    with pytest.raises(ValueError, match="train_dataset has pixels of uint8, expected floats from"):
        train_and_evaluate_models([small_model()], data, small_data(), 1, 5, True)


@pytest.mark.parametrize("which", ["train", "validation"])
@pytest.mark.parametrize(
    ("label", "smoothing"), [(-1, 0.1), (3, 0.0), (10, 0.1), (1.5, 0.1), (np.nan, 0.0)]
)
def test_a_label_outside_the_classes_is_refused(which, smoothing, label):
    data = {"train": small_data(), "validation": small_data()} | {which: with_label(label)}
    words = f"^{which}_dataset has the label {label}, but the model has 3 classes, 0 to 2; correct"
    with pytest.raises(ValueError, match=words):
        train_and_evaluate_models(
            [small_model()],
            *data.values(),
            *(1, None, True),
            label_smoothing=smoothing,
            verbose=0,
        )


@pytest.mark.parametrize("which", ["train", "validation"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pixel_that_is_no_number_is_refused(which, value):
    data = {"train": small_data(), "validation": small_data()} | {which: with_pixel(value)}
    with pytest.raises(ValueError, match=f"^{which}_dataset has a pixel that is NaN or infinite"):
        train_and_evaluate_models([small_model()], *data.values(), 1, None, True, verbose=0)


def test_a_label_outside_is_refused_in_data_of_unknown_length():
    data = with_label(3).filter(lambda images, labels: True)
    with pytest.raises(ValueError, match="train_dataset has the label 3"):
        train_and_evaluate_models([small_model()], data, small_data(), 1, None, True, verbose=0)


def test_labels_may_be_of_any_type_and_have_an_axis_of_their_own():
    data = small_data().map(lambda images, labels: (images, tf.cast(labels, tf.float32)[:, None]))
    train_and_evaluate_models([small_model()], data, small_data(), 1, None, True, verbose=0)


def test_a_model_without_classes_is_refused():
    with pytest.raises(ValueError, match=r"rows gives outputs of shape \(1, 2, 6\), expected"):
        train_and_evaluate_models([model_of_vectors()], small_data(), small_data(), 1, 5, True)


def test_a_damaged_picture_in_the_training_is_named(converted, tmp_path):
    shutil.copytree(converted.images_directory, tmp_path / "images")
    damaged = sorted((tmp_path / "images").glob("*/*.png"))[7]
    damaged.write_bytes(b"some text")
    data = read_image_labels(
        converted.train_names, 30, (32, 32), images_directory=tmp_path / "images"
    ).skip(1)
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.raises(ValueError, match=f"^{damaged}: not a picture, a damaged or too large one"):
        train_and_evaluate_models([model], data, data, 1, None, True, verbose=0)


# ---- one_cycle_schedule


@pytest.mark.parametrize(("steps", "warm_up"), [(100, 0.2), (7, 0.5), (3, 0.2), (2, 0.2)])
def test_the_rate_rises_to_the_peak_and_falls_to_zero(steps, warm_up):
    schedule = one_cycle_schedule(0.3, steps, warm_up=warm_up)
    rates = np.array([float(schedule(step)) for step in range(steps + 1)])
    top = rates.argmax()
    assert rates.max() == pytest.approx(0.3)
    assert rates[[0, -1]] == pytest.approx([0, 0], abs=1e-7)
    np.testing.assert_allclose(rates[: top + 1], np.linspace(0, 0.3, top + 1), rtol=1e-5)
    assert (np.diff(rates[top:]) < 0).all()


@pytest.mark.parametrize(("warm_up", "top"), [(0, 1), (1, 9)])
def test_at_least_one_step_rises_and_one_falls(warm_up, top):
    schedule = one_cycle_schedule(0.3, 10, warm_up=warm_up)
    assert np.argmax([float(schedule(step)) for step in range(11)]) == top


@pytest.mark.parametrize("warm_up", [-0.1, 1.1, np.nan])
def test_a_wrong_warm_up_is_refused(warm_up):
    with pytest.raises(ValueError, match=f"warm_up is {warm_up!r}, expected a share"):
        one_cycle_schedule(0.3, 10, warm_up=warm_up)


@pytest.mark.parametrize("peak", [0, -0.3, np.nan])
def test_a_wrong_peak_is_refused(peak):
    with pytest.raises(ValueError, match=f"peak is {peak!r}, expected a number more than 0"):
        one_cycle_schedule(peak, 10)


@pytest.mark.parametrize("steps", NO_POSITIVE_INTEGERS)
def test_a_wrong_number_of_steps_is_refused(steps):
    with pytest.raises(ValueError, match="steps"):
        one_cycle_schedule(0.3, steps)


def test_one_step_is_too_few_to_rise_and_fall():
    with pytest.raises(ValueError, match="steps is 1, expected at least 2"):
        one_cycle_schedule(0.3, 1)
