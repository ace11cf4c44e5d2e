"""How a training step changes the weights: SGD, Muon, and the learning rate over the steps."""

import keras
from keras import ops

from utils.base.checks import positive_integer, positive_number

KERNEL_MOMENTUM = 0.6  # Nesterov
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


@keras.saving.register_keras_serializable("cifar10")
class SGD(keras.optimizers.SGD):
    """Keras's SGD, in which the biases of batch normalisation learn at another rate.

    Parameters
    ----------
    *args, **kwargs
        As of `keras.optimizers.SGD`.
    bias_rate : float
        Their learning rate as a multiple of the others'.
    """

    def __init__(self, *args, bias_rate=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.bias_rate = bias_rate

    def update_step(self, gradient, variable, learning_rate):
        name = variable.name.partition(":")[0].rpartition("/")[2]  # TensorFlow: "layer/beta:0"
        factor = self.bias_rate if name == "beta" else 1
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return super().get_config() | {"bias_rate": self.bias_rate}


@keras.saving.register_keras_serializable("cifar10")
class Muon(SGD):
    """SGD, but a convolution's step goes equally far in all directions that its gradients have.

    It is the orthogonal matrix that is nearest to their running sum (Keller Jordan, "Muon: An
    optimizer for hidden layers in neural networks", 2024; see his cifar10-airbench on GitHub).
    Before each step a kernel is scaled so that its filters have a norm of 1 on average: batch
    normalisation has to follow it. Keras's own Muon treats matrices only.

    Parameters
    ----------
    *args, **kwargs
        As of `SGD`, for all but the kernels of convolutions; depthwise ones count among the rest.
        Which these are says `choose_kernels`; without it, what has four axes, the last longer than
        one, is a kernel whose last axis are the filters.
    kernel_rate : float
        Learning rate of these kernels as a multiple of the others'; their Nesterov momentum is 0.6.

    Raises
    ------
    ValueError
        If `momentum` is 0: there is nothing to sum gradients up in.
    """

    def __init__(self, *args, kernel_rate, **kwargs):
        super().__init__(*args, **kwargs)
        if not self.momentum:
            raise ValueError("momentum is 0, expected more: Muon sums gradients up")
        self.kernel_rate = kernel_rate
        self._axes = {}  # index of a variable: its axis of filters, None if it is no kernel

    def choose_kernels(self, model):
        """Train by Muon the kernels of the convolutions among the layers of `model` (keras.Model).

        By the kind of layer, nested ones included, transposed and grouped ones too.
        """
        self.build(model.trainable_variables)
        axes = dict(_axes_of_filters(model))
        self._axes = {
            self._get_variable_index(variable): axes[id(variable)]
            for variable in model.trainable_variables
            if id(variable) in axes
        }

    def update_step(self, gradient, variable, learning_rate):
        shape = variable.shape
        by_shape = -1 if len(shape) == 4 and shape[-1] > 1 else None  # a depthwise one is no matrix
        axis = self._axes.get(self._get_variable_index(variable), by_shape)
        if axis is None:
            super().update_step(gradient, variable, learning_rate)
            return
        summed = self.momentums[self._get_variable_index(variable)]
        new_sum = KERNEL_MOMENTUM * summed + gradient
        self.assign(summed, new_sum)
        nesterov = ops.moveaxis(gradient + KERNEL_MOMENTUM * new_sum, axis, -1)
        matrix = ops.reshape(nesterov, (-1, shape[axis]))
        step = ops.moveaxis(ops.reshape(orthogonalise(matrix), nesterov.shape), -1, axis)
        norm = ops.sqrt(ops.sum(ops.square(variable)) / shape[axis])  # a filter's, on average
        scaled = variable / ops.maximum(norm, 1e-7)  # zeros stay zeros
        self.assign(variable, scaled - learning_rate * self.kernel_rate * step)

    def get_config(self):
        return super().get_config() | {"kernel_rate": self.kernel_rate}


def _axes_of_filters(model):
    """Yield (id of a variable, its axis of filters or None) for each one that a layer has."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from _axes_of_filters(layer)
            continue
        yield from ((id(variable), None) for variable in layer.variables)
        if isinstance(layer, CONVOLUTIONS + TRANSPOSED):
            yield id(layer.kernel), -1 if isinstance(layer, CONVOLUTIONS) else -2


def orthogonalise(matrix):
    """Return about the orthogonal matrix that is nearest to `matrix` (tensor, two axes).

    By three Newton-Schulz iterations, whose quintic polynomial is steep at zero: singular values
    end between about 0.5 and 1.5, where they were not close to zero. All three iterations happen
    to the small square x @ x.T, with which each is a product: 0.9 instead of 2.0 GFLOP for a kernel
    of 3x3x256x256.
    """
    x = matrix / (ops.norm(matrix) + 1e-7)  # no singular value is above 1
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else ops.transpose(x)
    squares, factor = x @ ops.transpose(x), ops.eye(x.shape[0], dtype=x.dtype)
    for _ in range(3):
        one = 3.4445 * ops.eye(x.shape[0], dtype=x.dtype)
        one += -4.7750 * squares + 2.0315 * squares @ squares
        factor, squares = one @ factor, one @ one @ squares
    return factor @ x if wide else ops.transpose(factor @ x)


def make_optimizer(rate, momentum, nesterov, weight_decay, bias_rate, kernel_rate=None):
    """Return SGD (keras.optimizers.Optimizer), or Muon if there is a `kernel_rate` (float).

    Other parameters are those of `SGD`. Only kernels decay; of those that Muon trains it makes no
    difference, as they are scaled anew in each step.
    """
    kind, own = (SGD, {}) if kernel_rate is None else (Muon, {"kernel_rate": kernel_rate})
    optimizer = kind(
        rate,
        momentum=float(momentum),
        nesterov=nesterov,
        weight_decay=weight_decay,
        bias_rate=bias_rate,
        **own,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def one_cycle_schedule(peak, steps, *, warm_up=0.25):
    """Return a learning rate that rises linearly from zero, then falls to zero by a cosine.

    Parameters
    ----------
    peak : float
        The highest rate.
    steps : int
        Training steps in all, at least 2.
    warm_up : float, 0 to 1
        Share of the steps in which the rate rises; at least one rises and one falls.

    Returns
    -------
    keras.optimizers.schedules.LearningRateSchedule
    """
    if positive_integer("steps", steps) < 2:
        raise ValueError(f"steps is {steps}, expected at least 2: one to rise and one to fall")
    positive_number("peak", peak)
    if not 0 <= warm_up <= 1:
        raise ValueError(f"warm_up is {warm_up!r}, expected a share of the steps from 0 to 1")
    rising = min(max(1, round(steps * warm_up)), steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - rising, warmup_target=peak, warmup_steps=rising
    )
