"""Training on a GPU, by Keras's JAX backend: all steps of an epoch in one compiled program.

Enters: pictures and labels as arrays, which stay on the device. Leaves: trained Keras models of
standard layers, and their histories. A GPU is done with a step of these small networks before
Python has asked for the next one; so `jax.lax.scan` does all steps of an epoch, augmentation and
the teacher's answers included. Convolutions compute in bfloat16, weights and losses in float32.
"""

import math
import time
from functools import partial

import jax
import keras
from jax import numpy as jnp
from sklearn.metrics import accuracy_score, f1_score

from utils.training.optimizer import make_optimizer, one_cycle_schedule

IN_FLOAT32 = (keras.layers.Dense, keras.layers.Normalization, keras.layers.Rescaling)
PATCH = 500  # pictures at a time, where nothing is learnt


def train_in_scans(
    build, seeds, train, validation, settings, *, teacher=None, policy="mixed_bfloat16"
):
    """Train a model for each seed; compiled once, for the first.

    Parameters
    ----------
    build : function
        Returns the untrained keras.Model; called anew for each seed, which its weights follow.
    seeds : iterable of int
    train, validation : (array of uint8, shape (N, height, width, 3); array of int, shape (N,))
        Pixels from 0 to 255, and labels.
    settings : dict
        epochs, patch_size, peak_rate_of_128, warm_up, momentum, weight_decay, label_smoothing,
        bias_rate, max_shift and cutout, as of `tools.speedrun`; with kernel_rate it is Muon.
    teacher : keras.Model, optional
        What it answers to the augmented pictures takes the place of their labels.
    policy : str
        Keras's dtype policy of the layers that are not in `IN_FLOAT32`, while training.

    Yields
    ------
    seed : int
    model : keras.Model
    history : dict of str to list of float
        An entry an epoch: loss, accuracy, val_accuracy and seconds, compilation apart.
    seconds_of_compilation : float
        0 after the first.

    Raises
    ------
    ValueError
        If there are fewer training pictures than a patch holds.
    FloatingPointError
        If the loss becomes NaN or infinite.
    """
    size, epochs = settings["patch_size"], settings["epochs"]
    steps = len(train[1]) // size  # another few pictures are left out in each epoch
    if not steps:
        raise ValueError(f"{len(train[1])} training pictures, patch_size is {size}; lower it")
    peak = settings["peak_rate_of_128"] * size / 128
    schedule = one_cycle_schedule(peak, epochs * steps, warm_up=settings["warm_up"])
    rates = jax.vmap(schedule)(jnp.arange(epochs * steps)).reshape(epochs, steps)
    train, validation = jax.device_put((train, validation))
    run_epoch = None
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model = build()
        twin = twin_of(model, policy)
        key = jax.random.key(seed)
        compilation = 0.0
        if run_epoch is None:
            start = time.perf_counter()
            optimizer = _optimizer(twin, settings)
            run_epoch = epoch_of(twin, optimizer, settings, teacher and twin_of(teacher, policy))
            state = _state(twin, optimizer)
            run_epoch = run_epoch.lower(state, train, validation, rates[0], 0, key).compile()
            compilation = time.perf_counter() - start
        state = _state(twin, optimizer)
        history = {"loss": [], "accuracy": [], "val_accuracy": [], "seconds": []}
        for number in range(epochs):
            start = time.perf_counter()
            state, measured = run_epoch(state, train, validation, rates[number], number, key)
            measured = [float(value) for value in measured]  # waits for the device
            measured.append(time.perf_counter() - start)
            for values, value in zip(history.values(), measured, strict=True):
                values.append(value)
            if not math.isfinite(measured[0]):
                raise FloatingPointError(
                    f"{model.name}: the loss became {measured[0]} in epoch {number + 1}; "
                    "lower peak_rate_of_128"
                )
        for variables, values in zip(_variables(twin), state[:2], strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        model.set_weights(twin.get_weights())
        yield seed, model, history, compilation


def epoch_of(model, optimizer, settings, teacher=None):
    """Return a compiled function that trains `model` for an epoch, and scores it.

    It takes the state (the values of what is trained, of what else changes, and of `optimizer`),
    the arrays of training and validation pictures, the learning rate of each step, the number of
    the epoch and a key for random numbers; it returns the new state and (loss, accuracy in
    training, accuracy in validation).
    """
    size, smoothing = settings["patch_size"], settings["label_smoothing"]
    classes = model.output_shape[-1]
    rate_at = [variable is optimizer.learning_rate for variable in optimizer.variables].index(True)
    knowledge = _state(teacher) if teacher is not None else None

    def loss_of(trained, others, images, targets):
        outputs, others = model.stateless_call(trained, others, images, training=True)
        loss = keras.losses.categorical_crossentropy(targets, outputs, label_smoothing=smoothing)
        return jnp.mean(loss), (others, outputs)

    def step(state, patch, pictures, number):
        trained, others, optimized = state
        index, rate, key = patch
        images = augment(pictures[0][index], (index + number) % 2 == 1, settings, key) / 255
        targets = jax.nn.one_hot(pictures[1][index], classes)
        if teacher is not None:
            targets, _ = teacher.stateless_call(*knowledge, images, training=False)
        (loss, (others, outputs)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            trained, others, images, targets
        )
        optimized = [*optimized[:rate_at], rate, *optimized[rate_at + 1 :]]
        trained, optimized = optimizer.stateless_apply(optimized, gradients, trained)
        right = jnp.mean(outputs.argmax(1) == targets.argmax(1))
        return (trained, others, optimized), (loss, right)

    @partial(jax.jit, donate_argnums=0)
    def run_epoch(state, train, validation, rates, number, key):
        order_key, key = jax.random.split(jax.random.fold_in(key, number))
        order = jax.random.permutation(order_key, len(train[1]))[: len(rates) * size]
        patches = order.reshape(-1, size), rates, jax.random.split(key, len(rates))
        one_step = partial(step, pictures=train, number=number)
        state, (losses, right) = jax.lax.scan(one_step, state, patches)
        answers = _in_patches(partial(_answers, model, state[:2]), validation[0])
        measured = losses.mean(), right.mean(), jnp.mean(answers.argmax(1) == validation[1])
        return state, measured

    return run_epoch


def augment(images, mirrored, settings, key):
    """Mirror some pictures, translate all, edges reflected, and maybe cut squares out.

    Parameters
    ----------
    images : array, shape (N, height, width, 3)
    mirrored : array of bool, shape (N,)
    settings : dict
        With ``max_shift`` and, if not None, ``cutout``: the side of a square that is painted over
        with the mean colour; in pixels.
    key : jax.Array
        For random numbers.

    Returns
    -------
    array like `images`
    """
    shift_key, hole_key = jax.random.split(key)
    shift, side = settings["max_shift"], settings.get("cutout")
    count, *sides = images.shape[:3]
    padded = jnp.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), "reflect")
    places = jnp.array([2 * shift + 1, 2 * shift + 1, 1])  # rows, columns, channels
    starts = jax.random.randint(shift_key, (count, 3), 0, places)
    crop = partial(jax.lax.dynamic_slice, slice_sizes=images.shape[1:])
    images = jnp.where(_aligned(mirrored), padded[:, :, ::-1], padded)
    images = jax.vmap(crop)(images, starts)
    if side is None:
        return images
    starts = jax.random.randint(hole_key, (2, count), 0, jnp.array(sides)[:, None] - side + 1)
    inside = [
        (jnp.arange(length) >= start[:, None]) & (jnp.arange(length) < start[:, None] + side)
        for length, start in zip(sides, starts, strict=True)
    ]
    hole = (inside[0][:, :, None] & inside[1][:, None, :])[..., None]
    mean = images.mean((0, 1, 2)).astype(images.dtype)
    return jnp.where(hole, mean, images)


def measure_on_device(model, images, labels):
    """Return what a record says (dict) of a trained model, after one look at test pictures.

    In float32, as everywhere else; `images` (uint8, shape (N, height, width, 3)) and `labels` are
    arrays. The second of each number is averaged over six views, those of
    `utils.pipeline.augment.views_to_average`.
    """

    def answers(state, patch):
        padded = jnp.pad(patch, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
        height, width = patch.shape[1:3]
        views = [padded[:, i : i + height, i : i + width] for i in range(3)]
        views += [view[:, :, ::-1] for view in views]
        every = [_answers(model, state, view) for view in views]
        return every[1], sum(every)

    with jax.default_matmul_precision("highest"):
        in_patches = jax.jit(lambda state, images: _in_patches(partial(answers, state), images))
        plain, averaged = (every.argmax(1) for every in in_patches(_state(model), images))
    scores = {"parameters": model.count_params(), "test_images": len(labels)}
    for name, predictions in (("", plain), ("_averaged", averaged)):
        scores[f"test_accuracy{name}"] = accuracy_score(labels, predictions)
        scores[f"test_macro_f1{name}"] = float(f1_score(labels, predictions, average="macro"))
    return scores


def twin_of(model, policy):
    """Return a twin of `model` (keras.Model), nested ones too, with the same weights.

    Its layers have another dtype policy (str), except those of `IN_FLOAT32`.
    """

    def clone(layer):
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=clone)
        other = {} if isinstance(layer, IN_FLOAT32) else {"dtype": policy}
        return layer.from_config(layer.get_config() | other)

    twin = clone(model)
    twin.set_weights(model.get_weights())
    for variable, original in zip(twin.weights, model.weights, strict=True):
        variable.trainable = original.trainable
    return twin


def _answers(model, state, images):
    return model.stateless_call(*state, images / 255, training=False)[0]


def _in_patches(function, images):
    """Return the arrays that `function` makes of `images`, a part of them at a time."""
    count = len(images) // PATCH
    whole = images[: count * PATCH].reshape(count, PATCH, *images.shape[1:])
    parts = jax.lax.map(function, whole)
    parts = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), parts)
    rest = function(images[count * PATCH :])
    return jax.tree.map(lambda *both: jnp.concatenate(both), parts, rest)


def _optimizer(model, settings):
    optimizer = make_optimizer(
        0.1,  # each step brings its own rate
        settings["momentum"],
        True,
        settings["weight_decay"],
        settings["bias_rate"],
        settings.get("kernel_rate"),
    )
    optimizer.build(model.trainable_variables)
    return optimizer


def _variables(*parts):
    """Return lists of what is trained of a model, what else changes, and an optimizer's."""
    model, *optimizers = parts
    kinds = [model.trainable_variables, model.non_trainable_variables]
    return kinds + [optimizer.variables for optimizer in optimizers]


def _state(*parts):
    """Return copies of the values of `_variables`; a compiled function may overwrite them."""
    return tuple([jnp.array(variable.value) for variable in kind] for kind in _variables(*parts))


def _aligned(values):
    return values[:, None, None, None]
