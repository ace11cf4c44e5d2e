"""Put the tables of runs, models and the page's thresholds into their READMEs: ``make readme``."""

import json
from pathlib import Path

from utils.base.files import sha256_of, write_text
from utils.results.records import best_first, record_of
from utils.results.reports import markdown_table

ROOT = Path(__file__).resolve().parent
# What this repository sets out from: Model 1 as its first author published it, one run.
BASELINE = ["Model 1, published baseline", "85.67 %", "0.8557", "", "", "", ""]

# Models that the page does not offer, in models/.
APART = ("full/model_4.keras", "full/model_4.h5", "wide/model_4.keras", "wide/model_4.h5")
APART += ("transfer/model_2_96/model_2.keras", "transfer/model_3_32/model_3.keras")


def results_table(records):
    """Return the Markdown table (str) of run records (list of dict), best first."""
    rows = [
        [
            f"{_name(record['model'], record['settings'])}, {record['profile']} profile",
            f"**{record['test_accuracy']:.2%}**".replace("%", " %"),
            f"{record['test_macro_f1']:.4f}",
            f"{record['test_accuracy_averaged']:.2%}".replace("%", " %"),
            f"{record['settings']['final_epochs']} epochs, "
            f"{record['minutes_of_final_training']:.3g} minutes",
            f"{record['runs']}, seed {record['seed']}",
            _hardware(record),
        ]
        for record in sorted(records, key=lambda record: -record["test_accuracy"])
    ]
    header = ["model", "test accuracy", "macro-F1"]
    header += ["averaged over six views", "final training", "runs", "hardware"]
    return markdown_table(header, [BASELINE, *rows])


def transfer_table(records):
    """Return the Markdown table (str) of records (list of dict) of `tools.transfer`."""
    rows = [
        [
            record["model"],
            record["side"],
            record["trained"],
            f"{record['parameters']:,}",
            f"{record['minutes_of_training']:.3g}",
            f"**{record['test_accuracy']:.2%}**".replace("%", " %"),
            f"{record['test_macro_f1']:.4f}",
            f"{record['test_accuracy_averaged']:.2%}".replace("%", " %"),
            f"1, seed {record['settings']['seed']}",
            _hardware(record),
        ]
        for record in sorted(records, key=lambda record: record["test_accuracy"])
    ]
    header = ["model", "pixels", "trained", "parameters", "minutes", "test accuracy", "macro-F1"]
    return markdown_table([*header, "averaged over six views", "runs", "hardware"], rows)


def speedrun_table(summaries):
    """Return the Markdown table (str) of summaries (list of dict) of several seeds each."""
    if not summaries:
        return "*No run of it is recorded yet.*\n"
    rows = []
    for summary in sorted(summaries, key=lambda summary: summary["test_accuracy_averaged"]["mean"]):
        settings = summary["settings"]
        name = _name(settings["model"], settings)
        seeds = ", ".join(map(str, summary["seeds"]))
        rows.append(
            [
                name,
                f"{summary['parameters']:,}",
                settings["epochs"],
                f"{summary['minutes_of_training']['mean']:.3g}",
                f"**{_with_deviation(summary['test_accuracy'])}**",
                _with_deviation(summary["test_accuracy_averaged"]),
                f"{len(summary['seeds'])}, seed {seeds}",
                _hardware(summary),
            ]
        )
    header = ["model", "parameters", "epochs", "minutes", "test accuracy"]
    return markdown_table([*header, "averaged over six views", "runs", "hardware"], rows)


def thresholds_table(records):
    """Return the Markdown table (str) of `records`, model name to record of its threshold."""
    rows = []
    for name, record in records.items():
        test, others = record["test"], record["other_things"].values()
        shares = [test["share_that_passes"], test["accuracy_of_those_that_pass"]]
        shares += [other["share_refused"] for other in others]
        rows.append([name, *(f"{share:.1%}".replace("%", " %") for share in shares)])
    header = ["model", "test pictures answered", "of these right", "refused: photographs"]
    return markdown_table([*header, "their parts", "small gray faces"], rows)


def models_table(models, records, folder=ROOT / "models"):
    """Return the Markdown table (str) of model files (list of path), with the run record of each.

    `records` (list of dict) are those of all runs; the files are named as in `folder` (path).
    """
    rows = []
    for path in models:
        record = record_of(path, records)
        scores = ["unknown", "unknown"]
        if record:
            scores = [f"{record['test_accuracy']:.2%}".replace("%", " %")]
            scores += [f"{record['test_macro_f1']:.4f}"]
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        rows.append([f"`{path.relative_to(folder)}`", size, *scores, f"`{sha256_of(path)}`"])
    return markdown_table(["file", "size", "test accuracy", "macro-F1", "SHA-256"], rows)


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


def read_records(pattern):
    """Return file name to content (dict of str to dict) of the JSON files of a glob pattern."""
    return {path.name: json.loads(path.read_text()) for path in sorted(ROOT.glob(pattern))}


def _with_deviation(found):
    """Return a mean and its standard deviation, if it has one, in percent (str)."""
    text = f"{100 * found['mean']:.2f}"
    if found["standard_deviation"] is not None:
        text += f" ± {100 * found['standard_deviation']:.2f}"
    return f"{text} %"


def _name(model, settings):
    """Return the name of a model, of Model 4 the width, and what is special in its training."""
    width = settings.get("width") or settings.get("model_4_width")
    name = f"{model}, {'-'.join(map(str, width))}" if model == "model_4" and width else model
    if {"teacher", "teacher_sha256"} & set(settings):
        name += ", distilled"
    return f"{name}, Muon" if settings.get("kernel_rate") else name


def _hardware(record):
    if "accelerator" in record:
        return record["accelerator"]
    return f"{record['hardware']['processor']}, {record['hardware']['cores']} cores"


def main():
    runs = list(read_records("results/*.json").values())
    transfers = list(read_records("results/transfer/*.json").values())
    speedruns = read_records("results/speedrun/*.json").values()
    records = read_records("models/*_threshold.json")
    thresholds = {  # those that were chosen for the very models that are there
        path.stem: record
        for path in sorted(best_first())
        if (record := records.get(f"{path.stem}_threshold.json"))
        and record["model_sha256"] == sha256_of(path)
    }
    models = [path.with_suffix(suffix) for path in best_first() for suffix in (".keras", ".h5")]
    models += [ROOT / "models" / name for name in APART]
    gpu_runs = [run for run in read_records("results/gpu/*.json").values() if "seeds" in run]
    for readme, marker, table in (
        ("README.md", "results", results_table(runs)),
        ("README.md", "transfer", transfer_table(transfers)),
        ("README.md", "speedrun", speedrun_table([run for run in speedruns if "seeds" in run])),
        ("README.md", "gpu", speedrun_table(gpu_runs)),
        ("README.md", "thresholds", thresholds_table(thresholds)),
        ("models/README.md", "models", models_table(models, runs + transfers)),
    ):
        text = (ROOT / readme).read_text(encoding="utf-8")
        write_text(ROOT / readme, put_between(text, marker, table))


if __name__ == "__main__":
    main()
