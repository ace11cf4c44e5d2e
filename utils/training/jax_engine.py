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

from utils.training.optimizer import make_optimizer, one_cycle_schedule
from utils.training.whitening import keep_whitening

IN_FLOAT32 = (keras.layers.Dense, keras.layers.Normalization, keras.layers.Rescaling)
BATCH = 500  # pictures at a time, where nothing is learnt
_compiled = {}  # the last recipe's epoch, so that its other seeds need not be compiled again


def train_in_scans(
    model,
    recipe,
    data,
    *,
    seed,
    teacher=None,
    callbacks=(),
    checkpoint=None,
    verbose=2,
    policy="mixed_bfloat16",
):
    """Train a model in place by a recipe; compiled once for all seeds that follow one another.

    Parameters
    ----------
    model : keras.Model
    recipe : experiments.recipes.Recipe
        Of an epoch, batches that aren't full are left out.
    data
        With `train` and `validation`, each a pair of uint8 images of shape (N, height, width, 3)
        and int labels.
    seed : int
        Of order and augmentation.
    teacher : keras.Model, optional
        What it answers to the augmented pictures takes the place of their labels.
    callbacks : sequence
        Must be empty: an epoch is one program, into which nobody can call.
    checkpoint : path-like, optional
        Not used: a run takes a GPU minutes, and starts over.
    verbose : int
        0 is silent, anything else tells a line an epoch.
    policy : str
        Keras's dtype policy of the layers that are not in `IN_FLOAT32`, while training.

    Returns
    -------
    history : keras.callbacks.History
        loss, accuracy, val_accuracy and seconds, compilation apart, an entry an epoch.
    facts : dict
        engine, bfloat16, accelerator and compilation_seconds.

    Raises
    ------
    ValueError
        If there are callbacks or weights, the recipe distorts, or there is less than a batch.
    FloatingPointError
        If the loss becomes NaN or infinite.
    """
    if callbacks:
        raise ValueError("JAX's scans can call no callbacks; leave them out or use TensorFlow")
    if recipe.distort:
        raise ValueError(f"distort is {recipe.distort!r}, which only TensorFlow does; train by it")
    if getattr(data, "weights", None) is not None:
        raise ValueError("the pictures have weights, which JAX's scans don't know; leave them out")
    count = len(data.train[1])
    steps = count // recipe.batch_size
    if not steps:
        raise ValueError(f"{count} training pictures, batch_size is {recipe.batch_size}; lower it")
    steps = min(steps, recipe.steps_per_epoch or steps)
    peak = recipe.learning_rate * recipe.batch_size / 128
    schedule = one_cycle_schedule(peak, recipe.epochs * steps, warm_up=recipe.warm_up)
    rates = jax.vmap(schedule)(jnp.arange(recipe.epochs * steps)).reshape(recipe.epochs, steps)
    keep_whitening(model)
    pictures = jax.device_put(tuple((images, jnp.asarray(y)) for images, y in data[:2]))
    twin = twin_of(model, policy)
    key = jax.random.key(seed)
    optimizer = _optimizer(twin, recipe)
    state = _state(twin, optimizer)
    case = (recipe, policy, id(teacher), [part.shape for pair in pictures for part in pair])
    compilation = 0.0
    if _compiled.get("case") != case:
        start = time.perf_counter()
        run_epoch = epoch_of(twin, optimizer, recipe, teacher and twin_of(teacher, policy))
        compiled = run_epoch.lower(state, *pictures, rates[0], 0, key).compile()
        compilation = time.perf_counter() - start
        _compiled.update(case=case, run=compiled, teacher=teacher)
    history = keras.callbacks.History()
    history.history = {"loss": [], "accuracy": [], "val_accuracy": [], "seconds": []}
    for epoch in range(recipe.epochs):
        start = time.perf_counter()
        state, measured = _compiled["run"](state, *pictures, rates[epoch], epoch, key)
        measured = [float(value) for value in measured]  # waits for the device
        _note(history, [*measured, time.perf_counter() - start], epoch, recipe.epochs, verbose)
        if not math.isfinite(measured[0]):
            raise FloatingPointError(
                f"{model.name}: the loss became {measured[0]} in epoch {epoch + 1}; "
                "lower learning_rate"
            )
    for variables, values in zip(_variables(twin), state[:2], strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    model.set_weights(twin.get_weights())
    device = jax.devices()[0]
    return history, {
        "engine": "jax",
        "bfloat16": "bfloat16" in policy,
        "accelerator": None if device.platform == "cpu" else device.device_kind,
        "compilation_seconds": compilation,
    }


def _note(history, measured, epoch, epochs, verbose):
    for (name, values), value in zip(history.history.items(), measured, strict=True):
        values.append(value)
        if verbose and name == "val_accuracy":
            print(f"epoch {epoch + 1}/{epochs}: val_accuracy {value:.4f}", flush=True)
    history.epoch = list(range(epoch + 1))


def epoch_of(model, optimizer, recipe, teacher=None):
    """Return a compiled function that trains `model` for an epoch, and scores it.

    It takes the state (the values of what is trained, of what else changes, and of `optimizer`),
    the arrays of training and validation pictures, the learning rate of each step, the number of
    the epoch and a key for random numbers; it returns the new state and (loss, accuracy in
    training, accuracy in validation).
    """
    size, smoothing = recipe.batch_size, recipe.label_smoothing
    classes = model.output_shape[-1]
    rate_at = [variable is optimizer.learning_rate for variable in optimizer.variables].index(True)
    knowledge = _state(teacher) if teacher is not None else None

    def loss_of(trained, others, images, targets):
        outputs, others = model.stateless_call(trained, others, images, training=True)
        loss = keras.losses.categorical_crossentropy(targets, outputs, label_smoothing=smoothing)
        return jnp.mean(loss), (others, outputs)

    def step(state, batch, pictures, number):
        trained, others, optimized = state
        index, rate, key = batch
        images = _seen(pictures[0][index], (index + number) % 2 == 1, recipe, key) / 255
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
        batches = order.reshape(-1, size), rates, jax.random.split(key, len(rates))
        one_step = partial(step, pictures=train, number=number)
        state, (losses, right) = jax.lax.scan(one_step, state, batches)
        answers = _in_batches(partial(_answers, model, state[:2]), validation[0])
        measured = losses.mean(), right.mean(), jnp.mean(answers.argmax(1) == validation[1])
        return state, measured

    return run_epoch


def _seen(images, in_turn, recipe, key):
    """Return pictures as the recipe augments them; `in_turn` (bool) are mirrored in this epoch."""
    if recipe.translate is None:
        return images
    mirrored = {
        "alternate": in_turn,
        "random": jax.random.bernoulli(jax.random.fold_in(key, 1), shape=in_turn.shape),
        None: in_turn & False,
    }[recipe.flip]
    return augment(images, mirrored, recipe.translate, recipe.cutout, key)


def augment(images, mirrored, translate, cutout, key):
    """Mirror some pictures, translate all, edges reflected, and maybe cut squares out.

    Parameters
    ----------
    images : array, shape (N, height, width, 3)
    mirrored : array of bool, shape (N,)
    translate : int
        Pixels, at most.
    cutout : int or None
        Side in pixels of a square that is painted over with the mean colour.
    key : jax.Array
        For random numbers.

    Returns
    -------
    array like `images`
    """
    shift_key, hole_key = jax.random.split(key)
    shift, side = translate, cutout
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


def twin_of(model, policy):
    """Return a twin of `model` (keras.Model), nested ones too, with the same weights.

    Its layers have another dtype policy (str), except those of `IN_FLOAT32`, a softmax, those that
    have one of their own, and operations that are no layers.
    """
    usual = keras.config.dtype_policy().name

    def clone(layer):
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=clone)
        changes = isinstance(layer, keras.layers.Layer) and not isinstance(layer, IN_FLOAT32)
        changes = changes and layer.dtype_policy.name == usual
        changes = changes and getattr(layer, "activation", None) is not keras.activations.softmax
        return layer.from_config(layer.get_config() | ({"dtype": policy} if changes else {}))

    twin = clone(model)
    twin.set_weights(model.get_weights())
    for variable, original in zip(twin.weights, model.weights, strict=True):
        variable.trainable = original.trainable
    return twin


def _answers(model, state, images):
    return model.stateless_call(*state, images / 255, training=False)[0]


def _in_batches(function, images):
    """Return the arrays that `function` makes of `images`, a part of them at a time."""
    count = len(images) // BATCH
    whole = images[: count * BATCH].reshape(count, BATCH, *images.shape[1:])
    parts = jax.lax.map(function, whole)
    parts = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), parts)
    rest = function(images[count * BATCH :])
    return jax.tree.map(lambda *both: jnp.concatenate(both), parts, rest)


def _optimizer(model, recipe):
    optimizer = make_optimizer(
        0.1,  # each step brings its own rate
        recipe.momentum,
        True,
        recipe.weight_decay,
        recipe.bias_lr_scale,
        recipe.muon_lr_scale,
    )
    optimizer.build(model.trainable_variables)
    if recipe.muon_lr_scale is not None:
        optimizer.choose_kernels(model)
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
