"""`pip install .`: the same modules under a name of their own, in an environment of their own."""

import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib.util import find_spec

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from utils.base.cifar10 import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WALK = """
import importlib, json, pkgutil, sys
import cifar10_keras
from cifar10_keras import experiments
from cifar10_keras.base.cifar10 import DATA_DIRECTORY
from cifar10_keras.load_patchs import read_image_labels
from cifar10_keras.model_training_testing import model_1

found = [each.name for each in pkgutil.walk_packages(cifar10_keras.__path__, "cifar10_keras.")]
missing = set()
for name in found:
    if not name.endswith("__main__"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing.add(error.name)
print(json.dumps({
    "found": found,
    "missing": sorted(missing),
    "file": cifar10_keras.__file__,
    "data": str(DATA_DIRECTORY),
    "load": experiments.load.__module__,
    "parameters": model_1().count_params(),
    "shapes": [list(images.shape) for images, _ in read_image_labels(sys.argv[1], 64, (32, 32))],
    "others": [name for name in sys.modules if name.split(".")[0] in ("utils", "experiments")],
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An environment's Python that has this package, and ours for all that it needs."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [site] = folder.rglob("site-packages")
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    python = next(folder.glob("[bS]*/python*"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", ROOT], check=True)
    return python


def run(python, *arguments, folder):
    command = [python, "-P", *arguments]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.fixture(scope="module")
def seen(python, converted, tmp_path_factory):
    """What a script of somebody's own finds."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("train_names.txt", "images"):
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / name).symlink_to(converted.train_names.parent / name)
    said = run(python, "-c", WALK, "data/train_names.txt", folder=folder)
    return {**json.loads(said.splitlines()[-1]), "folder": folder}


def test_every_module_is_there_and_imports_under_the_packages_name_alone(seen):
    expected = {
        ".".join((name, *path.relative_to(ROOT / folder).with_suffix("").parts))
        for folder, name in (
            ("utils", "cifar10_keras"),
            ("experiments", "cifar10_keras.experiments"),
        )
        for path in (ROOT / folder).rglob("*.py")
    }
    names = {name.removesuffix(".__init__") for name in expected}
    assert set(seen["found"]) == names - {"cifar10_keras"}
    extras = {
        Requirement(text).name
        for texts in PROJECT["optional-dependencies"].values()
        for text in texts
    }
    assert set(seen["missing"]) <= {name for name in extras if not find_spec(name)}
    assert seen["others"] == []
    assert not seen["file"].startswith(str(ROOT))


def test_it_does_what_the_clone_does(seen):
    assert seen["parameters"] == 552_874
    assert seen["shapes"] == [[64, 32, 32, 3], [36, 32, 32, 3]]
    assert seen["load"] == "cifar10_keras.experiments.data"


def test_data_and_results_go_where_python_was_started(seen):
    assert seen["data"] == str(seen["folder"] / "data")


def test_experiments_are_listed_by_the_package(python, tmp_path):
    said = run(python, "-m", "cifar10_keras.experiments", folder=tmp_path)
    assert re.search("^airbench94 .* epochs$", said, re.MULTILINE)


def test_what_the_clone_installs_is_what_the_package_allows():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    exact = [Requirement(line.partition("#")[0]) for line in lines if line and line[0] != "#"]
    lowest = {each.name: min(Version(item.version) for item in each.specifier) for each in exact}
    extras = PROJECT["optional-dependencies"]
    for text in (*PROJECT["dependencies"], *extras["page"]):
        wanted = Requirement(text)
        assert wanted.specifier.contains(lowest[wanted.name]), text


def test_the_package_asks_for_all_that_it_imports():
    wanted = {Requirement(text).name for text in PROJECT["dependencies"]}
    for texts in PROJECT["optional-dependencies"].values():
        wanted |= {Requirement(text).name for text in texts}
    called = {"PIL": "pillow", "sklearn": "scikit-learn", "skimage": "scikit-image"}
    called |= {"pillow_heif": "pillow-heif"}
    imported = set()
    for folder in ("utils", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            imported |= set(re.findall(r"^\s*(?:from|import) (\w+)", source, re.MULTILINE))
    ours = {"utils", "experiments", *sys.stdlib_module_names}
    come_with_them = {"urllib3", "h5py", "pandas"}  # requests, Keras, seaborn
    assert {called.get(name, name) for name in imported - ours} - wanted <= come_with_them
