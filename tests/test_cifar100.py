"""CIFAR-100's archive goes the way of CIFAR-10's, with a hundred classes; a drawn one here."""

import json
from urllib.parse import unquote

import keras
import numpy as np
import pytest

from app import functions_of
from utils.archive.kept import CIFAR100_NAME
from utils.archive.members import CIFAR100_FOLDER, folder_of
from utils.archive.sample import write_sample_archive
from utils.download_handle_data import (
    CIFAR100_URL,
    ConvertDataToImages,
    download_data,
    extract_cifar10_data,
)
from utils.load_patchs import (
    extract_labels,
    load_paths_labels,
    read_classes,
    read_image_labels,
)
from utils.model_training_testing import model_1, predict, train_and_evaluate_models
from utils.plotting import plot_combined_confusion_heat_map, show_images
from utils.results.onnx_files import export_onnx
from utils.results.reports import write_classification_report
from utils.serving import page_parts
from utils.serving.classifier import classify, load_models
from utils.serving.picture_input import prepare


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("hundred") / "any.tar.gz"
    return write_sample_archive(path, images_per_batch=100, classes=100)


@pytest.fixture(scope="module")
def converted(archive, tmp_path_factory):
    """Folder with pictures and names files of 500 training and 100 test pictures."""
    folder = tmp_path_factory.mktemp("converted")
    batches = extract_cifar10_data(folder, archive=archive)
    converter = ConvertDataToImages(images_directory=folder / "images")
    for part in ("train", "test"):
        converter.run(batches / part, folder / f"{part}_names.txt", 1)
    return folder


def test_it_is_kept_and_extracted_under_its_own_name(archive, data_directory):
    kept = download_data(archive)
    assert kept == data_directory / CIFAR100_NAME
    assert folder_of(kept) == CIFAR100_FOLDER
    folder = extract_cifar10_data(data_directory, archive=kept)
    assert folder == data_directory / CIFAR100_FOLDER
    assert {path.name for path in folder.iterdir()} == {"meta", "train", "test", "extracted.json"}


def test_another_file_is_not_taken_for_the_official_one(archive):
    with pytest.raises(ValueError, match="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef2"):
        download_data(CIFAR100_URL, sha256="0" * 64)


def test_a_hundred_classes_are_converted_and_read(converted):
    names = read_classes(converted / "test_names.txt").names
    assert len(names) == len({path.name for path in (converted / "images").glob("*_*")}) == 100
    images, labels = extract_labels(read_image_labels(converted / "test_names.txt", 64, (32, 32)))
    assert images.shape == (100, 32, 32, 3)
    assert sorted(labels) == list(range(100))


def test_a_hundred_classes_are_trained_and_reported(converted, tmp_path):
    train, test = (
        read_image_labels(converted / f"{part}_names.txt", 100, (32, 32))
        for part in ("train", "test")
    )
    model, _ = train_and_evaluate_models([model_1(class_len=100)], train, test, 1, None, True)
    _, _, predictions, labels = predict(model, test)
    names = read_classes(converted / "test_names.txt").names
    table = write_classification_report(tmp_path / "r", labels, predictions, class_names=names)
    assert table.count("\n") == 104
    figure = plot_combined_confusion_heat_map(
        labels, labels, labels, predictions, path=tmp_path / "c.pdf", class_names=names
    )
    figure.canvas.draw()
    ticks = figure.axes[0].get_yticklabels()
    assert [tick.get_text() for tick in ticks] == list(names)
    boxes = [tick.get_window_extent() for tick in ticks]
    tops = np.sort([box.y0 for box in boxes])
    assert np.diff(tops).min() >= 0.75 * boxes[0].height  # names side by side can be read
    assert not figure.axes[0].texts


def test_the_page_answers_with_the_classes_of_the_names_file(converted, tmp_path):
    names = read_classes(converted / "test_names.txt").names
    keras.utils.set_random_seed(0)
    small = [keras.layers.AveragePooling2D(8), keras.layers.Flatten()]
    last = keras.layers.Dense(100, activation="softmax", name="last")
    model = keras.Sequential([keras.Input((32, 32, 3)), *small, last], name="hundred")
    path = tmp_path / "models" / "hundred.onnx"
    with pytest.raises(ValueError, match="expected 10 classes; pass class_names"):
        export_onnx(model, path, record=None)
    export_onnx(model, path, record=None, class_names=names)
    (classifier,), problems = load_models(path.parent, root=tmp_path)
    assert problems == []
    (file, label), *_ = load_paths_labels(converted / "test_names.txt")
    picture = converted / "images" / names[label] / f"{file.removesuffix('.png')}.png"
    answer = classify(prepare(picture, (32, 32)), classifier)
    (shares,) = model.predict(answer.picture.pixels[np.newaxis] / 255, verbose=0)
    np.testing.assert_allclose([answer.shares[name] for name in names], shares, atol=1e-5)
    assert answer.label == names[shares.argmax()]
    _, show_several, predict, _ = functions_of({"hundred": classifier})
    assert predict(picture, "hundred")["label"] == answer.label
    table = unquote(show_several([picture], "hundred"))
    assert f"file,class,percent,note,{','.join(names)}" in table
    assert "It only knows 100 classes" in page_parts.about(classifier)
    (bars,) = json.loads(page_parts.chart(answer))["data"]
    order = np.argsort(-shares)[:20]
    assert bars["y"] == [names[number] for number in order]


def test_a_sample_too_small_for_its_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="images_per_batch is 99, expected at least 100"):
        write_sample_archive(tmp_path / "a.tar.gz", images_per_batch=99, classes=100)


# ---- figures of other classes than CIFAR-10's


def test_pictures_carry_the_names_of_their_own_classes():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    shares = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]])
    names = ("apple", "a very long name of a class", "pear")
    options = {"predictions": [[1], [0]], "confidences": shares, "class_names": names}
    figure = show_images(images, [[2], [0]], **options)
    assert [axes.get_title() for axes in figure.axes] == [
        "pear -> a very long name of a class\n70% sure",
        "apple -> apple\n50% sure",
    ]
    with pytest.raises(ValueError, match=r"labels contains \[3\]: class indices go from 0 to 2"):
        show_images(images, [3, 0], class_names=names)


def test_a_matrix_of_very_many_classes_stays_as_large_as_a_page(tmp_path):
    names = [f"c{number}" for number in range(300)]
    labels = np.arange(300)
    figure = plot_combined_confusion_heat_map(
        labels, labels, labels, 0 * labels, path=tmp_path / "c.pdf", class_names=names
    )
    assert max(figure.get_size_inches()) < 40
    ticks = figure.axes[0].get_yticklabels()
    assert [tick.get_text() for tick in ticks] == names[::3]


@pytest.mark.parametrize("classes", [2, 20, 21])
def test_columns_of_labels_are_taken_and_few_classes_have_numbers(tmp_path, classes):
    names = [f"c{number}" for number in range(classes)]
    labels = np.arange(classes)[:, None]
    figure = plot_combined_confusion_heat_map(
        labels, labels, labels, 0 * labels, path=tmp_path / "c.pdf", class_names=names
    )
    assert "accuracy 100.0%" in figure.axes[0].get_title()
    assert f"accuracy {1 / classes:.1%}" in figure.axes[1].get_title()
    assert len(figure.axes[0].texts) == (classes**2 if classes <= 20 else 0)
