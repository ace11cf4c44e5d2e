"""Converting 10,000 images to PNG files, against two usual ways. Needs the extracted batches."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported

import imageio.v2 as imageio
import numpy as np
from pairs import compare
from PIL import Image

from utils.archive.batches import read_batch
from utils.archive.members import BATCHES_FOLDER
from utils.base.cifar10 import DATA_DIRECTORY
from utils.download_handle_data import ConvertDataToImages

BATCH = DATA_DIRECTORY / BATCHES_FOLDER / "test_batch"


def convert(directory):
    converter = ConvertDataToImages(images_directory=directory / "images")
    converter.run(BATCH, directory / "names.txt", 1)


def convert_plainly(directory):
    """Reshape, stack and `imageio.imwrite`, picture by picture."""
    data, _, names = read_batch(BATCH)
    for row, name in zip(data, names, strict=True):
        channels = [row[start : start + 1024].reshape(32, 32) for start in (0, 1024, 2048)]
        imageio.imwrite(directory / name, np.stack(channels, axis=-1))


def convert_like_cifar2png(directory):
    """Reshape all, then Pillow's `save`, as the package cifar2png does."""
    data, _, names = read_batch(BATCH)
    for image, name in zip(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), names, strict=True):
        Image.fromarray(image).convert("RGB").save(directory / name)


def in_fresh_folder(way):
    def run():
        directory = Path(tempfile.mkdtemp(dir=scratch))
        way(directory)
        return directory

    return run


if __name__ == "__main__":
    scratch = tempfile.mkdtemp()
    try:
        ours = in_fresh_folder(convert)
        compare("converting, against imageio", ours, in_fresh_folder(convert_plainly))
        compare("converting, against cifar2png", ours, in_fresh_folder(convert_like_cifar2png))
        done = ours()
        compare("a second run, against the first", lambda: convert(done), ours)
    finally:
        shutil.rmtree(scratch)
