"""Data that is attached where nothing can be written, as on Kaggle: batches without an archive."""

import sys
from pathlib import Path

from utils.download_handle_data import (
    TEST_BATCH,
    ConvertDataToImages,
    download_data,
    extract_cifar10_data,
)
from utils.load_patchs import make_names_files, read_image_labels

attached, own, working = map(Path, sys.argv[1:])  # /kaggle/input/..., twice; /kaggle/working
batches = extract_cifar10_data(working, archive=download_data(attached))
converter = ConvertDataToImages(images_directory=working / "images")
converter.run(batches / TEST_BATCH, working / "test_names.txt", 1)
how = {"images_directory": working / "images"}
images, labels = next(iter(read_image_labels(working / "test_names.txt", 10, (32, 32), **how)))
print(images.shape, labels.shape)
train_names, _, class_names = make_names_files(own, directory=working / "names")
images, labels = next(iter(read_image_labels(train_names, 3, (24, 24))))
print(images.shape, class_names)
