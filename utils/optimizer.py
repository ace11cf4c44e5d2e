"""How a training step changes the weights: SGD, and its learning rate over the steps."""

import keras

from utils.checks import positive_integer


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


def one_cycle_schedule(peak, steps, *, warm_up=0.25):
    """Return a learning rate that rises linearly from zero, then falls to zero by a cosine.

    Parameters
    ----------
    peak : float
        The highest rate.
    steps : int
        Training steps in all, at least 2.
    warm_up : float, 0 to 1
        Share of the steps in which the rate rises.

    Returns
    -------
    keras.optimizers.schedules.LearningRateSchedule
    """
    if positive_integer("steps", steps) < 2:
        raise ValueError(f"steps is {steps}, expected at least 2: one to rise and one to fall")
    rising = max(1, round(steps * warm_up))
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - rising, warmup_target=peak, warmup_steps=rising
    )
