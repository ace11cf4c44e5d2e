"""A student is trained on what its teacher answers, not on the labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.model_training_testing import predict, train_and_evaluate_models
from utils.pipeline.augment import augment_patches
from utils.training.tensorflow_engine import one_hot

IMAGES = np.random.default_rng(0).random((24, 4, 4, 3), np.float32)
LABELS = (np.arange(24) % 3).astype(np.int32)


def data(labels=LABELS, patch=8):
    return tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(patch)


def small_model(name, seed, classes=3):
    """A softmax over `classes` of 4x4 pictures, that is far from even."""
    keras.utils.set_random_seed(seed)
    head = keras.layers.Dense(
        classes, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=1)
    )
    return keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), head], name=name)


@pytest.fixture
def teacher():
    return small_model("teacher", seed=1)


@pytest.fixture
def student():
    return small_model("student", seed=2)


def train(student, teacher, epochs=1, rate=1e-12, labels=LABELS, repeats=1, **options):
    options = {"verbose": 0, "teacher": teacher} | options
    return train_and_evaluate_models(
        [student], data(labels).repeat(repeats), data(), epochs, 8, True, rate, **options
    )


def augmented():
    """Pictures shifted by what follows from a seed, the same in each second pass."""
    return augment_patches(data(), 1, seed=0)


def test_the_teacher_is_asked_about_the_augmented_images(teacher, student):
    dataset = augmented()
    next(iter(dataset.take(1)))  # as is done before the training
    seen = np.concatenate([images for images, _ in dataset.as_numpy_iterator()])
    assert (seen != IMAGES).any()
    _, history = train_and_evaluate_models(
        [student], augmented(), data(), 1, None, True, 1e-12, teacher=teacher, verbose=0
    )
    expected, plain = (
        -np.mean(np.sum(teacher(images) * np.log(student(images)), axis=1))
        for images in (seen, IMAGES)
    )
    assert history.history["loss"] == pytest.approx([expected], rel=1e-5)
    assert plain != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("shape", [(24,), (24, 1)])
@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
def test_labels_become_one_hot(shape, kind, teacher):
    for targets in one_hot(*[data(LABELS.astype(kind).reshape(shape))] * 2, teacher):
        found = np.concatenate([labels for _, labels in targets.as_numpy_iterator()])
        np.testing.assert_array_equal(found, np.eye(3)[LABELS])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_cross_entropy_of_the_teachers_answers(teacher, student, smoothing):
    targets = teacher(IMAGES) * (1 - smoothing) + smoothing / 3
    expected = -np.mean(np.sum(targets * np.log(student(IMAGES)), axis=1))
    _, history = train(student, teacher, label_smoothing=smoothing)
    assert history.history["loss"] == pytest.approx([expected], rel=1e-5)


def test_validation_is_by_the_labels(teacher, student):
    _, history = train(student, teacher)
    accuracy, *_ = predict(student, data())
    assert history.history["val_accuracy"] == pytest.approx([accuracy])
    expected = -np.mean(np.log(np.asarray(student(IMAGES))[np.arange(24), LABELS]))
    assert history.history["val_loss"] == pytest.approx([expected], rel=1e-5)


def test_a_student_comes_to_answer_as_its_teacher_whatever_the_labels(teacher, student):
    before = teacher.get_weights()
    _, history = train(student, teacher, epochs=5, repeats=60, rate=0.5, labels=(LABELS + 1) % 3)
    assert history.history["accuracy"][-1] == 1  # they agree
    np.testing.assert_allclose(student(IMAGES), teacher(IMAGES), atol=0.05)
    for weight, unchanged in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, unchanged)


def test_a_wrong_label_is_refused_with_a_teacher_too(teacher, student):
    with pytest.raises(ValueError, match="train_dataset has the label 9, but the model has 3"):
        train(student, teacher, labels=np.full(24, 9, np.int32))


def test_a_teacher_of_other_classes_is_refused(student):
    with pytest.raises(ValueError, match="the teacher other has 4 classes, student 3; pass a"):
        train(student, small_model("other", seed=1, classes=4))


def test_a_teacher_does_not_learn_itself(student):
    with pytest.raises(ValueError, match="student is teacher and to be trained; pass another"):
        train(student, student)


def test_a_checkpoint_of_another_teacher_is_refused(teacher, student, tmp_path):
    train(student, teacher, checkpoint_directory=tmp_path)
    other = small_model("other", seed=3)
    with pytest.raises(ValueError, match=r"a checkpoint of other settings, made with .*taught_by"):
        train(small_model("student", seed=2), other, checkpoint_directory=tmp_path)
