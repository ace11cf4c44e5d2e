"""The same seed gives the same split, order, augmentation and weights, in any process."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from killed import run_script

from utils.load_patchs import read_image_labels
from utils.model_training_testing import one_cycle_schedule, train_and_evaluate_models
from utils.pipeline.names_file import split_names_file

IN_A_PROCESS = """
import json, sys
from pathlib import Path
import tensorflow as tf
import test_seeds
from utils.training import twins as fast_training
fast_training.CPU_INFO = Path("none")  # float32, as in conftest
tf.config.experimental.enable_op_determinism()
print(json.dumps([test_seeds.run(seed, *sys.argv[1:]) for seed in (0, 0, 1)]))
"""


def run(seed, names_file, images_directory, folder):
    """Go the way of the notebook; return what became of the seed: three digests and weights."""
    keras.utils.set_random_seed(seed)
    parts = [f"{folder}/train.txt", f"{folder}/validation.txt"]
    split_names_file(names_file, *parts, validation_size=0.2, seed=seed)
    how = {"patch_size": 16, "image_shape": (32, 32), "images_directory": images_directory}
    augmented = {"shuffle": True, "seed": seed, "cache": "memory", "max_shift": 1}
    seen = read_image_labels(parts[0], **how, **augmented)
    passes = [list(seen.as_numpy_iterator()) for _ in range(2)]
    layers = [
        keras.Input((32, 32, 3)),
        keras.layers.Conv2D(4, 3, strides=2),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
    model = keras.Sequential(layers, name="small")
    train = read_image_labels(parts[0], **how, **augmented)
    validation = read_image_labels(parts[1], **how)
    schedule = one_cycle_schedule(0.1, 2 * len(passes[0]))
    train_and_evaluate_models([model], train, validation, 2, 16, True, schedule, verbose=0)
    labels = [labels for patches in passes for _, labels in patches]
    images = [images for patches in passes for images, _ in patches]
    return {
        "split": digest(np.array([Path(part).read_text() for part in parts])),
        "order": digest(np.concatenate(labels)),
        "pictures": digest(np.concatenate(images)),
        "weights": [weight.ravel().tolist() for weight in model.get_weights()],
    }


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


@pytest.fixture(scope="module")
def runs(converted, tmp_path_factory):
    """Three runs in a process with deterministic operations, with the seeds 0, 0 and 1."""
    place = tmp_path_factory.mktemp("seeds")
    arguments = (converted.train_names, converted.images_directory, place)
    return json.loads(run_script(IN_A_PROCESS, *arguments))


def test_the_same_seed_gives_the_same_to_the_last_bit(runs):
    assert runs[0] == runs[1]


@pytest.mark.parametrize("what", ["split", "order", "pictures", "weights"])
def test_another_seed_gives_another(runs, what):
    assert runs[0][what] != runs[2][what]


def test_another_process_gets_the_same_also_without_deterministic_operations(
    runs, converted, tmp_path
):
    here = run(0, converted.train_names, converted.images_directory, tmp_path)
    for weights, expected in zip(here.pop("weights"), runs[0]["weights"], strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-5)
    assert here == {name: runs[0][name] for name in here}
