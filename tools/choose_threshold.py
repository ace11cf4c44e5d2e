"""Choose below which energy score a picture is "probably none of the ten".

    python -m tools.choose_threshold [models/model_1.keras ...]     or: make threshold

For each model, writes ``models/<name>_threshold.json``, which the page reads: the threshold that
nine of ten validation pictures pass, and how often it is right, on the test set and on other
things. Needs converted data. The validation pictures are those the notebook held out; the others
are photographs that come with scikit-image, scikit-learn, matplotlib and Gradio, each whole (its
middle square) and in nine overlapping squares of half its side, and scikit-image's hundred faces
of 25x25 pixels. For comparison it also tells how well the largest probability would separate the
two, with the temperature that fits the validation pictures best.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss, roc_auc_score

from tools.recipe import VALIDATION_SIZE
from utils.base import cifar10
from utils.base.cifar10 import ROOT
from utils.base.files import sha256_of, write_text
from utils.load_patchs import extract_labels, images_to_patch, read_image_labels
from utils.pipeline.names_file import split_names_file
from utils.serving.classifier import load_classifier, run_in_batches, threshold_path

KEPT = 0.9  # share of the validation pictures that pass
# As in the notebook; these pictures are among the tenth that earlier runs of it held out.
SPLIT = {"validation_size": VALIDATION_SIZE, "seed": 0}
PHOTOGRAPHS = {
    "skimage/data": (
        *("astronaut.png", "brick.png", "camera.png", "cell.png", "coffee.png", "coins.png"),
        *("grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png"),
        *("moon.png", "page.png", "retina.jpg", "text.png"),
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
    "matplotlib/mpl-data/sample_data": ("grace_hopper.jpg",),
    "gradio/media_assets/images": ("cheetah.jpg", "groot.jpeg", "lion.jpg", "tower.jpg"),
}


def load_photographs():
    """Return whole middle squares and squares of half a side, two lists of uint8 arrays."""
    whole, parts = [], []
    for folder, names in PHOTOGRAPHS.items():
        for name in names:
            with Image.open(_packages_folder(folder) / name) as image:
                pixels = np.asarray(image.convert("RGB"))
            side = min(pixels.shape[:2])
            top, left = ((length - side) // 2 for length in pixels.shape[:2])
            whole.append(pixels[top : top + side, left : left + side])
            half = side // 2
            for y in np.linspace(0, pixels.shape[0] - half, 3, dtype=int):
                for x in np.linspace(0, pixels.shape[1] - half, 3, dtype=int):
                    parts.append(pixels[y : y + half, x : x + half])
    return whole, parts


def load_faces():
    """Return scikit-image's hundred faces (list of uint8 arrays of shape (25, 25, 3))."""
    pictures = np.load(_packages_folder("skimage/data") / "lfw_subset.npy")
    faces = pictures[:100]  # the others show no face
    return list(np.repeat(np.uint8(np.rint(faces * 255))[..., None], 3, axis=-1))


def measure(classifier):
    """Choose the threshold of a `Classifier` (utils.serving); return it with all measures."""
    data = cifar10.DATA_DIRECTORY

    def read(names_file):
        return extract_labels(read_image_labels(names_file, 500, classifier.image_shape))

    with tempfile.TemporaryDirectory() as folder:
        names_file = Path(folder) / "validation.txt"
        split_names_file(data / "train_names.txt", Path(folder) / "train.txt", names_file, **SPLIT)
        images, labels = read(names_file)
    probabilities, scores = run_in_batches(classifier, images)
    temperature = _fit_temperature(probabilities, labels)
    threshold = float(np.quantile(scores, 1 - KEPT))
    test_images, test_labels = read(data / "test_names.txt")
    test_probabilities, test_scores = run_in_batches(classifier, test_images)
    right, passed = test_probabilities.argmax(axis=1) == test_labels, test_scores >= threshold
    whole, parts = load_photographs()
    others = {"photographs": whole, "parts_of_photographs": parts, "small_gray_faces": load_faces()}
    results = {
        name: run_in_batches(classifier, images_to_patch(squares, classifier.image_shape))
        for name, squares in others.items()
    }
    strange_probabilities, strange_scores = results["parts_of_photographs"]
    known = np.repeat([True, False], [len(test_scores), len(strange_scores)])
    largest = [_scaled_maximum(p, temperature) for p in (test_probabilities, strange_probabilities)]
    return {
        "threshold": threshold,
        "validation": {**SPLIT, "pictures": len(labels), "share_that_passes": KEPT},
        "test": {
            "pictures": len(test_labels),
            "share_that_passes": passed.mean(),
            "accuracy": right.mean(),
            "accuracy_of_those_that_pass": right[passed].mean(),
        },
        "other_things": {
            name: {"pictures": len(found), "share_refused": (found < threshold).mean()}
            for name, (_, found) in results.items()
        },
        "area_under_roc_test_against_parts_of_photographs": {
            "energy": roc_auc_score(known, np.concatenate([test_scores, strange_scores])),
            "largest_probability": roc_auc_score(known, np.concatenate(largest)),
            "its_temperature": temperature,
        },
    }


def _packages_folder(folder):
    package, _, rest = folder.partition("/")
    return Path(importlib.util.find_spec(package).origin).parent / rest


def _fit_temperature(probabilities, labels):
    def loss(temperature):
        return log_loss(labels, _scale(probabilities, temperature))

    return float(minimize_scalar(loss, bounds=(0.2, 5), method="bounded").x)


def _scale(probabilities, temperature):
    powers = np.maximum(probabilities.astype(float), 1e-12) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def _scaled_maximum(probabilities, temperature):
    return _scale(probabilities, temperature).max(axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="default: all in models/")
    try:
        for path in parser.parse_args().models or sorted((ROOT / "models").glob("*.keras")):
            record = measure(load_classifier(path))
            record = {"model_sha256": sha256_of(path), "score": "energy", **record}
            text = json.dumps(record, indent=2)
            write_text(threshold_path(path), text + "\n")
            print(f"{threshold_path(path)}\n{text}")
    except (OSError, ValueError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
