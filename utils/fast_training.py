"""A twin of a model, made to train faster on a CPU: same layers, weights and mathematics.

Keras 3 computes batch normalisation in training from many small TensorFlow operations; the twin
calls TensorFlow's one fused kernel for it. It is never saved: after training its weights are
carried back to the plain model. `benchmarks/train.py` measures what it gains.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("cifar10")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of (N, height, width, C) by the fused kernel while training."""

    def call(self, inputs, training=None, mask=None):
        fusable = len(inputs.shape) == 4 and self.axis in (-1, 3) and self.center
        if not (training and self.trainable and fusable):
            return super().call(inputs, training=training, mask=mask)
        gamma = self.gamma if self.scale else tf.ones_like(self.beta)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        variance *= (count - 1) / count  # the kernel's is unbiased, Keras averages the biased one
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + new * (1 - self.momentum))
        return outputs


def training_twin(model):
    """Return a twin of `model` (keras.Model) with its weights, or `model` where it gains nothing.

    That is: on another backend than TensorFlow, on a GPU, or without batch normalisation.
    """
    normalised = any(type(layer) is keras.layers.BatchNormalization for layer in model.layers)
    on_cpu = keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")
    if not (normalised and on_cpu):
        return model
    plain = model.from_config(model.get_config())  # not compiled: a loss can't always be cloned
    twin = keras.models.clone_model(plain, clone_function=_clone_layer)
    twin.set_weights(model.get_weights())
    for variable, original in zip(twin.variables, model.variables, strict=True):
        variable.trainable = original.trainable
    return twin


def _clone_layer(layer):
    kind = type(layer)
    if kind is keras.layers.BatchNormalization:
        kind = FusedBatchNormalization
    return kind.from_config(layer.get_config())
