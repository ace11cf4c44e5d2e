"""CIFAR-100, from its archive to a network and what the page says of a picture."""

import sys
from pathlib import Path

from utils.download_handle_data import ConvertDataToImages, download_data, extract_cifar10_data
from utils.load_patchs import extract_labels, read_classes, read_image_labels
from utils.model_training_testing import model_4, predict, train_and_evaluate_models
from utils.results.onnx_files import export_onnx
from utils.serving.classifier import classify, load_models
from utils.serving.picture_input import prepare

folder = Path(sys.argv[2])
archive = download_data(sys.argv[1], directory=folder)  # or CIFAR100_URL
batches = extract_cifar10_data(folder, archive=archive)
converter = ConvertDataToImages(images_directory=folder / "images")
for part in ("train", "test"):
    converter.run(batches / part, folder / f"{part}_names.txt", 1)
train, test = (
    read_image_labels(folder / f"{part}_names.txt", 100, (32, 32)) for part in ("train", "test")
)
names = read_classes(folder / "test_names.txt").names
model = model_4((32, 32, 3), len(names), width=(4, 4, 4))
model, _ = train_and_evaluate_models([model], train, test, 1, None, True, 0.1)
accuracy, _, predictions, labels = predict(model, test)
print(f"{len(names)} classes, {len(extract_labels(test)[1])} pictures, accuracy {accuracy:.2f}")
export_onnx(model, folder / "models" / "mine.onnx", record=None, class_names=names)
(classifier,), problems = load_models(folder / "models", root=folder)
picture = next((folder / "images" / names[labels[0]]).glob("*.png"))
print(f"the page says {classify(prepare(picture, (32, 32)), classifier).label}")
