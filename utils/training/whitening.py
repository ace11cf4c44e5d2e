"""Model 4's first convolution, set by training pictures to whiten 2x2 pixels, and kept so."""

import numpy as np
from keras import layers

WHITENING = "whitening"  # its name


def whiten(model, images):
    """Make the first convolution of Model 4 whiten squares of 2x2 pixels, and keep it so.

    Its filters become the principal components of such squares, scaled to equal variance, and their
    negatives. From then on training here leaves them as they are, and changes their biases only,
    also of a loaded model; Keras's own ``fit`` would train what was loaded, or made trainable. An
    ``.h5`` is to be written by `utils.results.save_model`, since Keras itself writes one of such a
    model that nobody can load.

    Parameters
    ----------
    model : keras.Model
        As `model_4` returns it; changed in place.
    images : array of float, shape (N, height, width, 3), 0 to 1
        Training images; some thousands suffice.

    Raises
    ------
    ValueError
        If the model has no such convolution, or the images have another shape or range.
    """
    layer = next((layer for layer in model.layers if layer.name == WHITENING), None)
    if layer is None:
        raise ValueError(f"{model.name} has no layer {WHITENING!r}; pass what model_4 returns")
    images = _check_images(images, model.input_shape[1:])
    normalised = np.asarray(model.layers[1](images), np.float32)  # LAPACK has no float16
    squares = np.lib.stride_tricks.sliding_window_view(normalised, (2, 2), axis=(1, 2))
    squares = np.moveaxis(squares, 3, -1).reshape(-1, 12)  # row, column, channel, as in a kernel
    variances, components = np.linalg.eigh(squares.T @ squares / len(squares))
    filters = components / np.sqrt(variances + 5e-4)
    layer.kernel.assign(np.concatenate([filters, -filters], axis=1).reshape(2, 2, 3, 24))
    keep_whitening(model)


def keep_whitening(model):
    """Let training leave the filters of `whiten` as they are, whatever has made them trainable.

    They are known by their values, which a file keeps too: the second half negates the first.
    """
    for layer in model.layers:
        if layer.name == WHITENING and isinstance(layer, layers.Conv2D):
            kernel = np.asarray(layer.kernel)
            half = kernel.shape[-1] // 2
            if kernel.any() and np.array_equal(kernel[..., :half], -kernel[..., half:]):
                layer.kernel.trainable = False


def _check_images(images, shape):
    images = np.asarray(images)
    if images.size == 0 or images.shape[1:] != shape:
        raise ValueError(f"images have the shape {images.shape}, expected one or more of {shape}")
    if not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        raise ValueError(
            f"images go from {images.min()} to {images.max()}, expected 0 to 1; divide bytes by 255"
        )
    return images
