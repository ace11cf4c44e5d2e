"""From batches to pictures and names files; again and again."""

import os
import pickle
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from folder_state import Interruption, files_below, interrupt_replace, make_old, written_since
from PIL import Image

from utils.archive.batches import read_batch
from utils.archive.members import TEST_BATCH, TRAIN_BATCHES
from utils.base.cifar10 import CLASS_NAMES, picture_paths
from utils.base.png import encode_png
from utils.download_handle_data import ConvertDataToImages

# ---- picture_paths


def test_picture_lies_in_its_class_folder_under_data(data_directory):
    assert picture_paths(["a_1.png", "b_2"], [3, 0]) == [
        str(data_directory / "images" / "cat" / "a_1.png"),
        str(data_directory / "images" / "airplane" / "b_2.png"),
    ]
    assert picture_paths(["a.png"], [9], images_directory="here") == ["here/truck/a.png"]


@pytest.mark.parametrize("label", [-1, 10])
def test_picture_of_no_class_is_refused(label):
    with pytest.raises(ValueError, match=f"label {label} of 'b.png', expected 0 to 9"):
        picture_paths(["a.png", "b.png"], [0, label])


def test_names_and_labels_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="argument"):
        picture_paths(["a.png", "b.png"], [0])


# ---- ConvertDataToImages: what it writes


def read_lines(path):
    return [tuple(line.split(" ")) for line in path.read_text(encoding="utf-8").splitlines()]


def batches_of(converted):
    """Return (names file, data, labels, file names) of both parts, batch after batch."""
    parts = []
    for names, batches in (
        (converted.train_names, TRAIN_BATCHES),
        (converted.test_names, [TEST_BATCH]),
    ):
        data, *lists = zip(*(read_batch(converted.batches / name) for name in batches), strict=True)
        parts.append((names, np.concatenate(data), *(list(chain(*part)) for part in lists)))
    return parts


def test_names_files_list_the_batches_in_order(converted):
    for names, _, labels, filenames in batches_of(converted):
        assert read_lines(names) == list(zip(filenames, map(str, labels), strict=True))


def test_pixels_of_every_picture_are_those_of_its_row(converted):
    for _, data, labels, filenames in batches_of(converted):
        for row, label, filename in zip(data, labels, filenames, strict=True):
            path = converted.images_directory / CLASS_NAMES[label] / filename
            with Image.open(path) as image:
                assert (image.format, image.mode) == ("PNG", "RGB")
                pixels = np.asarray(image)
            np.testing.assert_array_equal(pixels, row.reshape(3, 32, 32).transpose(1, 2, 0))


def test_nothing_else_is_written(converted):
    expected = {
        f"{CLASS_NAMES[label]}/{filename}"
        for _, _, labels, filenames in batches_of(converted)
        for label, filename in zip(labels, filenames, strict=True)
    }
    assert len(expected) == 120
    assert set(files_below(converted.images_directory)) == expected


def test_files_go_to_data_by_default(sample_batches, data_directory):
    names = data_directory / "test_names.txt"
    ConvertDataToImages().run(sample_batches / TEST_BATCH, names, 1)
    assert len(list((data_directory / "images").glob("*/*.png"))) == 20


def test_attributes_hold_the_last_batch_and_the_classes(sample_batches, tmp_path):
    converter = ConvertDataToImages(images_directory=tmp_path / "images")
    assert (converter.batch_data.shape, converter.batch_data.dtype) == ((0, 3072), np.uint8)
    assert (converter.batch_labels, converter.batch_filenames) == ([], [])
    assert (converter.labels_names, converter.labels_dict) == ([], {})
    result = converter.run(sample_batches / "data_batch_2", tmp_path / "names.txt", 0)
    data, labels, filenames = read_batch(sample_batches / "data_batch_2")
    np.testing.assert_array_equal(converter.batch_data, data)
    assert (converter.batch_labels, converter.batch_filenames) == (labels, filenames)
    assert converter.labels_names == list(CLASS_NAMES)
    assert result == converter.labels_dict == dict(enumerate(CLASS_NAMES))


@pytest.mark.parametrize("with_folders", [True, False])
def test_steps_one_by_one_do_what_run_does(sample_batches, converted, tmp_path, with_folders):
    converter = ConvertDataToImages(images_directory=tmp_path / "images")
    converter.load_label_names(sample_batches / "batches.meta")
    if with_folders:
        converter.create_images_folder()
        assert {path.name for path in (tmp_path / "images").iterdir()} == set(CLASS_NAMES)
    converter.create_image_labels_to_string()
    converter.load_batch(sample_batches / TEST_BATCH)
    converter.convert_data_to_images(tmp_path / "names.txt", 1)
    assert (tmp_path / "names.txt").read_bytes() == converted.test_names.read_bytes()
    assert len(list((tmp_path / "images").glob("*/*.png"))) == 20


# ---- ConvertDataToImages: end_file and running again


@pytest.fixture
def place(tmp_path):
    """An empty folder for pictures and names files."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def convert(batches, place, *names, ends=None, **options):
    """Convert the named batches to ``<place>/images`` and ``<place>/names.txt``."""
    converter = ConvertDataToImages(images_directory=place / "images")
    for name, end in zip(names, ends or [0] * len(names), strict=True):
        converter.run(batches / name, place / "names.txt", end, **options)
    return place / "names.txt"


@pytest.fixture
def changed_batches(sample_batches, tmp_path):
    """Function that copies the batches, ``test_batch`` changed by a function on its dictionary."""

    def write(change):
        folder = tmp_path / "changed"
        shutil.copytree(sample_batches, folder)
        data, labels, filenames = read_batch(sample_batches / TEST_BATCH)
        batch = {"data": data, "labels": labels, "filenames": filenames}
        change(batch)
        (folder / TEST_BATCH).write_bytes(pickle.dumps(batch, 4))
        return folder

    return write


@pytest.mark.parametrize(
    ("ends", "last"), [([0], "\n"), ([1], ""), ([0, 0], "\n"), ([0, 1], ""), ([1, 1], "")]
)
def test_end_file_decides_on_the_last_newline_only(sample_batches, place, ends, last):
    batches = TRAIN_BATCHES[: len(ends)]
    text = convert(sample_batches, place, *batches, ends=ends).read_bytes().decode()
    lines = [
        f"{name} {label}"
        for batch in batches
        for label, name in zip(*read_batch(sample_batches / batch)[1:], strict=True)
    ]
    assert text == "\n".join(lines) + last


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("ends", [[0, 0], [0, 1]])
def test_second_run_writes_nothing(sample_batches, place, ends, verify):
    convert(sample_batches, place, "data_batch_1", "data_batch_2", ends=ends)
    before = files_below(place)
    make_old(place)
    for _ in range(2):
        convert(sample_batches, place, "data_batch_1", "data_batch_2", ends=ends, verify=verify)
    assert files_below(place) == before
    assert [name for name in written_since(place) if name != "images"] == []


@pytest.mark.parametrize(
    ("change", "end"),
    [(b"\xef\xbb\xbf%s", b"\r\n"), (b"\r\n%s\r\n", b"\r\n"), (b" %s ", b" \n ")],
    ids=["BOM", "blank lines", "spaces"],
)
def test_names_file_saved_by_an_editor_is_recognised(sample_batches, place, change, end):
    names = convert(sample_batches, place, "data_batch_1", ends=[1])
    names.write_bytes(change % names.read_bytes().replace(b"\n", end))
    make_old(place)
    convert(sample_batches, place, "data_batch_1", ends=[1])
    assert "names.txt" not in written_since(place)


def test_batches_may_be_repeated_in_any_order(sample_batches, place, converted):
    convert(sample_batches, place, *TRAIN_BATCHES, ends=[0, 0, 0, 0, 1])
    convert(sample_batches, place, "data_batch_3", "data_batch_1", "data_batch_5", ends=[0, 0, 1])
    assert (place / "names.txt").read_bytes() == converted.train_names.read_bytes()


# ---- ConvertDataToImages: interruptions and damage


@pytest.mark.parametrize("after", [0, 7, 19])
def test_conversion_interrupted_among_pictures_is_completed(
    sample_batches, converted, place, monkeypatch, after
):
    interrupt_replace(monkeypatch, after)
    with pytest.raises(Interruption):
        convert(sample_batches, place, TEST_BATCH, ends=[1])
    monkeypatch.undo()
    assert not (place / "names.txt").exists()
    assert len(list((place / "images").glob("*/*"))) == after

    make_old(place)
    convert(sample_batches, place, TEST_BATCH, ends=[1])
    assert (place / "names.txt").read_bytes() == converted.test_names.read_bytes()
    assert_pictures_equal(place / "images", converted)
    written = [name for name in written_since(place / "images") if name.endswith(".png")]
    assert len(written) == 20 - after


def assert_pictures_equal(images, converted):
    """See that the test pictures below `images` are those of the whole conversion."""
    for name, label in read_lines(converted.test_names):
        path = f"{CLASS_NAMES[int(label)]}/{name}"
        assert (images / path).read_bytes() == (converted.images_directory / path).read_bytes()


def test_interruption_before_the_names_leaves_the_lines_there(sample_batches, place, monkeypatch):
    names = convert(sample_batches, place, "data_batch_1")
    before = names.read_bytes()
    interrupt_replace(monkeypatch, after=20)
    with pytest.raises(Interruption):
        convert(sample_batches, place, "data_batch_2", ends=[1])
    monkeypatch.undo()
    assert names.read_bytes() == before
    assert {path.name for path in place.iterdir()} == {"images", "names.txt"}

    convert(sample_batches, place, "data_batch_2", ends=[1])
    assert names.read_bytes().startswith(before)
    assert len(read_lines(names)) == 40


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: os.truncate(path, 0),
        lambda path: os.truncate(path, 200),
        lambda path: path.write_bytes(path.read_bytes()[:-20] + bytes(20)),
        lambda path: path.write_bytes(encode_png(np.zeros((1, 3072), np.uint8))[0]),
    ],
    ids=["missing", "empty", "cut off", "changed", "another picture"],
)
def test_damaged_pictures_are_repaired_and_no_others(
    sample_batches, converted, place, damage, verify
):
    names = convert(sample_batches, place, TEST_BATCH, ends=[1])
    make_old(place)
    paths = sorted((place / "images").glob("*/*.png"))
    for path in (paths[3], paths[11]):
        damage(path)
    convert(sample_batches, place, TEST_BATCH, ends=[1], verify=verify)
    assert_pictures_equal(place / "images", converted)
    assert names.read_bytes() == converted.test_names.read_bytes()
    written = [name for name in written_since(place) if name.endswith((".png", ".txt"))]
    assert written == sorted([paths[3].name, paths[11].name])


def test_verify_compares_every_picture_of_a_large_batch(changed_batches, place):
    large = {
        "data": np.random.default_rng(0).integers(0, 256, (1000, 3072), dtype=np.uint8),
        "labels": [number % 10 for number in range(1000)],
        "filenames": [f"{number:04d}.png" for number in range(1000)],
    }
    batches = changed_batches(lambda batch: batch.update(large))
    convert(batches, place, TEST_BATCH)
    before = files_below(place)
    os.truncate(place / "images" / "bird" / "0002.png", 500)
    convert(batches, place, TEST_BATCH, verify=True)
    assert files_below(place) == before


# ---- ConvertDataToImages: what it refuses


def use_name_of_batch_1(batch, batches):
    batch["filenames"][7] = read_batch(batches / "data_batch_1")[2][5]


def test_name_of_another_batch_is_refused(sample_batches, changed_batches, place):
    batches = changed_batches(lambda batch: use_name_of_batch_1(batch, sample_batches))
    names = convert(batches, place, "data_batch_1")
    before = files_below(place)
    with pytest.raises(ValueError, match="by another batch; use another names file") as caught:
        convert(batches, place, TEST_BATCH, ends=[1])
    assert str(names) in str(caught.value)
    assert read_batch(batches / "data_batch_1")[2][5] in str(caught.value)
    assert files_below(place) == before


@pytest.mark.parametrize("change", [str.upper, lambda name: name.removesuffix(".png")])
def test_name_that_would_be_a_file_of_another_batch_is_refused(
    sample_batches, changed_batches, place, change
):
    name = change(read_batch(sample_batches / "data_batch_1")[2][5])
    batches = changed_batches(lambda batch: batch["filenames"].__setitem__(7, name))
    convert(batches, place, "data_batch_1")
    before = files_below(place)
    with pytest.raises(ValueError, match="1 names of this batch"):
        convert(batches, place, TEST_BATCH, ends=[1])
    assert files_below(place) == before


def test_picture_of_another_batch_in_another_names_file_is_never_overwritten(
    sample_batches, changed_batches, place
):
    def use_name_and_label_of_batch_1(batch):
        _, labels, names = read_batch(sample_batches / "data_batch_1")
        batch["labels"][7], batch["filenames"][7] = labels[5], names[5]

    batches = changed_batches(use_name_and_label_of_batch_1)
    convert(batches, place, "data_batch_1").rename(place / "train.txt")
    before = files_below(place)
    with pytest.raises(ValueError, match=r"there already, .* another images_directory") as caught:
        convert(batches, place, TEST_BATCH, ends=[1])
    assert read_batch(batches / "data_batch_1")[2][5] in str(caught.value)
    assert str(place / "names.txt") in str(caught.value)
    assert files_below(place) == before


def test_same_pictures_may_be_in_two_names_files(sample_batches, place):
    convert(sample_batches, place, TEST_BATCH).rename(place / "other.txt")
    names = convert(sample_batches, place, TEST_BATCH)
    assert names.read_bytes() == (place / "other.txt").read_bytes()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a.png 3\nb.png\n"], ids=["binary", "line"])
def test_wrong_names_file_is_refused_and_left(sample_batches, place, content):
    (place / "names.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"names\.txt"):
        convert(sample_batches, place, TEST_BATCH)
    assert files_below(place) == {"names.txt": content}


def test_names_file_without_a_line_is_filled(sample_batches, place, converted):
    (place / "names.txt").write_bytes(b"\n")
    convert(sample_batches, place, TEST_BATCH, ends=[1])
    assert (place / "names.txt").read_bytes() == converted.test_names.read_bytes()


def test_finished_conversion_does_not_wait_for_another(sample_batches, place):
    names = convert(sample_batches, place, TEST_BATCH)
    (place / "images" / ".lock").unlink()
    converter = ConvertDataToImages(images_directory=place / "images")
    converter.run(sample_batches / TEST_BATCH, names, 0)
    converter.convert_data_to_images(names, 0)
    assert not (place / "images" / ".lock").exists()


def test_same_names_with_other_labels_are_refused(changed_batches, sample_batches, place):
    convert(sample_batches, place, TEST_BATCH)
    before = files_below(place)
    batches = changed_batches(lambda batch: batch["labels"].reverse())
    with pytest.raises(ValueError, match="20 names of this batch"):
        convert(batches, place, TEST_BATCH)
    assert files_below(place) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda batch: batch.update(labels=[10] * 20), "label 10 of image 0"),
        (lambda batch: batch.pop("filenames"), "it lacks filenames"),
        (lambda batch: batch["filenames"].__setitem__(0, "../x.png"), "not a plain file name"),
        (lambda batch: batch.update(labels=os.system), "which no CIFAR-10 batch needs"),
    ],
    ids=["label", "key", "name", "function"],
)
def test_wrong_batch_is_refused_before_anything_is_written(changed_batches, place, change, words):
    with pytest.raises(ValueError, match=words) as caught:
        convert(changed_batches(change), place, TEST_BATCH)
    assert str(Path("changed", TEST_BATCH)) in str(caught.value)
    assert list(place.iterdir()) == []


def test_batch_without_pictures_is_refused(changed_batches, place):
    empty = {"data": np.empty((0, 3072), np.uint8), "labels": [], "filenames": []}
    with pytest.raises(ValueError, match="nothing to convert"):
        convert(changed_batches(lambda batch: batch.update(empty)), place, TEST_BATCH)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("end_file", [2, -1, None, "1"])
def test_other_end_file_than_0_and_1_is_refused(sample_batches, place, end_file):
    with pytest.raises(ValueError, match=r"end_file is .*, expected 0 or 1") as caught:
        convert(sample_batches, place, TEST_BATCH, ends=[end_file])
    assert repr(end_file) in str(caught.value)
    assert list(place.iterdir()) == []


def test_other_classes_than_those_of_cifar10_are_refused(changed_batches, place):
    batches = changed_batches(lambda batch: None)
    names = ["ship", *CLASS_NAMES[:8], "truck"]
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    with pytest.raises(ValueError, match=r"batches\.meta: the classes are \['ship'"):
        convert(batches, place, TEST_BATCH)
    assert list(place.iterdir()) == []


def test_convert_before_loading_is_refused(place):
    converter = ConvertDataToImages(images_directory=place / "images")
    with pytest.raises(ValueError, match="load the label names and a batch first"):
        converter.convert_data_to_images(place / "names.txt", 0)
    assert list(place.iterdir()) == []


def test_missing_batch_is_named_with_the_remedy(sample_batches, place):
    with pytest.raises(FileNotFoundError, match=r"data_batch_9: .*run extract_cifar10_data"):
        convert(sample_batches, place, "data_batch_9")
    with pytest.raises(FileNotFoundError, match=r"batches\.meta: .*run extract_cifar10_data"):
        convert(place, place, TEST_BATCH)
    assert list(place.iterdir()) == []
