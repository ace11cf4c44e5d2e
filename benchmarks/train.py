"""Training Model 1 or 4 end to end, augmentation included, against stock Keras and PyTorch.

    PYTHONPATH=. python benchmarks/train.py [model_1 or model_4] [--profile]

All train on made-up pictures with the same batches, optimizer and loss; stock Keras gets our
augmentation too, since its own layers take several times as long. PyTorch takes part where it is
installed (``pip install torch``). Peers in bfloat16 take part where the processor has instructions
for it: ours uses it there. Each side of a pair trains for at least three seconds, and no `tf.data`
pipeline tunes itself meanwhile. With ``--profile`` it only prints where our step goes. Takes about
ten minutes a model on two idle cores.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
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
from utils.training.tensorflow_engine import Trainer
from utils.training.twins import has_bfloat16
from utils.training.whitening import whiten

SETTINGS = {"batch": 128, "steps": 20, "max_shift": 2, "rate": 0.01, "momentum": 0.9}
SECONDS = 3  # of each side of a pair, at least


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
    options = tf.data.Options()
    options.autotune.enabled = False
    patches = patches.with_options(options)
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


def lasting(epoch):
    """Return a function that trains as many epochs as take `SECONDS`, after a first one."""
    epoch()
    start = time.perf_counter()
    epoch()
    count = math.ceil(SECONDS / (time.perf_counter() - start))

    def epochs(count):
        for _ in range(count):
            epoch()

    return epochs, count


def print_profile(name, epoch):
    """Print what share of a training epoch's processor time TensorFlow's operations take."""
    from jax.profiler import ProfileData  # noqa: PLC0415, it reads what TensorFlow writes

    epoch()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            epoch()
        (path,) = Path(folder).rglob("*.xplane.pb")
        milliseconds = Counter()
        for plane in ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                for event in line.events:
                    _, colon, kind = event.name.rpartition(":")
                    if colon and kind.isidentifier():
                        milliseconds[kind] += event.duration_ns / 1e6 / SETTINGS["steps"]
    print(f"{name}: milliseconds a step of {SETTINGS['batch']}, by operation")
    for kind, duration in milliseconds.most_common(20):
        print(f"{duration:8.1f}  {kind}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", choices=("model_1", "model_4"), default="model_1")
    parser.add_argument("--profile", action="store_true", help="only print where our step goes")
    arguments = parser.parse_args()
    name = arguments.model
    print(f"oneDNN: {os.environ.get('TF_ENABLE_ONEDNN_OPTS', 'as TensorFlow chooses')}")
    ours = keras_epoch(Trainer(build(name)))
    if arguments.profile:
        sys.exit(print_profile(name, ours))
    precisions = ("float32", "bfloat16") if has_bfloat16() else ("float32",)
    peers = {"stock Keras in float32": keras_epoch(build(name))}
    if has_bfloat16():
        peers["stock Keras in bfloat16"] = keras_epoch(build(name, "mixed_bfloat16"))
    if importlib.util.find_spec("torch"):
        peers |= {f"PyTorch in {kind}": torch_epoch(name, kind) for kind in precisions}
    else:
        print("PyTorch is not installed, and not compared")
    for peer_name, peer in peers.items():
        (our_epochs, count), (peer_epochs, peer_count) = lasting(ours), lasting(peer)
        both = [partial(way, max(count, peer_count)) for way in (our_epochs, peer_epochs)]
        compare(f"training of {name}, against {peer_name}", *both, pairs=7)
