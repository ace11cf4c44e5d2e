"""Passes of `read_image_labels`: their order, what a cache keeps, and augmented pictures."""

import os
import shutil

import numpy as np
import pytest
from small_pictures import numbered_pictures, numbers_of, random_pixels

from utils.load_patchs import extract_labels, read_image_labels
from utils.pipeline import loading

SHAPE = (32, 32)


@pytest.fixture
def read_pictures(write_pictures, tmp_path):
    """Function that reads `numbered_pictures`; cache "file" is a file, a new one each time."""
    files = (tmp_path / f"cache{number}" for number in range(9))

    def read(cache=None, *, count=12, patch_size=5, **options):
        names = write_pictures(numbered_pictures(count))
        cache = next(files) if cache == "file" else cache
        return read_image_labels(names, patch_size, (4, 4), cache=cache, **options)

    return read


@pytest.mark.parametrize(("cache", "count"), [(None, 12), (None, 70), ("memory", 12), ("file", 12)])
def test_every_shuffled_pass_holds_every_picture_once(read_pictures, cache, count):
    dataset = read_pictures(cache, count=count, shuffle=True)
    assert dataset.cardinality() == -(-count // 5)
    first, second = numbers_of(dataset), numbers_of(dataset)
    assert sorted(first) == sorted(second) == list(range(count))
    assert first != second
    assert list(range(count)) not in (first, second)
    assert max(first[: count // 2]) > count // 2  # not only turned about within small groups


@pytest.mark.parametrize("cache", [None, "memory"])
def test_the_seed_decides_the_sequence_of_passes(read_pictures, cache):
    datasets = [read_pictures(cache, shuffle=True, seed=seed) for seed in (1, 1, 2)]
    one, again, other = ([numbers_of(dataset) for _ in range(2)] for dataset in datasets)
    assert one == again
    assert one[0] != other[0]


@pytest.mark.parametrize("cache", ["memory", "file"])
def test_a_cache_changes_nothing_and_is_read_from_the_second_pass_on(
    read_pictures, data_directory, cache
):
    uncached, cached = read_pictures(), read_pictures(cache)
    assert cached.element_spec == uncached.element_spec
    expected = extract_labels(uncached)
    for _ in range(2):
        for array, expected_array in zip(extract_labels(cached), expected, strict=True):
            np.testing.assert_array_equal(array, expected_array)
        shutil.rmtree(data_directory / "images", ignore_errors=True)


def test_a_cache_in_memory_writes_no_file(read_pictures, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    numbers_of(read_pictures("memory"))
    assert os.listdir() == []


@pytest.mark.parametrize(("cache", "is_shuffled"), [("memory", True), ("file", False)])
def test_only_a_cache_file_is_shuffled_by_a_buffer(read_pictures, monkeypatch, cache, is_shuffled):
    monkeypatch.setattr(loading, "SHUFFLE_BUFFER", 1)
    numbers = numbers_of(read_pictures(cache, shuffle=True))
    assert (numbers != list(range(12))) == is_shuffled


def test_a_cache_file_serves_the_next_dataset(numbered, data_directory, tmp_path):
    cache = tmp_path / "cache"
    assert numbers_of(read_image_labels(numbered, 5, (4, 4), cache=cache)) == list(range(12))
    for picture in data_directory.glob("images/*/*"):
        state = picture.stat()  # a picture that looks unchanged is not read again
        picture.write_bytes(bytes(state.st_size))
        os.utime(picture, ns=(state.st_atime_ns, state.st_mtime_ns))
    again = read_image_labels(numbered, 7, (4, 4), cache=str(cache))
    assert numbers_of(again) == list(range(12))


def test_a_cache_file_of_other_names_or_another_size_is_not_taken(numbered, tmp_path):
    lines = numbered.read_text().splitlines()
    for order, side in ((lines, 4), (lines[::-1], 4), (lines[:7], 4), (lines, 2)):
        numbered.write_text("\n".join(order))
        dataset = read_image_labels(numbered, 5, (side, side), cache=tmp_path / "cache")
        assert dataset.element_spec[0].shape == (None, side, side, 3)
        assert numbers_of(dataset) == [int(line.split(".")[0]) for line in order]


@pytest.mark.parametrize("cache", ["memory", "file"])
def test_an_interrupted_first_pass_does_not_spoil_the_cache(read_pictures, cache):
    dataset = read_pictures(cache, count=40)
    next(iter(dataset))
    assert numbers_of(dataset) == list(range(40))


def test_augmented_pictures_are_shifted_by_up_to_two_pixels(write_pictures):
    column = np.arange(32, dtype=np.uint8) * 8
    ramp = np.broadcast_to(column[None, :, None], (32, 32, 3))
    dataset = read_image_labels(write_pictures([ramp] * 40), 40, SHAPE, max_shift=2, seed=3)
    first, second = (np.rint(extract_labels(dataset)[0] * 255).astype(int) for _ in range(2))
    assert (first != second).any()
    middle = first[:, 16, 16, 0] // 8
    assert set(middle) == {13, 14, 15, 16, 17, 18}  # 16 or its mirror image 15, give or take 2
    assert set(np.unique(first)) <= set(column.tolist())


def test_the_seed_decides_the_augmentation(write_pictures):
    names = write_pictures(random_pixels(10, 8, 8))
    one, again, other = (
        extract_labels(read_image_labels(names, 4, (8, 8), max_shift=2, seed=seed))[0]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_augmentation_comes_after_the_cache(write_pictures):
    names = write_pictures(random_pixels(10, 8, 8))
    dataset = read_image_labels(names, 4, (8, 8), cache="memory", max_shift=2)
    first, second = (extract_labels(dataset)[0] for _ in range(2))
    assert (first != second).any()


def looks_of(dataset):
    """Return, for each picture of a pass, its label and whether it is mirrored.

    The pictures are white on the left and black on the right, all of a class of its own.
    """
    images, labels = extract_labels(dataset)
    return dict(zip(labels.tolist(), images[:, 0, 0, 0] < 0.5, strict=True))


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"cache": "memory", "shuffle": True}])
def test_pictures_can_be_mirrored_in_turn(write_pictures, options):
    half = np.zeros((8, 8, 3), np.uint8)
    half[:, :4] = 255
    names = write_pictures([half] * 10)
    dataset = read_image_labels(names, 4, (8, 8), max_shift=0, alternate=True, **options)
    first, second, third = (looks_of(dataset) for _ in range(3))
    assert sorted(first) == list(range(10))
    assert sum(first.values()) == 5
    assert second == {label: not mirrored for label, mirrored in first.items()}
    assert third == first


def test_pictures_mirrored_in_turn_are_the_same_after_a_resumption(write_pictures):
    names = write_pictures(random_pixels(10, 8, 8))
    options = {"shuffle": True, "cache": "memory", "max_shift": 2, "alternate": True}
    whole, resumed = (
        list(read_image_labels(names, 4, (8, 8), **options).repeat(4).skip(skipped))
        for skipped in (0, 6)
    )
    assert len(whole) == 12
    for (images, labels), (expected_images, expected_labels) in zip(
        resumed, whole[6:], strict=True
    ):
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(labels, expected_labels)


def test_a_cache_file_serves_pictures_mirrored_in_turn_and_others(write_pictures, tmp_path):
    names = write_pictures(random_pixels(10, 8, 8))
    expected, _ = extract_labels(read_image_labels(names, 4, (8, 8)))
    options = {"cache": tmp_path / "cache", "max_shift": 0}
    for alternate in (False, True, True, False):
        dataset = read_image_labels(names, 4, (8, 8), **options, alternate=alternate)
        images, _ = extract_labels(dataset)
        for image, picture in zip(images, expected, strict=True):
            assert any((image == look).all() for look in (picture, picture[:, ::-1]))


@pytest.mark.parametrize("options", [{"alternate": True}, {"cutout": 2}])
def test_augmentation_is_asked_for_by_a_shift(numbered, options):
    with pytest.raises(ValueError, match="but nothing is augmented; pass max_shift"):
        read_image_labels(numbered, 4, (4, 4), **options)


@pytest.mark.parametrize("cutout", [0, -1, 5, 1.5, "2"])
def test_a_square_that_is_none_or_leaves_the_picture_is_refused(numbered, cutout):
    with pytest.raises(
        ValueError, match="expected None, or at least 1 and at most a side"
    ) as caught:
        read_image_labels(numbered, 4, (4, 9), max_shift=0, cutout=cutout)
    assert f"cutout is {cutout!r}" in str(caught.value)


def test_squares_are_cut_out_anew_in_every_pass(write_pictures):
    pixels = np.where(np.arange(8)[:, None, None] % 2, 40, 200) * np.ones((8, 8, 3))
    names = write_pictures([pixels.astype(np.uint8)] * 30)
    dataset = read_image_labels(names, 30, (8, 8), max_shift=0, cutout=3, cache="memory")
    first, second = (np.rint(extract_labels(dataset)[0] * 255) for _ in range(2))
    assert (first != second).any()
    for image in (*first, *second):  # mirrored or not, they look the same
        rows, columns = np.nonzero((image == 120).all(axis=2))  # 120 is their mean
        assert len(rows) == 9
        assert np.ptp(rows) == np.ptp(columns) == 2
        assert (image != pixels).any(axis=2).sum() == 9


def test_each_class_is_mirrored_by_half_although_classes_take_turns_in_the_file(
    write_pictures, data_directory
):
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:, 0] = 255  # its left side tells whether it is mirrored
    names = write_pictures([picture] * 200)  # label i modulo 10: an even class has even lines
    dataset = read_image_labels(names, 200, (4, 4), max_shift=0, alternate=True)
    images, labels = next(iter(dataset))
    mirrored = images.numpy()[:, 0, 0, 0] == 0
    even = labels.numpy() % 2 == 0
    assert mirrored.mean() == 0.5
    assert 0.3 < mirrored[even].mean() < 0.7
