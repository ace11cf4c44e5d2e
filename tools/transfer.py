"""Train Models 2 and 3 on ImageNet's knowledge: frozen and fine-tuned, at 32 and 96 pixels.

    python -m tools.transfer [model_2_96 model_3_32 ...]     or: make transfer

Enters: the converted pictures; weight files named by ``MOBILENETV2_WEIGHTS`` and ``VGG16_WEIGHTS``,
or Keras's download. First the head learns from the frozen backbone's features, then all layers
learn together at a small rate. The test pictures are read once, at the end of each.
Leaves: in ``results/transfer/`` a record of each, ``<model>_<side>_<frozen or tuned>.json``; in
``models/transfer/`` the fine-tuned models. Started again, it goes on where it was interrupted.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import keras

from tools.recipe import recorded
from tools.recorded_runs import claim, measure, read_dataset, read_pictures
from utils.base.cifar10 import ROOT
from utils.base.files import check_writable, sha256_of
from utils.model_training_testing import (
    model_2,
    model_3,
    one_cycle_schedule,
    train_and_evaluate_models,
)
from utils.results.model_files import save_model
from utils.results.records import write_run_record
from utils.training.features import cache_features, split_at_features

BUILDERS = {
    "model_2": (model_2, "MOBILENETV2_WEIGHTS"),
    "model_3": (model_3, "VGG16_WEIGHTS"),
}
# VGG16 at 96 pixels takes nine times as long as at 32.
CELLS = ("model_2_32", "model_2_96", "model_3_32")
OWN_SETTINGS = {  # the rates are of the one-cycle schedule's top: of the head, of all layers
    "model_2": {"head_rate": 0.05, "rate": 0.02},
    # VGG16's features are 12 in the root mean square. An epoch takes half an hour on two cores: for
    # three of them 0.003; the thirty of `tools.gpu_runs` like 0.01 better.
    "model_3": {"head_rate": 0.3, "rate": 0.003, "feature_scale": 1 / 30, "epochs": 3},
}
SETTINGS = {
    "patch_size": 128,
    "head_epochs": 10,
    "epochs": 4,
    "warm_up": 0.25,  # share of the steps in which the rate rises from zero
    "momentum": 0.9,  # Nesterov
    "weight_decay": 5e-3,  # decoupled, share of a kernel a step, times the rate
    "label_smoothing": 0.1,
    "max_shift": 2,  # pixels of 32; half of the pictures are mirrored too
    "validation_size": 0.1,  # share of the training pictures
    "seed": 0,
}


def transfer(root, cells=CELLS, **settings):
    """Train and test what is not recorded yet.

    Parameters
    ----------
    root : path-like
        Of a repository in which the first notebook has converted the pictures.
    cells : sequence of str
        ``<model>_<side>``, as "model_2_96": which model, and to how many pixels it enlarges the
        pictures of 32.
    **settings
        Instead of those in `SETTINGS` and `OWN_SETTINGS`.

    Returns
    -------
    list of dict
        The records: of each cell frozen, then fine-tuned.

    Raises
    ------
    FileNotFoundError
        If nothing was converted, or a weight file is missing.
    ValueError
        If a cell is none, or a record or a checkpoint is of other settings.
    """
    for cell in cells:
        _parse(cell)
    dataset = read_dataset(root)
    results = Path(root) / dataset["results"] / "transfer"
    check_writable(results)  # now, not after the training
    records = []
    for cell in cells:
        name, _ = _parse(cell)
        own = SETTINGS | OWN_SETTINGS[name] | settings
        places = [results / f"{cell}_{kind}.json" for kind in ("frozen", "tuned")]
        found = [recorded(place, own, dataset) for place in places]
        records += found if all(found) else train_cell(root, cell, places, own, dataset)
        print("\n".join(map(_describe, records[-2:])), flush=True)
    return records


def train_cell(root, cell, places, settings, dataset):
    """Train the head, then all layers; write a record of each to `places`, and return both."""
    name, side = _parse(cell)
    directory = Path(root) / dataset["directory"]
    checkpoints = directory / "checkpoints" / "transfer" / cell
    claim(checkpoints, settings)
    keras.utils.set_random_seed(settings["seed"])  # first of all: the order follows it, too
    pictures = read_pictures(directory, checkpoints, settings, settings["seed"])
    build, variable = BUILDERS[name]
    weights = os.environ.get(variable) or "imagenet"
    options = {} if side == 32 else {"resize_to": side}
    if "feature_scale" in settings:
        options["feature_scale"] = settings["feature_scale"]
    model = build((32, 32, 3), weights=weights, trainable=True, **options)

    def record(place, trained, history, seconds, **sections):
        return write_run_record(
            place,
            model=name,
            side=side,
            trained=trained,
            data=dataset,
            settings=settings,
            minutes_of_training=round(seconds / 60, 1),  # with validation
            **measure(model, pictures.test, history),
            **sections,
        )

    frozen = recorded(places[0], settings, dataset)
    if frozen is None or not (checkpoints / f"{name}.npz").exists():
        start = time.perf_counter()
        history = train_head(model, pictures, settings)
        frozen = record(places[0], "head", history, time.perf_counter() - start)
    history = _fit(
        model,
        pictures.train,
        pictures.validation,
        settings["epochs"],
        settings["rate"],
        settings,
        checkpoint_directory=checkpoints,
    )
    is_sample = dataset["name"] != "CIFAR-10"
    models = Path(root) / (dataset["results"] if is_sample else "") / "models" / "transfer" / cell
    (saved,) = save_model(model, models, suffixes=[".keras"])
    seconds = 60 * frozen["minutes_of_training"] + sum(history.history["seconds"])
    hashes = {saved.name: sha256_of(saved)}
    tuned = record(places[1], "all layers", history, seconds, model_sha256=hashes)
    shutil.rmtree(checkpoints)
    return [frozen, tuned]


def train_head(model, pictures, settings):
    """Train the head of a model in place, on features that its backbone finds once.

    `pictures` is what `read_pictures` returns. Returns the keras.callbacks.History.
    """
    backbone, head = split_at_features(model)
    train = cache_features(backbone, pictures.plain_train)
    validation = cache_features(backbone, pictures.validation).batch(settings["patch_size"])
    train = train.shuffle(len(train), seed=settings["seed"]).batch(settings["patch_size"])
    epochs = settings["head_epochs"]
    return _fit(head, train, validation, epochs, settings["head_rate"], settings, verbose=2)


def _fit(model, train, validation, epochs, rate, settings, **options):
    _, history = train_and_evaluate_models(
        [model],
        train,
        validation,
        epochs,
        settings["patch_size"],
        True,
        one_cycle_schedule(rate, epochs * len(train), warm_up=settings["warm_up"]),
        settings["momentum"],
        nesterov=True,
        weight_decay=settings["weight_decay"],
        label_smoothing=settings["label_smoothing"],
        **options,
    )
    return history


def _parse(cell):
    """Return model name and side of a cell; ValueError if it is none."""
    name, _, side = str(cell).rpartition("_")
    if name not in BUILDERS or not side.isdigit() or int(side) < 32:
        raise ValueError(f"{cell!r} is no cell, expected model_2_<side> or model_3_<side>")
    return name, int(side)


def _describe(record):
    return (
        f"{record['model']} at {record['side']} pixels, {record['trained']} trained: "
        f"{record['minutes_of_training']:.0f} minutes, test accuracy "
        f"{record['test_accuracy']:.2%}, averaged over six views "
        f"{record['test_accuracy_averaged']:.2%}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", default=CELLS, help="model_2_96, model_3_32, ...")
    try:
        transfer(ROOT, parser.parse_args().cells)
    except (OSError, ValueError, FloatingPointError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
