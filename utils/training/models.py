"""Shapes in, untrained Keras models of standard layers out, which take pixels in [0, 1].

Model 1 is a small CNN. Models 2 and 3 put a new head on a backbone that ImageNet has trained.
Model 4 is the network of Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024,
github.com/KellerJordan/cifar10-airbench), made to be trained well in a few epochs.
"""

import os
from functools import partial

import keras
import numpy as np
from keras import layers

from utils.base.checks import positive_integer, positive_number
from utils.training.whitening import WHITENING

BN_MOMENTUM = 0.9  # Keras's 0.99 needs some hundred steps before it tells the truth
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)  # of the training pictures' red, green and blue, 0 to 1
CIFAR_VARIANCE = (0.0610, 0.0593, 0.0684)


def model_1(image_shape=(32, 32, 3), class_len=10, *, dropout=1.0):
    """Build the CNN: three blocks of two convolutions; the plain call's has 552,874 parameters.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels, sides of at least 32.
    class_len : int
        Number of classes, at least 2.
    dropout : float, 0 to 1
        What the rates of dropout (0.2, 0.3, 0.4 and 0.5) are multiplied by. It only matters in
        training: fifty thousand augmented pictures teach the network more without.

    Returns
    -------
    keras.Model
        (N, *image_shape) float in [0, 1] to (N, class_len) class probabilities.
    """
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout is {dropout!r}, expected 0 to 1, a share of the usual rates")
    image_shape, class_len = _check_shape(image_shape, class_len)
    model = keras.Sequential([keras.Input(image_shape)], name="model_1")
    for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4)):
        for _ in range(2):
            model.add(
                layers.Conv2D(
                    filters, 3, padding="same", activation="relu", kernel_initializer="he_uniform"
                )
            )
            model.add(layers.BatchNormalization(momentum=BN_MOMENTUM))
        model.add(layers.MaxPooling2D(2))
        model.add(layers.Dropout(rate * dropout))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu", kernel_initializer="he_uniform"))
    model.add(layers.BatchNormalization(momentum=BN_MOMENTUM))
    model.add(layers.Dropout(0.5 * dropout))
    model.add(layers.Dense(class_len, activation="softmax"))
    return model


def model_2(image_shape, class_len=10, *, weights="imagenet", trainable=False, resize_to=None):
    """Build the classifier on MobileNetV2 (Sandler et al., 2018).

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels, sides of at least 32.
    class_len : int
        Number of classes, at least 2.
    weights : "imagenet", path-like or None
        Of the backbone: downloaded by Keras, read from a weight file without top, or random.
    trainable : bool
        Train the backbone too; a frozen one runs in inference mode.
    resize_to : int, optional
        Pixels, at least 32: the model enlarges its pictures to squares of this side, since
        backbones expect things as large as in ImageNet's pictures of 224.

    Returns
    -------
    keras.Model
        (N, *image_shape) float in [0, 1] to (N, class_len) class probabilities.

    Raises
    ------
    ValueError, FileNotFoundError
        If a parameter is wrong, or the weight file is none or missing.
    ConnectionError
        If Keras can't bring the ImageNet weights.
    """
    image_shape, class_len = _check_shape(image_shape, class_len)
    inputs = keras.Input(image_shape)
    resized = _resized(inputs, resize_to)
    backbone = _backbone(keras.applications.MobileNetV2, resized.shape[1:], weights)
    scaled = layers.Rescaling(2.0, offset=-1.0)(resized)  # it was trained on pixels in [-1, 1]
    features = _pooled_features(backbone, scaled, trainable)
    hidden = layers.Dense(512, activation="relu")(features)
    outputs = layers.Dense(class_len, activation="softmax")(hidden)
    return keras.Model(inputs, outputs, name="model_2")


def model_3(
    image_shape,
    class_len=10,
    *,
    weights="imagenet",
    trainable=False,
    resize_to=None,
    feature_scale=1.0,
):
    """Build the classifier on VGG16 (Simonyan and Zisserman, 2014).

    Other parameters, result and errors are those of `model_2`.

    Parameters
    ----------
    feature_scale : float
        What the head multiplies the features by, which reach into the hundreds. Brought to the
        size of its weights, they let it learn at the rate of the backbone.
    """
    positive_number("feature_scale", feature_scale)
    image_shape, class_len = _check_shape(image_shape, class_len)
    inputs = keras.Input(image_shape)
    resized = _resized(inputs, resize_to)
    backbone = _backbone(keras.applications.VGG16, resized.shape[1:], weights)
    # It was trained on BGR pixels in [0, 255] less the ImageNet mean. The scale is a layer; the
    # channels are turned in the first kernel instead of in every picture.
    kernel, *others = backbone.get_layer("block1_conv1").get_weights()
    backbone.get_layer("block1_conv1").set_weights([kernel[:, :, ::-1], *others])
    mean = np.array([123.68, 116.779, 103.939]) / 255  # red, green, blue
    scaled = layers.Normalization(mean=mean.tolist(), variance=[255.0**-2] * 3)(resized)
    features = _pooled_features(backbone, scaled, trainable)
    if feature_scale != 1:
        features = layers.Rescaling(feature_scale)(features)
    outputs = layers.Dense(class_len, activation="softmax")(features)
    return keras.Model(inputs, outputs, name="model_3")


def model_4(image_shape=(32, 32, 3), class_len=10, *, width=(64, 256, 256), depth=2):
    """Build the network that learns most in a few epochs: 1,973,954 parameters.

    Its first convolution is there to whiten small squares of pixels: see `whiten`.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels, sides of at least 32.
    class_len : int
        Number of classes, at least 2.
    width : sequence of 3 int
        Filters of each block. In the paper these reach 94 % in ten epochs; (128, 384, 384) is for
        95 % and (128, 384, 512) with `depth` 3 for 96 %; (64, 128, 128) takes half the time.
    depth : int, 2 or 3
        Convolutions a block; of three, the last two are bridged by a residual connection.

    Returns
    -------
    keras.Model
        (N, *image_shape) float in [0, 1] to (N, class_len) class probabilities.
    """
    image_shape, class_len = _check_shape(image_shape, class_len)
    if depth not in (2, 3):
        raise ValueError(f"depth is {depth!r}, expected 2 or 3 convolutions a block")
    inputs = keras.Input(image_shape)
    x = layers.Normalization(mean=CIFAR_MEAN, variance=CIFAR_VARIANCE)(inputs)
    x = layers.Conv2D(2 * 2 * 2 * 3, 2, activation="gelu", name=WHITENING)(x)
    for filters in _check_width(width):
        x = _normalised(layers.MaxPooling2D(2)(_convolution(x, filters)))
        x = layers.Activation("gelu")(x)
        bridge = x
        for _ in range(depth - 2):
            x = layers.Activation("gelu")(_normalised(_convolution(x, filters)))
        x = _normalised(_convolution(x, filters))
        x = layers.Activation("gelu")(layers.Add()([x, bridge]) if depth == 3 else x)
    x = layers.Rescaling(1 / 9)(layers.GlobalMaxPooling2D()(x))  # keeps the softmax soft at first
    outputs = layers.Dense(class_len, activation="softmax", kernel_initializer=_small_uniform())(x)
    return keras.Model(inputs, outputs, name="model_4")


def _convolution(x, filters):
    """Convolve 3x3; at first, the first filters hand the channels on as they are."""
    layer = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer=_small_uniform()
    )
    y = layer(x)
    kernel = layer.kernel.numpy()
    same = np.arange(min(kernel.shape[2:]))
    kernel[:, :, :, same] = 0
    kernel[1, 1, same, same] = 1
    layer.kernel.assign(kernel)
    return y


def _normalised(x):
    return layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=1e-12, scale=False)(x)


def _small_uniform():
    return keras.initializers.VarianceScaling(1 / 3, distribution="uniform")


def _check_width(width):
    try:
        filters = [positive_integer("width", filters) for filters in width]
    except (TypeError, ValueError):
        filters = []
    if len(filters) != 3:
        raise ValueError(f"width is {width!r}, expected the filters of each of three blocks")
    return filters


def _resized(inputs, side):
    if side is None:
        return inputs
    pixels = positive_integer("resize_to", side)
    if pixels < 32:
        raise ValueError(f"resize_to is {side!r}, expected None or a side of at least 32 pixels")
    # Its mode would be training, which it hands on to all layers behind it (keras-hub issue 2776).
    return layers.Resizing(pixels, pixels)(inputs, training=False)


def _pooled_features(backbone, scaled, trainable):
    backbone.trainable = trainable
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BN_MOMENTUM
    # A frozen backbone keeps its batch normalisation at the ImageNet statistics.
    features = backbone(scaled) if trainable else backbone(scaled, training=False)
    return layers.GlobalAveragePooling2D()(features)


def _check_shape(image_shape, class_len):
    try:
        height, width, channels = (positive_integer("image_shape", side) for side in image_shape)
    except (TypeError, ValueError):
        height = width = channels = 0
    if min(height, width) < 32 or channels != 3:
        raise ValueError(
            f"image_shape is {image_shape!r}, expected (height, width, 3) with sides of at least 32"
        )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras's image_data_format is channels_first, but pictures here have their channels "
            "last; set it by keras.config.set_image_data_format, or in ~/.keras/keras.json"
        )
    classes = positive_integer("class_len", class_len)
    if classes < 2:
        raise ValueError(f"class_len is {class_len!r}, expected at least 2 classes")
    return (height, width, channels), classes


def _backbone(application, image_shape, weights):
    build = partial(application, input_shape=image_shape, include_top=False)
    if weights is None:
        return build(weights=None)
    if weights == "imagenet":
        try:
            return build(weights="imagenet")
        except Exception as error:  # Keras raises a plain one where a download fails
            raise ConnectionError(
                f"Keras can't bring the ImageNet weights: {error}; pass the path of a weight file "
                "(in the notebooks: VGG16_WEIGHTS or MOBILENETV2_WEIGHTS) or None for random ones"
            ) from error
    if not os.path.isfile(weights):
        raise FileNotFoundError(
            f"{weights}: no weight file there; pass a path, 'imagenet' (Keras downloads it) or None"
        )
    backbone = build(weights=None)
    try:
        backbone.load_weights(weights)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{weights}: not a weight file of {application.__name__} without top: {error}"
        ) from error
    return backbone


# By the name that recipes have for them. Of those on a backbone, which environment variable may
# name the file of its weights, or say "none".
NETWORKS = {"model_1": model_1, "model_2": model_2, "model_3": model_3, "model_4": model_4}
PRETRAINED = {"model_2": "MOBILENETV2_WEIGHTS", "model_3": "VGG16_WEIGHTS"}
