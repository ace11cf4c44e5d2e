"""A twin of a model, made to train faster on a CPU: the same layers, weights and formulas.

Keras 3 computes batch normalisation in training from many small TensorFlow operations; the twin
calls TensorFlow's one fused kernel for it. Where the processor has instructions for bfloat16, the
twin's convolutions compute in it, with weights, averages, the last layers and nested models (whose
depthwise convolutions are slower in it) in float32. The twin is never saved: after training its
weights are carried back to the plain model. `benchmarks/train.py` measures what it gains.
"""

from pathlib import Path

import keras
import tensorflow as tf

CPU_INFO = Path("/proc/cpuinfo")  # Linux only; elsewhere everything is float32
IN_FLOAT32 = (keras.layers.Dense, keras.layers.Normalization, keras.layers.Rescaling, keras.Model)


@keras.saving.register_keras_serializable("cifar10")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of (N, height, width, C) by the fused kernel while training."""

    def call(self, inputs, training=None, mask=None):
        fusable = len(inputs.shape) == 4 and self.axis in (-1, 3) and self.center
        fusable = fusable and not (self.renorm or self.synchronized)
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

    That is: on another backend than TensorFlow, on a GPU, or where no batch normalisation learns.
    """
    on_cpu = keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")
    if not (on_cpu and _learns_to_normalise(model)):
        return model
    plain = model.from_config(model.get_config())  # not compiled: a loss can't always be cloned
    clone = _clone_in_bfloat16 if has_bfloat16() else _clone_layer
    twin = keras.models.clone_model(plain, clone_function=clone)
    twin.set_weights(model.get_weights())
    for variable, original in zip(twin.variables, model.variables, strict=True):
        variable.trainable = original.trainable
    return twin


def has_bfloat16():
    """Return whether the processor has instructions for bfloat16 (bool)."""
    flags = CPU_INFO.read_text("utf-8").split() if CPU_INFO.is_file() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _learns_to_normalise(layer):
    if isinstance(layer, keras.Model):
        return any(map(_learns_to_normalise, layer.layers))
    return type(layer) is keras.layers.BatchNormalization and layer.trainable


def _clone_layer(layer, **settings):
    if isinstance(layer, keras.Model):
        return keras.models.clone_model(layer, clone_function=_clone_layer)
    kind = type(layer)
    if kind is keras.layers.BatchNormalization:
        kind = FusedBatchNormalization
    return kind.from_config(layer.get_config() | settings)


def _clone_in_bfloat16(layer):
    in_float32 = isinstance(layer, IN_FLOAT32)
    return _clone_layer(layer) if in_float32 else _clone_layer(layer, dtype="mixed_bfloat16")
