"""Patches are compared with the pictures that were written; nothing is read by another decoder."""

import io
import resource
import shutil
import struct
from zlib import compress, crc32

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from utils.download_handle_data import CLASS_NAMES
from utils.load_patchs import (
    extract_labels,
    get_patch,
    handle_images_path_and_labels,
    load_images_patch,
    load_paths_labels,
    read_image_labels,
)
from utils.names_file import read_names_file
from utils.pictures import check_header
from utils.read_batches import read_batch

SHAPE = (32, 32)
WRONG_SHAPES = [(0, 4), (4, -4), (4.5, 4), ("4", 4), (4,), (), 4]
NO_POSITIVE_INTEGERS = [0, -1, 1.5, 2.0, True, "8", None]


def random_pixels(count, height=32, width=32):
    shape = (count, height, width, 3)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def encode(image, kind="PNG", **options):
    """Return an image file of a Pillow image or of an array as bytes."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def write_pictures(data_directory):
    """Function that writes pictures (arrays or bytes) to the default place.

    Picture i is named ``<i>.png`` and has the label i modulo 10. Returns the names file.
    """

    def write(pictures):
        lines = []
        for number, picture in enumerate(pictures):
            folder = data_directory / "images" / CLASS_NAMES[number % 10]
            folder.mkdir(parents=True, exist_ok=True)
            content = picture if isinstance(picture, bytes) else encode(picture)
            (folder / f"{number}.png").write_bytes(content)
            lines.append(f"{number}.png {number % 10}")
        names = data_directory / "names.txt"
        names.write_text("\n".join(lines))
        return names

    return write


@pytest.fixture
def numbered(write_pictures):
    """Names file of 12 pictures; number i is all i."""
    return write_pictures(numbered_pictures(12))


def numbered_pictures(count):
    return [np.full((4, 4, 3), number, np.uint8) for number in range(count)]


def numbers_of(dataset):
    """Return the numbers of `numbered_pictures` in one pass; checks their labels."""
    images, labels = extract_labels(dataset)
    numbers = np.rint(images[:, 0, 0, 0] * 255).astype(int)
    np.testing.assert_array_equal(labels, numbers % 10)
    return numbers.tolist()


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
        assert np.issubdtype(labels.dtype, np.integer)
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


# ---- read_image_labels: kinds of pictures

COLOURS = random_pixels(1)[0]


def encode_16_bits(pixels):
    """Return a PNG of 16 bits a channel, which Pillow doesn't write."""
    rows = np.zeros((len(pixels), 1 + pixels[0].size * 2), np.uint8)
    rows[:, 1:] = np.repeat(pixels.reshape(len(pixels), -1), 2, axis=1)
    header = struct.pack(">2I5B", pixels.shape[1], len(pixels), 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        b"%b%b%b%b" % (len(content).to_bytes(4), kind, content, crc32(kind + content).to_bytes(4))
        for kind, content in chunks
    )


GRAY = COLOURS[..., 0]
PALETTE = Image.fromarray(COLOURS).quantize(256)
KINDS = {
    "RGB": (encode(COLOURS), COLOURS),
    "bytes after the end": (encode(COLOURS) + b"more", COLOURS),
    "RGBA": (encode(np.dstack([COLOURS, GRAY])), COLOURS),
    "gray": (encode(GRAY), GRAY[..., None]),
    "gray with alpha": (encode(np.dstack([GRAY, GRAY])), GRAY[..., None]),
    "16-bit gray": (encode(GRAY.astype(np.uint16) * 257), GRAY[..., None]),
    "black and white": (
        encode(Image.fromarray(GRAY > 127)),
        np.where(GRAY > 127, 255, 0)[..., None],
    ),
    "palette": (encode(PALETTE), np.asarray(PALETTE.convert("RGB"))),
    "palette with transparency": (
        encode(PALETTE, transparency=0),
        np.asarray(PALETTE.convert("RGB")),
    ),
    "BMP": (encode(COLOURS, "BMP"), COLOURS),
    "GIF": (encode(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "animated GIF": (
        encode(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(90)]),
        np.asarray(PALETTE.convert("RGB")),
    ),
    "16-bit RGB": (encode_16_bits(COLOURS), COLOURS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_rgb(tmp_path, kind):
    content, expected = KINDS[kind]
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    [image] = load_images_patch([path])
    np.testing.assert_array_equal(np.rint(image * 255), expected + np.zeros((32, 32, 3)))


@pytest.mark.parametrize("count", [len(KINDS), 40])
def test_every_kind_of_picture_becomes_rgb_in_a_dataset(write_pictures, count):
    kinds = (list(KINDS.values()) * 4)[:count]
    names = write_pictures([content for content, _ in kinds])
    images, _ = extract_labels(read_image_labels(names, 7, SHAPE))
    for image, (_, expected) in zip(images, kinds, strict=True):
        np.testing.assert_array_equal(np.rint(image * 255), expected + np.zeros((32, 32, 3)))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_read(write_pictures, mode):
    smooth = Image.fromarray(COLOURS).resize((4, 4)).resize(SHAPE).convert(mode)
    names = write_pictures([encode(smooth, "JPEG", quality=95)])
    images, _ = extract_labels(read_image_labels(names, 1, SHAPE))
    np.testing.assert_allclose(images[0] * 255, np.asarray(smooth.convert("RGB")), atol=30)


# ---- read_image_labels: damaged and missing pictures

GOOD = encode(COLOURS)
DAMAGED = {
    "empty": b"",
    "one byte": b"\x89",
    "text": b"This is a text and no picture at all.",
    "HTML": b"<html>" + b" " * 500,
    "head only": GOOD[:8],
    "half": GOOD[: len(GOOD) // 2],
    "without its end": GOOD[:-12],
    "without its last byte": GOOD[:-1],
    "flipped bit in the size": GOOD[:19] + bytes([GOOD[19] ^ 1]) + GOOD[20:],
    "flipped bit in the pixels": GOOD[:1000] + bytes([GOOD[1000] ^ 1]) + GOOD[1001:],
    "flipped bit in a chunk's name": GOOD[:37] + bytes([GOOD[37] ^ 1]) + GOOD[38:],
    "half a JPEG": encode(COLOURS, "JPEG")[:500],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_picture_is_named(write_pictures, data_directory, kind):
    names = write_pictures([COLOURS, COLOURS, DAMAGED[kind]])
    damaged = str(data_directory / "images/bird/2.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged") as caught:
        extract_labels(read_image_labels(names, 1, SHAPE))
    assert damaged in str(caught.value)
    with pytest.raises(ValueError, match="damaged") as caught:
        load_images_patch([damaged])
    assert damaged in str(caught.value)


def huge(kind):
    """Return a small file of a picture that would have 20,000 x 20,000 pixels."""
    if kind == "PNG":  # whole and right
        return encode(Image.new("1", (20_000, 20_000)))
    content = bytearray(encode(COLOURS, kind))
    place, format = {
        "JPEG": (content.find(b"\xff\xc0") + 5, ">2H"),
        "GIF": (6, "<2H"),
        "BMP": (18, "<2i"),
    }[kind]
    struct.pack_into(format, content, place, 20_000, 20_000)
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_huge_picture_is_refused_from_its_header(write_pictures, data_directory, kind):
    names = write_pictures([COLOURS, COLOURS, huge(kind)])
    path = str(data_directory / "images/bird/2.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large") as caught:
        extract_labels(read_image_labels(names, 3, SHAPE))
    assert path in str(caught.value)
    with pytest.raises(ValueError, match=r"too large.*400000000 pixels") as caught:
        load_images_patch([path], image_shape=SHAPE)
    assert path in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize(("side", "refused"), [(7071, False), (7072, True)])
def test_fifty_million_pixels_are_the_limit(tmp_path, side, refused):
    path = tmp_path / "large.png"
    path.write_bytes(encode(Image.new("1", (side, side))))
    if refused:
        with pytest.raises(ValueError, match="7072 x 7072 pixels, more than 50,000,000"):
            load_images_patch([path], image_shape=(8, 8))
    else:
        check_header(path.read_bytes())


@pytest.mark.parametrize(
    ("number", "kind", "options"),
    [
        (5, "text", {}),
        (15, "half", {"shuffle": True}),
        (25, "empty", {"cache": "memory"}),
        (35, "flipped bit in the pixels", {"max_shift": 2}),
    ],
)
def test_a_damaged_picture_among_many_is_named(
    write_pictures, data_directory, number, kind, options
):
    pictures = list(random_pixels(40))
    pictures[number] = DAMAGED[kind]
    dataset = read_image_labels(write_pictures(pictures), 3, SHAPE, **options)
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged") as caught:
        extract_labels(dataset)
    assert str(data_directory / f"images/dog/{number}.png") in str(caught.value)


def test_a_missing_picture_is_named_with_its_line_before_anything_is_read(numbered, data_directory):
    missing = data_directory / "images/ship/8.png"
    missing.unlink()
    numbered.write_text("\n" + numbered.read_text())
    with pytest.raises(FileNotFoundError) as caught:
        read_image_labels(numbered, 16, (4, 4))
    assert f"{numbered}, line 10: " in str(caught.value)
    assert str(missing) in str(caught.value)


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


# ---- read_image_labels: shuffle, cache, augment


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


def test_a_cache_file_serves_the_next_dataset(numbered, data_directory, tmp_path):
    cache = tmp_path / "cache"
    assert numbers_of(read_image_labels(numbered, 5, (4, 4), cache=cache)) == list(range(12))
    for picture in data_directory.glob("images/*/*"):
        picture.write_bytes(b"")
    again = read_image_labels(numbered, 7, (4, 4), cache=str(cache))
    assert numbers_of(again) == list(range(12))


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
    np.testing.assert_array_equal(load_images_patch(paths, image_shape=shape), expected)


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
