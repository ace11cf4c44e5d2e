"""Trained models and their scores in, files under ``models/`` and ``results/`` out."""

import csv
import importlib.metadata
import io
import json
import os
import platform
import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import h5py
import keras
import numpy as np
from sklearn.metrics import classification_report

from utils.download_handle_data import CLASS_NAMES
from utils.files import atomic_path, write_text

PACKAGES = (keras.backend.backend(), "keras", "numpy", "scikit-learn")  # TensorFlow or JAX


def save_model(model, directory, *, suffixes=(".keras", ".h5"), half_precision=False):
    """Save a model as ``<directory>/<model name>.keras`` and ``.h5``.

    What is saved is the plain network without optimizer and metrics, so that it loads anywhere
    without custom objects.

    Parameters
    ----------
    model : keras.Model
    directory : path-like
    suffixes : sequence of str
        Which of the two formats.
    half_precision : bool
        Keep kernels as float16 in the files, of about half the size; loaded, they are float32
        again. What has one axis stays as it is: means, variances, biases.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    ValueError
        If a weight is too large for half precision.
    """
    plain = model.from_config(model.get_config())  # a clone would be compiled as the model is
    plain.set_weights(model.get_weights())
    paths = [Path(directory) / f"{model.name}{suffix}" for suffix in suffixes]
    # None gets its name before all are written; `.keras`, which the page reads, gets it last.
    with ExitStack() as stack:
        for temporary in [stack.enter_context(atomic_path(path)) for path in paths]:
            plain.save(temporary)
            if half_precision:
                _halve(temporary)
    return paths


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


def write_history(path, history):
    """Write a ``History.history`` (dict of metric name to list, an entry an epoch) as CSV."""
    rows = zip(*history.values(), strict=True)
    _write_csv(path, ["epoch", *history], [[i, *row] for i, row in enumerate(rows, start=1)])


def write_classification_report(path, labels, predictions):
    """Write precision, recall, F1 and support of the ten classes and their averages.

    Parameters
    ----------
    path : path-like
        Without suffix; ``.csv`` and ``.md`` are written.
    labels, predictions : array of int, shape (N,), 0 to 9
        A class that never occurs keeps its row, with zeros.

    Returns
    -------
    str
        The report as a Markdown table.

    Raises
    ------
    ValueError
        If a label or a prediction is none of the ten classes, or there are not as many of both.
    """
    strange = np.setdiff1d([*labels, *predictions], np.arange(len(CLASS_NAMES)))
    if strange.size:
        raise ValueError(
            f"{strange[0]} is among the labels or predictions, expected 0 to "
            f"{len(CLASS_NAMES) - 1}; pass those of a model with {len(CLASS_NAMES)} classes"
        )
    report = classification_report(
        labels,
        predictions,
        labels=np.arange(len(CLASS_NAMES)),
        target_names=CLASS_NAMES,
        output_dict=True,
        zero_division=0,
    )
    header = ["class", "precision", "recall", "f1-score", "support"]
    names = [*CLASS_NAMES, "macro avg", "weighted avg"]
    rows = [[name, *(report[name][column] for column in header[1:])] for name in names]
    rows = [[row[0], *(f"{value:.4f}" for value in row[1:4]), int(row[4])] for row in rows]
    _write_csv(f"{path}.csv", header, rows)
    table = markdown_table(header, rows)
    write_text(f"{path}.md", table)
    return table


def markdown_table(header, rows):
    """Return a Markdown table (str) of `header` (list) and `rows` (list of lists)."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


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


def _halve(path):
    """Store the weights of the model file at `path` as float16; Keras brings them back."""
    with tempfile.TemporaryDirectory() as folder:
        if path.suffix == ".h5":
            shutil.move(_halved(path, Path(folder) / "halved.h5"), path)
            return
        with zipfile.ZipFile(path) as file:
            file.extractall(folder)
        weights = Path(folder) / "model.weights.h5"
        shutil.move(_halved(weights, Path(folder) / "halved.h5"), weights)
        with zipfile.ZipFile(path, "w") as file:
            for part in sorted(Path(folder).iterdir()):
                file.write(part, part.name)


def _halved(source, target):
    """Copy an HDF5 file (both pathlib.Path), float32 arrays as float16, and return `target`."""
    largest = np.finfo(np.float16).max

    def copy(name, part):
        if isinstance(part, h5py.Dataset):
            values = part[()]
            if part.dtype == np.float32 and part.ndim > 1:  # a small variance would become zero
                if np.abs(values).max(initial=0) > largest:
                    raise ValueError(f"{name} has weights beyond {largest}; save it whole")
                values = values.astype(np.float16)
            copied = file.create_dataset(name, data=values)
        else:
            copied = file.require_group(name)
        copied.attrs.update(part.attrs)

    with h5py.File(source) as original, h5py.File(target, "w") as file:
        file.attrs.update(original.attrs)
        original.visititems(copy)
    return target


def _write_csv(path, header, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
