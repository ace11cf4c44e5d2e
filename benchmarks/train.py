"""Training Model 1 or 4 end to end, augmentation included, against stock Keras and PyTorch.

    PYTHONPATH=. python benchmarks/train.py [model_1 or model_4]

All train on made-up pictures with the same batches, optimizer and loss; stock Keras gets our
augmentation too, since its own layers take several times as long. PyTorch takes part where it is
installed (``pip install torch``). Peers in bfloat16 take part where the processor has instructions
for it: ours uses it there. Takes about ten minutes on two idle cores.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from pairs import compare

from utils.model_training_testing import model_1, model_4
from utils.pipeline.augment import augment_patches
from utils.pipeline.batches import without_autotuning
from utils.pipeline.read_pictures import to_float
from utils.training.models import whiten
from utils.training.twins import has_bfloat16, training_twin

SETTINGS = {"batch": 128, "steps": 20, "max_shift": 2, "rate": 0.01, "momentum": 0.9}


def keras_epoch(model):
    """Return a function that trains `model` for an epoch."""
    random = np.random.default_rng(0)
    count = SETTINGS["batch"] * SETTINGS["steps"]
    images = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
    patches = tf.data.Dataset.from_tensor_slices((images, random.integers(0, 10, count)))
    patches = without_autotuning(patches)
    patches = patches.shuffle(count).batch(SETTINGS["batch"])
    patches = augment_patches(patches, SETTINGS["max_shift"], seed=0)
    patches = patches.map(lambda images, labels: (to_float(images), labels)).prefetch(2)
    optimizer = keras.optimizers.SGD(SETTINGS["rate"], momentum=SETTINGS["momentum"], nesterov=True)
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    return lambda: model.fit(patches, shuffle=False, verbose=0)


def build(name, precision="float32"):
    """Return the model `name` as Keras itself computes it, in `precision` (str, a dtype policy)."""
    keras.config.set_dtype_policy(precision)
    model = {"model_1": model_1, "model_4": model_4}[name]()
    keras.config.set_dtype_policy("float32")
    if name == "model_4":
        whiten(model, np.random.default_rng(0).random((100, 32, 32, 3)))
    return model


def torch_epoch(name, precision):
    """Return a function that trains the model `name` in PyTorch for an epoch."""
    script = str(Path(__file__).with_name("torch_training.py"))
    settings = json.dumps(SETTINGS | {"model": name, "precision": precision})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, script, settings], **pipes, text=True, bufsize=1)

    def epoch():
        process.stdin.write("train\n")
        if not process.stdout.readline():
            sys.exit("PyTorch has stopped; see its message above")

    return epoch


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", choices=("model_1", "model_4"), default="model_1")
    name = parser.parse_args().model
    print(f"oneDNN: {os.environ.get('TF_ENABLE_ONEDNN_OPTS', 'as TensorFlow chooses')}")
    ours = keras_epoch(training_twin(build(name)))
    precisions = ("float32", "bfloat16") if has_bfloat16() else ("float32",)
    peers = {"stock Keras in float32": keras_epoch(build(name))}
    if has_bfloat16():
        peers["stock Keras in bfloat16"] = keras_epoch(build(name, "mixed_bfloat16"))
    if importlib.util.find_spec("torch"):
        peers |= {f"PyTorch in {kind}": torch_epoch(name, kind) for kind in precisions}
    else:
        print("PyTorch is not installed, and not compared")
    for peer_name, peer in peers.items():
        ours(), peer()  # warm up
        compare(f"a training epoch of {name}, against {peer_name}", ours, peer, pairs=5)
