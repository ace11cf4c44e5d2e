"""Names files of pictures of one's own, with several classes, suffixes and sizes."""

import numpy as np
import pytest
from small_pictures import encode, random_pixels

from utils.base.cifar10 import CLASS_NAMES, picture_paths
from utils.load_patchs import (
    extract_labels,
    load_paths_labels,
    make_names_files,
    read_classes,
    read_image_labels,
    split_names_file,
)


def make_folder(folder, classes, count=3, names="{}.png"):
    for label in range(classes):
        place = folder / f"c{label:04}"
        place.mkdir(parents=True)
        for number in range(count):
            (place / names.format(number)).write_bytes(encode(random_pixels(1, 4, 4)[0]))
    return folder


def test_files_are_named_as_they_are_and_read_in_any_size(tmp_path):
    folder = make_folder(tmp_path / "own", 2, 0)
    for name, kind, side in (("b.jpg", "JPEG", 9), ("D.PNG", "PNG", 5), ("e f.Gif", "GIF", 7)):
        for place in folder.iterdir():
            (place / name).write_bytes(encode(random_pixels(1, side, side + 1)[0], kind))
    (folder / "c0000" / "notes.txt").write_text("no picture")
    (folder / "c0000" / ".hidden.png").write_text("no picture")
    train, test, class_names = make_names_files(folder, test_size=2)
    assert class_names == ("c0000", "c0001")
    listed = sorted(load_paths_labels(train) + load_paths_labels(test))
    assert listed == [(name, label) for name in ("D.PNG", "b.jpg", "e f.Gif") for label in (0, 1)]
    images, labels = extract_labels(read_image_labels(test, 8, (6, 6)))
    assert images.shape == (2, 6, 6, 3)
    assert sorted(labels) == [0, 1]


@pytest.mark.parametrize("classes", [2, 11, 1000])
def test_labels_have_as_many_digits_as_it_takes(tmp_path, classes):
    train, test, names = make_names_files(make_folder(tmp_path / "own", classes, 2), test_size=0.5)
    assert len(names) == classes
    for path in (train, test):
        assert sorted(label for _, label in load_paths_labels(path)) == list(range(classes))
    _, labels = extract_labels(read_image_labels(test, 256, (4, 4)))
    assert sorted(labels) == list(range(classes))


def test_the_split_is_seeded_and_has_all_classes_in_both_parts(tmp_path):
    folder = make_folder(tmp_path / "own", 3, 10)
    texts = []
    for seed in (0, 0, 1):
        train, test, _ = make_names_files(folder, directory=tmp_path / "names", seed=seed)
        texts.append((train.read_text(), test.read_text()))
    assert texts[0] == texts[1] != texts[2]
    np.testing.assert_array_equal(np.bincount([label for _, label in load_paths_labels(test)]), 2)


def test_folders_train_and_test_are_the_two_parts(tmp_path):
    make_folder(tmp_path / "train", 2, 4)
    make_folder(tmp_path / "test", 2, 1)
    train, test, _ = make_names_files(tmp_path)
    for path, count in ((train, 8), (test, 2)):
        assert sum(len(labels) for _, labels in read_image_labels(path, 3, (4, 4))) == count


def test_a_folder_that_was_moved_with_its_names_files_is_found(tmp_path):
    make_names_files(make_folder(tmp_path / "own", 2))
    moved = (tmp_path / "own").rename(tmp_path / "moved")
    assert len(list(read_image_labels(moved / "train_names.txt", 1, (4, 4)))) == 4


def test_names_files_go_among_the_data_where_pictures_cannot_be_written(
    tmp_path, monkeypatch, data_directory
):
    def refuse(folder):
        raise OSError(f"{folder}: read-only file system")

    monkeypatch.setattr("utils.pipeline.own_pictures.check_writable", refuse)
    folder = make_folder(tmp_path / "input" / "own", 2)
    before = sorted(folder.rglob("*"))
    train, _, names = make_names_files(folder)
    assert train == data_directory / "own" / "train_names.txt"
    assert read_classes(train).names == names
    assert len(list(read_image_labels(train, 1, (4, 4)))) == 4
    assert sorted(folder.rglob("*")) == before


def test_pictures_that_are_not_read_are_left_out_with_a_warning(tmp_path):
    folder = make_folder(tmp_path / "own", 2)
    (folder / "c0001" / "a.WebP").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"c0001: 1 pictures are left out, such as a\.WebP; save"):
        train, test, _ = make_names_files(folder)
    assert len(load_paths_labels(train) + load_paths_labels(test)) == 6


def test_parts_of_a_names_file_keep_its_classes(tmp_path):
    train, _, names = make_names_files(make_folder(tmp_path / "own", 12, 10))
    parts = tmp_path / "a.txt", tmp_path / "deep" / "b.txt"
    split_names_file(train, *parts, validation_size=0.25)
    for part in parts:
        assert read_classes(part).names == names
        next(iter(read_image_labels(part, 1, (4, 4))))


def test_without_a_file_beside_the_classes_are_those_of_cifar10(tmp_path):
    assert read_classes(tmp_path / "names.txt") == (CLASS_NAMES, None)
    assert picture_paths(["a", "b.png", "c.JPG"], [0, 1, 2], images_directory="i") == [
        "i/airplane/a.png",
        "i/automobile/b.png",
        "i/bird/c.JPG",
    ]


def test_a_label_outside_the_own_classes_is_refused(tmp_path):
    train, *_ = make_names_files(make_folder(tmp_path / "own", 12))
    for line in ("0.png 12", "0.png 07", "0.png -1", "0.png 99999"):
        train.write_text(line)
        with pytest.raises(ValueError, match=r"line 1: .* with a label from 0 to 11"):
            load_paths_labels(train)


def test_damaged_class_names_are_named(tmp_path):
    train, *_ = make_names_files(make_folder(tmp_path / "own", 2))
    train.with_suffix(".classes.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"train_names.classes.json: no list of class names"):
        load_paths_labels(train)


def test_what_is_no_folder_of_classes_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder; pass"):
        make_names_files(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has 1 folders; put the pictures of each class"):
        make_names_files(make_folder(tmp_path / "one", 1))
    with pytest.raises(ValueError, match="c0000: no picture there"):
        make_names_files(make_folder(tmp_path / "empty", 2, 0))
    with pytest.raises(ValueError, match="c0000 has one picture, too few"):
        make_names_files(make_folder(tmp_path / "few", 2, 1))
    with pytest.raises(ValueError, match=r"' 0\.png' can't be listed; rename it"):
        make_names_files(make_folder(tmp_path / "odd", 2, 2, " {}.png"))
