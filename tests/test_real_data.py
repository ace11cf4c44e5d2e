"""The 60,000 real pictures, where the environment variable CIFAR10_ARCHIVE names their archive."""

import os
from itertools import chain
from pathlib import Path

import keras
import numpy as np
import pytest
from folder_state import OLD
from killed import run_script
from PIL import Image

from utils.archive.batches import read_batch
from utils.archive.members import TEST_BATCH, TRAIN_BATCHES
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.download_handle_data import ConvertDataToImages, download_data, extract_cifar10_data
from utils.load_patchs import extract_labels, load_paths_labels, read_image_labels
from utils.model_training_testing import model_1, predict, train_and_evaluate_models
from utils.pipeline.names_file import split_names_file
from utils.results.model_files import load_model
from utils.results.records import processor, read_records

ARCHIVE = os.environ.get("CIFAR10_ARCHIVE", "")
MODELS = ROOT / "models"
PUBLISHED = {
    name: record
    for record in read_records()
    for name in record["model"]["sha256"]
    if name.endswith(".keras") and (MODELS / name).is_file()
}
FIRST = "right_of_the_first_512"

pytestmark = pytest.mark.skipif(
    not Path(ARCHIVE).is_file(),
    reason="set CIFAR10_ARCHIVE to the path of cifar-10-python.tar.gz to test on the real data",
)


class RealData:
    """The folder with everything, and what the batches hold."""

    def __init__(self, folder):
        self.images = folder / "images"
        self.batches = extract_cifar10_data(
            folder, archive=download_data(ARCHIVE, directory=folder)
        )
        self.parts = {
            folder / "train_names.txt": TRAIN_BATCHES,
            folder / "test_names.txt": (TEST_BATCH,),
        }
        self.train_names, self.test_names = self.parts

    def convert(self, **options):
        converter = ConvertDataToImages(images_directory=self.images)
        for names_file, batches in self.parts.items():
            for batch in batches:
                end_file = int(batch == batches[-1])
                converter.run(self.batches / batch, names_file, end_file, **options)

    def read(self, names_file):
        """Return pixels of shape (N, 32, 32, 3), labels and file names, batch after batch."""
        batches = [read_batch(self.batches / name) for name in self.parts[names_file]]
        data, labels, filenames = zip(*batches, strict=True)
        pixels = np.concatenate(data).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return pixels, list(chain(*labels)), list(chain(*filenames))


KILLED = """
import itertools
import os
import random
import sys
from pathlib import Path
from killed import was_killed
from utils.archive.members import TEST_BATCH, TRAIN_BATCHES
from utils.download_handle_data import ConvertDataToImages

batches, place = map(Path, sys.argv[1:])

def convert(number):
    converter = ConvertDataToImages(images_directory=place / "images")
    for name in (*TRAIN_BATCHES, TEST_BATCH):
        names_file = "test_names.txt" if name == TEST_BATCH else "train_names.txt"
        end_file = int(name in (TRAIN_BATCHES[-1], TEST_BATCH))
        converter.run(batches / name, place / names_file, end_file)

draw = random.Random(0)
for kills in itertools.count():  # to write a picture takes two operations: open and rename
    if not was_killed(convert, kills, before=draw.randrange(10_000), reading=False):
        break
    print(sum(len(os.listdir(folder)) for folder in place.glob("images/*/")))
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What a conversion makes that was killed again and again, at random moments."""
    data = RealData(tmp_path_factory.mktemp("real"))
    data.written_at_kills = run_script(KILLED, data.batches, data.images.parent).split()
    return data


def test_conversion_was_killed_at_twenty_moments_or_more(real):
    assert len(set(real.written_at_kills)) >= 20
    assert {path.name for path in real.images.parent.iterdir()} == {
        ".lock",
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
        "images",
        *(path.name for path in real.parts),
    }


@pytest.mark.parametrize("part", ["train_names", "test_names"])
def test_every_pixel_label_and_name_is_that_of_the_batches(real, part):
    names_file = getattr(real, part)
    pixels, labels, filenames = real.read(names_file)
    assert load_paths_labels(names_file) == list(zip(filenames, labels, strict=True))
    dataset = read_image_labels(names_file, 500, (32, 32), images_directory=real.images)
    count = 0
    for images, patch_labels in dataset.as_numpy_iterator():
        patch = slice(count, count + len(images))
        np.testing.assert_array_equal(np.rint(images * 255), pixels[patch])
        np.testing.assert_array_equal(patch_labels, labels[patch])
        count += len(images)
    assert count == len(labels) == {"train_names": 50_000, "test_names": 10_000}[part]


def test_test_set_in_arrays_is_that_of_its_batch(real):
    dataset = read_image_labels(real.test_names, 128, (32, 32), images_directory=real.images)
    images, labels = extract_labels(dataset)
    pixels, expected, _ = real.read(real.test_names)
    np.testing.assert_array_equal(np.rint(images * 255), pixels)
    np.testing.assert_array_equal(labels, expected)


def test_pillow_decodes_a_sample_to_the_same_pixels(real):
    for names_file in real.parts:
        pixels, labels, filenames = real.read(names_file)
        for index in range(0, len(labels), 97):
            path = real.images / CLASS_NAMES[labels[index]] / filenames[index]
            with Image.open(path) as image:
                assert image.mode == "RGB"
                np.testing.assert_array_equal(np.asarray(image), pixels[index])


def test_there_are_six_thousand_pictures_of_each_class_and_nothing_else(real):
    assert {path.name for path in real.images.iterdir()} == {*CLASS_NAMES, ".archive", ".lock"}
    counts = {name: len(os.listdir(real.images / name)) for name in CLASS_NAMES}
    assert counts == dict.fromkeys(CLASS_NAMES, 6000)


@pytest.mark.parametrize("verify", [False, True])
def test_second_conversion_writes_nothing(real, verify):
    written = [*real.images.glob("*/*.png"), *real.parts]
    for path in written:
        os.utime(path, (OLD, OLD))
    real.convert(verify=verify)
    assert len(written) == 60_002
    assert all(path.stat().st_mtime == OLD for path in written)


def test_model_1_learns_in_a_quick_training(real, tmp_path):
    keras.utils.set_random_seed(0)
    few, train, validation = (tmp_path / f"{name}.txt" for name in ("few", "train", "validation"))
    split_names_file(real.train_names, tmp_path / "rest.txt", few, validation_size=3500)
    split_names_file(few, train, validation, validation_size=1000)
    options = {"images_directory": real.images, "cache": "memory"}
    model, history = train_and_evaluate_models(
        [model_1()],
        read_image_labels(train, 20, (32, 32), shuffle=True, **options),
        read_image_labels(validation, 250, (32, 32), **options),
        epochs=2,  # after one, batch normalisation's averages have not yet settled
        batch_size=20,
        final_model=True,
        l_r=0.01,
        verbose=2,
    )
    accuracy, *_ = predict(model, read_image_labels(validation, 250, (32, 32), **options))
    assert accuracy == pytest.approx(history.history["val_accuracy"][-1])
    assert accuracy > 0.25


def score_and_turned(name):
    """What is recorded of a published file, and how many answers may be others.

    None on the processor that it was recorded on; elsewhere rounding may turn a few.
    """
    record = PUBLISHED[name]
    score = record["scores"].get("published") or record["scores"]["test"]
    there = score.get("processor") or record["training"]["device"]["processor"]
    return score, 0 if there == processor()["processor"] else 3


def is_quick(name):
    """Whether all 10,000 can be asked in seconds; or must be, without a count of the first."""
    parameters = PUBLISHED[name]["model"]["parameters"]
    return parameters < 600_000 or (FIRST not in score_and_turned(name)[0] and parameters < 2e6)


@pytest.mark.parametrize("name", sorted(filter(is_quick, PUBLISHED)))
def test_a_published_model_gets_its_recorded_scores_back(real, name):
    score, turned = score_and_turned(name)
    dataset = read_image_labels(real.test_names, 500, (32, 32), images_directory=real.images)
    accuracy, macro_f1, *_ = predict(load_model(MODELS / name), dataset)
    assert accuracy == pytest.approx(score["accuracy"], abs=turned / 10_000 + 1e-9)
    assert macro_f1 == pytest.approx(score["macro_f1"], abs=2 * turned / 10_000 + 1e-9)


@pytest.mark.parametrize("name", sorted({*PUBLISHED} - {*filter(is_quick, PUBLISHED)}))
def test_a_big_published_model_gives_its_first_answers_again(real, name):
    """All would take minutes."""
    score, turned = score_and_turned(name)
    how = {"images_directory": real.images}
    dataset = read_image_labels(real.test_names, 512, (32, 32), **how).take(1)
    _, _, predictions, labels = predict(load_model(MODELS / name), dataset)
    right = int((predictions == labels).sum())
    if FIRST in score:
        assert abs(right - score[FIRST]) <= min(turned, 1)
    else:  # within what 512 of the test pictures may differ by from all
        assert right / 512 == pytest.approx(score["accuracy"], abs=0.04)
