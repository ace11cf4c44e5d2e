"""Write a model as ONNX and LiteRT, and check that both predict what Keras predicts.

    python -m tools.export_model [models/model_1.keras ...]     or: make export

The files go to ``build/export/``. They take pixels float32 in [0, 1] of shape (N, 32, 32, 3) and
give probabilities of shape (N, 10).
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from tf2onnx.handler import tf_op

from utils.base.cifar10 import ROOT
from utils.base.files import atomic_path
from utils.results.model_files import load_model
from utils.results.records import best_first

TOLERANCE = 1e-4  # of a probability
CHECKED = 256  # random pictures


def export_model(path, directory):
    """Export the model at `path` to `directory` (path-likes) in both formats, and compare.

    Returns
    -------
    dict of pathlib.Path to float
        File to the largest difference of a probability from Keras's.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no model or `load_model` refuses it; or if a difference is
        larger than 1e-4, and the file is not kept.
    """
    model = _exportable(load_model(path))
    images = np.random.default_rng(0).random((CHECKED, *model.input_shape[1:]), np.float32)
    expected = model(images, training=False).numpy()
    differences = {}
    for suffix, kind, runner in (
        (".onnx", "onnx", onnx_runner),
        (".tflite", "litert", litert_runner),
    ):
        target = Path(directory) / f"{Path(path).stem}{suffix}"
        with atomic_path(target) as temporary:
            model.export(temporary, format=kind, verbose=False)
            difference = float(np.abs(runner(temporary)(images) - expected).max())
            if not difference <= TOLERANCE:
                raise ValueError(f"{target}: differs by {difference:.1e} from Keras; not written")
        differences[target] = difference
    return differences


def _exportable(model):
    """Return the same network without the Normalization layers that tf2onnx takes for inputs."""

    def replace(layer):
        if not isinstance(layer, keras.layers.Normalization):
            return layer.__class__.from_config(layer.get_config())
        scale = 1 / np.sqrt(np.ravel(layer.variance))
        shift = -np.ravel(layer.mean) * scale
        return keras.layers.Rescaling(scale.tolist(), shift.tolist(), name=layer.name)

    copy = keras.models.clone_model(model, clone_function=replace)
    copy.set_weights(model.get_weights())
    return copy


@tf_op("Erfc")
class _Erfc:
    """What GELU calls and tf2onnx, which Keras calls, does not know: 1 minus the error function."""

    @classmethod
    def version_9(cls, graph, node, **kwargs):
        node.type = "Erf"
        one = graph.make_const(f"{node.name}_one", np.ones((), np.float32)).output[0]
        output = node.output[0]
        graph.insert_new_node_on_output("Sub", output, inputs=[one, output])


def onnx_runner(path):
    """Return a function from images to probabilities that runs the ONNX file at `path`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def litert_runner(path):
    """Return a function from images to probabilities that runs the LiteRT file at `path`."""
    run = Interpreter(os.fspath(path), num_threads=os.cpu_count()).get_signature_runner()
    (name,), (output,) = run.get_input_details(), run.get_output_details()
    return lambda images: run(**{name: images})[output]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="default: all in models/")
    # Keras's converter asks NumPy for names it has dropped.
    warnings.filterwarnings("ignore", "In the future `np", FutureWarning)
    for path in parser.parse_args().models or best_first():
        try:
            differences = export_model(path, ROOT / "build" / "export")
        except (FileNotFoundError, ValueError) as problem:
            sys.exit(str(problem))
        for target, difference in differences.items():
            print(f"{target}: at most {difference:.1e} from Keras's probabilities")


if __name__ == "__main__":
    main()
