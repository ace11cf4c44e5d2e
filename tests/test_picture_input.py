import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from utils.load_patchs import extract_labels, load_images_patch, read_image_labels
from utils.serving import picture_input
from utils.serving.picture_input import Part, load_picture, prepare

random = np.random.default_rng(0)
PIXELS = random.integers(0, 256, (40, 40, 3), np.uint8)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def load_square(path):
    """Return the middle square in full size."""
    with Image.open(path) as image:
        sides = (min(image.size),) * 2
    return prepare(path, sides).pixels


def jpeg_of_scans(count):
    """Return a progressive JPEG of PIXELS, its last scan so often that it has `count`."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return (
        content[:last] + content[last:-2] * (count - content.count(b"\xff\xda") + 1) + b"\xff\xd9"
    )


def png_of_size(width, height):
    """Return a PNG whose header claims a size, with hardly any pixels behind it."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + bytes(9))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def tiff_of_size(width, height):
    """Return a TIFF whose header claims a size, with hardly any pixels behind it."""
    fields = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 279: 9}
    entries = b"".join(struct.pack("<HHII", key, 4, 1, value) for key, value in fields.items())
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(fields)) + entries + bytes(13)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_lossless_pictures_keep_their_pixels(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", PIXELS, **options)
    np.testing.assert_array_equal(load_square(path), PIXELS)


def seen_by_the_notebooks(paths, tmp_path, image_shape):
    """Return what `read_image_labels` gives for the pictures at `paths`, as levels of 255."""
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"{path.stem}.png 0" for path in paths))
    folder = tmp_path / "images" / "airplane"
    folder.mkdir(parents=True)
    for path in paths:  # whatever is in them: the name alone makes no PNG
        (folder / f"{path.stem}.png").write_bytes(path.read_bytes())
    images, _ = extract_labels(
        read_image_labels(names, 9, image_shape, images_directory=tmp_path / "images")
    )
    return images * 255


def test_png_of_the_model_s_size_is_what_the_notebooks_read(tmp_path):
    paths = []
    for mode in ("RGB", "L", "P", "1"):
        paths.append(tmp_path / f"{mode}.png")
        Image.fromarray(PIXELS[:32, :32]).convert(mode).save(paths[-1])
    expected = seen_by_the_notebooks(paths, tmp_path, (32, 32))
    np.testing.assert_array_equal(load_images_patch(paths) * 255, expected)
    for path, picture in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(prepare(path, (32, 32)).pixels, picture)


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "jpg"])
def test_a_resized_picture_differs_by_rounding_from_what_the_notebooks_read(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", PIXELS)
    (expected,) = seen_by_the_notebooks([path], tmp_path, (32, 32))
    for found in (
        load_images_patch([path], image_shape=(32, 32))[0] * 255,
        prepare(path, (32, 32)).pixels,
    ):
        np.testing.assert_allclose(found, expected, atol=1 + 1e-3)


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


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_sixteen_bits_the_high_byte_is_taken(tmp_path, suffix):
    deep = random.integers(0, 2**16, (32, 32), np.uint16)
    square = load_square(save(tmp_path / f"a.{suffix}", deep))
    np.testing.assert_array_equal(square, np.repeat((deep >> 8)[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5, 1.0]], [[0, 128, 255]]),  # taken as they are
        ([[0.2, 0.4, 0.6]], [[51, 102, 153]]),
        ([[-3.0, 0.0, 3.0]], [[0, 128, 255]]),  # scaled by their range
        ([[5.0, 5.0, np.nan]], [[255, 255, 0]]),
    ],
)
def test_float_tiff_is_scaled_as_a_viewer_would(tmp_path, values, expected):
    Image.fromarray(np.float32(values)).save(tmp_path / "a.tif")
    np.testing.assert_allclose(load_picture(tmp_path / "a.tif")[..., 0], expected, atol=1)


@pytest.mark.parametrize(("suffix", "levels"), [("heic", 25), ("avif", 10), ("tif", 0)])
def test_formats_of_phones_and_scanners_are_read(tmp_path, suffix, levels):
    smooth = np.asarray(Image.fromarray(PIXELS[:4, :4]).resize((40, 40)))
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth).save(path, **({} if suffix == "tif" else {"quality": 100}))
    np.testing.assert_allclose(load_square(path), smooth, atol=levels)


def test_of_several_pictures_the_first_or_primary_one_is_taken(tmp_path):
    red, blue = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "a.tif", save_all=True, append_images=[blue])
    red.save(tmp_path / "a.avif", save_all=True, append_images=[blue])
    red.save(tmp_path / "a.heic", save_all=True, append_images=[blue], primary_index=1)
    for suffix, colour in (("tif", (255, 0, 0)), ("avif", (255, 0, 0)), ("heic", (0, 0, 255))):
        np.testing.assert_allclose(
            load_square(tmp_path / f"a.{suffix}"), np.full((64, 64, 3), colour), atol=4
        )


def test_cmyk_tiff_is_read(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert (load_square(tmp_path / "a.tif") == (255, 0, 0)).all()


def test_a_part_is_a_square_of_the_chosen_size_and_place(tmp_path):
    wide = random.integers(0, 256, (20, 60, 3), np.uint8)
    path = save(tmp_path / "a.png", wide)
    for part, left, top in ((Part(0.5, 0, 1), 0, 10), (Part(0.5, 1, 0), 50, 0)):
        found = prepare(path, (10, 10), part)
        np.testing.assert_array_equal(found.pixels, wide[top : top + 10, left : left + 10])
        assert found.frame == (left / 60, top / 20, 10 / 60, 10 / 20)
        np.testing.assert_array_equal(found.overview, wide)
    assert prepare(path, (10, 10)).overview is None  # a browser shows it anyway


@pytest.mark.parametrize(("scans", "refused"), [(100, False), (101, True)])
def test_the_scans_of_a_jpeg_are_counted_before_it_is_decoded(tmp_path, scans, refused):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_of_scans(scans))
    if refused:
        with pytest.raises(ValueError, match="more than 100 scans; make it smaller"):
            load_square(path)
    else:
        assert load_square(path).shape == (40, 40, 3)


def test_scans_of_a_thumbnail_and_of_what_follows_a_jpeg_do_not_count(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = b"\xff\xda".decode("latin1") * 200  # a description, of any bytes
    save(tmp_path / "a.jpg", PIXELS, exif=exif)
    with open(tmp_path / "a.jpg", "ab") as file:
        file.write(b"\xff\xda" * 200)  # as the film behind a phone's photograph has by chance
    assert load_square(tmp_path / "a.jpg").shape == (40, 40, 3)


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
        ("photo.heic", b"\0\0\0\x18ftypheic" + bytes(50), "not a picture|damaged"),
        ("bomb.tif", tiff_of_size(50_000, 50_000), "more than 25 megapixels"),
        ("huge.png", png_of_size(10_000, 10_000), "more than 25 megapixels"),
        ("bomb.png", png_of_size(50_000, 50_000), "more than 25 megapixels"),
        ("heavy.png", bytes(5 * 2**20 + 1), "more than 5 MB"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        prepare(tmp_path / name, (32, 32))
    assert str(tmp_path) not in str(caught.value)
    assert str(caught.value).count(".") == 1


def test_of_a_picture_that_was_deleted_the_page_asks_for_another_upload(tmp_path):
    with pytest.raises(ValueError, match="no longer here; upload it again"):
        prepare(tmp_path / "deleted.png", (32, 32))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "heic", "avif", "tif"])
def test_a_cut_off_picture_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(truncated(path))
    with pytest.raises(ValueError, match=r"damaged or cut off|not a picture"):
        prepare(path, (32, 32))


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", PIXELS)
    monkeypatch.setattr(picture_input, "MAX_PIXELS", 1599)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="megapixels"):
        prepare(path, (32, 32))
