"""Small ``.onnx`` files for the page, with and without a record, made without Keras."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from utils.base.cifar10 import CLASS_NAMES
from utils.base.files import sha256_of

WEIGHTS = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32) * 8
METADATA = {"classes": ",".join(CLASS_NAMES), "title": "Tiny network"}


def write_onnx(path, *, shape=("N", 32, 32, 3), classes=10, metadata=METADATA, **changes):
    """Write a network of the mean colour to `path` (pathlib.Path), and return it.

    `changes` are ``operator`` (str) and ``domain`` (str) of what takes the mean, ``outputs``
    (names), ``external`` (str): a file that holds the weights.
    """
    outputs = changes.get("outputs", ("features", "logits"))
    mean = {"axes": [1, 2], "keepdims": 0} if "operator" not in changes else {}
    nodes = [
        helper.make_node(
            changes.get("operator", "ReduceMean"),
            ["pixels"],
            [outputs[0]],
            domain=changes.get("domain", ""),
            **mean,
        ),
        helper.make_node("MatMul", [outputs[0], "weights"], [outputs[1]]),
    ]
    weights = np.resize(WEIGHTS, (shape[-1], classes))
    sizes = {outputs[0]: shape[-1], outputs[1]: classes}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
            for name, size in sizes.items()
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 15)]
    if changes.get("domain"):
        opsets.append(helper.make_opsetid(changes["domain"], 1))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    if "external" in changes:
        onnx.save(
            model,
            path,
            save_as_external_data=True,
            location=changes["external"],
            size_threshold=0,
        )
    else:
        onnx.save(model, path)
    return path


def write_recorded(root, name="tiny", *, scores, **options):
    """Write ``models/<name>.onnx`` below `root`, and a record that knows it; return the file."""
    place = f"results/{name}/seed_0.json"
    metadata = {**METADATA, "record": place, "experiment": name}
    path = write_onnx(root / "models" / f"{name}.onnx", metadata=metadata, **options)
    record = {"model": {"sha256": {path.name: sha256_of(path)}}, "scores": scores}
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(json.dumps(record))
    return path
