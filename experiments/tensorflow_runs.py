"""A recipe and arrays in, a training by TensorFlow out: batches, optimizer and loss, then `fit`."""

from dataclasses import replace

import tensorflow as tf

from utils.pipeline.arrays import batches_of
from utils.pipeline.augmix import augmix_batches
from utils.pipeline.features import cache_features, split_at_features
from utils.training.checkpoints import fingerprint_of
from utils.training.optimizer import make_optimizer, one_cycle_schedule
from utils.training.targets import crossentropy, one_hot, weights_of
from utils.training.tensorflow_engine import train_model
from utils.training.twins import has_bfloat16


def train_on_tensorflow(
    model,
    recipe,
    data,
    *,
    seed,
    teacher=None,
    callbacks=(),
    checkpoint=None,
    verbose=2,
    class_weight=None,
    metrics=(),
):
    """Train a model in place by a recipe.

    Parameters
    ----------
    model : keras.Model
    recipe : Recipe
    data : Data
    seed : int
    teacher : keras.Model, optional
    callbacks : sequence of keras.callbacks.Callback
    checkpoint : pathlib.Path, optional
        A folder to keep checkpoints in, and to go on from.
    verbose : 0, 1 or 2
    class_weight, metrics
        As of `experiments.training.train`.

    Returns
    -------
    history : keras.callbacks.History
    facts : dict
        As of `experiments.training.Trained`.
    """
    train, validation = _batches(recipe, data, seed)
    trained = model
    if data.weights is not None and (recipe.trains == "head" or recipe.distort):
        raise ValueError(
            f"weights can't be used where trains is {recipe.trains!r} and distort "
            f"{recipe.distort!r}; leave them out, or train all layers without distortion"
        )
    if recipe.trains == "head" and recipe.translate is None:  # no picture ever changes
        trained, train, validation = _features(model, recipe, train, validation, seed)
    if recipe.steps_per_epoch is not None:
        train = train.take(recipe.steps_per_epoch)
    steps = recipe.epochs * int(train.cardinality())
    if steps < 2:  # one to rise and one to fall
        raise ValueError(
            f"{len(data.train.labels)} training pictures in batches of {recipe.batch_size} are one "
            "step, too few to learn from; lower batch_size, or ask for more epochs"
        )
    peak = recipe.learning_rate * recipe.batch_size / 128
    asked = teacher
    if recipe.distort == "augmix":
        if teacher is not None:  # what it answers to the pictures before they are distorted
            _, validation = one_hot(train, validation, teacher)
            train = train.map(lambda images, _: (images, teacher(images, training=False)))
            asked = None
        train = augmix_batches(train, seed)
    named = replace(recipe, network=recipe.recorded()["network"])
    parts = [(part.images[:500], part.labels) for part in (data.train, data.validation)]
    history = train_model(
        trained,
        train,
        validation,
        recipe.epochs,
        make_optimizer(
            one_cycle_schedule(peak, steps, warm_up=recipe.warm_up),
            recipe.momentum,
            True,
            recipe.weight_decay,
            recipe.bias_lr_scale,
            recipe.muon_lr_scale,
        ),
        crossentropy(recipe.label_smoothing, teacher),
        teacher=asked,
        callbacks=callbacks,
        checkpoint=checkpoint and checkpoint / "training.npz",
        fingerprint=f"{named}, seed {seed}, pictures {[fingerprint_of(part) for part in parts]}",
        verbose=verbose,
        class_weight=weights_of(class_weight, int(data.train.labels.max()) + 1),
        metrics=[metric for metric in metrics if metric != "accuracy"],
    )
    gpus = tf.config.list_physical_devices("GPU")
    name = None
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    in_bfloat16 = not gpus and has_bfloat16()
    return history, {"engine": "tensorflow", "bfloat16": in_bfloat16, "accelerator": name}


def _batches(recipe, data, seed):
    how = {"translate": recipe.translate, "flip": recipe.flip, "cutout": recipe.cutout}
    head_only = recipe.trains == "head" and recipe.translate is None
    how |= {"shuffle": None if head_only else seed, "weights": data.weights}
    train = batches_of(*data.train, recipe.batch_size, **how)
    return train, batches_of(*data.validation, 500)


def _features(model, recipe, train, validation, seed):
    """Return the head of a model, and what its backbone finds in the pictures, as datasets."""
    backbone, head = split_at_features(model)
    train, validation = (cache_features(backbone, part) for part in (train, validation))
    train = train.shuffle(len(train), seed=seed).batch(recipe.batch_size)
    return head, train, validation.batch(recipe.batch_size)
