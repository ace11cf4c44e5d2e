"""The models, their training, selection and prediction.

Enters: Keras models of any kind, and pictures as Keras takes them: ``tf.data`` in batches or not,
``(images, labels)`` of arrays, ``keras.utils.PyDataset``; images float in [0, 1] of shape (N,
height, width, C), labels as indices or one-hot rows, sample weights after them if there are some.
Leaves: trained Keras models of standard layers, which take pixels in [0, 1], and their scores.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import accuracy_score, f1_score

from utils.base.checks import positive_integer, positive_number
from utils.base.files import ROOM, check_writable
from utils.pipeline.answers import answers_of
from utils.pipeline.batch_checks import check_keras, checked, number_of_classes, value_errors
from utils.pipeline.batches import as_batches, class_indices, first_batch
from utils.results.model_files import save_model
from utils.training.checkpoints import fingerprint_of_data
from utils.training.metrics import one_hot_rows
from utils.training.models import model_1, model_2, model_3, model_4
from utils.training.optimizer import make_optimizer, one_cycle_schedule
from utils.training.targets import crossentropy, has_rows, in_rows, weights_of
from utils.training.tensorflow_engine import train_model
from utils.training.whitening import whiten

__all__ = [  # models and schedule can be imported from here too
    "custom_f1_score",
    "model_1",
    "model_2",
    "model_3",
    "model_4",
    "one_cycle_schedule",
    "predict",
    "save_model",
    "train_and_evaluate_models",
    "whiten",
]


@keras.saving.register_keras_serializable("cifar10")
def custom_f1_score(y_true, y_pred):
    """Macro average over all classes of F1 from rounded predictions.

    Parameters
    ----------
    y_true : tensor, shape (N, C) one-hot, or (N,) or (N, 1) integer labels
    y_pred : tensor of float, shape (N, C), 0 to 1

    Returns
    -------
    scalar tensor of float, 0 to 1
        A class that neither occurs nor is predicted counts as 0. As a Keras metric it is the
        mean over batches of this value.
    """
    y_pred = keras.ops.round(keras.ops.convert_to_tensor(y_pred))
    y_true = keras.ops.convert_to_tensor(y_true)
    y_true = one_hot_rows(y_true, y_pred)
    true_positives = keras.ops.sum(y_true * y_pred, axis=0)
    counted_twice = keras.ops.sum(y_true, axis=0) + keras.ops.sum(y_pred, axis=0)
    return keras.ops.mean(2 * true_positives / keras.ops.maximum(counted_twice, 1))


@value_errors()
def train_and_evaluate_models(
    models_list,
    train_dataset,
    validation_dataset,
    epochs,
    batch_size,
    final_model,
    l_r=0.001,
    mome=0.9,
    *,
    nesterov=False,
    weight_decay=None,
    label_smoothing=0.0,
    bias_rate=1.0,
    kernel_rate=None,
    lookahead=False,
    teacher=None,
    checkpoint_directory=None,
    callbacks=(),
    class_weight=None,
    metrics=(),
    verbose="auto",
):
    """Train models one after the other with SGD or Muon, and compare them on validation data.

    Parameters
    ----------
    models_list : list of keras.Model
        Of any kind; trained in place; their names must differ.
    train_dataset, validation_dataset : tf.data.Dataset, tuple of arrays, or keras.utils.PyDataset
        Of (images float in [0, 1], labels), in batches or not, sample weights after them if you
        like: labels are indices of shape (N,) or (N, 1), or one-hot rows, to which metrics of
        your own are given then.
    epochs : int
        At least 1.
    batch_size : int or None
        Images a training step; None takes the patches as they come.
    final_model : bool
        What to return.
    l_r : float or keras.optimizers.schedules.LearningRateSchedule
        Learning rate.
    mome : float, 0 to 1
        Momentum.
    nesterov : bool
        Use Nesterov momentum.
    weight_decay : float, optional
        Decoupled: in each step a kernel loses this share of itself, times the learning rate. Muon
        scales its kernels anew in each step, so that they lose nothing.
    label_smoothing : float, 0 to 1
        Share of the target that is spread over all classes.
    bias_rate : float
        Learning rate of the biases of batch normalisation, as a multiple of `l_r`.
    kernel_rate : float, optional
        Train the kernels of convolutions by `Muon` (utils.training) instead, at this multiple of
        `l_r` and with a momentum of its own; for models that normalise after each convolution.
    lookahead : bool
        Every 40 steps and after each epoch, return to an average of the weights that moves ever
        more slowly.
    teacher : keras.Model, optional
        Of as many classes: what it answers to the augmented images takes the place of their
        labels (distillation). The accuracy on training data is then how often both agree.
    checkpoint_directory : path-like, optional
        Keep ``<model name>.npz`` there after each epoch, and the model of the epoch with the
        highest validation accuracy in ``best``. The same call after an interruption goes on from
        the last finished epoch, and ends at the same weights if the data is seeded and nothing
        else reads it (one model in the list); so does one of more epochs at a constant `l_r`.
        Other data, another seed or other weights at the start are refused. Delete the folder to
        start over.
    callbacks : sequence of keras.callbacks.Callback
        As of ``keras.Model.fit``, for each of the models in turn.
    class_weight : dict of int to float, optional
        As of ``keras.Model.fit``: what a picture of the class counts, 1 where it is not named.
    metrics : sequence
        As of ``keras.Model.compile``, beside the accuracy.
    verbose : "auto", 0, 1 or 2
        As in ``keras.Model.fit``.

    Returns
    -------
    (keras.Model, keras.callbacks.History)
        If `final_model`, the model with the highest validation accuracy after its training. It is
        as the caller compiled it; one that was not is now, with Keras's SGD and the crossentropy.
    dict of str to float
        Otherwise, model name to that validation accuracy, 0 to 1.

    Raises
    ------
    ValueError
        If there is no model, no data or no epoch, two models share a name, a label is outside the
        classes, a pixel is NaN or infinite, the teacher has other classes or is to learn itself,
        or a checkpoint is damaged or of other settings.
    OSError
        If the checkpoint directory can't be written, or its disk is full; before anything is read.
    FloatingPointError
        If the loss becomes NaN or infinite.
    """
    check_keras()
    models_list = [models_list] if isinstance(models_list, keras.Model) else list(models_list)
    callbacks, metrics = (keras.tree.flatten(given or []) for given in (callbacks, metrics))
    _check_names(models_list)
    if checkpoint_directory is not None:
        check_writable(checkpoint_directory, ROOM)
    epochs = positive_integer("epochs", epochs)
    if not isinstance(l_r, keras.optimizers.schedules.LearningRateSchedule):
        positive_number("l_r", l_r)
    if not 0 <= mome <= 1:
        raise ValueError(f"mome is {mome!r}, expected 0 to 1")
    if weight_decay:
        positive_number("weight_decay", weight_decay)
    positive_number("bias_rate", bias_rate)
    if kernel_rate is not None:
        positive_number("kernel_rate", kernel_rate)
    if batch_size is not None:
        batch_size = positive_integer("batch_size", batch_size)
    validation_batches = as_batches("validation_dataset", validation_dataset, batch_size)
    train_batches = as_batches("train_dataset", train_dataset, batch_size, shuffle=True)
    first = first_batch("validation_dataset", validation_batches)
    data = [fingerprint_of_data(_seen(validation_dataset, validation_batches), first)]
    images, labels, *_ = first = first_batch("train_dataset", train_batches)
    data.append(fingerprint_of_data(_seen(train_dataset, train_batches), first))
    if batch_size is not None and batch_size != len(labels):
        train_batches = train_batches.rebatch(batch_size)
    classes = [number_of_classes(model, images) for model in models_list]
    if teacher is not None:
        _check_teacher(teacher, models_list, classes, images)
    histories, scores = {}, {}
    for model, count in zip(models_list, classes, strict=True):
        optimizer = make_optimizer(l_r, mome, nesterov, weight_decay, bias_rate, kernel_rate)
        train = checked("train_dataset", train_batches, count)
        validation = checked("validation_dataset", validation_batches, count)
        rows = has_rows(train) or has_rows(validation)
        if rows:
            train, validation = in_rows(train, count), in_rows(validation, count)
        histories[model.name] = train_model(
            model,
            train,
            validation,
            epochs,
            optimizer,
            crossentropy(label_smoothing, teacher, rows=rows),
            teacher=teacher,
            lookahead=lookahead,
            checkpoint=checkpoint_directory and Path(checkpoint_directory) / f"{model.name}.npz",
            fingerprint=data,
            callbacks=callbacks,
            class_weight=weights_of(class_weight, count),
            metrics=[metric for metric in metrics if metric != "accuracy"],
            verbose=verbose,
        )
        scores[model.name] = histories[model.name].history["val_accuracy"][-1]
        if callbacks:  # one may have gone back to the weights of another epoch
            scores[model.name] = _accuracy(model, validation)
    if not final_model:
        return scores
    best = max(models_list, key=lambda model: scores[model.name])
    return best, histories[best.name]


@value_errors()
def predict(
    prediction_model, test_dataset, *, test_time_augmentation=False, return_probabilities=False
):
    """Predict a dataset batch by batch, with a progress bar, and score the predictions.

    Parameters
    ----------
    prediction_model : keras.Model
    test_dataset : tf.data.Dataset, tuple of arrays, or keras.utils.PyDataset
        Of (images float in [0, 1], labels), in batches or not: indices of shape (N,) or (N, 1), or
        one-hot rows. Sample weights may follow; the scores don't count them.
    test_time_augmentation : bool
        Average the probabilities over `utils.pipeline.augment.views_to_average` of each image.
    return_probabilities : bool
        Return them too.

    Returns
    -------
    accuracy : float, 0 to 1
    macro_f1 : float, 0 to 1
        Mean of the F1 of the classes that occur or are predicted.
    predictions : ndarray of int, shape (N,)
        Class indices in the order of the dataset.
    labels : ndarray of int, shape (N,)
    probabilities : ndarray of float, shape (N, classes), 0 to 1
        If asked for; the largest of each row is what `show_images` takes as confidence.

    Raises
    ------
    ValueError
        If there is no data or none of these kinds, a label is outside the classes, a pixel is
        outside [0, 1] or no number, or the model doesn't end in one softmax.
    """
    probabilities, labels = answers_of(
        prediction_model, "test_dataset", test_dataset, views=test_time_augmentation
    )
    predictions = np.argmax(probabilities, axis=1)
    macro_f1 = float(f1_score(labels, predictions, average="macro", zero_division=0))
    scores = accuracy_score(labels, predictions), macro_f1, predictions, labels
    return (*scores, probabilities) if return_probabilities else scores


def _seen(given, batches):
    """Return the dataset that a caller passes again, where there is one."""
    return given if isinstance(given, tf.data.Dataset) else batches


def _accuracy(model, dataset):
    right = [
        np.argmax(model.predict_on_batch(images), axis=1) == class_indices(labels)
        for images, labels, *_ in dataset
    ]
    return float(np.mean(np.concatenate(right)))


def _check_names(models_list):
    names = [model.name for model in models_list]
    if not names:
        raise ValueError("models_list is empty; pass at least one model")
    if len(set(names)) != len(names):
        raise ValueError(f"models_list has the names {names}; give each model its own")


def _check_teacher(teacher, models_list, classes, images):
    if any(model is teacher for model in models_list):
        raise ValueError(f"{teacher.name} is teacher and to be trained; pass another teacher")
    known = number_of_classes(teacher, images)
    for model, count in zip(models_list, classes, strict=True):
        if count != known:
            raise ValueError(
                f"the teacher {teacher.name} has {known} classes, {model.name} {count}; "
                "pass a teacher that was trained on the same classes"
            )
