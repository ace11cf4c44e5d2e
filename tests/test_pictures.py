"""Pictures keep their pixels, appear whole, and are written only where they have to be."""

import io
import os

import numpy as np
import pytest
from folder_state import OLD
from PIL import Image

from utils.base.png import SHARE, encode_png, find_other_picture, looks_written, write_pictures


def make_rows(count):
    return np.random.default_rng(count).integers(0, 256, (count, 3072), dtype=np.uint8)


def as_images(rows):
    """Turn rows of a batch into pictures, one channel after the other."""
    return np.stack(
        [rows[:, start : start + 1024].reshape(-1, 32, 32) for start in (0, 1024, 2048)], -1
    )


def decode(file):
    with Image.open(file) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
        return np.asarray(image)


@pytest.fixture
def written(tmp_path):
    """Seven rows, and the paths they were written to, with an old time of change."""
    rows = make_rows(7)
    paths = [str(tmp_path / f"{number}.png") for number in range(7)]
    write_pictures(paths, rows, scratch=tmp_path / "part")
    for path in paths:
        os.utime(path, (OLD, OLD))
    return paths, rows


def rewritten(paths):
    """Return the places of those that were written after the fixture."""
    return [place for place, path in enumerate(paths) if os.stat(path).st_mtime != OLD]


def assert_equal(paths, rows):
    found = np.stack([decode(path) for path in paths])
    np.testing.assert_array_equal(found, as_images(rows))


# ---- encode_png


@pytest.mark.parametrize(
    "rows",
    [
        make_rows(20),
        np.zeros((1, 3072), np.uint8),
        np.full((1, 3072), 255, np.uint8),
        np.tile(np.array([0, 255], np.uint8), (2, 1536)),
        np.arange(3072, dtype=np.uint32).astype(np.uint8)[None],
        make_rows(6)[::2],
        np.asfortranarray(make_rows(5)),
    ],
    ids=["noise", "black", "white", "stripes", "ramp", "every second", "by columns"],
)
def test_decoded_pixels_are_those_of_the_rows(rows):
    before = rows.copy()
    found = np.stack([decode(io.BytesIO(png)) for png in encode_png(rows)])
    np.testing.assert_array_equal(found, as_images(before))
    np.testing.assert_array_equal(rows, before)


def test_channels_are_red_green_and_blue_row_by_row():
    row = np.zeros((1, 3072), np.uint8)
    row[0, [0, 1024 + 1, 2048 + 32]] = 255
    [image] = [decode(io.BytesIO(png)) for png in encode_png(row)]
    assert image[0, 0].tolist() == [255, 0, 0]
    assert image[0, 1].tolist() == [0, 255, 0]
    assert image[1, 0].tolist() == [0, 0, 255]
    assert image.sum() == 3 * 255


def test_checksums_and_end_of_the_file_are_right():
    [png] = encode_png(make_rows(1))
    with Image.open(io.BytesIO(png)) as image:
        image.verify()
    assert png.endswith(b"IEND\xaeB`\x82")


def test_no_rows_are_no_pictures():
    assert encode_png(make_rows(0)) == []


# ---- write_pictures


def test_each_path_gets_its_row_across_shares(tmp_path):
    count = 2 * SHARE + 1
    paths = [str(tmp_path / f"{number}.png") for number in range(count)]
    write_pictures(paths, make_rows(count), scratch=tmp_path / "part")
    assert_equal(paths, make_rows(count))
    assert len(list(tmp_path.iterdir())) == count


def test_right_pictures_are_not_written_again(written, tmp_path):
    paths, rows = written
    write_pictures(paths, rows, scratch=tmp_path / "part")
    assert rewritten(paths) == []


@pytest.mark.parametrize(
    "damage",
    [
        os.remove,
        lambda path: os.truncate(path, 0),
        lambda path: os.truncate(path, 100),
        lambda path: os.replace(path.replace("4.png", "6.png"), path),
    ],
    ids=["missing", "empty", "cut off", "another picture"],
)
def test_wrong_pictures_are_written_again_and_no_others(written, tmp_path, damage):
    paths, rows = written
    damage(paths[4])
    wrong = [4] if os.path.exists(paths[6]) else [4, 6]
    write_pictures(paths, rows, scratch=tmp_path / "part")
    assert_equal(paths, rows)
    assert rewritten(paths) == wrong


def test_interrupted_write_leaves_whole_pictures_and_is_completed(tmp_path, monkeypatch):
    rows, folder = make_rows(7), tmp_path / "pictures"
    folder.mkdir()
    paths = [str(folder / f"{number}.png") for number in range(7)]
    replace, calls = os.replace, iter(range(7))

    def replace_three(*arguments):
        if next(calls) == 3:
            raise OSError("the disk is full")
        replace(*arguments)

    monkeypatch.setattr(os, "replace", replace_three)
    with pytest.raises(OSError, match="the disk is full"):
        write_pictures(paths, rows, scratch=tmp_path / "part")
    monkeypatch.undo()
    assert sorted(map(str, folder.iterdir())) == paths[:3]
    assert_equal(paths[:3], rows[:3])

    write_pictures(paths, rows, scratch=tmp_path / "part")
    assert_equal(paths, rows)


# ---- find_other_picture


def test_only_a_sound_picture_that_differs_is_another(written):
    paths, rows = written
    assert find_other_picture(paths, rows) is None
    os.remove(paths[1])
    os.truncate(paths[2], 0)
    os.truncate(paths[3], 300)
    with open(paths[4], "r+b") as file:
        file.seek(1000)
        file.write(b"some text")
    assert find_other_picture(paths, rows) is None
    os.replace(paths[6], paths[5])
    assert find_other_picture(paths, rows) == paths[5]


# ---- looks_written


@pytest.mark.parametrize("samples", [1, 3, 100])
def test_written_pictures_look_written(written, samples):
    assert looks_written(*written, samples=samples)


def test_one_picture_looks_written(written):
    paths, rows = written
    assert looks_written(paths[:1], rows[:1])


@pytest.mark.parametrize("place", range(7))
def test_missing_or_empty_picture_is_seen_with_any_sample(written, place):
    paths, rows = written
    os.truncate(paths[place], 0)
    assert not looks_written(paths, rows, samples=1)
    os.remove(paths[place])
    assert not looks_written(paths, rows, samples=1)


@pytest.mark.parametrize("place", range(7))
def test_picture_of_another_row_is_seen_where_it_is_sampled(written, place):
    paths, rows = written
    other = rows.copy()
    other[place, 3071] ^= 1
    assert not looks_written(paths, other)
