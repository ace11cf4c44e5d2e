"""Labels and predictions in, reports out: precision, recall and F1 as CSV and Markdown."""

import csv
import io

import numpy as np
from sklearn.metrics import classification_report

from utils.base.cifar10 import CLASS_NAMES
from utils.base.files import write_text


def write_classification_report(path, labels, predictions, *, class_names=CLASS_NAMES):
    """Write precision, recall, F1 and support of the classes and their averages.

    Parameters
    ----------
    path : path-like
        Without suffix; ``.csv`` and ``.md`` are written.
    labels, predictions : array of int, shape (N,), 0 to 9
        A class that never occurs keeps its row, with zeros.
    class_names : sequence of str
        In label order.

    Returns
    -------
    str
        The report as a Markdown table.

    Raises
    ------
    ValueError
        If a label or a prediction is none of the ten classes, or there are not as many of both.
    """
    last = len(class_names) - 1
    labels, predictions = np.reshape(labels, -1), np.reshape(predictions, -1)
    strange = np.setdiff1d([*labels, *predictions], np.arange(last + 1))
    if strange.size:
        raise ValueError(
            f"{strange[0]} is among the labels or predictions, expected 0 to {last}; pass those "
            f"of a model with {last + 1} classes, or its class_names"
        )
    report = classification_report(
        labels,
        predictions,
        labels=np.arange(last + 1),
        target_names=class_names,
        output_dict=True,
        zero_division=0,
    )
    header = ["class", "precision", "recall", "f1-score", "support"]
    names = [*class_names, "macro avg", "weighted avg"]
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


def _write_csv(path, header, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
