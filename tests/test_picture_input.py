import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from utils.load_patchs import images_to_patch, load_images_patch
from utils.serving import picture_input
from utils.serving.picture_input import load_square

random = np.random.default_rng(0)
PIXELS = random.integers(0, 256, (40, 40, 3), np.uint8)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def png_of_size(width, height):
    """Return a PNG whose header claims a size, with hardly any pixels behind it."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + bytes(9))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_lossless_pictures_keep_their_pixels(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", PIXELS, **options)
    np.testing.assert_array_equal(load_square(path), PIXELS)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [*(("png", mode) for mode in ("RGB", "P", "1")), ("gif", "P"), ("bmp", "RGB")]
    + [("jpg", mode) for mode in ("RGB", "L", "CMYK")],
)
def test_a_square_picture_becomes_what_the_notebooks_read(tmp_path, suffix, mode):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PIXELS).convert(mode).save(path)
    ours = images_to_patch([load_square(path)], (32, 32))
    np.testing.assert_array_equal(ours, load_images_patch([path], image_shape=(32, 32)))


def test_the_middle_square_is_taken(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = PIXELS[:10, :10]
    np.testing.assert_array_equal(load_square(save(tmp_path / "a.png", wide)), PIXELS[:10, :10])
    tall = save(tmp_path / "b.png", wide.transpose(1, 0, 2).copy())
    np.testing.assert_array_equal(load_square(tall), PIXELS[:10, :10].transpose(1, 0, 2))


def test_rotation_by_exif_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    path = save(tmp_path / "a.png", PIXELS, exif=exif)
    np.testing.assert_array_equal(load_square(path), np.rot90(PIXELS, -1))
    turned = load_square(save(tmp_path / "turned.jpg", PIXELS, exif=exif))
    plain = load_square(save(tmp_path / "plain.jpg", PIXELS))
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))


def test_transparency_is_laid_on_white(tmp_path):
    pixels = np.dstack([PIXELS, np.full((40, 40), 255, np.uint8)])
    pixels[:20, :, 3] = 0
    square = load_square(save(tmp_path / "a.png", pixels))
    assert (square[:20] == 255).all()
    np.testing.assert_array_equal(square[20:], PIXELS[20:])


def test_sixteen_bit_and_gray_become_rgb_as_in_the_notebooks(tmp_path):
    deep = random.integers(0, 2**16, (32, 32), np.uint16)
    for name, pixels in (("deep", deep), ("gray", PIXELS[:32, :32, 0].copy())):
        path = save(tmp_path / f"{name}.png", pixels)
        square = load_square(path)
        assert square.shape == (32, 32, 3)
        expected = load_images_patch([path])[0]
        np.testing.assert_allclose(square / 255, expected, atol=1e-6)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert (load_square(tmp_path / "a.gif") == (255, 0, 0)).all()


def truncated(path):
    content = save(path, PIXELS).read_bytes()
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.png", b"some text", "not a picture"),
        ("empty.png", b"", "is empty"),
        ("drawing.svg", b'<?xml version="1.0"?><svg width="9"></svg>', "SVG pictures can't"),
        ("photo.heic", b"\0\0\0\x18ftypheic" + bytes(50), "HEIC pictures can't"),
        ("huge.png", png_of_size(10_000, 10_000), "more than 25 megapixels"),
        ("bomb.png", png_of_size(50_000, 50_000), "more than 25 megapixels"),
        ("heavy.png", bytes(5 * 2**20 + 1), "more than 5 MB"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        load_square(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)
    assert str(caught.value).count(".") == 1


def test_of_a_picture_that_was_deleted_the_page_asks_for_another_upload(tmp_path):
    with pytest.raises(ValueError, match="no longer here; upload it again"):
        load_square(tmp_path / "deleted.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp"])
def test_a_cut_off_picture_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(truncated(path))
    with pytest.raises(ValueError, match="damaged or cut off"):
        load_square(path)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", PIXELS)
    monkeypatch.setattr(picture_input, "MAX_PIXELS", 1599)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="megapixels"):
        load_square(path)
