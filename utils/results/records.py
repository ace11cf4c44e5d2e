"""Run records: what a run did and measured, written, read, and found for a model file."""

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import keras

from utils.base.cifar10 import ROOT
from utils.base.files import sha256_of, write_text

PACKAGES = (keras.backend.backend(), "keras", "numpy", "scikit-learn")  # TensorFlow or JAX
MODELS, RESULTS = ROOT / "models", ROOT / "results"
FALLBACK = "model_1"


def best_first(models=MODELS, results=RESULTS):
    """Find the ``.keras`` files of a folder, and the run record of each.

    Parameters
    ----------
    models, results : path-like
        Folders.

    Returns
    -------
    dict of pathlib.Path to dict
        File to its record, the highest test accuracy first. A file that no record tells of has
        an empty one and comes last; Model 1 is the first of equals, and the only one where the
        folder has no file at all, so that opening it says what is missing.

    Raises
    ------
    ValueError
        If a run record is damaged.
    """
    places = sorted(Path(results).glob("*.json"))
    records = [read_record(path, ("model", "test_accuracy"), "make run") for path in places]
    found = {path: record_of(path, records) for path in sorted(Path(models).glob("*.keras"))}

    def rank(path):
        return -found[path].get("test_accuracy", 0), path.stem != FALLBACK

    return {path: found[path] for path in sorted(found, key=rank)} or {
        Path(models) / f"{FALLBACK}.keras": {}
    }


def read_record(path, keys, command):
    """Return the record (dict) in the JSON file at `path` (path-like), which has all the `keys`.

    ValueError, naming the file and the `command` (str) that writes it anew, if it is damaged.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        missing = [key for key in keys if not isinstance(record, dict) or key not in record]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except ValueError as error:
        raise ValueError(
            f"{path}: a damaged record: {error}; restore it with 'git checkout' or write it anew "
            f"with '{command}'"
        ) from error
    return record


def record_of(path, records):
    """Return the record (dict) of the run that made the model at `path`, an empty one if none did.

    Parameters
    ----------
    path : path-like
        Either file of the model.
    records : list of dict
        One with ``model_sha256``, a dict of file name to SHA-256, is that of exactly those files;
        among older ones, without, the best of the model's name is taken.
    """
    path = Path(path)
    own = [record for record in records if record.get("model") == path.stem]
    hashed = [record for record in own if "model_sha256" in record]
    exact = [
        record for record in hashed if record["model_sha256"].get(path.name) == sha256_of(path)
    ]
    older = [record for record in own if "model_sha256" not in record]
    return max(exact or older, key=lambda record: record["test_accuracy"], default={})


def write_run_record(path, **sections):
    """Write what a run did and measured as JSON, with time, versions and hardware.

    Parameters
    ----------
    path : path-like
    **sections
        What the run adds: settings, seed, metrics and the like; anything JSON can hold.

    Returns
    -------
    dict
        What was written. Where TensorFlow computes on a GPU, `accelerator` is its name.
    """
    record = {
        **_accelerator(),
        **sections,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "hardware": {"processor": processor_name(), "cores": os.cpu_count()},
    }
    write_text(path, json.dumps(record, indent=2) + "\n")
    return record


def _accelerator():
    """Return the first GPU that TensorFlow computes on (dict), if there is one."""
    if keras.backend.backend() != "tensorflow":
        return {}
    import tensorflow as tf  # noqa: PLC0415  # where JAX computes it may not be installed

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return {}
    details = tf.config.experimental.get_device_details(gpus[0])
    return {"accelerator": details.get("device_name", "GPU")}


def processor_name():
    """Return the processor's name as the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
