"""Scripts as users write them from README and docstrings, of data and networks of their own.

They are run one after the other in this process, in which TensorFlow has been loaded once.
"""

import runpy
import shutil
import sys

import numpy as np
import pytest
from experiment_roots import make_root
from PIL import Image
from small_pictures import random_pixels

from experiments import __main__ as command
from experiments.recipes import EXPERIMENTS
from experiments.runner import run
from utils.archive.sample import write_sample_archive
from utils.base.cifar10 import ROOT
from utils.results.records import read_records

pytestmark = [  # Keras's own words on batches whose number nobody knows
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),
    pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning"),
]
SCRIPTS = ROOT / "tests" / "scripts"
SUFFIXES = ("png", "JPG", "bmp", "jpeg", "GIF")


@pytest.fixture
def run_script(monkeypatch, capsys, tmp_path):
    """Function that runs a script in a folder of its own, and returns what it printed."""

    def run_it(path, *arguments):
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return lambda name, *arguments: run_it(SCRIPTS / name, *arguments)


def draw_pictures(folder, classes, count):
    """Draw `count` pictures of as many colours as there are `classes`, in any size and format."""
    for number in range(classes):
        place = folder / f"class {number:02}"
        place.mkdir(parents=True)
        colour = np.eye(3)[number % 3] * 200 / (1 + number // 3)
        for picture, pixels in enumerate(random_pixels(count, 40 + number, 36)):
            image = Image.fromarray((pixels // 8 + colour).astype(np.uint8))
            image.save(place / f"{picture}.{SUFFIXES[picture % len(SUFFIXES)]}")
    return folder


def test_own_pictures_are_trained_and_reported(tmp_path, run_script):
    printed = run_script("own_pictures.py", draw_pictures(tmp_path / "own", 12, 5))
    assert "12 classes, 12 test pictures" in printed
    assert "| class 11 |" in printed
    names = (tmp_path / "own" / "test_names.txt").read_text().splitlines()
    assert sorted(int(line.split()[-1]) for line in names) == [*range(12)]
    for file in ("report.csv", "confusion.pdf", "gallery.png", "model_1.keras", "model_1.h5"):
        assert (tmp_path / "own" / file).stat().st_size


def test_own_pictures_of_two_classes_are_shown_with_what_is_said_of_them(tmp_path, run_script):
    printed = run_script("own_gallery.py", draw_pictures(tmp_path / "own", 2, 15))
    assert "('class 00', 'class 01'): 24 and 6 pictures" in printed
    for file in ("curves.png", "gallery.png", "own.keras"):
        assert (tmp_path / "own" / file).stat().st_size


def test_the_readmes_script_for_own_pictures_runs(tmp_path, run_script):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = readme.split("<!-- script: pictures -->\n```python\n")[1].split("```")[0]
    draw_pictures(tmp_path / "my_pictures", 3, 5)
    (tmp_path / "script.py").write_text(script.replace("test, 8, None", "test, 2, None"))
    assert "3 classes, accuracy" in run_script(tmp_path / "script.py")


def test_own_arrays_are_predicted_in_every_form(run_script):
    assert float(run_script("own_arrays.py").split("accuracy ")[1].split(",")[0]) > 0.9


def test_own_batches_are_predicted_in_every_form(run_script):
    assert float(run_script("own_batches.py").split("accuracy ")[1]) > 0.7


def test_data_in_every_form_is_the_same_to_a_training(run_script):
    losses, *sentences = run_script("mixed_data.py").strip().splitlines()
    assert len(set(losses.strip("{}").replace(",", ":").split(":")[1::2])) == 1
    for sentence, words in zip(
        sentences,
        ("is an array; pass", "tuple of 4 parts; pass", "pixels from", "is of type str; pass"),
        strict=True,
    ):
        assert words in sentence


def test_callbacks_are_those_of_keras_and_a_training_goes_on(tmp_path, run_script):
    assert "3 epochs, learning rates [0.1" in run_script("own_callbacks.py", tmp_path)


def test_own_networks_are_trained_or_a_sentence_says_why_not(tmp_path, run_script):
    printed = run_script("own_networks.py", tmp_path)
    for words in (
        "subclassed: trained as it is, which is slower",
        "subclassed can't be saved: ",
        "saved as residual.keras",
        "two_inputs: accuracy",
        "two_inputs can't be saved: it has a Lambda",
        "heads has 2 outputs; make a model of the one",
    ):
        assert words in printed
    assert "residual: trained as it is" not in printed


def test_one_call_trains_a_network_of_ones_own(run_script):
    printed = run_script("one_call.py")
    assert float(printed.split("accuracy ")[1].split()[0]) > 0.9
    assert "width is (64, 128, 128), but pupil is built already" in printed


@pytest.mark.parametrize("name", ["mine", "own"])
def test_recipes_of_ones_own_are_run_and_recorded(converted, tmp_path, monkeypatch, capsys, name):
    root = make_root(tmp_path, converted)
    for table in (EXPERIMENTS, sys.modules["experiments.own_recipes"]._registered):
        for key in ("mine", "own"):
            monkeypatch.setitem(table, key, None)
            monkeypatch.delitem(table, key)
    monkeypatch.setattr(command, "run", lambda *names, **how: run(*names, **how, root=root))
    reference = f"{SCRIPTS / 'my_recipes.py'}:{name}"
    monkeypatch.setattr(sys, "argv", ["experiments", "run", reference, "--set", "epochs=2"])
    command.main()
    assert f"{name},epochs=2, seed 0: " in capsys.readouterr().out
    (record,) = read_records(root / "results" / "sample")
    assert record["experiment"] == f"{name},epochs=2"


def test_a_hundred_classes_reach_the_page(tmp_path, run_script):
    archive = write_sample_archive(tmp_path / "a.tar.gz", images_per_batch=100, classes=100)
    printed = run_script("hundred_classes.py", archive, tmp_path / "out")
    assert "100 classes, 100 pictures, accuracy" in printed
    assert printed.split("the page says ")[1].strip() in {
        path.name for path in (tmp_path / "out" / "images").iterdir()
    }


def test_attached_data_is_taken_and_left_as_it_is(sample_batches, tmp_path, run_script):
    attached = tmp_path / "input" / "cifar-10"
    shutil.copytree(sample_batches, attached / "cifar-10-batches-py")
    own = draw_pictures(tmp_path / "input" / "own", 2, 5)
    before = sorted((tmp_path / "input").rglob("*"))
    printed = run_script("attached_data.py", attached, own, tmp_path / "working")
    assert "(10, 32, 32, 3) (10,)\n(3, 24, 24, 3) ('class 00', 'class 01')" in printed
    assert sorted((tmp_path / "input").rglob("*")) == before
