"""Reading the 50,000 training pictures as patches of 128, against Keras.

The peer is `keras.utils.image_dataset_from_directory`. Needs converted data. Also prints the peak
memory of a pass over 10,000 and 60,000 pictures.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from pairs import compare

from utils.base.cifar10 import DATA_DIRECTORY
from utils.load_patchs import handle_images_path_and_labels, load_paths_labels, read_image_labels

TRAIN_NAMES, TEST_NAMES = DATA_DIRECTORY / "train_names.txt", DATA_DIRECTORY / "test_names.txt"
MEMORY_PROGRAM = """
import resource, sys
from utils.load_patchs import read_image_labels
count = sum(len(labels) for _, labels in read_image_labels(sys.argv[1], 128, (32, 32)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"uncached pass over {count:,} pictures: peak memory {peak} MiB")
"""


def exhaust(dataset):
    for _ in dataset:
        pass


def copy_pictures(target):
    """Copy the training pictures to a folder for each class, as Keras reads them."""
    paths, _ = handle_images_path_and_labels(load_paths_labels(TRAIN_NAMES))
    for path in map(Path, paths):
        (target / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, target / path.parent.name)


def print_peak_memory(names_file):
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", MEMORY_PROGRAM, names_file], cwd=root, check=True)


if __name__ == "__main__":
    scratch = Path(tempfile.mkdtemp())
    try:
        copy_pictures(scratch)

        def keras_pass():
            exhaust(
                keras.utils.image_dataset_from_directory(
                    scratch, image_size=(32, 32), batch_size=128, shuffle=False, verbose=False
                )
            )

        compare(
            "first pass", lambda: exhaust(read_image_labels(TRAIN_NAMES, 128, (32, 32))), keras_pass
        )
        cached = read_image_labels(TRAIN_NAMES, 128, (32, 32), cache="memory")
        exhaust(cached)
        compare("second pass with cache", lambda: exhaust(cached), keras_pass)
        print_peak_memory(TEST_NAMES)
        all_names = scratch / "all.txt"
        parts = (TRAIN_NAMES, TEST_NAMES)
        all_names.write_text("\n".join(part.read_text() for part in parts))
        print_peak_memory(all_names)
    finally:
        shutil.rmtree(scratch)
