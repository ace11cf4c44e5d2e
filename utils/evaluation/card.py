"""A record's scores in, one figure out that says what a model's accuracy is worth, in one glance.

Colours are Okabe and Ito's and cividis, which people see alike who see red and green alike; shapes
and numbers say the same.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from utils.base.cifar10 import CLASS_NAMES

BLUE, VERMILION, GRAY = "#0072B2", "#D55E00", "#555555"
PANELS = (
    ("classes", "reliability", "coverage", "corruptions"),
    ("confusions", "strange", "numbers", "corruptions"),
)
COLUMNS = 8  # doubtful pictures a row


def draw_card(name, record):
    """Draw a model's report card.

    Parameters
    ----------
    name : str
        Of the experiment.
    record : dict
        Of the run, with the ``scores`` of `experiments.evaluations`; a panel whose evaluation is
        missing says so.

    Returns
    -------
    matplotlib.figure.Figure
        17 x 9 inches.
    """
    figure = Figure(figsize=(17, 9), layout="constrained")
    panels = figure.subplot_mosaic(PANELS, width_ratios=(1, 1, 1.1, 0.9))
    scores = record["scores"]
    for panel, (needed, draw) in {
        "classes": ("accuracy", _draw_classes),
        "confusions": ("accuracy", _draw_confusions),
        "reliability": ("calibration", _draw_reliability),
        "coverage": ("calibration", _draw_coverage),
        "strange": ("none_of_the_ten", _draw_strange),
        "corruptions": ("corruptions", _draw_corruptions),
    }.items():
        if needed in scores:
            draw(panels[panel], scores[needed])
        else:
            panels[panel].text(0.5, 0.5, f"{needed}:\nnot evaluated", ha="center", va="center")
            panels[panel].set_axis_off()
    _write_numbers(panels["numbers"], scores)
    figure.suptitle(_title(name, record), fontsize=15)
    return figure


def draw_doubtful(images, doubtful):
    """Draw the pictures of `utils.evaluation.doubtful.doubtful_labels` under label and answer.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 32, 32, 3)
        The test pictures.
    doubtful : list of dict

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = max(1, -(-len(doubtful) // COLUMNS))
    figure = Figure(figsize=(COLUMNS * 1.5, rows * 1.85), layout="constrained")
    for axes in figure.subplots(rows, COLUMNS, squeeze=False).flat:
        axes.set_axis_off()
    for axes, one in zip(figure.axes, doubtful, strict=False):
        axes.imshow(images[one["test"]], interpolation="nearest")
        axes.set_title(
            f"label {CLASS_NAMES[one['label']]}\n{CLASS_NAMES[one['answer']]} "
            f"{one['probability']:.0%}",
            fontsize=10,
        )
    return figure


def _title(name, record):
    parameters = f"{record['model']['parameters']:,} parameters"
    accuracy = record["scores"].get("accuracy")
    if accuracy is None:
        return f"{name}: {parameters}"
    low, high = accuracy["interval_95"]
    return (
        f"{name}, {parameters}: {accuracy['share']:.2%} of {accuracy['pictures']:,} test pictures "
        f"right (95 % interval by Wilson {low:.2%} to {high:.2%})"
    )


def _draw_classes(axes, accuracy):
    names = list(accuracy["classes"])
    shares = np.array([one["share"] for one in accuracy["classes"].values()])
    ends = np.array([one["interval_95"] for one in accuracy["classes"].values()])
    places = range(len(names))
    spread = np.abs(ends.T - shares)
    axes.errorbar(shares, places, xerr=spread, fmt="o", color=BLUE, capsize=3)
    axes.axvline(accuracy["share"], color=GRAY, linestyle=":", label="all")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title("Right, by class (95 % intervals)")
    axes.grid(axis="x", alpha=0.3)


def _draw_confusions(axes, accuracy):
    worst = accuracy["worst_confusions"]
    names = [f"{one['class']} as {one['taken_for']}" for one in worst]
    counts = [one["pictures"] for one in worst]
    bars = axes.barh(names, counts, color=BLUE)
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max([*counts, 1]))
    axes.set_title("Taken for another (test pictures)")


def _draw_reliability(axes, calibration):
    looks = {
        "before": (VERMILION, "--", "s"),
        "after": (BLUE, "-", "o"),
    }
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle=":")
    for when, (colour, line, marker) in looks.items():
        found = calibration[when]["reliability"]
        axes.plot(
            found["confidence"],
            found["accuracy"],
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=5,
            label=f"{when}: ECE {calibration[when]['ece_equal_width']:.3f}",
        )
    axes.set(xlim=(0.1, 1), ylim=(0, 1), xlabel="Largest probability", ylabel="Right")
    axes.set_title(f"True percentages? Temperature {calibration['temperature']:.2f}")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)


def _draw_coverage(axes, calibration):
    found = calibration["risk_and_coverage"]
    axes.plot(found["coverage"], found["accuracy"], color=BLUE)
    for share in (0.8, 0.9):
        right = float(np.interp(share, found["coverage"], found["accuracy"]))
        axes.plot(share, right, "o", color=VERMILION)
        axes.annotate(
            f"{right:.1%} of {share:.0%}",
            (share, right),
            (-8, -14),
            textcoords="offset points",
            ha="right",
        )
    axes.set(xlim=(0, 1.01), xlabel="Answered, the surest first", ylabel="Right of the answered")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title("Answered against right")
    axes.grid(alpha=0.3)


def _draw_strange(axes, unknown):
    best = unknown["scores"][unknown["score"]]
    names = [kind.replace("_", " ") for kind in best["kinds"]]
    refused = [kind["refused"] for kind in best["kinds"].values()]
    bars = axes.barh(names, refused, color=BLUE)
    areas = [f"{kind['area_under_roc']:.2f}" for kind in best["kinds"].values()]
    axes.bar_label(bars, areas, padding=3)
    axes.axvline(1 - best["answered"]["share"], color=VERMILION, linestyle="--")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title("None of the ten, refused (area under ROC)")
    axes.set_xlabel("Dashed: test pictures refused")


def _draw_corruptions(axes, corruptions):
    kinds = list(corruptions["accuracy"])
    table = np.array([corruptions["accuracy"][kind] for kind in kinds])
    axes.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(table):
        colour = "black" if share > 0.5 else "white"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour)
    counted = corruptions["kinds_in_the_mean"]
    names = [kind.replace("_", " ") + ("" if kind in counted else " *") for kind in kinds]
    axes.set_yticks(range(len(kinds)), names)
    axes.set_xticks(range(table.shape[1]), range(1, table.shape[1] + 1))
    own = "own renderings" if "own" in corruptions["source"] else "CIFAR-10-C"
    axes.set_title(f"Corrupted: {corruptions['mean_accuracy']:.1%} right")
    axes.set_xlabel(
        f"Severity; % of {corruptions['pictures_a_cell']:,} pictures;\n{own};\n"
        f"uncorrupted {corruptions['clean_accuracy']:.1%};\n* not in the mean"
    )


def _write_numbers(axes, scores):
    lines = []
    for name, label in (("without_twin", "without"), ("with_twin", "with")):
        one = scores.get("near_duplicates", {}).get(name)
        if one:
            lines.append((f"{label} twin in training ({one['pictures']:,})", f"{one['share']:.2%}"))
    views = scores.get("published_six_views", scores.get("test_six_views"))
    if views:
        lines.append(("averaged over six views", f"{views['accuracy']:.2%}"))
    if "calibration" in scores:
        for key, label in (
            ("negative_log_likelihood", "negative log-likelihood"),
            ("brier", "Brier score"),
            ("ece_equal_width", "ECE, equal width"),
            ("ece_equal_mass", "ECE, equal mass"),
        ):
            before, after = (scores["calibration"][when][key] for when in ("before", "after"))
            lines.append((label, f"{before:.3f} → {after:.3f}"))
    if "none_of_the_ten" in scores:
        best = scores["none_of_the_ten"]["scores"][scores["none_of_the_ten"]["score"]]
        lines.append(("answered", f"{best['answered']['share']:.1%}"))
        lines.append(("right of the answered", f"{best['right_of_the_answered']['share']:.1%}"))
        lines.append(("strange pictures refused", f"{best['mean_refused']:.1%}"))
        lines.append(("area under ROC", f"{best['mean_area_under_roc']:.3f}"))
    for number, (label, value) in enumerate(lines):
        height = 0.95 - number * 0.085
        axes.text(0, height, label, transform=axes.transAxes, va="top")
        axes.text(1, height, value, transform=axes.transAxes, va="top", ha="right")
    axes.set_axis_off()
    axes.set_title("In numbers (arrow: by the temperature)")
