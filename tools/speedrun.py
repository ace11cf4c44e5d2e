"""Train Model 4 or 1 several times, and tell how well it classifies after how many minutes.

    python -m tools.speedrun [--runs 5 --epochs 10 --width 64,256,256 ...]     or: make speedrun
    python -m tools.speedrun --model model_1 --runs 3 --epochs 30 [--teacher models/model_4.keras]
    python -m tools.speedrun --width 128,384,512 --depth 3 --epochs 37 --max-shift 4 --cutout 12

The last trains the paper's network for 96 %: nearly four times the work for each picture.
Enters: the converted pictures. Each run has a seed of its own; all hold out the same thousand
of the training pictures, and read the test pictures once, at their end. The recipe was chosen
with a tenth held out.
Leaves: in ``results/speedrun/`` a record of each run, ``<variant>.json`` with mean, standard
deviation and 95 % confidence interval over all runs recorded there, and ``<variant>.pdf``, accuracy
over minutes beside what the notebook measured. Started again, it goes on where it was interrupted;
with another ``--seed`` it adds to what there is.
"""

import argparse
import csv
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import keras

from tools.recipe import (
    MAX_SHIFT,
    MEASURED,
    OWN,
    RECIPES,
    VALIDATION_SIZE,
    describe,
    recipe_of,
    recorded,
    write_summary,
)
from tools.recorded_runs import claim, measure, read_dataset, read_pictures
from utils.base.checks import positive_integer
from utils.base.cifar10 import ROOT
from utils.base.files import atomic_path, check_writable, sha256_of
from utils.load_patchs import extract_labels
from utils.model_training_testing import (
    model_1,
    model_4,
    one_cycle_schedule,
    train_and_evaluate_models,
)
from utils.plotting import plot_accuracy_over_minutes
from utils.results.model_files import load_model
from utils.results.records import write_run_record
from utils.training.models import whiten

PATCH_SIZE = RECIPES["muon"]["patch_size"]
PROFILES = ("quick", "full")  # of the notebook


def speedrun(
    root,
    *,
    model="model_4",
    runs=5,
    epochs=10,
    width=(64, 256, 256),
    depth=2,
    seed=0,
    patch_size=PATCH_SIZE,
    validation_size=VALIDATION_SIZE,
    max_shift=MAX_SHIFT,
    cutout=None,
    teacher=None,
):
    """Do the runs that are not recorded yet, and sum up all recorded ones, also of earlier calls.

    Parameters
    ----------
    root : path-like
        Of a repository in which the first notebook has converted the pictures.
    model : "model_4" or "model_1"
    runs, epochs : int
        At least 1.
    width, depth
        As of `utils.training.models.model_4`; Model 1 has neither.
    seed : int
        Of the first run; the others have the following ones.
    patch_size : int
        Pictures a training step.
    validation_size : float, 0 to 1
        Share of the training pictures that is held out, for the accuracy after each epoch.
    max_shift : int
    cutout : int, optional
        In pixels, as of `utils.load_patchs.read_image_labels`; long runs want more of both.
    teacher : path-like, optional
        A trained model, whose answers take the place of labels.

    Returns
    -------
    dict
        What was written to ``<variant>.json``.

    Raises
    ------
    FileNotFoundError
        If nothing was converted, or the teacher is missing.
    ValueError
        If an argument is wrong, the teacher is no model, or a record or a checkpoint is of other
        settings.
    """
    if model not in OWN:
        raise ValueError(f"model is {model!r}, expected one of {', '.join(OWN)}")
    runs, epochs = positive_integer("runs", runs), positive_integer("epochs", epochs)
    patch_size = positive_integer("patch_size", patch_size)
    settings = recipe_of(model, epochs, max_shift=max_shift, cutout=cutout)
    settings |= {"patch_size": patch_size, "validation_size": validation_size}
    variant = f"{model}_epochs_{epochs}"
    if model == "model_4":
        settings |= {"width": list(width), "depth": depth}
        variant = f"{model}_{'-'.join(map(str, width))}_depth_{depth}_epochs_{epochs}"
    if (max_shift, cutout) != (MAX_SHIFT, None):  # the usual need no name
        variant += f"_shift_{max_shift}_cutout_{cutout}"
    if teacher is not None:
        load_model(teacher)  # refuses it now
        settings |= {"teacher_sha256": sha256_of(teacher), "label_smoothing": 0.0}
        variant += f"_taught_by_{Path(teacher).stem}"
    dataset = read_dataset(root)
    results = Path(root) / dataset["results"] / "speedrun"
    check_writable(results)  # now, not after the training
    for place in results.glob(f"{variant}_seed_*.json"):
        recorded(place, settings, dataset)  # refused now, too: all are summed up at the end
    for one in range(seed, seed + runs):
        place = results / f"{variant}_seed_{one}.json"
        record = recorded(place, settings, dataset) or train_once(
            root, place, one, settings, dataset, teacher
        )
        print(describe(record), flush=True)
    places = results.glob(f"{variant}_seed_*.json")
    records = [recorded(place, settings, dataset) for place in places]
    records.sort(key=lambda record: record["seed"])
    figure = plot_accuracy_over_minutes(
        notebook_histories(results.parent) | {variant: [record["history"] for record in records]}
    )
    with atomic_path(results / f"{variant}.pdf") as temporary:
        figure.savefig(temporary, metadata={"CreationDate": None})
    return write_summary(results / f"{variant}.json", records)


def train_once(root, place, seed, settings, dataset, teacher=None):
    """Train and test a model, write the record to `place` (path-like), and return it (dict).

    `teacher` is the path of one, or None.
    """
    directory = Path(root) / dataset["directory"]
    checkpoints = directory / "checkpoints" / "speedrun" / Path(place).stem
    claim(checkpoints, settings)
    keras.utils.set_random_seed(seed)  # first of all: the order of the pictures follows it, too
    pictures = read_pictures(directory, checkpoints, settings, seed)
    model = _build(settings, pictures.plain_train)
    model, history = train_and_evaluate_models(
        [model],
        pictures.train,
        pictures.validation,
        settings["epochs"],
        settings["patch_size"],
        True,
        one_cycle_schedule(
            settings["peak_rate_of_128"] * settings["patch_size"] / 128,
            settings["epochs"] * len(pictures.train),
            warm_up=settings["warm_up"],
        ),
        settings["momentum"],
        nesterov=True,
        weight_decay=settings["weight_decay"],
        label_smoothing=settings["label_smoothing"],
        bias_rate=settings["bias_rate"],
        kernel_rate=settings["kernel_rate"],
        teacher=teacher and load_model(teacher),
        checkpoint_directory=checkpoints,
    )
    record = write_run_record(
        place,
        model=model.name,
        data=dataset,
        seed=seed,
        settings=settings,
        minutes_of_training=round(sum(history.history["seconds"]) / 60, 2),  # with validation
        **measure(model, pictures.test, history),
    )
    shutil.rmtree(checkpoints)
    return record


def notebook_histories(results):
    """Return name to list of one history of each ``<model>_<profile>_history.csv`` with times."""
    histories = {}
    for path in sorted(Path(results).glob("model_[1-4]_*_history.csv")):
        columns = defaultdict(list)
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    columns[name].append(float(value))
        model, _, profile = path.stem.removesuffix("_history").rpartition("_")
        if profile in PROFILES and "seconds" in columns:
            histories[f"{model}, {profile} profile"] = [dict(columns)]
    return histories


def _build(settings, plain_train):
    if settings["model"] == "model_1":
        return model_1(dropout=settings["dropout"])
    model = model_4(width=settings["width"], depth=settings["depth"])
    whiten(model, extract_labels(plain_train.take(settings["whitening_patches"]))[0])
    return model


def _describe_summary(summary):
    lines = []
    for name in MEASURED:
        found = summary[name]
        text = f"{name.replace('_', ' ')}: mean {found['mean']:.4g} of {found['runs']} runs"
        if found["runs"] > 1:
            low, high = found["confidence_interval_95"]
            text += f", standard deviation {found['standard_deviation']:.2g}"
            text += f", 95 % confidence interval {low:.4g} to {high:.4g}"
        lines.append(text)
    return "\n".join(lines)


def _filters(text):
    return tuple(map(int, text.split(",")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=OWN, default="model_4")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--width", type=_filters, default=(64, 256, 256), help="64,256,256")
    parser.add_argument("--depth", type=int, default=2, help="convolutions a block, 2 or 3")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument(
        "--patch-size", type=int, default=PATCH_SIZE, help="pictures a training step"
    )
    parser.add_argument("--max-shift", type=int, default=MAX_SHIFT, help="pixels")
    parser.add_argument("--cutout", type=int, help="side of a square that is painted over, pixels")
    parser.add_argument("--teacher", type=Path, help="a model file: learn its answers")
    parser.add_argument(
        "--validation-size", type=float, default=VALIDATION_SIZE, help="share held out"
    )
    try:
        summary = speedrun(ROOT, **vars(parser.parse_args()))
    except (OSError, ValueError, FloatingPointError) as problem:
        sys.exit(str(problem))
    print(_describe_summary(summary))


if __name__ == "__main__":
    main()
