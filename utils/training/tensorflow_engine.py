"""One model and its data in, the trained model and its history out; resumable after any epoch.

Keras's own `fit` trains, by a `Trainer`, which computes with a faster twin where there is one, and
asks a teacher. Callbacks see the caller's model: its weights, and the optimizer meanwhile.
"""

import math
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from utils.training.checkpoints import (
    fingerprint_of,
    fingerprint_of_data,
    load_checkpoint,
    remember_start,
    save_best,
    save_checkpoint,
    settings_of,
    starting_weights,
)
from utils.training.targets import has_rows, one_hot
from utils.training.twins import state_of, training_twin
from utils.training.whitening import keep_whitening


def train_model(
    model,
    train_dataset,
    validation_dataset,
    epochs,
    optimizer,
    loss,
    *,
    teacher=None,
    lookahead=False,
    checkpoint=None,
    fingerprint=None,
    callbacks=(),
    class_weight=None,
    metrics=(),
    verbose=1,
):
    """Train a model in place.

    What is left is the model as the caller compiled it, with its new weights; one that was not
    compiled is now, with Keras's SGD and the crossentropy of the labels, so that ``evaluate`` and
    ``fit`` work and its file loads anywhere.

    Parameters
    ----------
    model : keras.Model
        Of any kind; those of Keras's own layers are trained by a twin, see `utils.training.twins`.
    train_dataset, validation_dataset : tf.data.Dataset
        Of (images, labels) batches, labels as the loss takes them. A resumed training skips the
        passes already seen; it ends at the weights of an uninterrupted one if the dataset is
        seeded and nothing else reads it.
    epochs : int
    optimizer : keras.optimizers.Optimizer
    loss : str or function
        Its name is among the settings that a checkpoint belongs to.
    teacher : keras.Model, optional
        What it answers to the images takes the place of their labels in training. Labels are
        made one-hot for the loss, in both datasets.
    lookahead : bool
        Return to a slow average of the weights again and again; see `Lookahead`.
    checkpoint : path-like, optional
        File to write after each epoch, and to go on from if it is there, for as many epochs as
        are asked for. Beside it, in ``best``, the model is saved as it was after the epoch with
        the highest validation accuracy.
    fingerprint : str or list of float, optional
        Of the data, for the checkpoint; by default of what the first batches hold.
    callbacks : sequence of keras.callbacks.Callback
        As of ``keras.Model.fit``. One that stops the training finishes it.
    class_weight : dict of int to float, optional
        As of ``keras.Model.fit``.
    metrics : sequence
        As of ``keras.Model.compile``, beside the accuracy.
    verbose : "auto", 0, 1 or 2
        As in ``keras.Model.fit``.

    Returns
    -------
    keras.callbacks.History
        Of all epochs, those before a resumption too; ``seconds`` beside Keras's own metrics.

    Raises
    ------
    ValueError
        If the model has a train_step of its own, or the checkpoint is damaged or belongs to other
        settings, data, weights or teacher.
    FloatingPointError
        If the loss becomes NaN or infinite; the checkpoint of the epoch before stays.
    """
    tell = print if verbose else None
    if type(model).train_step is not keras.Model.train_step:
        raise ValueError(
            f"{model.name} has a train_step of its own, which is not called here; train it by its "
            "fit, or without that method"
        )
    keep_whitening(model)
    train_dataset, validation_dataset = map(_counted, (train_dataset, validation_dataset))
    steps = int(train_dataset.cardinality())
    averaged = {"lookahead": True, "epochs": epochs} if lookahead else {}
    settings = settings_of(optimizer, loss, steps=steps, class_weight=class_weight, **averaged)
    if checkpoint is not None:
        both = (train_dataset, validation_dataset)
        settings["data"] = fingerprint or [fingerprint_of_data(data) for data in both]
        settings["starting weights"] = starting_weights(model, checkpoint)
        settings["teacher"] = teacher and fingerprint_of(teacher.get_weights())
    kind = "categorical" if has_rows(validation_dataset) else "sparse_categorical"
    if teacher is not None:
        train_dataset, validation_dataset = one_hot(train_dataset, validation_dataset, teacher)
    metrics = ["accuracy", *metrics]
    if not model.compiled:
        model.compile(_plain(optimizer), f"{kind}_crossentropy", metrics=metrics)
        model.optimizer.build(model.trainable_variables)  # a file of one that isn't doesn't load
    optimizer.build(model.trainable_variables)
    if hasattr(optimizer, "choose_kernels"):
        optimizer.choose_kernels(model)
    history = keras.callbacks.History()
    history.history, done = load_checkpoint(checkpoint, model, optimizer, settings, epochs)
    if done and tell:
        finished = f"already finished after epoch {len(history.history['loss'])}"
        goes_on = f"goes on after epoch {done} of {epochs}"
        tell(f"{model.name}: {finished if done == epochs else goes_on} ({checkpoint})")
    if done < epochs:
        keep = _Keep(optimizer, history.history, checkpoint, settings, bool(callbacks))
        averaging = [Lookahead(epochs * steps)] if lookahead else []
        trainer = Trainer(model, teacher, tell)
        trainer.compile(optimizer, loss, metrics=metrics)
        with _training_with(model, optimizer, checkpoint, settings):
            trainer.fit(
                # One iterator over all epochs: skipping leads to where the last run stopped.
                train_dataset.repeat(epochs).skip(done * steps),
                epochs=epochs,
                initial_epoch=done,
                steps_per_epoch=steps,
                validation_data=validation_dataset,
                callbacks=keras.callbacks.CallbackList(
                    [*averaging, keras.callbacks.TerminateOnNaN(), *callbacks, keep],
                    add_history=True,
                    add_progbar=verbose != 0,
                    model=model,
                    verbose=verbose,
                    epochs=epochs,
                    steps=steps,
                ),
                class_weight=class_weight,
                verbose=verbose,
                shuffle=False,  # that is the dataset's business
            )
    count = len(history.history["loss"])
    history.epoch = list(range(count))
    last = _not_finite({name: values[-1] for name, values in history.history.items()})
    if last is not None:
        raise FloatingPointError(
            f"{model.name}: the loss became {last} in epoch {count}; lower l_r"
        )
    return history


class Trainer(keras.Model):
    """A model to be compiled and fitted in the place of another, whose variables it trains.

    In training it computes by the twin, else by the model itself, so that scores are the model's.

    Parameters
    ----------
    model : keras.Model
    teacher : keras.Model, optional
        Answers the images of each step, on the device and in the graph of that step.
    tell : function, optional
        See `training_twin`.
    """

    def __init__(self, model, teacher=None, tell=None):
        super().__init__(name=model.name)
        self.model, self.history = model, None
        # Behind functions, so that their variables don't count among those that are trained.
        self.ask = teacher and partial(teacher, training=False)
        twin = training_twin(model, tell)
        self.compute = None if twin is model else partial(_compute_by, twin, model)

    def call(self, inputs, training=None):
        if training and self.compute is not None:
            return self.compute(inputs)
        return self.model(inputs, training=training)

    def train_step(self, data):
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if self.ask is not None:
            labels = self.ask(images)
        return super().train_step((images, labels, weights))

    @property
    def stop_training(self):
        """Whether to stop (bool): callbacks say it to the model."""
        return self.model.stop_training

    @stop_training.setter
    def stop_training(self, value):
        self.model.stop_training = value


def _compute_by(twin, model, inputs):
    """Return what `twin` makes of the inputs in training, with the variables of `model`."""
    own = {id(copy): one for copy, one in zip(twin.variables, state_of(model), strict=True)}
    trained, others = (
        [own[id(variable)] for variable in variables]
        for variables in (twin.trainable_variables, twin.non_trainable_variables)
    )
    before = [keras.ops.convert_to_tensor(variable) for variable in others]
    trained = [variable.value for variable in trained]
    outputs, after = twin.stateless_call(trained, before, inputs, training=True)
    for variable, old, new in zip(others, before, after, strict=True):
        if new is not old:  # frozen weights stay where they are
            variable.assign(new)
    return outputs


@contextmanager
def _training_with(model, optimizer, checkpoint, settings):
    """Let callbacks find the optimizer that trains, whose learning rate they may change."""
    before, model.optimizer = model.optimizer, optimizer
    try:
        yield
    finally:  # also after an interruption
        model.optimizer = before
        if checkpoint is not None:
            remember_start(model, checkpoint, settings["starting weights"])


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

    def __init__(self, optimizer, history, checkpoint, settings, among_others):
        super().__init__()
        self.optimizer, self.history = optimizer, history
        self.checkpoint, self.settings = checkpoint, settings
        self.among_others = among_others

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
                save_best(self.model, Path(self.checkpoint).parent / "best")
            self._save()

    def on_train_end(self, logs=None):
        # Another callback may have stopped the training, or gone back to the best weights.
        if self.checkpoint is not None and self.among_others and _not_finite(logs) is None:
            self._save(finished=self.params["epochs"] if self.model.stop_training else 0)

    def _save(self, finished=0):
        save_checkpoint(
            self.checkpoint, self.model, self.optimizer, self.settings, self.history, finished
        )


def _not_finite(logs):
    """Return a loss that is NaN or infinite; after an epoch's last step only validation has one."""
    losses = (logs["loss"], logs["val_loss"])
    return next((loss for loss in losses if not math.isfinite(loss)), None)


def _plain(optimizer):
    """Return Keras's SGD with the settings of `optimizer` that it knows."""
    names = ("learning_rate", "momentum", "nesterov", "weight_decay")
    config = optimizer.get_config()
    return keras.optimizers.SGD.from_config({name: config[name] for name in names & config.keys()})


def _counted(dataset):
    """Return a dataset that knows its length: Keras warns of others and counts a step too many."""
    if dataset.cardinality() != tf.data.UNKNOWN_CARDINALITY:
        return dataset
    length = sum(1 for _ in dataset)
    return dataset.apply(tf.data.experimental.assert_cardinality(length))
