"""A trained Keras model in, an ``.onnx`` file out that explains itself, for the page and elsewhere.

Enters: a model from pixels float32 in [0, 1] to a softmax of the classes.
Leaves: a graph from ``pixels``, float32 of shape (N, height, width, 3), to ``logits``, shape
(N, classes), and ``features``, shape (N, F), what the head is given. The file's metadata say the
classes in their order, how pixels are prepared, the experiment and the record of its run.
"""

import warnings
from pathlib import Path, PurePath

import keras
import numpy as np
import onnx
import onnxruntime
from keras import ops

from utils.base.cifar10 import CLASS_NAMES
from utils.base.files import atomic_path, sha256_of

TOLERANCE = 1e-5  # of a probability; sums in another order differ by a tenth of it
CHECKED, BATCH = 256, 128  # random pictures where none are given; pictures a call
PREPARATION = (
    "RGB, upright, transparency on white; the middle square or a part of it, resized to "
    "{0}x{1} pixels by an antialiased bilinear filter; float32, 0 to 255 divided by 255"
)


def export_onnx(model, path, *, record, title=None, images=None, class_names=CLASS_NAMES):
    """Write `model` to `path`, once it answers there as in Keras.

    Parameters
    ----------
    model : keras.Model
        Its last layer ends in a softmax.
    path : path-like
        Ends in ``.onnx``.
    record : str or None
        Where the record of its run lies, below the repository root, with ``/``:
        ``results/<experiment>/seed_<n>.json``.
    title : str, optional
        The network's name for people; the page shows it.
    images : ndarray of float32, shape (N, height, width, 3), 0 to 1, optional
        Pictures to compare by; 256 random ones by default.
    class_names : sequence of str
        In label order, for the page: `load_patchs.read_classes` gives those of own pictures.

    Returns
    -------
    float
        The largest difference of a probability from Keras's.

    Raises
    ------
    ValueError
        If the model does not end in a softmax of these classes, one has a comma in its name, or
        the difference is more than 1e-5; nothing is written then.
    """
    if model.output_shape[1:] != (len(class_names),):
        raise ValueError(
            f"{model.name}: output {model.output_shape}, expected {len(class_names)} classes; pass "
            "class_names"
        )
    if any("," in name for name in class_names):
        raise ValueError(f"class_names has {class_names!r}; leave out the commas")
    if images is None:
        images = np.random.default_rng(0).random((CHECKED, *model.input_shape[1:]), np.float32)
    experiment = PurePath(record).parent.name if record else Path(path).stem
    metadata = {
        "classes": ",".join(class_names),
        "preparation": PREPARATION.format(*model.input_shape[1:3]),
        "experiment": experiment,
        "record": record or "",
        "title": title or experiment,
    }
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():  # tf2onnx asks NumPy for names it has dropped
            warnings.filterwarnings("ignore", "In the future `np", FutureWarning)
            exportable(model).export(temporary, format="onnx", verbose=False)
        graph = onnx.load(temporary)
        _end_before_softmax(graph.graph, model.name, len(class_names))
        _store_in_half(graph.graph)
        onnx.helper.set_model_props(graph, metadata)
        onnx.checker.check_model(graph, full_check=True)
        onnx.save(graph, temporary)
        difference = _largest_difference(model, onnx_runner(temporary), images)
        if not difference <= TOLERANCE:
            raise ValueError(f"{path}: differs by {difference:.1e} from Keras; not written")
    return difference


def add_onnx(model, directory, record, *, images, title=None):
    """Write a published model as ``<directory>/<experiment>.onnx`` too, and say so in its record.

    Parameters
    ----------
    model : keras.Model
        Loaded from its published file.
    directory : path-like
    record : dict
        Of its run; gets the file's hash, and as scores of ``onnx`` the largest difference of a
        probability from Keras's.
    images : ndarray of uint8, shape (N, height, width, 3), 0 to 255
        The validation pictures.
    title : str, optional
        As of `export_onnx`, which raises what this does.

    Returns
    -------
    pathlib.Path
    """
    path = Path(directory) / f"{record['experiment']}.onnx"
    place = f"results/{record['experiment']}/seed_{record['seed']}.json"
    pictures = np.float32(images) / np.float32(255)
    difference = export_onnx(model, path, record=place, title=title, images=pictures)
    record["model"]["sha256"][path.name] = sha256_of(path)
    record["scores"]["onnx"] = {"largest_difference": difference, "pictures": len(images)}
    return path


def exportable(model):
    """Return the same network (keras.Model) of layers that converters write well."""

    def replace(layer):
        if isinstance(layer, keras.layers.Normalization):  # tf2onnx takes its mean for an input
            scale = 1 / np.sqrt(np.ravel(layer.variance))
            shift = -np.ravel(layer.mean) * scale
            return keras.layers.Rescaling(scale.tolist(), shift.tolist(), name=layer.name)
        copy = layer.__class__.from_config(layer.get_config())
        if getattr(copy, "activation", None) is keras.activations.gelu:
            copy.activation = _gelu
        return copy

    copy = keras.models.clone_model(model, clone_function=replace, recursive=True)
    copy.set_weights(model.get_weights())
    copy(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports what was called
    return copy


def _gelu(x):
    """Return what Keras does by erfc, which tf2onnx does not know and ONNX Runtime can't fuse."""
    return 0.5 * x * (1 + ops.erf(x / np.float32(np.sqrt(2))))


def onnx_runner(path):
    """Return a function from images to probabilities that runs what `export_onnx` wrote."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images):
        (logits,) = session.run(["logits"], {"pixels": images})
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    return run


def _end_before_softmax(graph, name, classes):
    """Take the softmax off an onnx.GraphProto, and name what goes in and out."""
    makers = {output: node for node in graph.node for output in node.output}
    softmax = makers[graph.output[0].name]
    if softmax.op_type != "Softmax":
        raise ValueError(f"{name}: ends in {softmax.op_type}; export a model that ends in softmax")
    logits = softmax.input[0]
    head = makers[logits]
    while head.op_type not in ("MatMul", "Gemm"):  # its bias
        head = next(makers[given] for given in head.input if given in makers)
    names = {graph.input[0].name: "pixels", logits: "logits", head.input[0]: "features"}
    graph.node.remove(softmax)
    for node in graph.node:
        node.input[:] = [names.get(given, given) for given in node.input]
        node.output[:] = [names.get(made, made) for made in node.output]
    weights = {array.name: array.dims for array in graph.initializer}
    sizes = {"logits": classes, "features": weights[head.input[1]][0]}
    graph.input[0].name = "pixels"
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    del graph.output[:], graph.value_info[:]
    graph.output.extend(
        onnx.helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, ["N", size])
        for key, size in sizes.items()
    )


def _store_in_half(graph):
    """Keep weights of an onnx.GraphProto in half the bytes, where float16 holds them exactly.

    That is so of published models; ONNX Runtime makes them float32 again when it opens the file.
    """
    for array in list(graph.initializer):
        values = onnx.numpy_helper.to_array(array)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.dtype == np.float32 and values.size > 1000 and (half == values).all():
            graph.initializer.remove(array)
            graph.initializer.append(onnx.numpy_helper.from_array(half, f"{array.name}/half"))
            whole = onnx.TensorProto.FLOAT
            cast = onnx.helper.make_node("Cast", [f"{array.name}/half"], [array.name], to=whole)
            graph.node.insert(0, cast)


def _largest_difference(model, run, images):
    parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    differences = [run(part) - ops.convert_to_numpy(model(part, training=False)) for part in parts]
    return float(max(np.abs(part).max() for part in differences))
