"""Run both notebooks top to bottom: ``python run_notebooks.py [quick|full]``.

Executed notebooks replace those in ``notebooks/`` after a run on CIFAR-10, and go to
``results/sample/`` after a run on the drawn sample.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import nbformat
import papermill
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from experiments.tables import write_tables
from utils.base.files import check_writable

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ("download_handle_data.ipynb", "train_test_data.ipynb")
FILES = ("CIFAR10_ARCHIVE", "VGG16_WEIGHTS", "MOBILENETV2_WEIGHTS")
WRITTEN = ("build", "data", "images", "models", "results", "notebooks")


def run_notebook(source, target):
    """Execute the notebook at `source` into `target` (pathlib.Path), showing its output."""
    papermill.execute_notebook(
        source,
        target,
        cwd=source.parent,
        stdout_file=sys.stdout,
        stderr_file=sys.stderr,
    )
    notebook = nbformat.read(target, as_version=4)
    notebook, _ = CoalesceStreamsPreprocessor(enabled=True)(
        notebook, {}
    )  # a progress bar's last state
    for part in (notebook, *notebook.cells):
        for times_and_paths in ("papermill", "execution"):  # of this machine
            part.metadata.pop(times_and_paths, None)
    nbformat.write(notebook, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    profile = os.environ.get("PROFILE") or "quick"
    parser.add_argument("profile", nargs="?", choices=("quick", "full"), default=profile)
    os.environ["PROFILE"] = parser.parse_args().profile
    for name in FILES:  # the notebooks run in their own folder
        if Path(os.environ.get(name, "")).is_file():
            os.environ[name] = os.path.abspath(os.environ[name])
    executed = ROOT / "build"
    try:
        for folder in WRITTEN:
            check_writable(ROOT / folder)
    except OSError as problem:
        sys.exit(str(problem))  # now, not after hours of training
    for name in NOTEBOOKS:
        print(f"\n=== {name} ===", flush=True)
        run_notebook(ROOT / "notebooks" / name, executed / name)
    dataset = json.loads((ROOT / "data" / "dataset.json").read_text(encoding="utf-8"))
    results = ROOT / dataset["results"]
    target = ROOT / "notebooks" if results == ROOT / "results" else results
    for name in NOTEBOOKS:
        (executed / name).replace(target / name)
    if results == ROOT / "results":
        write_tables()
    print(
        f"\nDone. Results: {results.relative_to(ROOT)}/, "
        f"executed notebooks: {target.relative_to(ROOT)}/"
    )


if __name__ == "__main__":
    main()
