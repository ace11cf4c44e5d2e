"""A twin of a model, made to train faster on a CPU: the same layers, weights and formulas.

Enters: a Keras model. Leaves: a twin, whose layers are Keras's own but for three things.

- Batch normalisation calls TensorFlow's one fused kernel in training, instead of many operations.
- GELU and its gradient are two loops that XLA fuses. In float32, on two cores with AVX-512, the
  seven of Model 4 take 28 ms of processor time a step of 128 instead of 96, of about 560.
- Where the processor computes in bfloat16, convolutions and what stands between them do, and small
  maps get the gradient of their filters by matrix products; weights, averages, nested models (whose
  depthwise convolutions are slower in it), the last layers and all others stay in float32.

`LOOK_UP` says what replaces which layer. The twin is only a way to compute: the engine calls it
with the variables of the model itself. `benchmarks/train.py` measures what it gains.
"""

import math
import time
from functools import cache, partial
from pathlib import Path

import keras
import tensorflow as tf

CPU_INFO = Path("/proc/cpuinfo")  # Linux only; elsewhere everything is float32
# Maps of 7x7 and 3x3 take 10.4 and 2.2 ms by products instead of 16 and 6 (256 channels, batch of
# 128, two Zen 5 cores). In float32 with AVX-512 all but 3x3 take longer by them, 49 instead of 42.
SIDE_FOR_PRODUCTS = {"bfloat16": 8}  # pixels, at most


@tf.custom_gradient
def gelu(x):
    """Return x times the share of the normal distribution below x (tensor, any shape)."""
    return _gelu(x), partial(_gelu_gradient, x)


@tf.function(jit_compile=True, autograph=False)
def _gelu(x):
    y = tf.cast(x, tf.float32)
    return tf.cast(y * _share_below(y), x.dtype)


@tf.function(jit_compile=True, autograph=False)
def _gelu_gradient(x, gradient):
    y = tf.cast(x, tf.float32)
    slope = _share_below(y) + y * tf.exp(-0.5 * y * y) / math.sqrt(2 * math.pi)
    return tf.cast(tf.cast(gradient, tf.float32) * slope, x.dtype)


def _share_below(y):
    return 0.5 * (1 + tf.math.erf(y * math.sqrt(0.5)))


@keras.saving.register_keras_serializable("cifar10")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of (N, height, width, C) by the fused kernel while training."""

    def call(self, inputs, training=None, mask=None):
        fusable = len(inputs.shape) == 4 and self.axis in (-1, 3) and self.center
        fusable = fusable and not (self.renorm or self.synchronized) and mask is None
        fusable = fusable and self.compute_dtype in ("float32", "bfloat16")
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


@keras.saving.register_keras_serializable("cifar10")
class Convolution(keras.layers.Conv2D):
    """Convolution whose filters get their gradient by matrix products where the maps are small."""

    def convolution_op(self, inputs, kernel):
        simple = self.padding == "same" and self.strides == self.dilation_rate == (1, 1)
        simple = simple and self.groups == 1 and self.data_format == "channels_last"
        sides = [*inputs.shape[1:3]]
        if None in sides or max(sides) > SIDE_FOR_PRODUCTS.get(self.compute_dtype, 0) or not simple:
            return super().convolution_op(inputs, kernel)
        return _convolve(inputs, tf.identity(keras.ops.convert_to_tensor(kernel)))


@tf.custom_gradient
def _convolve(inputs, kernel):
    def gradients(gradient):  # of shape (N, height, width, filters)
        of_inputs = tf.nn.conv2d_transpose(gradient, kernel, tf.shape(inputs), 1, "SAME")
        rows, columns, channels, filters = kernel.shape
        before = [(rows - 1) // 2, (columns - 1) // 2]
        around = [[before[0], rows - 1 - before[0]], [before[1], columns - 1 - before[1]]]
        padded = tf.pad(inputs, [[0, 0], *around, [0, 0]])
        height, width = inputs.shape[1:3]
        flat = tf.reshape(gradient, (-1, filters))
        of_kernel = [  # one product for each place of the kernel: what it saw, with what came of it
            tf.matmul(
                tf.reshape(padded[:, i : i + height, j : j + width], (-1, channels)),
                flat,
                transpose_a=True,
            )
            for i in range(rows)
            for j in range(columns)
        ]
        return of_inputs, tf.reshape(tf.stack(of_kernel), kernel.shape)

    return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradients


LOOK_UP = {
    keras.layers.BatchNormalization: FusedBatchNormalization,
    keras.layers.Conv2D: Convolution,
}
IN_BFLOAT16 = (
    keras.layers.Conv2D,
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Dropout,
    keras.layers.Add,
    keras.layers.Concatenate,
)


def training_twin(model, tell=None):
    """Return a twin of `model` (keras.Model) with its weights, or `model` where it gains nothing.

    That is: on another backend than TensorFlow, on a GPU, or where there is nothing to replace.
    A model of which no twin can be made is returned too: subclassed, or with layers that are
    neither Keras's own nor registered. `tell` (function, optional) is called with a line about it.
    """
    on_cpu = keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")
    bfloat16 = on_cpu and has_bfloat16() and keras.config.dtype_policy().name == "float32"
    if not (on_cpu and model.built and _gains(model, bfloat16)):
        return model
    try:
        twin = _clone_model(model, bfloat16) if _can_be_cloned(model) else None
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        twin = None  # a layer or an operation that its own settings don't make again
    if twin is None or _names(twin) != _names(model):
        if tell is not None:
            tell(
                f"{model.name}: trained as it is, which is slower; faster are models of Keras's "
                "own layers, called one after the other or in a graph"
            )
        return model
    for variable, original in zip(twin.variables, state_of(model), strict=True):
        variable.assign(original)
        variable.trainable = original.trainable
    _finalize(twin)
    return twin


def has_bfloat16():
    """Return whether convolutions are faster in bfloat16 here (bool): by instructions for it."""
    flags = CPU_INFO.read_text("utf-8").split() if CPU_INFO.is_file() else []
    return ("avx512_bf16" in flags or "amx_bf16" in flags) and gains_by_bfloat16()


@cache
def gains_by_bfloat16():
    """Time a convolution and its gradients: 0.6 of float32's time by oneDNN, 12 times without it.

    So far apart that a busy machine can't change the answer, and with it the weights of a seed.
    """

    def seconds(dtype):
        images, kernel = tf.ones((32, 16, 16, 64), dtype), tf.ones((3, 3, 64, 64), dtype)
        start = time.perf_counter()
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = tf.nn.conv2d(images, kernel, 1, "SAME")
        tape.gradient(outputs, [images, kernel])[1].numpy()
        return time.perf_counter() - start

    pairs = [(seconds("bfloat16"), seconds("float32")) for _ in range(5)]
    in_bfloat16, in_float32 = map(min, zip(*pairs, strict=True))
    return in_bfloat16 < 3 * in_float32


def state_of(model):
    """Return all variables that training changes (list); metrics start anew in each epoch."""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def _gains(layer, bfloat16):
    inner = getattr(layer, "layers", None)
    if inner:
        return any(_gains(one, bfloat16 and not isinstance(one, keras.Model)) for one in inner)
    if type(layer) is keras.layers.BatchNormalization:
        return layer.trainable
    return _is_gelu(layer) or (bfloat16 and type(layer) is keras.layers.Conv2D)


def _can_be_cloned(layer):
    """Tell whether its settings make it again: Keras's own do, and registered ones claim so."""
    kind = type(layer)
    known = keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind
    if isinstance(layer, keras.Model):
        return kind.__module__.startswith("keras.") and all(map(_can_be_cloned, layer.layers))
    own = kind.__module__.startswith("keras.") and kind is not keras.layers.Lambda
    return (own or known) and layer.activity_regularizer is None


def _clone_model(model, bfloat16=False):
    clone = partial(_clone_layer, bfloat16=bfloat16)
    if isinstance(model, keras.Sequential):
        inputs = keras.Input(batch_shape=model.input_shape, dtype=model.inputs[0].dtype)
        return keras.Sequential([inputs, *map(clone, model.layers)], name=model.name)
    plain = keras.Model(model.input, model.output, name=model.name)  # not compiled, as the clone
    return keras.models.clone_model(plain, clone_function=clone)


def _clone_layer(layer, bfloat16):
    if isinstance(layer, keras.Model):
        return _clone_model(layer)
    own = {}
    if bfloat16 and type(layer) in IN_BFLOAT16 and layer.dtype_policy.name == "float32":
        is_softmax = getattr(layer, "activation", None) is keras.activations.softmax
        own = {} if is_softmax else {"dtype": "mixed_bfloat16"}
    kind = LOOK_UP.get(type(layer), type(layer))
    clone = kind.from_config(layer.get_config() | own)
    if _is_gelu(layer):
        clone.activation = gelu
    return clone


def _finalize(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _finalize(layer)
        elif isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with what it made of its first weights


def _is_gelu(layer):
    return getattr(layer, "activation", None) is keras.activations.gelu


def _names(model):
    """Return what tells that the variables of two models are in the same order."""
    layers = [layer.name for layer in model.layers if layer.variables]
    return layers, [(variable.name, tuple(variable.shape)) for variable in state_of(model)]
