"""Scripts as users write them, from pictures and arrays of their own."""

import os
import subprocess
import sys

import numpy as np
from PIL import Image
from small_pictures import random_pixels

from utils.base.cifar10 import ROOT


def run_script(name, *arguments):
    """Run a script of ``tests/scripts`` and return what it printed."""
    command = [sys.executable, ROOT / "tests" / "scripts" / name, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout


def test_own_pictures_are_trained_and_reported(tmp_path):
    colours = (
        np.array([(250, 20, 20), (20, 250, 20), (20, 20, 250)] * 4) // np.repeat([1, 2], 6)[:, None]
    )
    for number, colour in enumerate(colours):
        folder = tmp_path / f"class {number:02}"
        folder.mkdir()
        for picture, pixels in enumerate(random_pixels(10, 40 + number, 36)):
            image = Image.fromarray((pixels // 8 + colour // 2).astype(np.uint8))
            image.save(folder / f"{picture}.{('png', 'JPG', 'bmp', 'jpeg')[picture % 4]}")
    printed = run_script("own_pictures.py", tmp_path)
    assert "12 classes, 24 test pictures" in printed
    assert "| class 11 |" in printed
    names = (tmp_path / "test_names.txt").read_text().splitlines()
    assert sorted(int(line.split()[-1]) for line in names) == sorted([*range(12)] * 2)
    for file in ("report.csv", "confusion.pdf", "gallery.png", "model_1.keras", "model_1.h5"):
        assert (tmp_path / file).stat().st_size


def test_the_readmes_script_for_own_pictures_runs(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = readme.split("<!-- script: pictures -->\n```python\n")[1].split("```")[0]
    for number in range(3):
        folder = tmp_path / "my_pictures" / f"class {number}"
        folder.mkdir(parents=True)
        for picture, pixels in enumerate(random_pixels(10, 40, 36)):
            Image.fromarray(pixels // 8 + np.uint8(70 * number)).save(folder / f"{picture}.png")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", script]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert "3 classes, accuracy" in run.stdout


def test_own_arrays_are_predicted_in_every_form():
    assert float(run_script("own_arrays.py").split()[1].strip(",")) > 0.9


def test_own_batches_are_predicted_in_every_form():
    assert float(run_script("own_batches.py").split()[1]) > 0.7
