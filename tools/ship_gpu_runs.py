"""Measure what `tools.gpu_runs` has trained as everything else is measured, and ship it.

    python -m tools.ship_gpu_runs [model_1_long model_4_small ...]

Enters: ``models/gpu/<name>/``, the records in ``results/gpu/`` and the converted pictures. Leaves:
the model where `SHIPPED` says, its weights in half precision, and beside the notebook's results a
record, report, history and confusion matrices, of TensorFlow's predictions on this machine.
"""

import argparse
import json
import sys
from pathlib import Path

from tools.recorded_runs import read_dataset, read_pictures
from utils.base.cifar10 import ROOT
from utils.base.files import sha256_of
from utils.model_training_testing import predict
from utils.plotting import plot_combined_confusion_heat_map
from utils.results.model_files import load_model, save_model
from utils.results.records import write_run_record
from utils.results.reports import write_classification_report, write_history

FIRST = 512  # test pictures whose answers are counted apart: quick to check again
SHIPPED = {  # run to the folder of its model, and the record in results/
    "model_1_long": ("models", "model_1_gpu"),
    "model_4_small": ("models", "model_4_gpu"),
    "model_4_wide_muon": ("models/wide", "model_4_wide_gpu"),
    "model_3": ("models/transfer/model_3_32", "transfer/model_3_32_tuned_gpu"),
}
KEPT = ("model", "data", "seed", "parameters", "accelerator", "validation_accuracy")


def ship(root, name):
    """Measure and ship the model of a run's first seed.

    Parameters
    ----------
    root : path-like
        Of a repository in which the first notebook has converted the pictures.
    name : str
        Of `SHIPPED`.

    Returns
    -------
    dict
        The record, which is also written.

    Raises
    ------
    FileNotFoundError
        If nothing was converted, or there is no such model.
    ValueError
        If the run is none that is shipped, or the model's file is damaged or another one than
        the run left.
    """
    if name not in SHIPPED:
        raise ValueError(f"{name!r} is not shipped, expected one of {', '.join(SHIPPED)}")
    folder, run = SHIPPED[name]
    root, dataset = Path(root), read_dataset(root)
    above = root if dataset["name"] == "CIFAR-10" else root / dataset["results"]
    results = root / dataset["results"]
    place = results / "gpu" / f"{name}_seed_0.json"
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such run yet; 'make gpu' does it")
    trained = json.loads(place.read_text(encoding="utf-8"))
    path = above / "models" / "gpu" / name / f"{trained['model']}.keras"
    again = f"delete {place.parent}, then 'make gpu' trains all anew"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no model there; {again}")
    if sha256_of(path) != trained["model_sha256"][path.name]:
        raise ValueError(f"{path}: not the model that {place} tells of; {again}")
    model = load_model(path)
    directory = root / dataset["directory"]
    settings, minutes = trained["settings"], trained["minutes_of_training"]
    how = {"patch_size": FIRST, "max_shift": None, "validation_size": settings["validation_size"]}
    pictures = read_pictures(directory, directory / "checkpoints" / "ship", how, seed=0)
    accuracy, macro_f1, predictions, labels = predict(model, pictures.test)
    averaged_accuracy, averaged_f1, *_ = predict(model, pictures.test, test_time_augmentation=True)
    as_many = pictures.plain_train.take(int(pictures.test.cardinality()))
    _, _, train_predictions, train_labels = predict(model, as_many)
    write_classification_report(results / f"{run}_report", labels, predictions)
    write_history(results / f"{run}_history.csv", trained["history"])
    matrices = (train_labels, train_predictions, labels, predictions, f"{model.name}, {name}")
    plot_combined_confusion_heat_map(*matrices, path=results / f"{run}_confusion_matrix.pdf")
    suffixes = [".keras"] if name == "model_3" else [".keras", ".h5"]
    saved = save_model(model, above / folder, suffixes=suffixes, half_precision=True)
    return write_run_record(
        results / f"{run}.json",
        **{key: trained[key] for key in KEPT},
        profile="gpu",
        side=32,
        trained="all layers",
        runs=1,
        versions_of_training=trained["versions"],
        settings={**settings, "final_epochs": settings["epochs"], "seed": trained["seed"]},
        minutes_of_training=minutes,
        minutes_of_final_training=minutes,
        test_images=len(labels),
        test_accuracy=accuracy,
        test_macro_f1=macro_f1,
        test_accuracy_averaged=averaged_accuracy,
        test_macro_f1_averaged=averaged_f1,
        right_of_the_first=int((predictions == labels)[:FIRST].sum()),
        model_sha256={path.name: sha256_of(path) for path in saved},
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=SHIPPED, help=", ".join(SHIPPED))
    try:
        for name in parser.parse_args().names:
            record = ship(ROOT, name)
            print(
                f"{name}: test accuracy {record['test_accuracy']:.2%}, averaged over six views "
                f"{record['test_accuracy_averaged']:.2%}"
            )
    except (OSError, ValueError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
