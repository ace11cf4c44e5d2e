"""What Keras takes in, a ``tf.data`` pipeline of batches out; for all that trains or predicts.

Taken are datasets of batches or of single examples, ``(x, y)`` or ``(x, y, sample_weight)`` of
arrays, ``keras.utils.PyDataset`` and whatever else has a length and gives such batches, as
PyTorch's DataLoader. Labels are of shape (N,), (N, 1) or, one-hot, (N, classes).
"""

import keras
import numpy as np
import tensorflow as tf

BATCH = 128  # examples a batch, where nobody says how many
TAKEN = (
    "pass a tf.data.Dataset of (images, labels), arrays as (images, labels), or a PyDataset; "
    "sample weights may be a third part"
)


def as_batches(name, data, batch_size=None, *, shuffle=False, seed=0):
    """Return a dataset of (images, labels) or (images, labels, sample weights) batches.

    Parameters
    ----------
    name : str
        Of the data, for messages.
    data : tf.data.Dataset, tuple of arrays, or keras.utils.PyDataset
        As the module says. What comes in batches stays in them.
    batch_size : int, optional
        Of what comes as arrays or single examples; 128 by default.
    shuffle : bool
        Bring arrays into another order in every pass, as ``fit`` does; all else has its own.
    seed : int
        Of that order.

    Returns
    -------
    tf.data.Dataset
        Of known ranks, without autotuning; what goes in is checked by `batch_checks.checked`.

    Raises
    ------
    ValueError
        If it is none of these, has no labels, never ends, or its arrays differ in length.
    """
    if isinstance(data, tf.data.Dataset):
        dataset = _with_ranks(name, data)
    elif isinstance(data, (tuple, list)):
        dataset = _from_arrays(name, data, batch_size or BATCH, seed if shuffle else None)
    elif isinstance(data, keras.utils.PyDataset) or _gives_batches(data):
        dataset = _from_sized(name, data)
    else:
        raise ValueError(f"{name} is {_kind(data)}; {TAKEN}")
    _check_parts(name, dataset.element_spec)
    if _is_single(dataset.element_spec):
        dataset = _with_ranks(name, dataset.batch(batch_size or BATCH))
    return without_autotuning(dataset)


def without_autotuning(dataset):
    """Return `dataset` (tf.data.Dataset) with its parallelism as it is written.

    The tuning thread sleeps up to a minute at a time, and the end of each pass waits for it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def refuse_endless(name, dataset):
    """Raise ValueError, which says `name`, if `dataset` (tf.data.Dataset) repeats for ever."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"{name} never ends; leave out its repeat()")


def first_batch(name, batches):
    """Return the first of `batches` (tf.data.Dataset), a tuple of tensors; ValueError if none."""
    batch = next(iter(batches.take(1)), None)
    if batch is None:
        raise ValueError(f"{name} is empty; check the names file or the arrays it was made from")
    return batch


def class_indices(labels):
    """Return labels of shape (N,), (N, 1) or, as one-hot rows, (N, classes) as int64 of (N,)."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return np.argmax(labels, axis=1)
    return labels.reshape(-1).astype(np.int64)


def _with_ranks(name, dataset):
    """Return a dataset whose parts have a known rank, and labels a known number of columns."""
    refuse_endless(name, dataset)
    specs = tf.nest.flatten(dataset.element_spec)
    if not all(isinstance(spec, tf.TensorSpec) for spec in specs):
        return dataset
    if all(spec.shape.rank is not None for spec in specs) and _has_columns(dataset):
        return dataset
    shapes = tf.nest.map_structure(lambda part: part.shape, first_batch(name, dataset))

    def with_rank(*parts):
        return tf.nest.map_structure(
            lambda part, shape: tf.ensure_shape(part, (None, *shape[1:]) if shape.rank else ()),
            parts,
            shapes,
        )

    return dataset.map(with_rank)


def _has_columns(dataset):
    """Tell whether the labels' number of columns is known, where they have some."""
    parts = dataset.element_spec
    labels = parts[1] if isinstance(parts, tuple) and len(parts) > 1 else None
    return not isinstance(labels, tf.TensorSpec) or None not in labels.shape[1:]


def _from_arrays(name, parts, batch_size, seed):
    if len(parts) not in (2, 3):
        raise ValueError(f"{name} is a {type(parts).__name__} of {len(parts)} parts; {TAKEN}")
    parts = tuple(map(_arrays_of, parts))
    lengths = [len(array) if array.ndim else 0 for array in tf.nest.flatten(parts)]
    if len(set(lengths)) > 1:
        words = ", ".join(map(str, lengths))
        raise ValueError(f"{name} has parts of different lengths, {words}; pass as many of each")
    if not all(lengths):
        raise ValueError(f"{name} is empty; pass at least one picture and its label")
    if seed is not None:
        dataset = tf.data.Dataset.from_tensor_slices(parts)
        return dataset.shuffle(lengths[0], seed=seed).batch(batch_size)
    batches = tf.data.Dataset.from_tensors(parts).rebatch(batch_size)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-lengths[0] // batch_size)))


def _arrays_of(part):
    """Return one part of what is passed as array, or as several where it is several inputs."""
    if isinstance(part, dict):
        return {key: _to_array(value) for key, value in part.items()}
    if isinstance(part, (tuple, list)) and part and all(hasattr(one, "shape") for one in part):
        several = [_to_array(one) for one in part]
        return tuple(several) if several[0].ndim else np.stack(several)  # scalars are labels
    return _to_array(part)


def _to_array(values):
    array = keras.ops.convert_to_numpy(values) if hasattr(values, "shape") else np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _gives_batches(data):
    """Tell whether `data` may be iterated again and again and knows how many batches it gives."""
    is_one = hasattr(data, "shape") or isinstance(data, (dict, str, bytes))
    return hasattr(data, "__len__") and hasattr(data, "__iter__") and not is_one


def _from_sized(name, data):
    """Read what is made in Python batch by batch, again in every pass."""
    count = getattr(data, "num_batches", None) or len(data)
    if not count:
        raise ValueError(f"{name} is empty; pass at least one batch")

    def read():
        if isinstance(data, keras.utils.PyDataset):
            yield from (_parts_of(name, data[number]) for number in range(count))
            data.on_epoch_end()
        else:
            yield from (_parts_of(name, batch) for batch in data)

    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), next(read())
    )
    dataset = tf.data.Dataset.from_generator(read, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def _parts_of(name, batch):
    if not isinstance(batch, (tuple, list)):
        raise ValueError(f"{name} gives what is {_kind(batch)}; {TAKEN}")
    return tuple(map(_arrays_of, batch))


def _check_parts(name, spec):
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        parts = f"{len(spec)} parts" if isinstance(spec, tuple) else f"what is {_kind(spec)}"
        raise ValueError(f"{name} gives {parts}, not images and labels; {TAKEN}")
    if not isinstance(spec[1], tf.TensorSpec):
        raise ValueError(
            f"{name} has labels {_kind(spec[1])}; pass one tensor of labels, and train a "
            "model of several outputs by its own fit"
        )
    if not all(part.dtype.is_numeric or part.dtype.is_bool for part in tf.nest.flatten(spec[1:])):
        raise ValueError(f"{name} has labels of {spec[1].dtype.name}; pass class indices from 0")


def _is_single(spec):
    """Tell whether what `spec` describes is one example, not a batch of them."""
    image, label = tf.nest.flatten(spec[0])[0].shape, spec[1].shape
    if label.rank == 0 or image.rank in (0, 4):
        return label.rank == 0
    return (image.rank == 3 and image[-1] in (1, 3, 4)) or image[0] != label[0]


def _kind(value):
    """Say what `value` is, for a message."""
    return "an array" if hasattr(value, "shape") else f"of type {type(value).__name__}"
