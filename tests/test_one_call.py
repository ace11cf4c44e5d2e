"""`load`, `train`, `evaluate`: arrays in memory, any field by keyword, nothing recorded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from experiment_roots import SMALL, make_root

from experiments import evaluate, load, train
from experiments.data import Data, Pictures, places
from experiments.recipes import EXPERIMENTS, Recipe
from experiments.training import build
from utils.load_patchs import extract_labels, read_image_labels
from utils.model_training_testing import predict
from utils.pipeline.arrays import batches_of
from utils.pipeline.names_file import split_names_file

PLAIN = Recipe("model_1", 1, dropout=0.0, batch_size=30)


@pytest.fixture(scope="module")
def root(converted, tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("root"), converted)


@pytest.fixture(scope="module")
def data(root):
    return load(0.1, root=root)


@pytest.fixture(scope="module")
def trained(data):
    """A model, its history, and the epochs that a callback saw."""
    epochs = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    return *train("airbench94", data, callbacks=[note], verbose=0, **SMALL | {"epochs": 2}), epochs


# ---- load


def test_pictures_are_those_of_the_names_files(data, converted, tmp_path):
    train_names, held_out = tmp_path / "train.txt", tmp_path / "held_out.txt"
    split_names_file(converted.train_names, train_names, held_out, validation_size=0.1)
    how = {"images_directory": converted.images_directory}
    for names, part in (
        (train_names, data.train),
        (held_out, data.validation),
        (converted.test_names, data.test),
    ):
        images, labels = extract_labels(read_image_labels(names, 50, (32, 32), **how))
        np.testing.assert_array_equal(part.images, np.rint(images * 255))
        np.testing.assert_array_equal(part.labels, labels)
        assert part.images.dtype == np.uint8


def test_it_says_what_it_is(data):
    assert data.recorded() == {
        "name": "drawn sample",
        "archive_sha256": None,
        "train": 90,
        "validation": 10,
        "test": 20,
    }


def test_the_samples_results_stay_apart(root):
    found = places(root)
    assert found.results == root / "results" / "sample"
    assert found.models == root / "results" / "sample" / "models"
    assert found.pictures == root / "data" / "sample"


def test_a_missing_or_damaged_picture_is_named(converted, tmp_path):
    root = make_root(tmp_path, converted)
    picture = next((root / "data" / "sample" / "images").glob("*/*.png"))
    content = picture.read_bytes()
    picture.write_bytes(content[:100])
    with pytest.raises(ValueError, match=f"{picture.name}: not a picture or a damaged one; conv"):
        load(0.1, root=root)
    picture.unlink()
    with pytest.raises(FileNotFoundError, match=f"{picture.name}: no such picture; convert again"):
        load(0.1, root=root)


def test_taking_some_pictures(data):
    some = data.train.take(data.train.labels == 3)
    assert set(some.labels) == {3}
    assert len(some.images) == len(some.labels) == 9


# ---- batches of arrays


def batches(data, **options):
    return [
        (images.numpy(), labels.numpy())
        for images, labels in batches_of(*data.train, 40, **options)
    ]


def test_plain_batches_keep_order_and_pixels(data):
    found = batches(data)
    assert [len(labels) for _, labels in found] == [40, 40, 10]
    np.testing.assert_array_equal(
        np.concatenate([labels for _, labels in found]), data.train.labels
    )
    images = np.concatenate([images for images, _ in found])
    np.testing.assert_array_equal(np.rint(images * 255), data.train.images)


def test_shuffled_batches_hold_each_picture_once_and_repeat_by_their_seed(data):
    tf.random.set_seed(0)
    first = batches_of(*data.train, 40, shuffle=5)
    one, two = ([labels.numpy().tolist() for _, labels in first] for _ in range(2))
    assert one != two
    assert sorted(np.concatenate(one)) == sorted(data.train.labels)
    tf.random.set_seed(0)
    again = [labels.numpy().tolist() for _, labels in batches_of(*data.train, 40, shuffle=5)]
    assert again == one


def test_each_picture_is_mirrored_in_every_second_pass(data):
    dataset = batches_of(*data.train, 90, translate=0, flip="alternate", shuffle=None)
    passes = [np.rint(next(iter(dataset))[0].numpy() * 255) for _ in range(2)]
    plain, turned = data.train.images, data.train.images[:, :, ::-1]
    mirrored, kept = (
        [[np.array_equal(a, b) for a, b in zip(images, source, strict=True)] for images in passes]
        for source in (turned, plain)
    )
    assert kept == mirrored[::-1]  # what one pass mirrors the other leaves
    assert [sum(one) for one in mirrored] == [45, 45]


@pytest.mark.parametrize("flip", ["random", None])
def test_pictures_are_flipped_by_chance_or_not_at_all(data, flip):
    dataset = batches_of(*data.train, 90, translate=0, flip=flip, shuffle=1)
    images, _ = next(iter(dataset))
    known = {image.tobytes() for image in data.train.images}
    plain = [np.uint8(np.rint(image * 255)).tobytes() in known for image in images.numpy()]
    assert all(plain) == (flip is None)
    assert any(plain)


def test_autotuning_is_off(data):
    assert batches_of(*data.train, 40).options().autotune.enabled is False


# ---- train and evaluate


def test_callbacks_see_each_epoch(trained):
    _, history, epochs = trained
    assert epochs == [0, 1]
    assert len(history.history["val_accuracy"]) == len(history.history["seconds"]) == 2


def test_nothing_is_recorded(trained, root):
    assert not (root / "results").exists()


def test_scores_are_those_of_predictions(trained, data, converted):
    model, *_ = trained
    scores = evaluate(model, data)
    how = {"images_directory": converted.images_directory}
    test = read_image_labels(converted.test_names, 20, (32, 32), **how)
    for name, views in (("test", False), ("test_six_views", True)):
        accuracy, macro_f1, *_ = predict(model, test, test_time_augmentation=views)
        assert scores[name] == {
            "accuracy": pytest.approx(accuracy),
            "macro_f1": pytest.approx(macro_f1),
            "pictures": 20,
        }
    assert scores["validation"]["pictures"] == 10


def test_a_pair_of_arrays_is_split(data, monkeypatch):
    images, labels = data.train
    _, history = train(PLAIN, (images, labels[:, np.newaxis]), verbose=0, validation_size=0.2)
    assert len(history.history["loss"]) == 1


def test_a_frozen_backbone_trains_its_head_only(data, monkeypatch):
    monkeypatch.setenv("MOBILENETV2_WEIGHTS", "none")
    some = Data(data.train.take(slice(0, 20)), data.validation, data.test)
    fields = {"epochs": 1, "batch_size": 10}
    start = build(EXPERIMENTS["mobilenetv2_32_head"], some.train)
    keras.utils.set_random_seed(0)
    before = build(EXPERIMENTS["mobilenetv2_32_head"], some.train).get_weights()
    model, _ = train("mobilenetv2_32_head", some, verbose=0, **fields)
    changed = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert len(start.trainable_weights) == 4
    assert changed == [False] * (len(changed) - 4) + [True] * 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": 3}, "data is of type int; pass a tf.data.Dataset"),
        ({"data": (np.zeros((4, 32, 32)), np.zeros(4))}, "images of float64 of shape"),
        ({"data": (np.zeros((4, 32, 32, 3), np.uint8), np.zeros(5))}, "4 images, but 5 labels"),
        ({"teacher": True}, "the recipe's teacher is None, but a model was given as teacher="),
        ({"experiment": "model_1"}, "the recipe's teacher is 'airbench96_sgd', but no model"),
        ({"width": (1, 2, 3)}, "model_1 takes none of"),
        ({"trains": "head"}, "model_1 has no backbone to freeze"),
        ({"network": "model_5"}, "network is 'model_5', expected one of model_1, "),
    ],
)
def test_what_makes_no_sense_is_refused(data, arguments, words):
    arguments = {"experiment": PLAIN, "data": data, **arguments}
    with pytest.raises(ValueError, match=words):
        train(arguments.pop("experiment"), arguments.pop("data"), verbose=0, **arguments)


def test_a_model_to_begin_with_must_be_the_same_network(data):
    recipe = Recipe(**PLAIN.recorded() | {"init": "airbench94"})
    other = build(Recipe("model_4", 1, width=(4, 4, 4)), data.train)
    with pytest.raises(ValueError, match="the model to begin with, model_4, is another network"):
        train(recipe, data, init=other, verbose=0)


def test_pictures_are_a_pair():
    assert Pictures(1, 2) == (1, 2)
