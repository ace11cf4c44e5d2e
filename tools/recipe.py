"""How the runs of `tools.speedrun` and `tools.gpu_runs` train, and what they sum up to.

Nothing here needs TensorFlow.
"""

import json
import statistics

import numpy as np
import scipy.stats

from utils.base.files import write_text

SHARED = {
    "label_smoothing": 0.2,  # share of the target; ten epochs are too few to become sure
    "alternate": True,  # each picture is mirrored in every second epoch
}
RECIPES = {  # by optimizer; rates are at the top, for patches of 128, and go with their size
    "muon": {
        "patch_size": 500,
        "peak_rate_of_128": 0.1,
        "warm_up": 0.05,  # share of the steps in which the rate rises from zero
        "momentum": 0.85,  # Nesterov, of what SGD trains; Muon has its own
        "weight_decay": 0.015,  # decoupled, share a step of what SGD trains, times the rate
        **SHARED,
        "whitening_patches": 10,  # of training pictures: 5,000
    },
    "sgd": {  # as in the notebook
        "patch_size": 128,
        "peak_rate_of_128": 0.2,
        "warm_up": 0.25,
        "momentum": 0.9,
        "weight_decay": 5e-3,
        **SHARED,
        "whitening_patches": 40,
    },
}
MAX_SHIFT = 2  # pixels
VALIDATION_SIZE = 0.02  # share of the training pictures that is held out, as in the notebook
OWN = {  # the rate of Model 4's biases is larger, as they stand for its scales too
    "model_1": {"bias_rate": 1.0, "dropout": 0.0},
    "model_4": {"bias_rate": 64.0},
}
KERNEL_RATES = {"model_1": 0.2, "model_4": 0.3}  # Muon's
PACKED = "data/pictures.npz"  # what `tools.pack_pictures` writes and `tools.gpu_runs` reads
PARTS = ("train", "validation", "test")  # of the pictures there
MEASURED = ("test_accuracy", "test_accuracy_averaged", "minutes_of_training")


def recipe_of(model, epochs, *, optimizer="muon", max_shift=MAX_SHIFT, cutout=None):
    """Return what a record says (dict) of how `model`, "model_1" or "model_4", is trained.

    `optimizer` is "muon" or "sgd".
    """
    kernels = {"kernel_rate": KERNEL_RATES[model]} if optimizer == "muon" else {}
    return {
        "model": model,
        "epochs": epochs,
        **RECIPES[optimizer],
        **OWN[model],
        **kernels,
        "max_shift": max_shift,
        "cutout": cutout,
    }


def write_summary(place, records):
    """Write what the `records` (list of dict) of several seeds sum up to, and return it (dict).

    Versions and hardware are those of the first.
    """
    same = ("model", "data", "settings", "parameters", "versions", "hardware", "accelerator")
    summary = {
        **{name: records[0][name] for name in same if name in records[0]},
        "seeds": [record["seed"] for record in records],
        **{name: summarise([record[name] for record in records]) for name in MEASURED},
    }
    write_text(place, json.dumps(summary, indent=2) + "\n")
    return summary


def summarise(values):
    """Return mean, spread and the mean's 95 % confidence interval by Student's t (dict).

    Of a single value (`values` is a list of float) the spread and the interval are None.
    """
    mean, count = statistics.mean(values), len(values)
    deviation = interval = None
    if count > 1:
        deviation = statistics.stdev(values)
        half = scipy.stats.t.ppf(0.975, count - 1) * deviation / np.sqrt(count)
        interval = [float(mean - half), float(mean + half)]
    return {
        "runs": count,
        "mean": mean,
        "standard_deviation": deviation,
        "confidence_interval_95": interval,
    }


def recorded(place, settings, dataset):
    """Return the record (dict) at `place` (pathlib.Path), or None if there is none.

    ValueError if it is of other settings (dict) or data (dict). The same pictures in an archive of
    another hash, packed anew, are the same data.
    """
    if not place.exists():
        return None
    record = json.loads(place.read_text(encoding="utf-8"))
    if (record["settings"], record["data"]["name"]) != (settings, dataset["name"]):
        raise ValueError(f"{place}: a record of other settings or data; delete it to run it again")
    return record


def describe(record):
    """Return what a run reached, as a line (str)."""
    return (
        f"seed {record['seed']}: {record['minutes_of_training']:.3g} minutes, test accuracy "
        f"{record['test_accuracy']:.2%}, averaged over six views "
        f"{record['test_accuracy_averaged']:.2%}"
    )
