"""Run both notebooks top to bottom: ``python -m tools.run_notebooks [quick|full]``.

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
import traitlets
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from experiments.tables import write_tables
from utils.base.files import ROOM, check_writable

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ("download_handle_data.ipynb", "train_test_data.ipynb")
FILES = ("CIFAR10_ARCHIVE", "VGG16_WEIGHTS", "MOBILENETV2_WEIGHTS")
PROFILES = ("quick", "full")
WRITTEN = ("build", "data", "images", "models", "results", "notebooks")


class OwnKernel(AsyncKernelManager):
    """The Python that runs this, whatever kernels of the same name the user installed."""

    @traitlets.default("kernel_spec_manager")
    def _without_installed_ones(self):
        return KernelSpecManager(kernel_dirs=[])


def run_notebook(source, target, parameters=None, **options):
    """Execute the notebook at `source` into `target` (pathlib.Path), showing its output.

    `parameters` (dict) takes the place of values in its cell of parameters; `options` are of
    `papermill.execute_notebook`.
    """
    papermill.execute_notebook(
        source,
        target,
        parameters,
        cwd=source.parent,
        kernel_name=NATIVE_KERNEL_NAME,
        kernel_manager_class=OwnKernel,
        **{"stdout_file": sys.stdout, "stderr_file": sys.stderr, **options},
    )
    notebook = nbformat.read(target, as_version=4)
    coalesce = CoalesceStreamsPreprocessor(enabled=True)  # a progress bar's last state
    notebook, _ = coalesce(notebook, {})
    for part in (notebook, *notebook.cells):
        for times_and_paths in ("papermill", "execution"):  # of this machine
            part.metadata.pop(times_and_paths, None)
    nbformat.write(notebook, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    profile = os.environ.get("PROFILE") or "quick"
    parser.add_argument("profile", nargs="?", default=profile, help="quick or full")
    profile = parser.parse_args().profile
    if profile not in PROFILES:
        sys.exit(f"profile {profile!r}, expected quick or full")
    os.environ["PROFILE"] = profile
    for name in FILES:  # the notebooks run in their own folder
        if Path(os.environ.get(name, "")).is_file():
            os.environ[name] = os.path.abspath(os.environ[name])
    executed = ROOT / "build"
    try:
        for folder in WRITTEN:
            check_writable(ROOT / folder, ROOM)
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
