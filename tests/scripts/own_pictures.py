"""Own pictures, from a folder with a folder for each class to a model, a report and figures."""

import sys
from pathlib import Path

from utils.load_patchs import extract_labels, make_names_files, read_image_labels
from utils.model_training_testing import model_1, predict, train_and_evaluate_models
from utils.plotting import plot_combined_confusion_heat_map, show_images
from utils.results.model_files import save_model
from utils.results.reports import write_classification_report

folder = Path(sys.argv[1])
train_names, test_names, class_names = make_names_files(folder)
train = read_image_labels(train_names, 32, (32, 32), shuffle=True)
test = read_image_labels(test_names, 32, (32, 32))
model = model_1(class_len=len(class_names))
model, history = train_and_evaluate_models([model], train, test, 2, None, True, 0.02)
accuracy, _, predictions, labels, shares = predict(model, test, return_probabilities=True)
_, _, seen, actual = predict(model, train)
print(f"{len(class_names)} classes, {len(labels)} test pictures, accuracy {accuracy:.2f}")
print(write_classification_report(folder / "report", labels, predictions, class_names=class_names))
plot_combined_confusion_heat_map(
    actual, seen, labels, predictions, path=folder / "confusion.pdf", class_names=class_names
)
gallery = {"predictions": predictions, "confidences": shares, "class_names": class_names}
show_images(extract_labels(test)[0], labels, **gallery).savefig(folder / "gallery.png")
save_model(model, folder)
