"""Records in, tables for people out: ``results/README.md`` and those of the other READMEs.

A column is a line of `COLUMNS`. Means and spreads are computed here, from the records of all seeds.
"""

from itertools import groupby
from pathlib import Path

from experiments.recipes import EXPERIMENTS
from utils.base.cifar10 import ROOT
from utils.base.files import atomic_path, sha256_of, write_text
from utils.results.records import hardware, read_records, summarise
from utils.results.reports import markdown_table

NETWORKS = {  # by width of Model 4, for people
    "model_1": "CNN (Model 1)",
    "model_2": "MobileNetV2 (Model 2)",
    "model_3": "VGG16 (Model 3)",
    "model_4": "airbench (Model 4)",
}
FIRST_PAGE = ("airbench96", "airbench94", "airbench_small", "model_1", "mobilenetv2_96", "vgg16")
# What this repository sets out from: Model 1 as its first author published it, one run.
BASELINE = {
    "network": "CNN as first published",
    "parameters": "552,874",
    "test accuracy": "85.67 %",
}


def accuracy(group, evaluation):
    """Return mean and, of several seeds, standard deviation of an evaluation's accuracy (str)."""
    values = [record["scores"][evaluation]["accuracy"] for record in group]
    found = summarise(values)
    text = f"{100 * found['mean']:.2f}"
    if found["standard_deviation"] is not None:
        text += f" ± {100 * found['standard_deviation']:.2f}"
    return f"{text} %"


def interval(group):
    """Return the 95 % confidence interval of the mean test accuracy over seeds (str)."""
    found = summarise([record["scores"]["test"]["accuracy"] for record in group])
    if found["confidence_interval_95"] is None:
        return ""
    return "{:.2f} to {:.2f} %".format(*(100 * end for end in found["confidence_interval_95"]))


def network(group):
    """Return the network's name and width (str), and what it learns from beside the labels."""
    recipe = group[0]["recipe"]
    name = NETWORKS.get(recipe["network"], recipe["network"])
    if "width" in recipe:
        name += f" {'-'.join(map(str, recipe['width']))}"
    if "resize_to" in recipe:
        name += f" at {recipe['resize_to']} pixels"
    return f"{name}, taught by `{recipe['teacher']}`" if "teacher" in recipe else name


def minutes(group):
    """Return the mean minutes of training (str)."""
    return f"{summarise([record['training']['seconds'] / 60 for record in group])['mean']:.3g}"


def seeds(group):
    """Return how many seeds there are, and which (str)."""
    numbers = [record["seed"] for record in group]
    return f"{len(numbers)} ({', '.join(map(str, numbers))})"


COLUMNS = {  # heading to a function of all records of an experiment
    "experiment": lambda group: f"`{group[0]['experiment']}`",
    "network": network,
    "parameters": lambda group: f"{group[0]['model']['parameters']:,}",
    "trained": lambda group: group[0]["recipe"].get("trains", "all"),
    "optimizer": lambda group: "Muon" if "muon_lr_scale" in group[0]["recipe"] else "SGD",
    "learning rate": lambda group: f"{group[0]['recipe']['learning_rate']:g}",
    "epochs": lambda group: group[0]["recipe"]["epochs"],
    "test accuracy": lambda group: f"**{accuracy(group, 'test')}**",
    "95 % interval of the mean": interval,
    "six views": lambda group: accuracy(group, "test_six_views"),
    "minutes": minutes,
    "seeds": seeds,
    "hardware": lambda group: "; ".join(sorted({hardware(record) for record in group})),
}
SHORT = ("network", "parameters", "test accuracy", "six views", "minutes", "seeds", "hardware")


def groups_of(records):
    """Return experiment to its records (dict of str to list of dict), in the order of the table."""
    found = {name: list(group) for name, group in groupby(records, lambda one: one["experiment"])}
    order = {name: place for place, name in enumerate(EXPERIMENTS)}
    return {name: found[name] for name in sorted(found, key=lambda one: order.get(one, len(order)))}


def experiments_table(groups, columns=tuple(COLUMNS), first=()):
    """Return a Markdown table (str) of `groups`, with rows of other dicts (list) before it."""
    rows = [[row.get(column, "") for column in columns] for row in first]
    rows += [[COLUMNS[column](group) for column in columns] for group in groups.values()]
    return markdown_table(columns, rows)


def models_table(folder, records):
    """Return the Markdown table (str) of the model files in `folder` (path-like)."""
    rows = []
    for path in sorted(Path(folder).glob("*.*")):
        if path.suffix not in (".keras", ".h5", ".onnx"):
            continue
        digest = sha256_of(path)
        scores = [
            one["scores"].get("published", one["scores"]["test"])
            for one in records
            if one["model"]["sha256"].get(path.name) == digest
        ]
        right = f"{scores[0]['accuracy']:.2%}".replace("%", " %") if scores else "unknown"
        rows.append([f"`{path.name}`", f"{path.stat().st_size / 1e6:.1f} MB", right, f"`{digest}`"])
    return markdown_table(["file", "size", "test accuracy", "SHA-256"], rows)


def put_between(text, marker, table):
    """Return `text` with `table` in the place of what stands between the comments of `marker`.

    ValueError if there are none.
    """
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->\n"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(
            f"no place for the table of {marker}: put {start.strip()} and {end.strip()}"
        )
    return before + start + table + end + after


def write_tables(root=ROOT):
    """Put the tables into the READMEs below `root` (path-like), and draw accuracy over minutes."""
    from utils.plotting import plot_accuracy_over_minutes  # noqa: PLC0415  # Matplotlib

    root = Path(root)
    records = read_records(root / "results")
    groups = groups_of(records)
    first_page = {name: groups[name] for name in FIRST_PAGE if name in groups}
    for readme, marker, table in (
        ("README.md", "results", experiments_table(first_page, SHORT, [BASELINE])),
        ("results/README.md", "experiments", experiments_table(groups)),
        ("models/README.md", "models", models_table(root / "models", records)),
    ):
        text = (root / readme).read_text(encoding="utf-8")
        write_text(root / readme, put_between(text, marker, table))
    on_cores = {
        name: [one["training"]["history"] for one in group]
        for name, group in groups.items()
        if not group[0]["training"]["device"]["accelerator"]
    }
    figure = plot_accuracy_over_minutes(on_cores)
    with atomic_path(root / "results" / "accuracy_over_minutes.pdf") as temporary:
        figure.savefig(temporary, metadata={"CreationDate": None})
