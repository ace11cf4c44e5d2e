"""Figures are checked by what stands in them: pixels, texts, curves, files; never by a snapshot."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from utils import plotting
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.plotting import (
    plot_accuracy,
    plot_accuracy_over_minutes,
    plot_combined_confusion_heat_map,
    show_images,
)

mpl.use("Agg")  # no window, also on a machine with a screen

CURVES = {
    "accuracy": [0.25, 0.5, 0.75],
    "loss": [2.0, 1.0, 0.5],
    "val_accuracy": [0.2, 0.4, 0.6],
    "val_loss": [2.1, 1.2, 0.9],
}


@pytest.fixture(autouse=True)
def results_root(tmp_path, monkeypatch):
    """Keep default paths below a temporary root, and see that no figure stays open in pyplot."""
    monkeypatch.setattr(plotting, "ROOT", tmp_path)
    yield tmp_path
    assert plt.get_fignums() == []


def make_patch(count, dtype=np.uint8, size=32):
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return pixels if dtype == np.uint8 else (pixels / 255).astype(dtype)


def titles_of(figure):
    return [axes.get_title() for axes in figure.axes]


def overlapping(boxes):
    return any(one.overlaps(two) for k, one in enumerate(boxes) for two in boxes[:k])


def assert_titles_fit(figure):
    """See that every title lies inside the figure and no two of them overlap."""
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert max(box.y1 for box in boxes) <= figure.bbox.y1
    assert not overlapping(boxes)


# ---- show_images


@pytest.mark.parametrize("count", [1, 2, 7, 10, 36, 65])
def test_every_picture_is_drawn_once_under_its_class_name(count):
    images, labels = make_patch(count), np.arange(count) % 10
    figure = show_images(images, labels)
    assert titles_of(figure) == [CLASS_NAMES[label] for label in labels]
    for axes, image in zip(figure.axes, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
        assert axes.get_visible()
        assert not axes.axison


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_pixels_of_every_accepted_dtype_can_be_drawn(dtype, tmp_path):
    figure = show_images(make_patch(2, dtype), [0, 1])
    figure.savefig(tmp_path / "figure.png")


def test_small_pictures_keep_their_pixels_and_large_ones_are_smoothed():
    small, large = (show_images(make_patch(1, size=size), [0]) for size in (32, 224))
    assert small.axes[0].images[0].get_interpolation() == "nearest"
    assert large.axes[0].images[0].get_interpolation() != "nearest"


def test_gallery_of_mistakes_names_both_classes_and_the_confidence():
    figure = show_images(make_patch(2), [1, 3], predictions=[0, 5], confidences=[0.914, 1])
    assert titles_of(figure) == ["automobile -> airplane\n91% sure", "cat -> dog\n100% sure"]
    figure = show_images(make_patch(1), [1], predictions=[0])
    assert titles_of(figure) == ["automobile -> airplane"]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_the_longest_titles_fit(count):
    automobiles = [1] * count
    assert_titles_fit(show_images(make_patch(count), automobiles))
    confident = {"predictions": automobiles, "confidences": [1.0] * count}
    figure = show_images(make_patch(count), automobiles, title="Pictures of model_3", **confident)
    assert_titles_fit(figure)
    assert figure.get_suptitle() == "Pictures of model_3"


@pytest.mark.parametrize(("columns", "shape"), [(None, (2, 3)), (2, (3, 2)), (9, (1, 6))])
def test_columns_shape_the_grid(columns, shape):
    figure = show_images(make_patch(6), range(6), columns=columns)
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == shape


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 32, 32, 3), np.uint8), r"shape \(0, 32, 32, 3\)"),
        (np.zeros((32, 32, 3), np.uint8), r"shape \(32, 32, 3\).*image\[None\]"),
        (np.zeros((1, 32, 32, 1), np.uint8), r"shape \(1, 32, 32, 1\)"),
        (np.zeros((1, 32, 32, 3), np.int64), "dtype int64"),
        (np.full((1, 32, 32, 3), 255.0), r"to 255\.0.*divide by 255"),
        (np.full((1, 32, 32, 3), -0.5), r"from -0\.5"),
        (np.full((1, 32, 32, 3), np.nan), "from nan"),
    ],
)
def test_images_that_are_no_pictures_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        show_images(images, [0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"labels has shape \(0,\)"),
        ([0], "labels has length 1 instead of 2"),
        ([0, 10], r"labels contains \[10\].*0 to 9"),
        ([-1, 0], r"labels contains \[-1\]"),
        (np.eye(10)[:2], r"shape \(2, 10\).*argmax"),
        ([0.0, 1.0], "dtype float64"),
    ],
)
def test_labels_that_are_no_class_indices_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        show_images(make_patch(2), labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predictions": [0]}, "predictions has length 1 instead of 2"),
        ({"predictions": [0, 11]}, r"predictions contains \[11\]"),
        ({"confidences": [0.5, 0.5]}, "pass predictions too"),
        ({"predictions": [0, 1], "confidences": [0.5]}, r"\[0\.5\]: pass 2 probabilities"),
        ({"predictions": [0, 1], "confidences": [50, 99]}, r"\[50, 99\]: pass 2 probabilities"),
        ({"columns": 0}, "columns is 0"),
        ({"columns": 2.5}, r"columns is 2\.5"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        show_images(make_patch(2), [0, 1], **options)


# ---- plot_accuracy


class History:
    """What `keras.Model.fit` returns, as far as it is read: an object with a `history` dict."""

    history = CURVES


@pytest.mark.parametrize("history", [CURVES, History()], ids=["dict", "History"])
def test_curves_are_the_history(history):
    figure = plot_accuracy(3, history)
    assert titles_of(figure) == ["Accuracy", "Loss"]
    for axes, key in zip(figure.axes, ("accuracy", "loss"), strict=True):
        train, held_out = axes.lines
        assert list(train.get_xdata()) == list(held_out.get_xdata()) == [1, 2, 3]
        assert list(train.get_ydata()) == CURVES[key]
        assert list(held_out.get_ydata()) == CURVES[f"val_{key}"]
        assert train.get_linestyle() != held_out.get_linestyle()
        assert train.get_marker() != held_out.get_marker()


def test_second_curve_carries_the_given_name():
    for string, given in (("Validation", {}), ("Test", {"string": "Test"})):
        for axes in plot_accuracy(3, CURVES, **given).axes:
            assert [text.get_text() for text in axes.get_legend().texts] == ["Train", string]


def test_history_without_validation_gives_the_train_curves_alone():
    figure = plot_accuracy(3, {"accuracy": CURVES["accuracy"], "loss": CURVES["loss"]})
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]


def test_accuracy_axis_is_in_percent():
    axes = plot_accuracy(3, CURVES).axes[0]
    assert axes.yaxis.get_major_formatter()(0.5) == "50%"


@pytest.mark.parametrize("epoch", [1, 2, 10, 11, 50, 200])
def test_epoch_axis_has_whole_numbers_from_one(epoch):
    for axes in plot_accuracy(epoch, {"accuracy": [0.5] * epoch, "loss": [1.0] * epoch}).axes:
        ticks = axes.get_xticks()
        assert ticks[0] == 1
        assert ticks[-1] <= epoch
        assert len(ticks) <= 10
        assert all(tick == int(tick) for tick in ticks)


def test_a_single_epoch_is_visible():
    one_epoch = {key: np.array(values[:1]) for key, values in CURVES.items()}
    for axes in plot_accuracy(np.int64(1), one_epoch).axes:
        assert list(axes.get_xticks()) == [1]
        assert len(axes.lines) == 2
        assert all(line.get_marker() in tuple("os") for line in axes.lines)


@pytest.mark.parametrize(
    ("epoch", "history", "message"),
    [
        (5, CURVES, "epoch is 5, but history has 3 values of 'accuracy'"),
        (3, CURVES | {"val_loss": [1.0]}, "epoch is 3, but history has 1 values of 'val_loss'"),
        (0, CURVES, "epoch is 0"),
        (-1, CURVES, "epoch is -1"),
        (3.0, CURVES, r"epoch is 3\.0"),
        (True, CURVES, "epoch is True"),
        ("3", CURVES, "epoch is '3'"),
        (3, {"loss": [1, 1, 1]}, r"history holds \['loss'\].*metrics"),
        (3, None, "history holds .*NoneType"),
    ],
)
def test_wrong_epochs_and_histories_are_refused(epoch, history, message):
    with pytest.raises(ValueError, match=message):
        plot_accuracy(epoch, history)


# ---- plot_combined_confusion_heat_map

TRAIN = (np.array([0, 0, 0, 1, 1, 9, 3, 3]), np.array([0, 0, 1, 1, 1, 9, 5, 3]))  # 6 of 8 right
TEST = (np.array([2, 2, 2, 2, 7]), np.array([2, 4, 4, 4, 7]))  # 2 of 5 right


@pytest.fixture(scope="module")
def heat_map(tmp_path_factory):
    path = tmp_path_factory.mktemp("heat_map") / "figure.pdf"
    return plot_combined_confusion_heat_map(*TRAIN, *TEST, "model_2", path=path)


def annotations(axes):
    return np.array([text.get_text() for text in axes.texts]).reshape(10, 10)


def test_annotations_are_row_percentages_and_absent_classes_zeros(heat_map):
    train, test = np.full((2, 10, 10), "0.0", dtype="<U5")
    train[[1, 9], [1, 9]] = "100.0"
    train[0, :2] = "66.7", "33.3"
    train[3, [3, 5]] = "50.0"
    test[2, [2, 4]] = "25.0", "75.0"
    test[7, 7] = "100.0"
    np.testing.assert_array_equal(annotations(heat_map.axes[0]), train)
    np.testing.assert_array_equal(annotations(heat_map.axes[1]), test)


def test_colours_are_the_annotated_numbers_on_one_scale(heat_map):
    for axes in heat_map.axes[:2]:
        (mesh,) = axes.collections
        shown = annotations(axes).astype(float)
        np.testing.assert_allclose(np.reshape(mesh.get_array(), (10, 10)), shown, atol=0.05)
        assert mesh.get_clim() == (0, 100)


def test_two_maps_share_one_colour_bar(heat_map):
    assert len(heat_map.axes) == 3
    assert "%" in heat_map.axes[2].get_ylabel()


def test_titles_give_the_accuracies_and_the_tag(heat_map):
    assert titles_of(heat_map)[:2] == ["Train: accuracy 75.0%", "Test: accuracy 40.0%"]
    assert "model_2" in heat_map.get_suptitle()


def test_class_names_stand_on_both_axes_and_texts_fit(heat_map):
    heat_map.draw_without_rendering()
    for axes in heat_map.axes[:2]:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            assert tuple(label.get_text() for label in labels) == CLASS_NAMES
        assert not overlapping([label.get_window_extent() for label in axes.get_yticklabels()])
        assert not overlapping([text.get_window_extent() for text in axes.texts])


def luminance(colour):
    """Return the relative luminance of a colour as WCAG 2 defines it."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_annotations_can_be_read_on_every_colour(tmp_path):
    # Row k holds 5k percent of one class and the rest of another: every fifth percentage is drawn.
    rows = np.repeat(np.arange(10), 100)
    right = np.tile(np.arange(100), 10) < 5 * rows
    guesses = np.where(right, rows, (rows + 1) % 10)
    figure = plot_combined_confusion_heat_map(
        rows, guesses, rows, guesses, path=tmp_path / "figure.pdf"
    )
    axes = figure.axes[0]
    assert set(map(float, np.unique(annotations(axes)))) >= set(range(0, 50, 5))
    assert set(map(float, np.unique(annotations(axes)))) >= set(range(55, 101, 5))
    for text, cell in zip(axes.texts, axes.collections[0].get_facecolors(), strict=True):
        low, high = sorted((luminance(text.get_color()), luminance(cell)))
        assert (high + 0.05) / (low + 0.05) > 4.5  # WCAG 2, level AA


@pytest.mark.parametrize(
    ("tag", "name"),
    [("", "combined_heat_map.pdf"), ("model_1", "combined_model_1_heat_map.pdf")],
)
def test_default_file_is_one_pdf_in_results(tag, name, results_root):
    plot_combined_confusion_heat_map(*TRAIN, *TEST, tag)
    assert [path.name for path in (results_root / "results").iterdir()] == [name]
    assert (results_root / "results" / name).read_bytes().startswith(b"%PDF")


def test_results_stand_below_the_repository_root(monkeypatch):
    monkeypatch.undo()
    assert plotting.ROOT == ROOT


def test_path_overrides_the_default_and_gets_its_folder(tmp_path):
    path = tmp_path / "new" / "deep" / "figure.pdf"
    plot_combined_confusion_heat_map(*TRAIN, *TEST, "model_1", path=str(path))
    assert [place for place in tmp_path.rglob("*") if place.is_file()] == [path]


def test_same_arrays_write_the_same_bytes(tmp_path):
    first, second = tmp_path / "first.pdf", tmp_path / "second.pdf"
    for path in (first, second):
        plot_combined_confusion_heat_map(*TRAIN, *TEST, path=path)
    assert first.read_bytes() == second.read_bytes()
    assert b"CreationDate" not in first.read_bytes()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "figure.pdf"
    path.write_bytes(b"old")

    def write_half(figure, part, **options):
        part.write_bytes(b"%PDF half")
        raise OSError("disk full")

    monkeypatch.setattr(mpl.figure.Figure, "savefig", write_half)
    with pytest.raises(OSError, match="disk full"):
        plot_combined_confusion_heat_map(*TRAIN, *TEST, path=path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([0, 1], [0], [0], [0]), "y_train_pred has length 1 instead of 2"),
        (([0], [0], [0], [0, 1]), "y_test_pred has length 2 instead of 1"),
        (([], [], [0], [0]), r"y_train_act has shape \(0,\)"),
        (([0], [0], [10], [0]), r"y_test_act contains \[10\]"),
        (([0], np.eye(10)[:1], [0], [0]), "y_train_pred has shape .*argmax"),
    ],
)
def test_wrong_arrays_are_refused_and_write_nothing(arrays, message, results_root):
    with pytest.raises(ValueError, match=message):
        plot_combined_confusion_heat_map(*arrays)
    assert list(results_root.iterdir()) == []


@pytest.mark.parametrize("tag", ["a/b", "../model_1", "a\\b"])
def test_a_tag_with_a_path_separator_is_refused(tag, tmp_path):
    with pytest.raises(ValueError, match=r"str6 is .*path="):
        plot_combined_confusion_heat_map(*TRAIN, *TEST, tag)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_promises_another_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"figure\.png'.*\.pdf"):
        plot_combined_confusion_heat_map(*TRAIN, *TEST, path=tmp_path / "figure.png")


# ---- the module


def test_import_sets_nothing_and_loads_no_deep_learning_library():
    code = (
        "import sys, matplotlib as mpl\n"
        "before = dict(mpl.rcParams)\n"
        "import utils.plotting\n"
        "assert dict(mpl.rcParams) == before\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- plot_accuracy_over_minutes


def test_accuracy_stands_over_the_minutes_at_the_end_of_each_epoch():
    slow = {"seconds": [60.0, 120.0], "val_accuracy": [0.5, 0.7]}
    quick = [{"seconds": [30.0], "val_accuracy": [0.6]}, {"seconds": [36.0], "val_accuracy": [0.8]}]
    figure = plot_accuracy_over_minutes({"slow": [slow], "quick": quick})
    (axes,) = figure.axes
    curves = [(line.get_xdata().tolist(), list(line.get_ydata())) for line in axes.lines]
    assert curves == [([1, 3], [0.5, 0.7]), ([0.5], [0.6]), ([0.6], [0.8])]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["slow", "quick, 2 runs"]
    looks = [(line.get_color(), line.get_marker()) for line in axes.lines]
    assert looks[0] != looks[1] == looks[2]
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlabel() == "Minutes of training"


def test_many_models_are_told_apart():
    run = {"seconds": [30.0], "val_accuracy": [0.6]}
    (axes,) = plot_accuracy_over_minutes({str(number): [run] for number in range(15)}).axes
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 15


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ({}, "runs is empty"),
        ({"one": []}, "runs is empty"),
        ({"one": [{"val_accuracy": [0.5]}]}, "a history of 'one' has no 'seconds'"),
        ({"one": [{"seconds": [1.0]}]}, "a history of 'one' has no 'val_accuracy'"),
        ({"one": [{"seconds": [1.0], "val_accuracy": [0.1, 0.2]}]}, "1 times and 2 accuracies"),
        ({"one": [{"seconds": [], "val_accuracy": []}]}, "0 times and 0 accuracies"),
    ],
)
def test_histories_without_times_or_accuracies_are_refused(runs, words):
    with pytest.raises(ValueError, match=words):
        plot_accuracy_over_minutes(runs)
