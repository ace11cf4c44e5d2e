"""The folder that `make space` writes: what is in it, and that it serves in an environment bare
of all else."""

import os
import re
import subprocess
import sys

import pytest
from gradio_client import Client, handle_file

from tools import make_space as module
from tools.make_space import deploy, make_space
from tools.page_server import serve
from utils.base.cifar10 import ROOT
from utils.results.records import best_first
from utils.serving.classifier import classify, load_classifier

DEER = ROOT / "images" / "examples" / "1_deer.png"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    directory = tmp_path_factory.mktemp("space") / "space"
    make_space(directory)
    return directory


@pytest.fixture(scope="module")
def label():
    """What the shipped model calls the deer."""
    return classify(DEER, load_classifier(next(iter(best_first())))).label


def test_the_front_matter_says_how_to_run_it(space):
    front = (space / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    settings = dict(line.split(": ", 1) for line in front.splitlines())
    assert settings["sdk"] == "gradio"
    assert re.fullmatch(r"6\.\d+\.\d+", settings["sdk_version"])
    assert (space / settings["app_file"]).is_file()


@pytest.mark.parametrize("release", ["3.11.9", "3.13.1"])
def test_it_asks_for_the_python_that_has_its_versions(tmp_path, monkeypatch, release):
    monkeypatch.setattr(module.platform, "python_version_tuple", lambda: release.split("."))
    make_space(tmp_path / "space")
    front = (tmp_path / "space" / "README.md").read_text(encoding="utf-8")
    assert f'python_version: "{release[:4]}"\n' in front


def test_it_holds_what_the_page_needs_and_nothing_else(space):
    assert {path.name for path in space.iterdir()} == {
        *("README.md", "requirements.txt", "LICENSE", "app.py", "page_parts.py"),
        *("utils", "models", "results", "images"),
    }
    models = {path.name for path in (space / "models").rglob("*") if path.suffix != ".json"}
    assert models == {path.name for path in best_first()}
    assert not list(space.rglob("*.h5"))
    assert "tensorflow-cpu==" in (space / "requirements.txt").read_text()
    assert sum(path.stat().st_size for path in space.rglob("*") if path.is_file()) < 5e6


def test_it_serves_from_its_own_folder(space, label):
    with serve(directory=space) as (url, _):
        client = Client(url, verbose=False)
        assert client.predict(handle_file(DEER), api_name="/predict")["label"] == label
        client.close()


@pytest.mark.skipif(
    "TEST_SPACE_INSTALL" not in os.environ,
    reason="set TEST_SPACE_INSTALL=1 to install the Space's requirements afresh, some minutes",
)
def test_it_serves_in_a_fresh_environment_of_its_own_requirements(space, label, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    version = re.search(r"sdk_version: (\S+)", (space / "README.md").read_text(encoding="utf-8"))
    pip = [python, "-m", "pip", "install", "-q", "--no-compile"]  # the page imports a part of it
    subprocess.run([*pip, f"gradio=={version[1]}"], check=True)
    subprocess.run([*pip, "-r", space / "requirements.txt"], check=True)
    with serve(directory=space, python=python, PYTHONPATH="") as (url, _):
        client = Client(url, verbose=False)
        assert client.predict(handle_file(DEER), api_name="/predict")["label"] == label
        client.close()


def test_it_is_uploaded_as_the_owner_of_the_token(space, monkeypatch):
    calls = []

    class Api:
        def __init__(self, token):
            calls.append(token)

        def create_repo(self, name, **options):
            calls.append((name, options["repo_type"], options["space_sdk"]))

        def upload_folder(self, **options):
            calls.append((options["repo_id"], options["repo_type"], options["folder_path"]))

    monkeypatch.setattr(module, "HfApi", Api)
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert deploy(space, "me/cifar").endswith("/me/cifar")
    assert calls == ["secret", ("me/cifar", "space", "gradio"), ("me/cifar", "space", space)]


def test_without_a_token_nothing_is_uploaded(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(sys, "argv", ["make_space", "me/cifar"])
    with pytest.raises(SystemExit, match="HF_TOKEN is not set"):
        module.main()
