import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from tools import run_notebooks
from utils.base.cifar10 import ROOT
from utils.base.files import sha256_of
from utils.results.records import read_records

NOTEBOOKS = ("download_handle_data.ipynb", "train_test_data.ipynb")
VGG16 = "VGG16_WEIGHTS"
NO_SERVER = "http://127.0.0.1:9/cifar-10-python.tar.gz"  # the discard port: refused at once


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory):
    """A copy of the repository in which both notebooks ran without any archive."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("utils", "experiments", "notebooks"):
        shutil.copytree(ROOT / folder, root / folder)
    parameters = {
        NOTEBOOKS[0]: {"ARCHIVE": NO_SERVER, "SAMPLE_BATCH": 100},
        NOTEBOOKS[1]: {
            "PROFILE": "full",
            "SEED": 3,
            "CANDIDATE_CHANGES": {"epochs": 1, "steps_per_epoch": 4},
            "FINAL_CHANGES": {"epochs": 1, "label_smoothing": 0.05},
            "SAMPLE_CHANGES": {"batch_size": 30, "validation_size": 0.12},
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROFILE", "quick")
        for name in NOTEBOOKS:
            place = root / "notebooks" / name
            run_notebooks.run_notebook(place, place, parameters[name], progress_bar=False)
    return root


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_notebooks_are_executed_in_order_without_errors(name):
    cells = code_cells(ROOT / "notebooks" / name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_have_one_cell_of_parameters(name):
    cells = code_cells(ROOT / "notebooks" / name)
    assert sum("parameters" in cell.metadata.get("tags", ()) for cell in cells) == 1


def test_without_a_source_the_notebooks_go_on_with_the_sample(sample_run):
    first = nbformat.read(sample_run / "notebooks" / NOTEBOOKS[0], as_version=4)
    said = "".join(out.get("text", "") for cell in first.cells for out in cell.get("outputs", ()))
    assert "going on with the drawn sample" in said
    dataset = json.loads((sample_run / "data" / "dataset.json").read_text())
    assert dataset["results"] == "results/sample"


def test_another_archive_by_path_is_not_taken_for_cifar_10(sample_archive, tmp_path):
    for folder in ("utils", "experiments", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    place = tmp_path / "notebooks" / NOTEBOOKS[0]
    run_notebooks.run_notebook(
        place,
        tmp_path / "executed.ipynb",
        {"ARCHIVE": str(sample_archive), "PATCH_SIZE": 64},
        progress_bar=False,
    )
    dataset = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert (dataset["name"], dataset["results"]) == ("other pictures", "results/other")
    assert (tmp_path / "data" / "other" / "train_names.txt").exists()
    assert not (tmp_path / "images").exists()


def test_a_sample_run_writes_under_results_sample_only(sample_run):
    results = sample_run / "results" / "sample"
    (record,) = read_records(results)
    run = record["experiment"]
    pictures = {"confusion_matrix.png", "classes.png"}
    assert {path.name for path in results.iterdir()} == {run, "models", *pictures}
    assert {path.name for path in (results / run).iterdir()} == {
        "seed_3.json",
        "report.csv",
        "report.md",
        "confusion_matrix.pdf",
    }
    kept = {path.name: sha256_of(path) for path in (results / "models").iterdir()}
    assert kept == record["model"]["sha256"]
    assert set(kept) == {f"{run}.keras", f"{run}.h5", f"{run}.onnx"}
    assert record["scores"]["onnx"]["largest_difference"] <= 1e-5
    assert record["scores"]["none_of_the_ten"]["threshold"]
    assert not (sample_run / "models").exists()
    assert not (sample_run / "images").exists()
    assert [path.name for path in (sample_run / "results").iterdir()] == ["sample"]


def test_each_changed_parameter_is_found_in_the_record(sample_run):
    """The profile by papermill, not by the environment, which says another."""
    (record,) = read_records(sample_run / "results" / "sample")
    assert record["experiment"].startswith("full_model_")
    assert record["seed"] == 3
    changed = {"epochs": 1, "label_smoothing": 0.05, "batch_size": 30, "validation_size": 0.12}
    assert {field: record["recipe"][field] for field in changed} == changed
    assert len(record["training"]["history"]["loss"]) == 1
    assert record["data"]["validation"] == 60
    assert len(record["scores"]["candidates_validation"]) == 4


@pytest.mark.parametrize("folder", ["results", "models"])
def test_a_folder_that_cannot_be_written_is_noticed_before_anything_runs(
    tmp_path, monkeypatch, folder
):
    (tmp_path / folder).touch()
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(run_notebooks, "run_notebook", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", ["run_notebooks.py", "quick"])
    monkeypatch.setenv("PROFILE", "")
    with pytest.raises(SystemExit, match=f"{folder}: nothing can be written there"):
        run_notebooks.main()


def test_the_kernel_is_the_python_that_runs_it_whatever_is_installed_by_that_name(
    tmp_path, monkeypatch
):
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    missing = {"argv": [str(tmp_path / "python")], "display_name": "Python 3", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(missing))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import sys\nsys.executable")],
        metadata={"kernelspec": {"name": "my_env", "display_name": "mine", "language": "python"}},
    )
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    run_notebooks.run_notebook(
        tmp_path / "notebook.ipynb", tmp_path / "run.ipynb", progress_bar=False
    )
    [cell] = code_cells(tmp_path / "run.ipynb")
    assert cell.outputs[0]["data"]["text/plain"] == repr(sys.executable)


@pytest.mark.parametrize("environment", ["", "fulll"])
def test_an_unknown_profile_is_a_sentence(monkeypatch, environment):
    monkeypatch.setenv("PROFILE", environment)
    monkeypatch.setattr(sys, "argv", ["run_notebooks", *([] if environment else ["fulll"])])
    with pytest.raises(SystemExit, match=r"^profile 'fulll', expected quick or full$"):
        run_notebooks.main()


def test_paths_given_relative_to_the_root_hold_in_the_folder_of_the_notebooks(
    tmp_path, monkeypatch
):
    def look(*_):
        sys.exit(f"archive: {os.environ['CIFAR10_ARCHIVE']}, weights: {os.environ[VGG16]}")

    (tmp_path / "archive").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(run_notebooks, "run_notebook", look)
    monkeypatch.setattr(sys, "argv", ["run_notebooks.py", "quick"])
    monkeypatch.setenv("PROFILE", "")
    monkeypatch.setenv("CIFAR10_ARCHIVE", "archive")
    monkeypatch.setenv(VGG16, "https://weights.example/vgg16.h5")
    expected = f"archive: {tmp_path / 'archive'}, weights: https://weights.example/vgg16.h5"
    with pytest.raises(SystemExit, match=f"^{expected}$"):
        run_notebooks.main()


@pytest.mark.parametrize("name", ["selection", "functions"])
def test_the_readmes_scripts_run(sample_run, name):
    """On the sample, of which a share of 0.02 would be too few pictures to hold out."""
    readme = (ROOT / "README.md").read_text()
    script = readme.split(f"<!-- script: {name} -->\n```python\n")[1].split("```")[0]
    script = script.replace("load()", "load(0.1)").replace("epochs=4", "epochs=1, batch_size=50")
    script = script.replace("epochs=2", "epochs=1, batch_size=50, width=(8, 8, 8)")
    shutil.copytree(sample_run / "data" / "sample", sample_run / "data", dirs_exist_ok=True)
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=sample_run,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert ("test accuracy" in run.stdout) or 0 <= float(run.stdout.split()[-1]) <= 1
