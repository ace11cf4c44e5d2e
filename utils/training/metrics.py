"""Labels in whatever form metrics get them, rows of zeros and ones out."""

import keras


def one_hot_rows(y_true, y_pred):
    """Return labels as one-hot rows, also where a graph doesn't know their shape yet.

    Parameters
    ----------
    y_true : tensor, shape (N, C) one-hot, or (N,) or (N, 1) integer labels
    y_pred : tensor of float, shape (N, C)

    Returns
    -------
    tensor like `y_pred`
    """
    classes = y_pred.shape[-1]

    def from_indices():
        return keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), classes, dtype=y_pred.dtype)

    def as_they_are():
        return keras.ops.cast(keras.ops.reshape(y_true, (-1, classes)), y_pred.dtype)

    shape = y_true.shape
    rank = shape.rank if hasattr(shape, "rank") else len(shape)  # TensorFlow's may be unknown
    if rank is None or (rank == 2 and shape[-1] is None):
        is_rows = keras.ops.size(y_true) == keras.ops.size(y_pred)
        return keras.ops.cond(is_rows, as_they_are, from_indices)
    return as_they_are() if rank == 2 and shape[-1] == classes else from_indices()
