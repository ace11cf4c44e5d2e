"""Pictures of every kind are compared with what was written; damaged and huge ones are named."""

import struct
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import pytest
import tensorflow as tf
from memory import memory_stays_below
from PIL import Image
from small_pictures import encode, random_pixels

from utils.archive.batches import read_batch
from utils.base.png import check_header
from utils.load_patchs import (
    extract_labels,
    handle_images_path_and_labels,
    load_images_patch,
    load_paths_labels,
    read_image_labels,
)
from utils.pipeline import read_pictures

SHAPE = (32, 32)


# ---- stored pictures


def test_converted_pictures_are_taken_out_of_their_files_and_all_others_decoded(
    converted, tmp_path, monkeypatch
):
    def decode_nothing(paths, _, image_shape):
        return tf.zeros((tf.size(paths), *image_shape, 3), tf.uint8)

    monkeypatch.setattr(read_pictures, "_decode_files", decode_nothing)
    load = read_pictures.group_loader.__wrapped__(SHAPE)  # past its cache
    pairs = load_paths_labels(converted.test_names)
    paths, _ = handle_images_path_and_labels(pairs, images_directory=converted.images_directory)
    expected = read_batch(converted.batches / "test_batch")[0].reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(load(tf.constant(paths)), expected.transpose(0, 2, 3, 1))

    compressed, of_differences = tmp_path / "compressed.png", tmp_path / "of_differences.png"
    compressed.write_bytes(encode(np.zeros((32, 32, 3), np.uint8)))
    Image.fromarray(random_pixels(1)[0]).save(of_differences, compress_level=0)
    assert of_differences.stat().st_size == Path(paths[0]).stat().st_size
    for other in (compressed, of_differences):
        assert not load(tf.constant([*paths, str(other)])).numpy().any()


# ---- kinds of pictures

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


# ---- damaged pictures

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


def huge(kind, side):
    """Return a small file of a picture that would have side x side pixels."""
    if kind == "PNG":  # whole and right
        return encode(Image.new("1", (side, side)))
    content = bytearray(encode(COLOURS, kind))
    place, format = {
        "JPEG": (content.find(b"\xff\xc0") + 5, ">2H"),
        "GIF": (6, "<2H"),
        "BMP": (18, "<2i"),
    }[kind]
    struct.pack_into(format, content, place, side, side)
    return bytes(content)


# The decoder itself refuses 1.2 GB of pixels, but not 243 MB.
@pytest.mark.parametrize(("side", "words"), [(20_000, "400000000 pixels"), (9_000, "9000 x 9000")])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_huge_picture_is_refused_from_its_header(
    write_pictures, data_directory, kind, side, words
):
    names = write_pictures([COLOURS, COLOURS, huge(kind, side)])
    path = str(data_directory / "images/bird/2.png")
    dataset = read_image_labels(names, 3, SHAPE)
    with memory_stays_below(100_000_000):
        with pytest.raises(tf.errors.InvalidArgumentError, match="too large") as caught:
            extract_labels(dataset)
        assert path in str(caught.value)
        with pytest.raises(ValueError, match=words) as caught:
            load_images_patch([path], image_shape=SHAPE)
        assert path in str(caught.value)


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
