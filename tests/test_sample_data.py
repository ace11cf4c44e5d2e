"""The drawn sample: genuine in its format, the same for a seed, learnable but not at a glance."""

import pickle

import numpy as np
import pytest
from sklearn.svm import SVC

from utils.archive.batches import read_batch
from utils.archive.members import TEST_BATCH, TRAIN_BATCHES, check_archive, read_members
from utils.archive.sample import draw_picture, write_sample_archive
from utils.base.cifar10 import CLASS_NAMES

BATCHES = (*TRAIN_BATCHES, TEST_BATCH)


def test_archive_passes_for_one_of_cifar10(sample_archive):
    check_archive(sample_archive)


def test_path_is_returned_and_its_folder_created(tmp_path):
    path = tmp_path / "new" / "sample.tar.gz"
    assert write_sample_archive(path, images_per_batch=10) == path
    assert [entry.name for entry in path.parent.iterdir()] == ["sample.tar.gz"]


def test_same_arguments_write_the_same_bytes(tmp_path):
    first, again, other = (
        write_sample_archive(tmp_path / f"{name}.tar.gz", images_per_batch=10, seed=seed)
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    )
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes()[4:8] == bytes(4)  # no time in gzip's header
    pictures, others = (dict(read_members(path))["data_batch_1"] for path in (first, other))
    assert pictures != others


@pytest.mark.parametrize("count", [0, 9, -1])
def test_too_few_images_are_refused(tmp_path, count):
    with pytest.raises(ValueError, match=f"images_per_batch is {count}, expected at least 10"):
        write_sample_archive(tmp_path / "sample.tar.gz", images_per_batch=count)
    assert list(tmp_path.iterdir()) == []


def test_names_are_different_in_all_batches_and_tell_the_class(sample_batches):
    batches = [read_batch(sample_batches / name) for name in BATCHES]
    names = [name for _, _, filenames in batches for name in filenames]
    assert len(set(names)) == len(names) == 120
    for _, labels, filenames in batches:
        assert [name.split("_")[0] for name in filenames] == [CLASS_NAMES[i] for i in labels]


def test_classes_come_in_no_order(sample_batches):
    orders = {tuple(read_batch(sample_batches / name)[1]) for name in BATCHES}
    assert len(orders) == len(BATCHES)
    assert all(list(order) != sorted(order) for order in orders)


@pytest.mark.parametrize("name", [*BATCHES, "batches.meta"])
def test_files_are_pickles_as_python_2_wrote_them(sample_archive, name):
    """Read as the data set's own page shows it, keys and names are bytes."""
    content = dict(read_members(sample_archive))[name]
    assert content.startswith(b"\x80\x02")
    batch = pickle.loads(content, encoding="bytes")
    assert all(type(key) is bytes for key in batch)
    texts = batch[b"label_names" if name == "batches.meta" else b"filenames"]
    assert all(type(text) is bytes for text in texts)


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_pictures_of_a_class_differ(name):
    pictures = [draw_picture(name, np.random.default_rng(seed)) for seed in range(4)]
    assert {picture.shape for picture in pictures} == {(32, 32, 3)}
    assert {picture.dtype for picture in pictures} == {np.dtype(np.uint8)}
    assert len({picture.tobytes() for picture in pictures}) == 4
    assert min(picture.std() for picture in pictures) > 2


def edge_directions(pictures):
    """Return how strong the edges of six directions are in each of 8x8 squares, scaled to one."""
    down, right = np.gradient(pictures.mean(-1), axis=(1, 2))
    direction = (np.arctan2(down, right) % np.pi / np.pi * 6).astype(int) % 6
    edges = np.hypot(down, right)[..., None] * (direction[..., None] == np.arange(6))
    features = np.sqrt(edges.reshape(-1, 8, 4, 8, 4, 6).sum((2, 4))).reshape(len(pictures), -1)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_classes_can_be_learnt_by_their_shapes_and_not_by_their_mean_colour_alone():
    random = np.random.default_rng(0)
    labels = np.arange(600) % 10
    pictures = np.stack([draw_picture(CLASS_NAMES[label], random) for label in labels])
    by_shape, by_colour = (
        SVC(C=3).fit(features[:500], labels[:500]).score(features[500:], labels[500:])
        for features in (edge_directions(pictures), pictures.mean((1, 2)))
    )
    assert by_colour < 0.5
    assert 0.35 < by_shape < 0.9
