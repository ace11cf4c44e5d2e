"""Records of runs: what was trained how, on what, and what came out; one JSON file a run.

A run is an experiment and a seed; its record is ``results/<experiment>/seed_<n>.json``. Means and
intervals over seeds are computed from records and never stored.
"""

import importlib
import json
import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from utils.base.cifar10 import ROOT
from utils.base.files import write_text

RESULTS = ROOT / "results"
CPU_INFO = Path("/proc/cpuinfo")  # Linux only
# What every record has, with the types that it may be of.
NUMBER, TEXT = (int, float), (str, type(None))
SCHEMA = {
    "experiment": str,
    "seed": int,
    "recipe": {"network": str, "epochs": int},
    "data": {"name": str, "archive_sha256": TEXT, "train": int, "validation": int, "test": int},
    "training": {
        "engine": str,
        "seconds": NUMBER,  # of this run's epochs, validation included, compilation apart
        "compilation_seconds": (*NUMBER, type(None)),
        "device": {
            "accelerator": TEXT,  # a GPU's name
            "processor": str,
            "vendor": TEXT,
            "family": (int, type(None)),
            "model": (int, type(None)),
            "cores": int,
            "bfloat16": bool,  # whether convolutions computed in it
        },
        "versions": dict,
        "commit": TEXT,
        "finished": TEXT,
        "history": dict,
    },
    "model": {"parameters": int, "sha256": dict},
    "scores": dict,
}


def record_path(results, experiment, seed):
    """Return where a run's record lies (pathlib.Path), below the folder `results` (path-like)."""
    return Path(results) / experiment / f"seed_{seed}.json"


def write_record(results, record):
    """Write a record where it belongs.

    Parameters
    ----------
    results : path-like
        The folder of all records.
    record : dict
        With what `SCHEMA` asks for.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If it lacks something, or a value is of another type.
    """
    path = record_path(results, record.get("experiment", "none"), record.get("seed", "none"))
    _check(record, SCHEMA, path)
    write_text(path, json.dumps(record, indent=2) + "\n")
    return path


def read_record(path):
    """Return the record (dict) in the file at `path` (path-like).

    ValueError, naming the file and what is wrong, if it is damaged or no record.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path}: a damaged record: {error}; restore it with 'git checkout', or delete it and "
            "run the experiment again"
        ) from error
    _check(record, SCHEMA, path)
    return record


def read_records(results=RESULTS):
    """Return all records (list of dict) below the folder `results`, by experiment and seed.

    ValueError as of `read_record`.
    """
    paths = Path(results).glob("*/seed_*.json")
    records = [read_record(path) for path in paths if path.parent.parent == Path(results)]
    return sorted(records, key=lambda record: (record["experiment"], record["seed"]))


def summarise(values):
    """Return mean, spread and the mean's 95 % confidence interval by Student's t (dict).

    Of a single value (`values` is a list of float) the spread and the interval are None.
    """
    from scipy.stats import t  # noqa: PLC0415  # slow to import; runs do without

    mean, count = statistics.mean(values), len(values)
    deviation = interval = None
    if count > 1:
        deviation = statistics.stdev(values)
        half = t.ppf(0.975, count - 1) * deviation / np.sqrt(count)
        interval = [float(mean - half), float(mean + half)]
    return {
        "runs": count,
        "mean": mean,
        "standard_deviation": deviation,
        "confidence_interval_95": interval,
    }


def describe_training(history, *, engine, bfloat16, accelerator=None, compilation_seconds=None):
    """Return what a record says of a training that has just ended on this machine (dict).

    Parameters
    ----------
    history : dict of str to list of float
        An entry an epoch, with "seconds" among them.
    engine : str
        "tensorflow" or "jax".
    bfloat16 : bool
        Whether convolutions computed in it.
    accelerator : str, optional
        The GPU's name.
    compilation_seconds : float, optional
    """
    return {
        "engine": engine,
        "seconds": sum(history["seconds"]),
        "compilation_seconds": compilation_seconds,
        "device": {
            "accelerator": accelerator,
            **processor(),
            "cores": os.cpu_count(),
            "bfloat16": bfloat16,
        },
        "versions": versions(engine),
        "commit": commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "history": history,
    }


def versions(engine):
    """Return the versions (dict of str) of Python and of what computes; `engine` is the backend."""
    modules = {"keras": "keras", "numpy": "numpy", "scikit-learn": "sklearn", engine: engine}
    # Not by the name of the distribution: tensorflow-cpu and nightly builds have others.
    found = {name: importlib.import_module(module) for name, module in modules.items()}
    return {"python": platform.python_version()} | {
        name: module.__version__ for name, module in found.items()
    }


def processor():
    """Return the processor's name, vendor, family and model, as the system tells them (dict)."""
    lines = CPU_INFO.read_text("utf-8").splitlines() if CPU_INFO.is_file() else []
    told = {}
    for line in lines:
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    family, model = (int(told[name]) if name in told else None for name in ("cpu family", "model"))
    return {
        "processor": told.get("model name") or platform.processor() or platform.machine(),
        "vendor": told.get("vendor_id"),
        "family": family,
        "model": model,
    }


def hardware(record):
    """Return on what a run was trained, in words (str)."""
    device = record["training"]["device"]
    if device["accelerator"]:
        return device["accelerator"]
    bfloat16 = " with bfloat16" if device["bfloat16"] else ""
    return f"{device['cores']} cores of {device['processor']}{bfloat16}"


def commit():
    """Return the commit that the code is of (str), None outside a clone."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _check(found, schema, path, place="the record"):
    if not isinstance(found, dict):
        raise ValueError(f"{path}: {place} is {type(found).__name__}, expected an object")
    for name, kind in schema.items():
        if name not in found:
            raise ValueError(f"{path}: {place} lacks {name!r}; delete it and run it again")
        if isinstance(kind, dict):
            _check(found[name], kind, path, name)
        elif not isinstance(found[name], kind):
            raise ValueError(f"{path}: {name} is {found[name]!r}, which a record never has")
