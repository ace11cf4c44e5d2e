"""Predicting 10,000 pictures, against reading them and Keras's `model.predict` on the array.

Needs converted data. Also prints the peak memory of predicting 10,000 and 50,000 pictures.
"""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from pairs import compare

from utils.base.cifar10 import DATA_DIRECTORY
from utils.load_patchs import extract_labels, read_image_labels
from utils.model_training_testing import model_1, predict

TEST_NAMES = DATA_DIRECTORY / "test_names.txt"
MEMORY_PROGRAM = """
import resource, sys
from utils.load_patchs import read_image_labels
from utils.model_training_testing import model_1, predict
_, _, predictions, _ = predict(model_1(), read_image_labels(sys.argv[1], 128, (32, 32)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"predicting {len(predictions):,} pictures: peak memory {peak} MiB")
"""


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    model = model_1()

    def ours():
        predict(model, read_image_labels(TEST_NAMES, 128, (32, 32)))

    def keras_predict():
        images, _ = extract_labels(read_image_labels(TEST_NAMES, 128, (32, 32)))
        model.predict(images, batch_size=128, verbose=0)

    ours()
    keras_predict()
    compare("predict", ours, keras_predict)
    root = Path(__file__).resolve().parents[1]
    for names_file in (TEST_NAMES, DATA_DIRECTORY / "train_names.txt"):
        subprocess.run([sys.executable, "-c", MEMORY_PROGRAM, names_file], cwd=root, check=True)
