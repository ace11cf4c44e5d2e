"""From a names file to patches, in order and value; and pictures as one array."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_pictures import encode, numbers_of, random_pixels

from utils.archive.batches import read_batch
from utils.load_patchs import (
    extract_labels,
    get_patch,
    handle_images_path_and_labels,
    load_images_patch,
    load_paths_labels,
    read_image_labels,
)
from utils.pipeline.names_file import read_names_file

SHAPE = (32, 32)
WRONG_SHAPES = [(0, 4), (4, -4), (4.5, 4), ("4", 4), (4,), (), 4]
NO_POSITIVE_INTEGERS = [0, -1, 1.5, 2.0, True, "8", None]


# ---- names, paths and labels


def test_names_and_labels_come_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfb.png 1\r\n\r\na.png 9\r\n")
    assert load_paths_labels(path) == [("b.png", 1), ("a.png", 9)]
    assert load_paths_labels(str(path)) == [("b.png", 1), ("a.png", 9)]


def test_a_malformed_line_is_named(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("a.png 9\na.png\n")
    with pytest.raises(ValueError, match="line 2"):
        load_paths_labels(path)


def test_paths_lead_to_the_class_folders(data_directory, tmp_path):
    pairs = [("a.png", 9), ("b", 0)]
    paths, labels = handle_images_path_and_labels(pairs)
    assert paths == [
        f"{data_directory}/images/truck/a.png",
        f"{data_directory}/images/airplane/b.png",
    ]
    assert labels == [9, 0]
    paths, _ = handle_images_path_and_labels(pairs, images_directory=tmp_path)
    assert paths == [f"{tmp_path}/truck/a.png", f"{tmp_path}/airplane/b.png"]


def test_paths_of_the_sample_exist(converted):
    pairs = load_paths_labels(converted.train_names)
    paths, labels = handle_images_path_and_labels(
        pairs, images_directory=converted.images_directory
    )
    assert len(paths) == len(labels) == 100
    assert all(converted.images_directory.joinpath(path).is_file() for path in paths)


# ---- get_patch


@pytest.mark.parametrize(
    ("count", "patch_size", "sizes"),
    [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 3, [2]), (3, 1, [1, 1, 1]), (0, 3, [])],
)
def test_patches_hold_everything_once_in_order(count, patch_size, sizes):
    paths, labels = [f"{i}.png" for i in range(count)], list(range(count))
    patches = list(get_patch(paths, labels, patch_size))
    assert [len(patch_paths) for patch_paths, _ in patches] == sizes
    assert [path for patch_paths, _ in patches for path in patch_paths] == paths
    assert [label for _, patch_labels in patches for label in patch_labels] == labels


@pytest.mark.parametrize("patch_size", NO_POSITIVE_INTEGERS)
def test_get_patch_refuses_a_wrong_size(patch_size):
    with pytest.raises(ValueError, match="patch_size") as caught:
        list(get_patch(["a"], [1], patch_size))
    assert repr(patch_size) in str(caught.value)


def test_get_patch_refuses_different_lengths():
    with pytest.raises(ValueError, match="2 paths but 1 labels"):
        list(get_patch(["a", "b"], [1], 1))


def test_get_patch_takes_a_numpy_integer():
    assert len(list(get_patch(["a", "b"], [1, 2], np.int64(1)))) == 2


# ---- read_image_labels: order, values, sizes


@pytest.mark.parametrize(("names", "batches"), [("train_names", 5), ("test_names", 1)])
def test_patches_hold_the_batches_pixels_and_labels(converted, names, batches):
    files = [f"data_batch_{i}" for i in range(1, 6)] if batches == 5 else ["test_batch"]
    read = [read_batch(converted.batches / file) for file in files]
    pixels = np.concatenate([data for data, _, _ in read])
    pixels = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    dataset = read_image_labels(
        getattr(converted, names), 16, SHAPE, images_directory=converted.images_directory
    )
    images, labels = extract_labels(dataset)
    np.testing.assert_array_equal(images, pixels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(labels, np.concatenate([labels for _, labels, _ in read]))


@pytest.mark.parametrize(
    ("count", "patch_size", "sizes"),
    [
        (1, 8, [1]),
        (5, 2, [2, 2, 1]),
        (32, 32, [32]),
        (33, 32, [32, 1]),
        (70, 33, [33, 33, 4]),
        (150, 60, [60, 60, 30]),  # more than are loaded in one call
    ],
)
def test_any_number_of_pictures_comes_in_patches(write_pictures, count, patch_size, sizes):
    pixels = random_pixels(count, 4, 4)
    dataset = read_image_labels(write_pictures(pixels), patch_size, (4, 4))
    assert dataset.cardinality() == len(sizes)
    patches = list(dataset.as_numpy_iterator())
    assert [len(labels) for _, labels in patches] == sizes
    for images, labels in patches:
        assert images.dtype == np.float32
        assert images.shape == (len(labels), 4, 4, 3)
        assert labels.dtype == np.int32
    images = np.concatenate([images for images, _ in patches])
    np.testing.assert_array_equal(images, pixels.astype(np.float32) / np.float32(255))
    labels = np.concatenate([labels for _, labels in patches])
    np.testing.assert_array_equal(labels, np.arange(count) % 10)


def test_every_value_of_a_byte_is_exact(write_pictures):
    values = np.arange(256, dtype=np.uint8)
    picture = np.stack([values, values[::-1], values], axis=-1).reshape(16, 16, 3)
    images, _ = extract_labels(read_image_labels(write_pictures([picture]), 1, (16, 16)))
    np.testing.assert_array_equal(images[0], picture.astype(np.float32) / np.float32(255))
    assert images.min() == 0
    assert images.max() == 1


def test_a_pass_can_be_repeated(numbered):
    dataset = read_image_labels(numbered, 5, (4, 4))
    assert numbers_of(dataset) == numbers_of(dataset) == list(range(12))


@pytest.mark.parametrize("shape", [(32, 32, 3), [32, 32], np.array([32, 32])])
def test_image_shape_may_be_any_sequence_and_hold_channels(write_pictures, shape):
    images, _ = extract_labels(read_image_labels(write_pictures(random_pixels(2)), 2, shape))
    assert images.shape == (2, 32, 32, 3)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (48, 40)])
def test_pictures_are_resized(write_pictures, height, width):
    smooth = Image.fromarray(random_pixels(1)[0]).resize((8, 8)).resize((32, 32))
    images, _ = extract_labels(read_image_labels(write_pictures([smooth]), 1, (height, width)))
    expected = smooth.resize((width, height), Image.Resampling.BILINEAR)
    assert images.shape == (1, height, width, 3)
    difference = images[0] * 255 - np.asarray(expected)
    assert np.abs(difference).max() < 2
    assert np.abs(difference.mean()) < 0.3  # rounded, not cut off


@pytest.mark.parametrize("count", [3, 33])
def test_pictures_of_different_sizes_are_resized_each_for_itself(write_pictures, count):
    pixels = random_pixels(count)
    pictures = [pixels[0], np.full((20, 50, 3), 77, np.uint8), *pixels[2:]]
    images, _ = extract_labels(read_image_labels(write_pictures(pictures), 3, SHAPE))
    np.testing.assert_array_equal(np.rint(images[1] * 255), 77)
    np.testing.assert_array_equal(np.rint(images[2:] * 255), pixels[2:])
    np.testing.assert_array_equal(np.rint(images[0] * 255), pixels[0])


# ---- read_image_labels: what it refuses


def test_a_missing_picture_is_named_with_its_line_before_anything_is_read(numbered, data_directory):
    missing = data_directory / "images/ship/8.png"
    missing.unlink()
    numbered.write_text("\n" + numbered.read_text())
    with pytest.raises(FileNotFoundError) as caught:
        read_image_labels(numbered, 16, (4, 4))
    assert f"{numbered}, line 10: " in str(caught.value)
    assert str(missing) in str(caught.value)


def test_a_missing_class_folder_is_named_with_its_first_line(numbered, data_directory):
    (data_directory / "images/ship").rename(data_directory / "ship")
    with pytest.raises(FileNotFoundError, match=r"line 9: .*convert again") as caught:
        read_image_labels(numbered, 16, (4, 4))
    assert str(data_directory / "images/ship/8.png") in str(caught.value)


def test_a_picture_that_goes_away_later_is_named(numbered, data_directory):
    dataset = read_image_labels(numbered, 16, (4, 4))
    missing = data_directory / "images/ship/8.png"
    missing.unlink()
    with pytest.raises(tf.errors.NotFoundError) as caught:
        extract_labels(dataset)
    assert str(missing) in str(caught.value)


def test_a_wrong_names_file_is_refused_before_anything_is_read(numbered):
    numbered.write_text(numbered.read_text() + "\nx.png 11\n")
    with pytest.raises(ValueError, match="line 13"):
        read_image_labels(numbered, 16, (4, 4))


@pytest.mark.parametrize("patch_size", NO_POSITIVE_INTEGERS)
def test_a_wrong_patch_size_is_refused(numbered, patch_size):
    with pytest.raises(ValueError, match="patch_size") as caught:
        read_image_labels(numbered, patch_size, (4, 4))
    assert repr(patch_size) in str(caught.value)


@pytest.mark.parametrize("shape", WRONG_SHAPES)
def test_a_wrong_image_shape_is_refused(numbered, shape):
    with pytest.raises(ValueError, match="image_shape"):
        read_image_labels(numbered, 8, shape)


@pytest.mark.parametrize("max_shift", [-1, 4, 1.5, "2"])
def test_a_shift_that_leaves_the_picture_is_refused(numbered, max_shift):
    with pytest.raises(ValueError, match="max_shift") as caught:
        read_image_labels(numbered, 8, (4, 9), max_shift=max_shift)
    assert repr(max_shift) in str(caught.value)


# ---- extract_labels


def test_arrays_are_in_the_order_of_the_dataset():
    images = np.random.default_rng(0).random((5, 2, 2, 3), np.float32)
    labels = np.array([4, 0, 9, 9, 1], np.int32)
    result = extract_labels(tf.data.Dataset.from_tensor_slices((images, labels)).batch(2))
    for array, expected in zip(result, (images, labels), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_an_empty_dataset_is_refused():
    dataset = tf.data.Dataset.from_tensor_slices((np.zeros((1, 2, 2, 3)), [0])).batch(1).take(0)
    with pytest.raises(ValueError, match="dataset is empty"):
        extract_labels(dataset)


# ---- load_images_patch


def test_loaded_pictures_are_those_of_the_dataset(converted):
    options = {"images_directory": converted.images_directory}
    expected, _ = extract_labels(read_image_labels(converted.test_names, 20, SHAPE, **options))
    paths, _ = handle_images_path_and_labels(load_paths_labels(converted.test_names), **options)
    loaded = load_images_patch(paths)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, expected)


@pytest.mark.parametrize("shape", [(20, 12, 3), (64, 64)])
def test_loaded_pictures_are_resized_as_in_the_dataset(converted, shape):
    options = {"images_directory": converted.images_directory}
    expected, _ = extract_labels(read_image_labels(converted.test_names, 20, shape, **options))
    paths, _ = handle_images_path_and_labels(load_paths_labels(converted.test_names), **options)
    found = load_images_patch(paths, image_shape=shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1.01 / 255)  # Pillow and TensorFlow round


def test_pictures_of_different_sizes_need_an_image_shape(tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    paths[0].write_bytes(encode(random_pixels(1, 8, 8)[0]))
    paths[1].write_bytes(encode(random_pixels(1, 8, 9)[0]))
    with pytest.raises(ValueError, match=r"pass image_shape") as caught:
        load_images_patch(paths)
    assert str(paths[1]) in str(caught.value)
    assert load_images_patch(paths, image_shape=(8, 8)).shape == (2, 8, 8, 3)


@pytest.mark.parametrize("shape", WRONG_SHAPES)
def test_loading_refuses_a_wrong_image_shape(converted, shape):
    pictures = list(converted.images_directory.glob("cat/*"))
    with pytest.raises(ValueError, match="image_shape"):
        load_images_patch(pictures, image_shape=shape)


def test_no_paths_are_refused():
    with pytest.raises(ValueError, match="no paths"):
        load_images_patch([])


@pytest.mark.parametrize("place", ["missing.png", "."])
def test_a_missing_path_is_named(tmp_path, place):
    with pytest.raises(FileNotFoundError) as caught:
        load_images_patch([tmp_path / place])
    assert str(tmp_path / place) in str(caught.value)


def test_sample_names_files_have_every_class(converted):
    labels = [label for _, _, label in read_names_file(converted.test_names)]
    assert sorted(labels) == sorted(list(range(10)) * 2)
