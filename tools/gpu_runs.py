"""Train on a GPU what takes a CPU hours, by Keras's JAX backend.

    KERAS_BACKEND=jax python -m tools.gpu_runs [model_4 model_4_wide ...]     or: make gpu

Needs JAX with its GPU plugin, ``pip install "jax[cuda13]"``, and no TensorFlow. Enters:
``data/pictures.npz``, which `tools.pack_pictures` has made of the converted pictures.
Leaves: in ``results/gpu/`` a record of each run and ``<name>.json``, which sums up the seeds; in
``models/gpu/<name>/`` the model of the first seed, its weights in half precision. What is recorded
is not run again. The same thousand pictures are held out as everywhere; the test pictures are read
once, at the end of each run.
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

import jax
import keras
import numpy as np

from tools.recipe import (
    PACKED,
    PARTS,
    describe,
    recipe_of,
    recorded,
    write_summary,
)
from utils.base.cifar10 import ROOT
from utils.base.files import check_writable, sha256_of
from utils.results.model_files import load_model, save_model
from utils.results.records import write_run_record
from utils.training.jax_engine import measure_on_device, train_in_scans
from utils.training.models import model_1, model_3, model_4, whiten

STRONG = {"max_shift": 4, "cutout": 12}  # for many epochs
SMALL, NARROW, NORMAL, WIDE = [32, 128, 128], [64, 128, 128], [64, 256, 256], [128, 384, 512]
RUNS = {
    "model_4": {**recipe_of("model_4", 10), "width": NORMAL, "depth": 2, "runs": 5},
    "model_4_short": {  # as many epochs as the record by Muon
        **recipe_of("model_4", 8),
        "width": NORMAL,
        "depth": 2,
        "runs": 5,
    },
    "model_4_narrow": {**recipe_of("model_4", 10), "width": NARROW, "depth": 2, "runs": 5},
    "model_4_wide": {  # the paper's network for 96 %
        **recipe_of("model_4", 37, optimizer="sgd", **STRONG),
        "width": WIDE,
        "depth": 3,
        "peak_rate_of_128": 0.18,
        "runs": 1,
    },
    "model_4_wide_muon": {
        **recipe_of("model_4", 37, **STRONG),
        "width": WIDE,
        "depth": 3,
        "kernel_rate": 0.2,  # smaller steps for more epochs
        "runs": 1,
    },
    "model_4_small": {  # the page's: less to compute than Model 1
        **recipe_of("model_4", 180, optimizer="sgd", max_shift=4),
        "width": SMALL,
        "depth": 2,
        "teacher": "model_4_wide_muon",
        "label_smoothing": 0.0,  # it has smoothed its answers already
        "runs": 3,
    },
    "model_1": {**recipe_of("model_1", 30), "runs": 3},
    "model_1_long": {
        **recipe_of("model_1", 75, optimizer="sgd"),
        "teacher": "model_4_wide",
        "label_smoothing": 0.0,
        "runs": 3,
    },
    "model_3": {  # all layers, from ImageNet's weights
        **recipe_of("model_4", 30, optimizer="sgd", **STRONG),
        "model": "model_3",
        "bias_rate": 1.0,
        "peak_rate_of_128": 0.01,
        "label_smoothing": 0.1,
        "feature_scale": 1 / 30,
        "runs": 1,
    },
}


def gpu_runs(root, names=tuple(RUNS), **settings):
    """Do the runs that are not recorded yet.

    Parameters
    ----------
    root : path-like
        Of a repository in which `tools.pack_pictures` has packed the pictures.
    names : sequence of str
        Of `RUNS`; a teacher before its pupils.
    **settings
        Instead of those in `RUNS`.

    Returns
    -------
    list of dict
        What was written to ``<name>.json``.

    Raises
    ------
    FileNotFoundError
        If the pictures, a teacher or a weight file is missing.
    ValueError
        If there is no such run, or a record is of other settings.
    """
    for name in names:
        if name not in RUNS:
            raise ValueError(f"{name!r} is no run, expected one of {', '.join(RUNS)}")
    dataset, pictures = read_arrays(root)
    check_writable(Path(root) / dataset["results"] / "gpu")  # now, not after the training
    return [run_seeds(root, name, RUNS[name] | settings, dataset, pictures) for name in names]


def run_seeds(root, name, settings, dataset, pictures):
    """Do a run with each of its seeds, and sum up; returns what was written (dict).

    `dataset` and `pictures` (dicts) are what `read_arrays` returns.
    """
    results = Path(root) / dataset["results"] / "gpu"
    models = Path(root) / ("" if dataset["name"] == "CIFAR-10" else dataset["results"]) / "models"
    settings = {**settings, "validation_size": float(pictures["validation_size"])}
    count = settings.pop("runs")
    places = {seed: results / f"{name}_seed_{seed}.json" for seed in range(count)}
    missing = [seed for seed in places if recorded(places[seed], settings, dataset) is None]
    teacher = None
    if missing and "teacher" in settings:
        path = models / "gpu" / settings["teacher"] / "model_4.keras"
        if not path.exists():
            raise FileNotFoundError(f"{path}: no teacher there; run {settings['teacher']} first")
        teacher = load_model(path)
    train, validation, test = ((pictures[part], pictures[f"{part}_labels"]) for part in PARTS)
    build = partial(_build, settings, train[0])
    for seed, model, history, compilation in train_in_scans(
        build, missing, train, validation, settings, teacher=teacher
    ):
        sections = {}
        if seed == 0:
            paths = save_model(
                model, models / "gpu" / name, suffixes=[".keras"], half_precision=True
            )
            sections = {"model_sha256": {path.name: sha256_of(path) for path in paths}}
        record = write_run_record(
            places[seed],
            model=model.name,
            data=dataset,
            seed=seed,
            settings=settings,
            accelerator=jax.devices()[0].device_kind,
            minutes_of_training=sum(history["seconds"]) / 60,
            seconds_of_compilation=compilation,
            validation_accuracy=history["val_accuracy"][-1],
            **measure_on_device(model, *test),
            history=history,
            **sections,
        )
        print(f"{name}, {describe(record)}", flush=True)
    records = [recorded(place, settings, dataset) for place in places.values()]
    return write_summary(results / f"{name}.json", records)


def read_arrays(root):
    """Read what `tools.pack_pictures` wrote below `root` (path-like).

    Returns
    -------
    dataset : dict
        As of `tools.recorded_runs.read_dataset`.
    pictures : dict of str to array
        ``train``, ``validation`` and ``test``: uint8, shape (N, 32, 32, 3); ``train_labels`` and
        so on: int, shape (N,). And the ``validation_size``.
    """
    path = Path(root) / PACKED
    if not path.exists():
        raise FileNotFoundError(f"{path}: no pictures there; run 'python -m tools.pack_pictures'")
    with np.load(path) as file:
        pictures = dict(file)
    return json.loads(str(pictures.pop("dataset"))), pictures


def _build(settings, train_images):
    """Return an untrained model, or Model 3 with ImageNet's weights."""
    if settings["model"] == "model_1":
        return model_1(dropout=settings["dropout"])
    if settings["model"] == "model_3":
        weights = os.environ.get("VGG16_WEIGHTS") or "imagenet"
        scale = settings["feature_scale"]
        return model_3((32, 32, 3), weights=weights, trainable=True, feature_scale=scale)
    model = model_4(width=settings["width"], depth=settings["depth"])
    count = settings["whitening_patches"] * settings["patch_size"]
    whiten(model, train_images[:count] / np.float32(255))
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=RUNS, help=", ".join(RUNS))
    names = parser.parse_args().names
    if keras.backend.backend() != "jax":
        sys.exit("Keras computes by another backend; start with KERAS_BACKEND=jax, or 'make gpu'")
    if jax.default_backend() == "cpu":
        sys.exit('JAX finds no GPU here; where there is one, pip install "jax[cuda13]"')
    try:
        gpu_runs(ROOT, names)
    except (OSError, ValueError, FloatingPointError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
