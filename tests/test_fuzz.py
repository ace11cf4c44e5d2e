"""Any bytes in: a right result, or the error that is documented, and no file where none belongs.

``FUZZ_INPUTS`` sets how many inputs each reader gets, and archives are a tenth, at least 100;
``make fuzz`` sets it to 100,000.
"""

import gzip
import io
import os
import pickle
import shutil
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from folder_state import files_below
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.archive.batches import PLAIN_NAME, read_batch
from utils.archive.members import BATCHES_FOLDER, MEMBERS
from utils.archive.sample import _python2_pickle
from utils.base.cifar10 import picture_paths
from utils.download_handle_data import extract_cifar10_data
from utils.pipeline.names_file import read_names_file

INPUTS = int(os.environ.get("FUZZ_INPUTS", "150"))
fuzz = settings(
    max_examples=INPUTS,
    derandomize=INPUTS < 1000,  # in the tests the same inputs every time
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def outcome_of(function, *arguments, **options):
    """Return (the result, None), or (None, the message) of a ValueError."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in a pickled string
            return function(*arguments, **options), None
    except ValueError as error:
        return None, str(error)


@st.composite
def damaged(draw, sound, pieces):
    """One of the `sound` files with some bytes replaced, by others or by `pieces`."""
    content = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 9))
        content[start:end] = draw(st.sampled_from(pieces) | st.binary(max_size=4))
    return bytes(content)


# ---- batches

ROWS = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
BATCH = {"data": ROWS, "labels": [3, 9], "filenames": ["a.png", "b.png"]}
SOUND = [_python2_pickle(BATCH), *(pickle.dumps(BATCH, protocol) for protocol in (2, 3, 4))]
# The pixels are most of a file: without them more of the changes hit something else.
SHORT = [
    *(content.replace(ROWS.tobytes(), b"") for content in SOUND),
    *(pickle.dumps({**BATCH, "data": None}, protocol) for protocol in range(6)),
]
OPCODES = [
    value
    for name, value in vars(pickle).items()
    if name.isupper() and isinstance(value, bytes) and len(value) == 1
]
GLOBALS = [b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
contents = st.fixed_dictionaries(
    {},
    optional={
        "data": st.just(ROWS) | values,
        "labels": st.just([3, 9]) | st.lists(st.integers(-1, 10) | values, max_size=2),
        "filenames": st.lists(st.sampled_from(["a.png", "aux"]) | values, max_size=2),
    },
)


@fuzz
@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(OPCODES + GLOBALS) | st.binary(max_size=3)).map(b"".join)
    | damaged(SHORT, OPCODES + GLOBALS)
    | damaged(SOUND, OPCODES + GLOBALS)
    | st.builds(pickle.dumps, contents | values, st.integers(0, 5))
)
def test_batch_is_read_right_or_refused(folder, content):
    path = folder / "batch"
    path.write_bytes(content)
    result, message = outcome_of(read_batch, path)
    if message:
        assert str(path) in message
        assert len(message) < 2000
    else:
        data, labels, filenames = result
        assert (data.dtype, data.shape) == (np.uint8, (len(labels), 3072))
        assert all(type(label) is int and 0 <= label <= 9 for label in labels)
        assert all(PLAIN_NAME.fullmatch(name) for name in filenames)
        assert len(set(filenames)) == len(filenames) == len(labels)
    assert os.listdir(folder) == ["batch"]


# ---- names files

characters = st.sampled_from("a. 39\t\n\r\0/\\:-_\ufeff\x85\u2028é狐") | st.characters(
    codec="utf-8"
)


@fuzz
@given(
    st.binary(max_size=60)
    | st.text(characters).map(str.encode)
    | st.lists(
        st.builds("{}{}{}".format, st.text(characters), st.just(" "), st.integers(-1, 11))
    ).map(lambda lines: "\n".join(lines).encode())
    | damaged([b"\xef\xbb\xbfa.png 3\r\nb c.png 9\r\n", b"aux.png 0\n\n../x 1"], [b" ", b"\n"])
)
def test_names_file_is_read_right_or_refused(folder, content):
    path = folder / "batch"
    path.write_bytes(content)
    lines, message = outcome_of(read_names_file, path)
    if message:
        assert str(path) in message
        return
    there = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert len(lines) == sum(bool(line.strip()) for line in there)
    for number, name, label in lines:
        assert there[number - 1].split() == [*name.split(), str(label)]
        assert 0 <= label <= 9
        [place] = picture_paths([name], [label], images_directory=folder)
        assert Path(os.path.normpath(place)).parent.parent == folder


# ---- archives

GENUINE = [
    {"name": f"{BATCHES_FOLDER}/{name}", "content": name.encode()} for name in sorted(MEMBERS)
]
KINDS = [getattr(tarfile, f"{kind}TYPE") for kind in ("REG", "DIR", "SYM", "LNK", "FIFO", "CHR")]
members = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*(member["name"] for member in GENUINE), "../x", "/x"])
        | st.text(min_size=1),
        "content": st.binary(max_size=20),
        "type": st.sampled_from(KINDS),
        "linkname": st.sampled_from(["", "../..", "/etc/passwd"]),
    }
)


def write_tar(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member in members:
            info = tarfile.TarInfo(member["name"])
            info.type = member.get("type", tarfile.REGTYPE)
            info.linkname = member.get("linkname", "")
            info.size = len(member["content"]) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(member["content"]))
    return file.getvalue()


def squeeze(content):
    return gzip.compress(content, 1)


@settings(fuzz, max_examples=max(INPUTS // 10, 100))
@given(
    st.binary(max_size=200)
    | st.lists(members, max_size=3).map(write_tar).map(squeeze)
    | st.lists(members, max_size=1).map(lambda more: squeeze(write_tar(GENUINE + more)))
    | damaged([write_tar(GENUINE)], [bytes(9), b"777", b"../"]).map(squeeze)
    | damaged([squeeze(write_tar(GENUINE))], [bytes(9)])
)
def test_archive_is_extracted_whole_or_refused(folder, content):
    (folder / "batch").write_bytes(content)
    shutil.rmtree(folder / "out", ignore_errors=True)
    extracted, message = outcome_of(extract_cifar10_data, folder / "out", archive=folder / "batch")
    if message:
        assert str(folder) in message
        assert not (folder / "out" / BATCHES_FOLDER).exists()
    else:
        assert files_below(extracted).keys() == {*MEMBERS, "extracted.json"}
    assert set(os.listdir(folder)) <= {"batch", "out"}
    assert "x" not in os.listdir(folder.parent)
    assert not os.path.exists("/x")
