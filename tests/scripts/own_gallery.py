"""Two classes of pictures in any size and format, up to the pictures that a network gets wrong."""

import sys
from pathlib import Path

import keras
import numpy as np

from utils.load_patchs import extract_labels, load_paths_labels, make_names_files, read_image_labels
from utils.model_training_testing import predict, train_and_evaluate_models
from utils.plotting import plot_accuracy, show_images
from utils.results.model_files import load_model, save_model

folder = Path(sys.argv[1])
train_names, test_names, class_names = make_names_files(folder, test_size=6, seed=1)
train = read_image_labels(train_names, 8, (16, 16), shuffle=True, max_shift=2, cache="memory")
test = read_image_labels(test_names, 8, (16, 16))
keras.utils.set_random_seed(0)
inner = [keras.layers.Conv2D(8, 3, 2, activation="relu"), keras.layers.GlobalAveragePooling2D()]
model = keras.Sequential(
    [keras.Input((16, 16, 3)), *inner, keras.layers.Dense(2, "softmax")], name="own"
)
model, history = train_and_evaluate_models([model], train, test, 3, None, True, 0.2)
plot_accuracy(3, history).savefig(folder / "curves.png")
accuracy, _, predictions, labels, shares = predict(model, test, return_probabilities=True)
images, _ = extract_labels(test)
order = np.argsort(shares.max(axis=1))  # the least sure first
show_images(
    images[order],
    labels[order],
    predictions=predictions[order],
    confidences=shares[order],
    class_names=class_names,
).savefig(folder / "gallery.png")
path, _ = save_model(model, folder)
again = predict(load_model(path), test)
assert (again[2] == predictions).all()
print(f"{class_names}: {len(load_paths_labels(train_names))} and {len(labels)} pictures")
