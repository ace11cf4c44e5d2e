"""A run on the JAX backend: recorded as any other, on a machine without TensorFlow."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from experiments.recipes import EXPERIMENTS
from experiments.runner import read_data, run
from experiments.training import build
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.results.records import read_record

SMALL = {"width": (4, 4, 4), "epochs": 1, "batch_size": 8, "validation_size": 10}
SCRIPT = """
import sys

class Without:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
from experiments.runner import run
run("airbench94", root=sys.argv[1], width=(4, 4, 4), epochs=1, batch_size=8, validation_size=10)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A repository with 30 training and 20 test pictures."""
    root = tmp_path_factory.mktemp("root")
    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 20)):
        lines = []
        for number in range(count):
            place = root / "data" / "images" / CLASS_NAMES[number % 10] / f"{part}_{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(place)
            lines.append(f"{place.name} {number % 10}")
        (root / "data" / f"{part}_names.txt").write_text("\n".join(lines))
    dataset = {"name": "noise", "archive_sha256": None, "directory": "data", "results": "results"}
    (root / "data" / "dataset.json").write_text(json.dumps(dataset))
    return root


def test_a_run_needs_no_tensorflow(root):
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", SCRIPT, root], check=True, env=environment, cwd=ROOT)
    (place,) = (root / "results").glob("airbench94,*/seed_0.json")
    record = read_record(place)
    training = record["training"]
    assert (training["engine"], training["device"]["bfloat16"]) == ("jax", True)
    assert training["versions"]["jax"]
    assert "tensorflow" not in training["versions"]
    assert training["compilation_seconds"] > 0
    assert record["scores"]["test"]["pictures"] == 20
    assert run("airbench94", root=root, **SMALL) == [record]  # which is there already


@pytest.mark.parametrize("name", ["airbench96", "airbench_small", "model_1_muon", "vgg16"])
def test_recipes_build_their_networks(name, root, monkeypatch):
    monkeypatch.setenv("VGG16_WEIGHTS", "none")
    model = build(EXPERIMENTS[name], read_data(10, root=root).train)
    sizes = {"airbench96": 9_921_858, "airbench_small": 498_690, "model_1_muon": 552_874}
    assert model.count_params() == sizes.get(name, 14_719_818)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == ([0] * 4 if name == "model_1_muon" else [])
