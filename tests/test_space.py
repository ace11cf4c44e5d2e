"""The folder that `make space` writes: what is in it, and that it serves in an environment bare
of all else."""

import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from gradio_client import Client, handle_file

from tools import make_space as module
from tools.make_space import deploy, make_space
from tools.page_server import serve
from utils.base.cifar10 import ROOT
from utils.serving.classifier import classify, load_models
from utils.serving.picture_input import prepare

DEER = ROOT / "images" / "examples" / "1_deer.png"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    directory = tmp_path_factory.mktemp("space") / "space"
    make_space(directory)
    return directory


@pytest.fixture(scope="module")
def label():
    """What the shipped model calls the deer."""
    return classify(prepare(DEER, (32, 32)), load_models()[0][0]).label


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
        *("README.md", "requirements.txt", "LICENSE", "app.py", "Dockerfile", ".dockerignore"),
        *("utils", "models", "results", "images"),
    }
    assert {path.name for path in (space / "utils").iterdir()} == {"__init__.py", "base", "serving"}
    shipped = {path.name for path in (ROOT / "models").glob("*.onnx")}
    assert {path.name for path in (space / "models").iterdir()} == shipped
    records = {path.parent.name for path in (space / "results").rglob("*.json")}
    assert records == {name.removesuffix(".onnx") for name in shipped}
    lines = (space / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in lines} == {
        *("gradio", "numpy", "onnxruntime", "pillow", "pillow-heif"),
    }
    assert sum(path.stat().st_size for path in space.rglob("*") if path.is_file()) < 6e6


def test_the_container_file_follows_the_rules(space):
    """Those of hadolint that such a file can break; no container is built here."""
    text = (space / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines()]
    kinds = [kind for kind, _ in steps]
    assert kinds[0] == "FROM"
    assert re.fullmatch(r"python:3\.\d+-slim", steps[0][1])  # a version, not the latest
    assert kinds.count("CMD") == kinds.count("HEALTHCHECK") == 1
    assert dict(steps)["WORKDIR"].startswith("/")
    assert dict(steps)["USER"] != "root"
    assert kinds.index("USER") > max(i for i, kind in enumerate(kinds) if kind == "RUN")
    assert "ADD" not in kinds
    assert "--no-cache-dir" in [words for kind, words in steps if kind == "RUN"][-1]
    for kind, words in steps:
        if kind in ("CMD", "HEALTHCHECK"):
            program = json.loads(words[words.index("[") :])  # no shell in between
            if "-c" in program:
                compile(program[-1], "health", "exec")
    assert all((space / name).exists() for name in ("requirements.txt", "app.py"))


def test_the_container_is_built(space):
    if shutil.which("docker") is None:
        pytest.skip("no container tool here")
    base = (space / "Dockerfile").read_text().split()[1]
    if subprocess.run(["docker", "pull", "--quiet", base], check=False).returncode:
        pytest.skip(f"no container engine that has {base} here")
    subprocess.run(["docker", "build", "--quiet", space], check=True)


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
    subprocess.run([*pip, "-r", space / "requirements.txt"], check=True)
    assert f"gradio=={version[1]}" in (space / "requirements.txt").read_text()
    with serve(directory=space, python=python, PYTHONPATH="") as (url, _):
        client = Client(url, verbose=False)
        assert client.predict(handle_file(DEER), api_name="/predict")["label"] == label
        client.close()


@pytest.fixture
def hub(monkeypatch):
    """What was asked of Hugging Face, and the files of the Spaces that are there, by name."""
    calls, spaces = [], {}

    class Api:
        def __init__(self, token):
            calls.append(token)

        def repo_exists(self, name, repo_type):
            return name in spaces

        def list_repo_files(self, name, repo_type):
            return spaces[name]

        def create_repo(self, name, **options):
            calls.append((name, options["repo_type"], options["space_sdk"]))

        def upload_folder(self, **options):
            calls.append((options["repo_id"], options["repo_type"], options["folder_path"]))

    monkeypatch.setattr(module, "HfApi", Api)
    monkeypatch.setenv("HF_TOKEN", "secret")
    return SimpleNamespace(calls=calls, spaces=spaces)


@pytest.mark.parametrize(
    "there", [None, [".gitattributes", "README.md"], ["app.py", "images/examples/1_deer.png"]]
)
def test_it_is_uploaded_as_the_owner_of_the_token(space, hub, there):
    if there:
        hub.spaces["me/cifar"] = there
    assert deploy(space, "me/cifar").endswith("/me/cifar")
    assert hub.calls == ["secret", ("me/cifar", "space", "gradio"), ("me/cifar", "space", space)]


def test_a_space_of_something_else_is_left_alone(space, hub):
    hub.spaces["me/cifar"] = ["README.md", "chat.py"]
    with pytest.raises(ValueError, match=r"me/cifar: a Space of something else, with chat\.py"):
        deploy(space, "me/cifar")
    assert hub.calls == ["secret"]


def test_without_a_token_nothing_is_uploaded(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(sys, "argv", ["make_space", "me/cifar"])
    with pytest.raises(SystemExit, match="HF_TOKEN is not set"):
        module.main()
