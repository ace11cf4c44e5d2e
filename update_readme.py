"""Put the table of all run records in ``results/`` into the README: ``make readme``."""

import json
from pathlib import Path

from utils.files import write_text
from utils.results import markdown_table

ROOT = Path(__file__).resolve().parent
START, END = "<!-- results -->\n", "<!-- /results -->\n"
# What this repository sets out from: Model 1 as its first author published it, one run.
BASELINE = ["Model 1, published baseline", "85.67 %", "0.8557", "", "", "", ""]


def results_table(records):
    """Return the Markdown table (str) of run records (list of dict), best first."""
    rows = [
        [
            f"{record['model']}, {record['profile']} profile",
            f"**{record['test_accuracy']:.2%}**".replace("%", " %"),
            f"{record['test_macro_f1']:.4f}",
            f"{record['test_accuracy_averaged']:.2%}".replace("%", " %"),
            f"{record['settings']['final_epochs']} epochs, "
            f"{record['minutes_of_final_training']:.0f} minutes",
            f"{record['runs']}, seed {record['seed']}",
            f"{record['hardware']['processor']}, {record['hardware']['cores']} cores",
        ]
        for record in sorted(records, key=lambda record: -record["test_accuracy"])
    ]
    header = ["model", "test accuracy", "macro-F1"]
    header += ["averaged over six views", "final training", "runs", "hardware"]
    return markdown_table(header, [BASELINE, *rows])


if __name__ == "__main__":
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    records = [json.loads(path.read_text()) for path in sorted((ROOT / "results").glob("*.json"))]
    write_text(readme, before + START + results_table(records) + END + after)
