"""Pictures, learning curves and confusion matrices as Matplotlib figures.

What enters: arrays (pixels, class indices) or a Keras training history; `class_names` where the
classes are others than CIFAR-10's. What leaves: one
`matplotlib.figure.Figure` a call; only `plot_combined_confusion_heat_map` writes a file.

A returned figure is already closed in pyplot: no window opens, nothing piles up in memory, and a
notebook shows it exactly once, as the last expression of a cell or by `display(figure)`.
Importing this module changes no Matplotlib setting.
"""

import itertools
import math
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from utils.base.checks import positive_integer
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.files import atomic_path
from utils.results.figure_checks import (
    checked_images,
    checked_labels,
    read_curves,
    read_minutes,
    require,
)
from utils.results.figure_parts import draw_confusion, picture_titles, side_of_confusion

MAX_COLUMNS = 8  # pictures a row that a notebook or a page is wide enough for
NEAREST_UP_TO = 64  # pixels a side; larger pictures shrink when drawn, and "nearest" would alias
# Okabe-Ito blue and vermilion; dashes and markers tell the curves apart without any colour.
TRAIN_LINE = {"color": "#0072B2", "linestyle": "-", "marker": "o", "markersize": 5}
HELD_OUT_LINE = {"color": "#D55E00", "linestyle": "--", "marker": "s", "markersize": 5}
# One look a model, of Okabe and Ito's colours; from the ninth on they come again.
LOOKS = list(
    zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C"),
        "os^Dv<>P",
        strict=True,
    )
)


@contextmanager
def _open_figure(width, height):
    """Give a figure of `width` x `height` inches; close it in pyplot at the end, error or not."""
    # pyplot's first figure is what teaches a notebook to show figures. No rc_context around it:
    # its end would undo the settings that the notebook's backend makes at that moment.
    figure = plt.figure(figsize=(width, height), layout="constrained")
    try:
        yield figure
    finally:
        plt.close(figure)


def show_images(
    images_patch,
    labels,
    *,
    predictions=None,
    confidences=None,
    columns=None,
    title=None,
    class_names=CLASS_NAMES,
):
    """Draw every picture of a patch under the name of its class.

    Parameters
    ----------
    images_patch : array of shape (N, H, W, 3), float in [0, 1] or uint8
    labels : array of shape (N,) or (N, 1), int from 0
        The true classes.
    predictions : array of shape (N,) or (N, 1), int from 0, optional
        The predicted classes; the name becomes "true -> predicted".
    confidences : array of shape (N,) or (N, classes), float in [0, 1], optional
        Probability of each predicted class, put below it; of whole rows it is the largest.
    columns : int, optional
        Pictures a row; by default about as many as rows, at most 8.
    title : str, optional
        Title of the whole figure.
    class_names : sequence of str
        In label order.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If an array is empty, has the wrong shape, dtype or range, or lengths differ.
    """
    images = checked_images(images_patch)
    labels = checked_labels("labels", labels, len(images), len(class_names))
    names = picture_titles(labels, predictions, confidences, class_names)
    columns = min(math.ceil(math.sqrt(len(images))), MAX_COLUMNS) if columns is None else columns
    columns = min(positive_integer("columns", columns), len(images))
    rows = math.ceil(len(images) / columns)
    # Inches: the longest name must fit in one line, the title at 0.1 a letter.
    cell_width, cell_height = (1.2, 1.4) if predictions is None else (1.75, 1.75)
    longest = max(len(line) for name in names for line in name.split("\n"))
    cell_width = max(cell_width, 0.08 * longest)
    width = max(columns * cell_width, 0.1 * len(title or ""))
    interpolation = "nearest" if max(images.shape[1:3]) <= NEAREST_UP_TO else None
    with _open_figure(width, rows * cell_height + 0.3 * bool(title)) as figure:
        for place, (image, name) in enumerate(zip(images, names, strict=True), 1):
            axes = figure.add_subplot(rows, columns, place)
            axes.imshow(image, interpolation=interpolation)
            axes.set_title(name, fontsize=9)
            axes.set_axis_off()
        if title:
            figure.suptitle(title)
    return figure


def plot_accuracy(epoch, history, string="Validation"):
    """Draw accuracy and loss of each epoch, side by side.

    Parameters
    ----------
    epoch : int, from 1 up
        Number of epochs that were run.
    history : keras.callbacks.History or dict of str to list of float
        With "accuracy" in [0, 1] and "loss"; "val_accuracy" and "val_loss" are drawn if present.
    string : str, default "Validation"
        Name of the data behind the "val_" curves.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If `epoch` is no integer from 1 up or not the length of the curves, or a curve is missing.
    """
    curves = read_curves(epoch, history)
    epochs = range(1, epoch + 1)
    marked = math.ceil(epoch / 25)  # every so many epochs, lest the markers hide the lines
    with _open_figure(10, 4) as figure:
        for axes, key in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
            axes.plot(epochs, curves[key], label="Train", markevery=marked, **TRAIN_LINE)
            if (held_out := curves.get(f"val_{key}")) is not None:
                axes.plot(epochs, held_out, label=string, markevery=marked, **HELD_OUT_LINE)
            axes.set(title=key.capitalize(), xlabel="Epoch", ylabel=key.capitalize())
            axes.set_xticks(epochs[:: math.ceil(epoch / 10)])
            axes.grid(alpha=0.3)
            axes.legend()
        figure.axes[0].yaxis.set_major_formatter(PercentFormatter(xmax=1))
    return figure


def plot_accuracy_over_minutes(runs):
    """Draw validation accuracy over minutes of training, a line a run and a look a model.

    Parameters
    ----------
    runs : dict of str to list of dict
        Name of a model to the histories of its runs, each with the "seconds" and, in [0, 1], the
        "val_accuracy" of every epoch.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no run, or a history lacks one of the two or has not as many of both.
    """
    require(any(runs.values()), "runs is empty: pass at least one history")
    with _open_figure(8, 5) as figure:
        axes = figure.add_subplot()
        looks = itertools.cycle(itertools.product(("-", "--", ":"), LOOKS))
        for (name, histories), (line, (colour, marker)) in zip(runs.items(), looks, strict=False):
            label = f"{name}, {len(histories)} runs" if len(histories) > 1 else name
            for history in histories:
                minutes, accuracies = read_minutes(name, history)
                marked = math.ceil(len(minutes) / 25)
                look = {"color": colour, "marker": marker, "markersize": 4, "markevery": marked}
                axes.plot(minutes, accuracies, line, label=label, linewidth=1, **look)
                label = None  # one line of each model stands in the legend
        axes.set(xlabel="Minutes of training", ylabel="Validation accuracy", xlim=(0, None))
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    return figure


def plot_combined_confusion_heat_map(
    y_train_act,
    y_train_pred,
    y_test_act,
    y_test_pred,
    str6="",
    *,
    path=None,
    class_names=CLASS_NAMES,
):
    """Draw the confusion matrices of train and test side by side and save them as PDF.

    Each row is a true class and sums to 100 percent; the row of an absent class is all 0.

    Parameters
    ----------
    y_train_act, y_train_pred : array of shape (N,) or (N, 1), int from 0
        True and predicted classes of the training pictures.
    y_test_act, y_test_pred : array of shape (M,) or (M, 1), int from 0
        The same of the test pictures.
    str6 : str, default ""
        Tag for the title and the file name, such as a model's name.
    path : str or pathlib.Path ending in ".pdf", optional
        By default ``results/combined_<str6>_heat_map.pdf`` below the repository root.
    class_names : sequence of str
        In label order. Of more than 20, cells are coloured without numbers; of more than 120,
        not all names are written.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If an array is empty or holds anything but class indices, lengths differ, `str6` contains
        a path separator, or `path` does not end in ".pdf".
    """
    classes = len(class_names)
    train = checked_labels("y_train_act", y_train_act, classes=classes)
    test = checked_labels("y_test_act", y_test_act, classes=classes)
    train_pred = checked_labels("y_train_pred", y_train_pred, len(train), classes)
    test_pred = checked_labels("y_test_pred", y_test_pred, len(test), classes)
    require(not set("/\\") & set(str6), f"str6 is {str6!r}: leave out / and \\, or pass path=...")
    file_name = f"combined_{str6}_heat_map.pdf" if str6 else "combined_heat_map.pdf"
    path = Path(path or ROOT / "results" / file_name)
    require(path.suffix == ".pdf", f"path is {str(path)!r}: a PDF is written, end it in .pdf")
    side = side_of_confusion(classes)
    with _open_figure(2 * side, side + 0.05) as figure:
        panels = figure.subplots(1, 2)
        draw_confusion(panels[0], "Train", train, train_pred, class_names)
        draw_confusion(panels[1], "Test", test, test_pred, class_names)
        figure.colorbar(panels[1].collections[0], ax=panels, label="Share of the true class (%)")
        figure.suptitle(f"Confusion matrices of {str6}" if str6 else "Confusion matrices")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None})
    return figure
