"""Genuine batches are read as they are; others are refused, and nothing in them is run."""

import os
import pickle
import reprlib
import shutil
import struct

import numpy as np
import pytest
from memory import memory_stays_below

from utils.archive import batches
from utils.archive.batches import read_batch, read_label_names
from utils.archive.members import TEST_BATCH, TRAIN_BATCHES
from utils.base.cifar10 import CLASS_NAMES

DATA = np.arange(3 * 3072, dtype=np.uint32).astype(np.uint8).reshape(3, 3072)
BATCH = {
    "batch_label": "training batch 1 of 5",
    "labels": [3, 0, 9],
    "data": DATA,
    "filenames": ["cat_s_000001.png", "airplane_s_000002.png", "truck-3.png"],
}


def python2_string(text):
    return b"U" + bytes([len(text)]) + text.encode()


def python2_batch(data, labels, filenames, module="numpy.core.multiarray"):
    """Spell a batch as Python 2 and NumPy 1 did, as pickletools shows the genuine ones."""
    array = (
        b"c%s\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" % module.encode()
        + b"(K\x01M%sM%s\x86" % (struct.pack("<H", len(data)), struct.pack("<H", 3072))
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T%s%stb" % (struct.pack("<i", data.size), data.tobytes())
    )
    items = [
        python2_string("data") + array,
        python2_string("labels") + b"](" + b"".join(b"K%c" % label for label in labels) + b"e",
        python2_string("filenames") + b"](" + b"".join(map(python2_string, filenames)) + b"e",
    ]
    return b"\x80\x02}(" + b"".join(items) + b"u."


@pytest.fixture
def batch_file(tmp_path):
    """Function that writes a value, or the bytes of a pickle, as a batch file."""

    def write(content):
        path = tmp_path / "data_batch_1"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 4))
        return path

    return write


def refusal(path, read=read_batch):
    """Return the message with which the file is refused; it names the file."""
    with pytest.raises(ValueError, match="data_batch_1") as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---- genuine batches


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_batch_spelt_by_python_2_is_read(batch_file, module):
    path = batch_file(python2_batch(DATA, BATCH["labels"], BATCH["filenames"], module))
    data, labels, filenames = read_batch(path)
    assert data.dtype == np.uint8
    np.testing.assert_array_equal(data, DATA)
    assert labels == BATCH["labels"]
    assert filenames == BATCH["filenames"]


def test_batch_spelt_by_python_3_is_read(batch_file):
    data, labels, filenames = read_batch(batch_file(BATCH))
    np.testing.assert_array_equal(data, DATA)
    assert data.flags.writeable
    assert (labels, filenames) == (BATCH["labels"], BATCH["filenames"])


def test_array_by_columns_is_read(batch_file):
    path = batch_file({**BATCH, "data": np.asfortranarray(DATA)})
    np.testing.assert_array_equal(read_batch(path)[0], DATA)


@pytest.mark.parametrize("name", [*TRAIN_BATCHES, TEST_BATCH])
def test_batches_of_the_sample_are_read(sample_batches, name):
    data, labels, filenames = read_batch(sample_batches / name)
    assert (data.shape, data.dtype) == ((20, 3072), np.uint8)
    assert np.bincount(labels).tolist() == [2] * 10
    assert len(set(filenames)) == 20


def test_label_names_are_read_in_their_order(sample_batches):
    assert read_label_names(sample_batches / "batches.meta") == list(CLASS_NAMES)


# ---- pickles that would run something


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("read", [read_batch, read_label_names])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_function_in_a_pickle_is_refused_and_not_run(batch_file, tmp_path, protocol, read):
    made = tmp_path / "made by the pickle"
    content = pickle.dumps({**BATCH, "labels": Call(os.mkdir, str(made))}, protocol)
    pickle.loads(content)
    made.rmdir()  # so much for a plain pickle.load
    assert "which no CIFAR-10 batch needs" in refusal(batch_file(content), read)
    assert not made.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("subprocess", "Popen"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy", "ndarray.tofile"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core", "multiarray"),
        ("utils.base.files", "write_text"),
    ],
)
def test_names_beside_the_needed_ones_are_refused(batch_file, module, name):
    spelt = b"\x80\x04" + b"".join(
        b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)
    )
    assert f"it asks for {module}.{name}" in refusal(batch_file(spelt + b"\x93."))


# ---- contents


@pytest.mark.parametrize("key", ["data", "labels", "filenames"])
def test_missing_key_is_named(batch_file, key):
    batch = {other: value for other, value in BATCH.items() if other != key}
    assert f"it lacks {key}" in refusal(batch_file(batch))


@pytest.mark.parametrize("content", [None, [], "data labels filenames", 7])
def test_other_value_than_a_dictionary_is_refused(batch_file, content):
    assert "it lacks data, labels, filenames" in refusal(batch_file(content))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"data": DATA[:, :3071]},
            "is 'u1' of shape (3, 3071), expected u1 (uint8) of shape",
        ),
        ({"data": DATA.reshape(3, 3, 32, 32)}, "'u1' of shape (3, 3, 32, 32)"),
        ({"data": DATA.ravel()}, "'u1' of shape (9216,)"),
        ({"data": DATA.astype(np.int64)}, "'i8' of shape (3, 3072)"),
        ({"data": DATA.view(np.int8)}, "'i1' of shape (3, 3072)"),
        ({"data": DATA.astype(object)}, "'O8' of shape (3, 3072)"),
        ({"data": np.array([[None] * 3072] * 3)}, "'O8' of shape (3, 3072)"),
        ({"data": DATA.view("S3072")}, "'S3072' of shape (3, 1)"),
        ({"data": DATA.tolist()}, "data is list, expected an array"),
        ({"data": DATA[:2]}, "2 images, 3 labels and 3 file names"),
        ({"labels": [3, 0]}, "3 images, 2 labels and 3 file names"),
        ({"labels": (3, 0, 9)}, "labels and filenames must be lists"),
        ({"labels": [3, 10, 9]}, "label 10 of image 1, expected 0 to 9"),
        ({"labels": [3, 0, -1]}, "label -1 of image 2, expected 0 to 9"),
        ({"labels": [1.5, 0, 9]}, "label 1.5 of image 0, expected 0 to 9"),
        ({"labels": [3, None, 9]}, "label None of image 1, expected 0 to 9"),
        ({"labels": [3, 10**5000, 9]}, "data_batch_1: not a CIFAR-10 batch"),
        ({"labels": ["3", 0, 9]}, "label '3' of image 0, expected 0 to 9"),
        ({"labels": [3.0, 0, 9]}, "label 3.0 of image 0, expected 0 to 9"),
        ({"labels": [True, 0, 9]}, "label True of image 0, expected 0 to 9"),
        ({"filenames": ["a.png", "b.png"]}, "3 images, 3 labels and 2 file names"),
        ({"filenames": "abc"}, "labels and filenames must be lists"),
        ({"filenames": ["a.png", "b.png", "a.png"]}, "the name 'a.png' occurs twice"),
        ({"filenames": ["a.png", "b.png", "A.PNG"]}, "the name 'A.PNG' occurs twice"),
        ({"filenames": ["a.png", "b.png", "b"]}, "the name 'b' occurs twice, letter case and"),
    ],
)
def test_wrong_content_is_refused(batch_file, changes, words):
    assert words in refusal(batch_file({**BATCH, **changes}))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden.png",
        "../cat.png",
        "/tmp/cat.png",
        "cat/cat.png",
        "cat\\cat.png",
        "c:cat.png",
        "a cat.png",
        "cat.png\n",
        "cat\0.png",
        "-cat.png",
        "Füchse.png",
        "CON",
        "aux.png",
        "nul.tar.png",
        "Com1.png",
        "x" * 251,
        7,
        None,
    ],
)
def test_name_that_is_not_plain_is_refused(batch_file, name):
    message = refusal(batch_file({**BATCH, "filenames": ["a.png", name, "b.png"]}))
    assert f"name {reprlib.repr(name)} at 1 is not a plain file name" in message


@pytest.mark.parametrize("name", ["con1.png", "auxiliary.png", "x.aux", "com10", "x" * 250])
def test_name_like_a_reserved_or_too_long_one_is_read(batch_file, name):
    assert read_batch(batch_file({**BATCH, "filenames": ["a.png", name, "b.png"]}))[2][1] == name


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"label_names": list(CLASS_NAMES[:9])}, "expected a list of ten names"),
        ({"label_names": CLASS_NAMES}, "label_names is ('airplane', 'automobile', "),
        ({"label_names": [*CLASS_NAMES[:9], "../truck"]}, "'../truck' at 9 is not a plain"),
        ({"label_names": [*CLASS_NAMES[:9], "ship"]}, "the name 'ship' occurs twice"),
        ({"fine_label_names": list(CLASS_NAMES)}, "it lacks label_names"),
        ({"coarse_label_names": list(CLASS_NAMES)}, "it lacks label_names"),
    ],
)
def test_wrong_label_names_are_refused(batch_file, content, words):
    assert words in refusal(batch_file(content), read_label_names)


# ---- pickles that would fill the memory

TUPLE_OF_2_TO_THE_40 = b"N" + b"2\x86" * 40  # each tuple holds the one before it twice


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\x0f.",
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x0f\x85U\x01O\x86R.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"J\xff\xff\xff\x0f\x85U\x01O\x87R.",
        b"\x80\x05\x96\0\0\0\x60\0\0\0\0" + bytes(100),
        pickle.dumps({**BATCH, "labels": ["?", 0, 9]}).replace(b"\x8c\x01?", TUPLE_OF_2_TO_THE_40),
        pickle.dumps({**BATCH, "filenames": "?"}).replace(b"\x8c\x01?", TUPLE_OF_2_TO_THE_40),
    ],
    ids=["memo", "array of objects", "reconstructed", "bytearray", "label", "names"],
)
def test_little_file_does_not_fill_the_memory(batch_file, content):
    path = batch_file(content)
    with memory_stays_below(200_000_000):
        assert len(refusal(path)) < 1000


# ---- files


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: b"<!DOCTYPE html><title>Sign in</title>",
        lambda content: bytes(1000),
    ],
    ids=["empty", "half", "without its last byte", "HTML", "zeros"],
)
def test_damaged_batch_is_refused_with_the_remedy(batch_file, damage):
    content = python2_batch(DATA, BATCH["labels"], BATCH["filenames"])
    assert "extract it again" in refusal(batch_file(damage(content)))


@pytest.mark.parametrize("read", [read_batch, read_label_names])
@pytest.mark.parametrize("name", ["nowhere", "."])
def test_missing_file_is_named_with_the_remedy(tmp_path, read, name):
    with pytest.raises(FileNotFoundError, match="run extract_cifar10_data first") as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


# ---- what batches are


def test_pictures_are_known_by_content_whatever_their_order(sample_batches, tmp_path, monkeypatch):
    assert batches.name_of(sample_batches) == "other pictures"
    monkeypatch.setattr(batches, "CIFAR10_CONTENT", batches._content_of(sample_batches))
    copy = shutil.copytree(sample_batches, tmp_path / "copy")
    assert batches.name_of(copy) == "CIFAR-10"
    data, labels, names = batches.read_batch(copy / "data_batch_1")
    turned = python2_batch(data[::-1].copy(), labels[::-1], names)
    (copy / "data_batch_1").write_bytes(turned)
    assert batches.name_of(copy) == "CIFAR-10"
    (copy / "test_batch").rename(tmp_path / "test_batch")
    (copy / "data_batch_2").rename(copy / "test_batch")
    (tmp_path / "test_batch").rename(copy / "data_batch_2")
    assert batches.name_of(copy) == "other pictures"  # what was for the test is for training
