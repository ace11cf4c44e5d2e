"""Files of other test sets, drawn small, and how they are refused where something is wrong."""

import numpy as np
import pytest

from utils.evaluation import test_sets
from utils.evaluation.test_sets import (
    CIFAR10_C_KINDS,
    read_cifair,
    read_cifar10_1,
    read_cifar10_c,
    read_cifar10h,
)

SIZE = 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A CIFAR-10-C of twenty pictures, whose pixels tell kind and severity."""
    monkeypatch.setattr(test_sets, "TEST_SIZE", SIZE)
    np.save(tmp_path / "labels.npy", np.tile(np.arange(SIZE) % 10, 5))
    for number, kind in enumerate(CIFAR10_C_KINDS):
        severities = np.repeat(np.arange(1, 6, dtype=np.uint8), SIZE)[:, None, None, None]
        pixels = np.broadcast_to(severities + 10 * number, (5 * SIZE, 32, 32, 3))
        np.save(tmp_path / f"{kind}.npy", pixels.astype(np.uint8))
    return tmp_path


def test_cifar10_c_is_read_by_kind_and_severity(folder):
    kinds, read, labels = read_cifar10_c(folder)
    assert len(kinds) == 15
    np.testing.assert_array_equal(labels, np.arange(SIZE) % 10)
    images = read("impulse_noise", 4)
    assert images.shape == (SIZE, 32, 32, 3)
    assert (images == 24).all()


def test_files_of_other_shape_or_count_are_refused(folder):
    np.save(folder / "fog.npy", np.zeros((SIZE, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=r"fog\.npy: uint8 of shape \(20, 32, 32, 3\), expected"):
        read_cifar10_c(folder)
    (folder / "fog.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"fog\.npy: no NumPy file"):
        read_cifar10_c(folder)
    (folder / "fog.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"fog\.npy: no such file; unpack the test set"):
        read_cifar10_c(folder)


def test_cifar10_1_has_two_thousand_pictures(tmp_path):
    np.save(tmp_path / "cifar10.1_v6_data.npy", np.ones((2000, 32, 32, 3), np.uint8))
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.arange(2000, dtype=np.int32) % 10)
    images, labels = read_cifar10_1(tmp_path)
    assert (images.shape, labels[11]) == ((2000, 32, 32, 3), 1)
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.arange(2000))
    with pytest.raises(ValueError, match="10 is among the labels"):
        read_cifar10_1(tmp_path)


def test_people_have_to_speak_of_the_same_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(test_sets, "TEST_SIZE", SIZE)
    labels = np.arange(SIZE) % 10
    path = tmp_path / "cifar10h-probs.npy"
    np.save(path, 0.9 * np.eye(10)[labels] + 0.01)
    assert read_cifar10h(path, labels)[3].argmax() == 3
    with pytest.raises(ValueError, match="another order than the official one"):
        read_cifar10h(path, labels[::-1])
    np.save(path, np.eye(10)[labels] * 2)
    with pytest.raises(ValueError, match="don't sum to 1"):
        read_cifar10h(path, labels)


def test_the_list_of_cifair_is_read(tmp_path):
    path = tmp_path / "duplicates_cifar10.csv"
    path.write_text("TestID,TrainID,Distance,Judgment\n7,49007,0.25,1\n159,25768,0.5,1\n")
    assert read_cifair(path) == [
        {"test": 7, "train": 49007, "likeness": 0.75},
        {"test": 159, "train": 25768, "likeness": 0.5},
    ]
    for content, words in (
        ("a,b\n1,2\n", "no list of ciFAIR's"),
        ("TestID,TrainID,Distance,Judgment\n10000,0,0.1,1\n", "numbers that no picture"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=words):
            read_cifair(path)
    with pytest.raises(FileNotFoundError, match="download it from ciFAIR"):
        read_cifair(tmp_path / "none.csv")
