"""A sweep's trials in, a table, a figure and the best as a line for the table of recipes out."""

import json

from matplotlib.figure import Figure

from experiments.recipes import written
from experiments.spaces import Span
from utils.base.files import atomic_path, write_text
from utils.results.reports import markdown_table


def write_results(folder, name, space, settings, trials, report):
    """Write trials.json, README.md and slices.pdf.

    Parameters
    ----------
    folder : pathlib.Path
    name : str
        Of the experiment.
    space : dict
        As of `experiments.spaces.parse_space`.
    settings : dict
        What the sweep was asked for.
    trials : list of dict
        The best first; values, state, accuracy, seeds, epoch and seconds.
    report : callable
        Called with the best as a line (str).
    """
    write_text(folder / "trials.json", json.dumps({**settings, "found": trials}, indent=2) + "\n")
    rows = [
        [
            *(written(value) for value in one["values"].values()),
            "" if one["accuracy"] is None else f"{one['accuracy']:.2%}",
            one["state"],
        ]
        for one in trials
    ]
    table = markdown_table([*space, "held-out accuracy", "training"], rows)
    line = best_line(name, settings["changes"], trials)
    asked = " ".join(settings["over"])
    text = f"# Sweep of {name} over {asked}\n\n{line}\n\n{table}"
    write_text(folder / "README.md", text)
    with atomic_path(folder / "slices.pdf") as temporary:
        draw_slices(space, trials).savefig(temporary, metadata={"CreationDate": None})
    report(line)


def best_line(name, changes, trials):
    """Return the best trial as a line of `experiments.recipes.EXPERIMENTS` (str)."""
    finished = [one for one in trials if one["state"] == "finished"]
    if not finished:
        return "No trial was finished."
    values = ", ".join(f"{k}={v!r}" for k, v in {**changes, **finished[0]["values"]}.items())
    return f'"{name}_swept": replace(EXPERIMENTS["{name}"], {values}),'


def draw_slices(space, trials):
    """Return a figure with the accuracy over each field; stopped trials are hollow."""
    figure = Figure(figsize=(3 * len(space), 3), layout="constrained")
    axes = figure.subplots(1, len(space), sharey=True, squeeze=False)[0]
    for axis, (field, values) in zip(axes, space.items(), strict=True):
        for kind, face in (("finished", "C0"), ("stopped", "none")):
            some = [one for one in trials if one["state"].startswith(kind)]
            at = [one["values"][field] for one in some]
            if not isinstance(values, Span):
                at = [values.index(value) for value in at]
            heights = [100 * one["accuracy"] for one in some]
            axis.scatter(at, heights, facecolors=face, edgecolors="C0", label=kind)
        if not isinstance(values, Span):
            axis.set_xticks(range(len(values)), [written(value) for value in values])
        elif values.log:
            axis.set_xscale("log")
        axis.set_xlabel(field)
    axes[0].set_ylabel("held-out accuracy, %")
    axes[0].legend()
    return figure
