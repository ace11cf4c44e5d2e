"""From an archive, wherever it comes from, to pictures and names files; again and again."""

import gzip
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import download_handle_data as module
from utils.archive import MEMBERS, TEST_BATCH, TRAIN_BATCHES
from utils.download_handle_data import (
    ARCHIVE_NAME,
    CLASS_NAMES,
    ConvertDataToImages,
    archive_is_available,
    download_data,
    extract_cifar10_data,
    picture_paths,
)
from utils.files import sha256_of
from utils.read_batches import read_batch
from utils.sample_data import write_sample_archive

OLD = 1_000_000_000  # seconds; a time of change that nothing written now can have
WRONG_HASH = "ab" * 32


class Interruption(Exception):
    """Stands for whatever stops a conversion midway."""


def files_below(folder):
    """Return the content of every file below `folder`, by its path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def make_old(*folders):
    """Give all that is below the folders an old time of change."""
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            os.utime(path, (OLD, OLD))


def written_since(*folders):
    """Return the names of all files and folders written since `make_old`."""
    paths = [path for folder in folders for path in [folder, *folder.rglob("*")]]
    return sorted(path.name for path in paths if path.stat().st_mtime != OLD)


def interrupt_replace(monkeypatch, after):
    """Let `os.replace`, which puts a file under its final name, fail after so many times."""
    replace, left = os.replace, [None] * after

    def replace_some(*arguments):
        if not left:
            raise Interruption
        left.pop()
        replace(*arguments)

    monkeypatch.setattr(os, "replace", replace_some)


def test_import_does_nothing_and_data_lies_in_the_repository(tmp_path):
    root = Path(module.__file__).resolve().parents[1]
    code = (
        "import sys, utils.download_handle_data as module; print(module.DATA_DIRECTORY);"
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [str(root / "data"), "[]"]
    assert run.stderr == ""
    assert list(tmp_path.iterdir()) == []


# ---- download_data from a path


@pytest.fixture
def archive_bytes(sample_archive):
    return sample_archive.read_bytes()


@pytest.fixture
def other_archive(tmp_path_factory):
    """Sound archive of other pictures than the sample's."""
    path = tmp_path_factory.mktemp("other") / "other.tar.gz"
    return write_sample_archive(path, images_per_batch=10, seed=1)


@pytest.mark.parametrize("spelling", [str, Path, Path.as_uri], ids=["str", "Path", "file://"])
def test_local_archive_is_kept_under_data(sample_archive, data_directory, archive_bytes, spelling):
    kept = download_data(spelling(sample_archive))
    assert kept == data_directory / ARCHIVE_NAME
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}
    assert sample_archive.read_bytes() == archive_bytes


def test_file_url_may_have_escaped_characters(sample_archive, tmp_path, archive_bytes):
    path = tmp_path / "with spaces" / "Füchse 100%.tar.gz"
    path.parent.mkdir()
    shutil.copy(sample_archive, path)
    assert "%20" in path.as_uri()
    assert download_data(path.as_uri()).read_bytes() == archive_bytes


def test_given_directory_is_taken(sample_archive, data_directory, tmp_path, archive_bytes):
    kept = download_data(sample_archive, directory=tmp_path / "elsewhere")
    assert kept.read_bytes() == archive_bytes
    assert kept.parent == tmp_path / "elsewhere"
    assert not data_directory.exists()


def test_same_local_archive_is_not_copied_again(sample_archive, data_directory):
    kept = download_data(sample_archive)
    make_old(data_directory)
    assert download_data(sample_archive) == kept
    assert download_data(kept) == kept
    assert written_since(data_directory) == []


def test_other_local_archive_replaces_the_kept_one(sample_archive, other_archive):
    download_data(sample_archive)
    assert download_data(other_archive).read_bytes() == other_archive.read_bytes()


def test_interrupted_copy_leaves_the_kept_archive(
    sample_archive, other_archive, data_directory, archive_bytes, monkeypatch
):
    def copy_half(source, destination):
        Path(destination).write_bytes(Path(source).read_bytes()[:1000])
        raise Interruption

    download_data(sample_archive)
    monkeypatch.setattr(shutil, "copyfile", copy_half)
    with pytest.raises(Interruption):
        download_data(other_archive)
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}


@pytest.mark.parametrize("name", ["nowhere.tar.gz", "."])
def test_path_without_archive_is_named(tmp_path, data_directory, name):
    with pytest.raises(FileNotFoundError, match="no archive there; give a path or an") as caught:
        download_data(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert not data_directory.exists()


@pytest.mark.parametrize("url", ["ftp://example.org/a.tar.gz", ""])
def test_text_that_is_neither_path_nor_url_is_refused(url):
    with pytest.raises(FileNotFoundError, match="give a path or an http"):
        download_data(url)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html><title>Sign in</title>", gzip.compress(bytes(10240))]
)
def test_local_file_that_is_no_archive_is_refused(tmp_path, data_directory, content):
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="archive") as caught:
        download_data(path)
    assert str(path) in str(caught.value)
    assert not data_directory.exists()


def test_wrong_hash_of_a_local_archive_leaves_the_kept_one(
    sample_archive, other_archive, data_directory, archive_bytes
):
    download_data(sample_archive, sha256=sha256_of(sample_archive))
    with pytest.raises(ValueError, match=WRONG_HASH) as caught:
        download_data(other_archive, sha256=WRONG_HASH)
    assert sha256_of(other_archive) in str(caught.value)
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}


# ---- download_data over HTTP


@pytest.mark.parametrize("with_hash", [False, True])
def test_archive_is_downloaded_once_then_only_verified(
    server, sample_archive, data_directory, archive_bytes, with_hash
):
    url = server.add("/a.tar.gz", archive_bytes)
    sha256 = sha256_of(sample_archive) if with_hash else None
    kept = download_data(url, sha256=sha256)
    assert kept == data_directory / ARCHIVE_NAME
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}
    make_old(data_directory)
    assert download_data(url, sha256=sha256) == kept
    assert len(server.requests) == 1
    assert written_since(data_directory) == []


@pytest.mark.parametrize("content", [b"", b"<html>", None], ids=["empty", "HTML", "cut off"])
def test_damaged_kept_archive_is_replaced(server, data_directory, archive_bytes, content):
    data_directory.mkdir()
    (data_directory / ARCHIVE_NAME).write_bytes(
        archive_bytes[:-1000] if content is None else content
    )
    download_data(server.add("/a.tar.gz", archive_bytes))
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}


def test_kept_archive_of_another_hash_is_replaced(
    server, sample_archive, other_archive, archive_bytes
):
    download_data(other_archive)
    url = server.add("/a.tar.gz", archive_bytes)
    assert download_data(url, sha256=sha256_of(sample_archive)).read_bytes() == archive_bytes


def test_interrupted_download_is_resumed(server, data_directory, archive_bytes):
    data_directory.mkdir()
    (data_directory / f"{ARCHIVE_NAME}.part").write_bytes(archive_bytes[:5000])
    download_data(server.add("/a.tar.gz", archive_bytes))
    assert files_below(data_directory) == {ARCHIVE_NAME: archive_bytes}
    assert server.requests == [("/a.tar.gz", "bytes=5000-")]


def test_wrong_hash_of_a_download_names_both_and_leaves_no_file(
    server, sample_archive, data_directory, archive_bytes
):
    url = server.add("/a.tar.gz", archive_bytes)
    with pytest.raises(ConnectionError, match=WRONG_HASH) as caught:
        download_data(url, sha256=WRONG_HASH)
    assert sha256_of(sample_archive) in str(caught.value)
    assert url in str(caught.value)
    assert files_below(data_directory) == {}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"content": b"<html>", "headers": {"Content-Type": "text/html"}}, "web page"),
        ({"content": b"<html>"}, r"not a \.tar\.gz archive"),
        ({"content": b""}, r"not a \.tar\.gz archive"),
        ({"status": 404}, "HTTP 404"),
    ],
    ids=["HTML", "HTML without its type", "empty", "missing"],
)
def test_answer_that_is_no_archive_leaves_no_file(server, data_directory, answer, words):
    with pytest.raises(ConnectionError, match=words):
        download_data(server.add("/a.tar.gz", **answer))
    assert files_below(data_directory) == {}


@pytest.fixture
def official(server, sample_archive, archive_bytes, monkeypatch):
    """The official URL, which with two copies of it is on the local server; gives the three."""
    urls = [f"http://127.0.0.1:{server.server_port}/{name}" for name in ("one", "two", "official")]
    monkeypatch.setattr(module, "MIRRORS", tuple(urls[:2]))
    monkeypatch.setattr(module, "OFFICIAL_URL", urls[2])
    monkeypatch.setattr(module, "OFFICIAL_SIZE", len(archive_bytes))
    monkeypatch.setattr(module, "OFFICIAL_SHA256", sha256_of(sample_archive))
    return urls[2]


def test_official_archive_comes_from_its_copies_first(server, official, archive_bytes):
    server.add("/one", archive_bytes)
    assert download_data(official).read_bytes() == archive_bytes
    assert server.requests == [("/one", None)]


def test_official_host_is_the_last_and_the_hash_decides(
    server, official, other_archive, archive_bytes
):
    server.add("/one", status=404)
    server.add("/two", other_archive.read_bytes())
    server.add("/official", archive_bytes)
    assert download_data(official).read_bytes() == archive_bytes
    assert [path for path, _ in server.requests] == ["/one", "/two", "/official"]


def test_other_archive_does_not_pass_for_the_official_one(
    server, official, other_archive, data_directory
):
    download_data(other_archive)
    for name in ("/one", "/two", "/official"):
        server.add(name, status=404)
    with pytest.raises(ConnectionError, match="Download it by hand") as caught:
        download_data(official)
    assert str(caught.value).count("HTTP 404") == 3
    assert files_below(data_directory) == {ARCHIVE_NAME: other_archive.read_bytes()}


# ---- archive_is_available


def test_archive_is_available_where_a_source_answers(server, official):
    server.add("/one", status=404)
    server.add("/two", status=500)
    server.add("/official", b"archive")
    assert archive_is_available(official)
    assert archive_is_available(server.add("/elsewhere", b"archive"))


def test_archive_is_not_available_where_none_answers(server, official, refused_url):
    for name in ("/one", "/two", "/official"):
        server.add(name, status=404)
    assert not archive_is_available(official)
    assert not archive_is_available(refused_url)


def test_archive_is_available_from_a_path_or_if_kept(sample_archive, refused_url):
    assert archive_is_available(sample_archive)
    assert archive_is_available(sample_archive.as_uri())
    download_data(sample_archive)
    assert archive_is_available(refused_url)


# ---- extract_cifar10_data


def test_eight_files_are_extracted_as_they_are(sample_archive, tmp_path):
    folder = extract_cifar10_data(tmp_path / "new" / "folder", archive=sample_archive)
    assert folder == tmp_path / "new" / "folder" / "cifar-10-batches-py"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    found = files_below(folder)
    del found["extracted.json"]
    with tarfile.open(sample_archive) as tar:
        assert found == {
            name: tar.extractfile(f"{folder.name}/{name}").read() for name in sorted(MEMBERS)
        }


def test_archive_is_the_downloaded_one_by_default(sample_archive, data_directory):
    download_data(sample_archive)
    folder = extract_cifar10_data(data_directory)
    assert (folder / "data_batch_1").is_file()


@pytest.fixture
def extracted(sample_archive, tmp_path):
    """A finished extraction with an old time of change."""
    folder = extract_cifar10_data(tmp_path, archive=sample_archive)
    make_old(folder)
    return folder


def test_finished_extraction_is_left_alone(sample_archive, extracted):
    assert extract_cifar10_data(extracted.parent, archive=sample_archive) == extracted
    assert written_since(extracted) == []


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("data_batch_3", Path.unlink),
        ("data_batch_3", lambda path: os.truncate(path, 0)),
        ("test_batch", lambda path: os.truncate(path, 1000)),
        ("batches.meta", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!")),
        ("data_batch_3", replace_by_folder),
        ("extracted.json", Path.unlink),
        ("extracted.json", lambda path: path.write_text("{")),
    ],
    ids=["missing", "empty", "cut off", "changed", "folder", "no record", "broken record"],
)
def test_damaged_extraction_is_repaired(sample_archive, extracted, name, damage):
    sound = files_below(extracted)
    damage(extracted / name)
    extract_cifar10_data(extracted.parent, archive=sample_archive)
    assert files_below(extracted) == sound


def test_extraction_of_another_archive_is_replaced(other_archive, extracted):
    extract_cifar10_data(extracted.parent, archive=other_archive)
    data, _, _ = read_batch(extracted / "data_batch_1")
    assert len(data) == 10


def test_interrupted_extraction_is_completed(sample_archive, tmp_path, monkeypatch):
    interrupt_replace(monkeypatch, after=0)
    with pytest.raises(Interruption):
        extract_cifar10_data(tmp_path, archive=sample_archive)
    monkeypatch.undo()
    folder = tmp_path / "cifar-10-batches-py"
    assert not folder.exists()
    extract_cifar10_data(tmp_path, archive=sample_archive)
    assert set(files_below(folder)) == {*MEMBERS, "extracted.json"}
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../escaped", tarfile.REGTYPE),
        ("cifar-10-batches-py/../../../escaped", tarfile.REGTYPE),
        ("cifar-10-batches-py/escaped", tarfile.SYMTYPE),
        ("cifar-10-batches-py/readme.html", tarfile.SYMTYPE),
        ("cifar-10-batches-py/readme.html", tarfile.LNKTYPE),
        ("cifar-10-batches-py/data_batch_1", tarfile.REGTYPE),
    ],
    ids=["parent", "hidden parent", "link", "known link", "hard link", "twice"],
)
def test_hostile_archive_writes_nothing_outside_nor_under_the_final_name(
    repack, tmp_path, name, kind
):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, str(tmp_path / "target")
    archive = repack(lambda members: [*members, (member, b"")])
    directory = tmp_path / "one" / "two"
    with pytest.raises(ValueError, match=r"escaped|readme|data_batch_1"):
        extract_cifar10_data(directory, archive=archive)
    assert not list(tmp_path.rglob("*escaped*"))
    assert not (directory / "cifar-10-batches-py").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"one", archive.name}


def test_absolute_member_is_not_written(repack, tmp_path):
    member = tarfile.TarInfo(str(tmp_path / "escaped"))
    archive = repack(lambda members: [(member, b"content"), *members])
    with pytest.raises(ValueError, match="unknown member"):
        extract_cifar10_data(tmp_path / "folder", archive=archive)
    assert not (tmp_path / "escaped").exists()


def test_damaged_archive_leaves_the_extraction_that_is_there(extracted, tmp_path, archive_bytes):
    sound = files_below(extracted)
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(archive_bytes[:-1000])
    with pytest.raises(ValueError, match="download it again"):
        extract_cifar10_data(extracted.parent, archive=damaged)
    assert files_below(extracted) == sound


def test_missing_archive_is_named_with_the_remedy(tmp_path, data_directory):
    with pytest.raises(FileNotFoundError, match="run download_data first") as caught:
        extract_cifar10_data(tmp_path)
    assert str(data_directory / ARCHIVE_NAME) in str(caught.value)


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
    assert converter.batch_data.shape == (0, 3072)
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


@pytest.mark.parametrize("change", [b"\xef\xbb\xbf%s", b"\r\n%s\r\n"], ids=["BOM", "blank lines"])
def test_names_file_saved_by_an_editor_is_recognised(sample_batches, place, change):
    names = convert(sample_batches, place, "data_batch_1", ends=[1])
    names.write_bytes(change % names.read_bytes().replace(b"\n", b"\r\n"))
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
    ],
    ids=["missing", "empty", "cut off", "changed"],
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
