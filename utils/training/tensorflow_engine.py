"""One model and its data in, the trained model and its history out; resumable after any epoch.

A checkpoint is one ``.npz`` file with every variable of model and optimizer (weights, momentum,
steps done, states of random numbers), the history so far, and the settings that it belongs to.
"""

import json
import math
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from utils.base.files import atomic_path
from utils.results.model_files import save_model
from utils.training.twins import training_twin


def train_model(
    model,
    train_dataset,
    validation_dataset,
    epochs,
    optimizer,
    loss,
    *,
    lookahead=False,
    checkpoint=None,
    callbacks=(),
    verbose=1,
):
    """Train a model in place.

    Parameters
    ----------
    model : keras.Model
    train_dataset, validation_dataset : tf.data.Dataset
        Of (images, labels) patches. A resumed training skips the passes already seen; it ends at
        the weights of an uninterrupted one if the dataset is seeded and nothing else reads it.
    epochs : int
    optimizer : keras.optimizers.Optimizer
    loss : str or function
        Its name is among the settings that a checkpoint belongs to.
    lookahead : bool
        Return to a slow average of the weights again and again; see `Lookahead`.
    checkpoint : path-like, optional
        File to write after each epoch, and to go on from if it is there. Beside it, in ``best``,
        the model is saved as it was after the epoch with the highest validation accuracy.
    callbacks : sequence of keras.callbacks.Callback
        Called after the checkpoint of an epoch is written.
    verbose : "auto", 0, 1 or 2
        As in ``keras.Model.fit``.

    Returns
    -------
    keras.callbacks.History
        Of all epochs, those before a resumption too; ``seconds`` beside Keras's own metrics.

    Raises
    ------
    ValueError
        If the checkpoint is damaged or belongs to other settings.
    FloatingPointError
        If the loss becomes NaN or infinite; the checkpoint of the epoch before stays.
    """
    train_dataset, validation_dataset = map(_counted, (train_dataset, validation_dataset))
    steps = int(train_dataset.cardinality())
    twin = training_twin(model)
    twin.compile(optimizer, loss, metrics=["accuracy"])
    optimizer.build(twin.trainable_variables)
    loss_name = loss if isinstance(loss, str) else loss.__name__
    settings = {"epochs": epochs, "steps": steps, "loss": loss_name, **_settings_of(optimizer)}
    if lookahead:
        settings["lookahead"] = lookahead
    history = keras.callbacks.History()
    history.history = _load(checkpoint, twin, settings)
    done = len(history.history.get("loss", ()))
    try:
        if done < epochs:
            twin.fit(
                # One iterator over all epochs: skipping leads to where the last run stopped.
                train_dataset.repeat(epochs).skip(done * steps),
                epochs=epochs,
                initial_epoch=done,
                steps_per_epoch=steps,
                validation_data=validation_dataset,
                callbacks=[
                    *([Lookahead(epochs * steps)] if lookahead else []),
                    keras.callbacks.TerminateOnNaN(),
                    _Keep(model, history.history, checkpoint, settings),
                    *callbacks,
                ],
                verbose=verbose,
                shuffle=False,  # that is the dataset's business
            )
    finally:  # also what was learnt until an interruption
        if twin is not model:
            model.set_weights(twin.get_weights())
    count = len(history.history["loss"])
    history.epoch = list(range(count))
    loss = _not_finite({name: values[-1] for name, values in history.history.items()})
    if loss is not None:
        raise FloatingPointError(
            f"{model.name}: the loss became {loss} in epoch {count}; lower l_r"
        )
    return history


class Lookahead(keras.callbacks.Callback):
    """Return to a slow average of the weights every 40 steps, and at the end of each epoch.

    The average takes over all of the weights at first and ever less of them towards the end of the
    training, which lets it settle between the steps (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a
    Single GPU", 2024: 5 steps of 1024 pictures are 40 of 128).

    Parameters
    ----------
    steps : int
        Of the whole training.
    """

    INTERVAL = 40  # steps

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_begin(self, logs=None):
        self.average = self.model.get_weights()

    def on_train_batch_end(self, batch, logs=None):
        step = batch + 1  # of the epoch
        if step % self.INTERVAL and step < self.params["steps"]:
            return
        kept = 0.95**5 * (int(self.model.optimizer.iterations) / self.steps) ** 3
        pairs = zip(self.average, self.model.get_weights(), strict=True)
        self.average = [kept * slow + (1 - kept) * fast for slow, fast in pairs]
        self.model.set_weights(self.average)


class _Keep(keras.callbacks.Callback):
    """Add each epoch to the history, save the best model so far, and write the checkpoint."""

    def __init__(self, plain, history, checkpoint, settings):
        super().__init__()
        self.plain, self.history = plain, history
        self.checkpoint, self.settings = checkpoint, settings

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        for name, value in {**logs, "seconds": time.perf_counter() - self.started}.items():
            self.history.setdefault(name, []).append(float(value))
        if _not_finite(logs) is not None:
            self.model.stop_training = True
        elif self.checkpoint is not None:
            *before, accuracy = self.history["val_accuracy"]
            if accuracy > max(before, default=-1):
                self.plain.set_weights(self.model.get_weights())
                best = Path(self.checkpoint).parent / "best"
                save_model(self.plain, best, suffixes=[".keras"])
            _save(self.checkpoint, self.model, self.settings, self.history)


def _not_finite(logs):
    """Return a loss that is NaN or infinite; after an epoch's last step only validation has one."""
    losses = (logs["loss"], logs["val_loss"])
    return next((loss for loss in losses if not math.isfinite(loss)), None)


def _save(path, model, settings, history):
    values = {str(i): np.asarray(variable) for i, variable in enumerate(_state_of(model))}
    texts = {"settings": json.dumps(settings), "history": json.dumps(history)}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **values, **texts)


def _load(path, model, settings):
    """Set the model's state to that of a checkpoint; return the history so far."""
    if path is None or not Path(path).exists():
        return {}
    state = _state_of(model)
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            found, history = (json.loads(str(file[name])) for name in ("settings", "history"))
            values = [file[str(i)] for i in range(len(file.files) - 2)]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: a damaged checkpoint; delete it to start over") from error
    if found != settings:
        names = [name for name in found | settings if found.get(name) != settings.get(name)]
        others = {name: found.get(name) for name in names}
        raise ValueError(
            f"{path}: a checkpoint of other settings, made with {others}; delete it to start over"
        )
    if [value.shape for value in values] != [tuple(variable.shape) for variable in state]:
        raise ValueError(f"{path}: a checkpoint of another model; delete it to start over")
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return history


def _state_of(model):
    """Return all variables that training changes; metrics start anew in each epoch."""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    return own + model.optimizer.variables


def _settings_of(optimizer):
    config = json.loads(json.dumps(optimizer.get_config(), default=str))
    return {name: value for name, value in config.items() if name != "name"}  # that is numbered


def _counted(dataset):
    """Return a dataset that knows its length: Keras warns of others and counts a step too many."""
    if dataset.cardinality() != tf.data.UNKNOWN_CARDINALITY:
        return dataset
    length = sum(1 for _ in dataset)
    return dataset.apply(tf.data.experimental.assert_cardinality(length))


def ask_teacher(dataset, teacher):
    """Replace the labels of a dataset by what `teacher` (keras.Model) makes of its images.

    Targets are float32 of shape (patch, classes), 0 to 1; the teacher is asked in every pass, so
    that it sees the augmented images that the student sees.
    """
    return dataset.map(lambda images, _: (images, teacher(images, training=False)))


def one_hot(dataset, classes):
    """Replace the labels of a dataset by targets that are 1 for the class and 0 for the others."""
    return dataset.map(
        lambda images, labels: (
            images,
            tf.one_hot(tf.cast(tf.reshape(labels, (-1,)), tf.int32), classes),
        )
    )
