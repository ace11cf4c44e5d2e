"""A small sample of the data, made once per run, and the repository's own ``data/`` out of reach.

The sample's folders are shared by all tests: read them, and copy what you want to change.
"""

import io
import os
import socket
import tarfile
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from small_pictures import encode, numbered_pictures

from tools.page_server import serve
from utils.archive import fetch
from utils.archive.members import TEST_BATCH, TRAIN_BATCHES
from utils.archive.sample import write_sample_archive
from utils.base import cifar10
from utils.base.cifar10 import CLASS_NAMES
from utils.download_handle_data import ConvertDataToImages, extract_cifar10_data

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # warnings of TensorFlow's C++ part
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `make test` and the page have it


# The longest files, first of all: else a process works on one of them while the others have ended.
LONGEST = ("test_real_data", "test_notebooks", "test_space", "test_browser", "test_package")


def pytest_collection_modifyitems(items):
    """Begin with the longest files; pytest-xdist hands them out in this order."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


class Converted(NamedTuple):
    """Where a conversion went: class folders, the two names files, and the batches it read."""

    images_directory: Path
    train_names: Path
    test_names: Path
    batches: Path


@pytest.fixture(autouse=True, scope="session")
def training_in_float32(tmp_path_factory):
    """Every processor trains as one without bfloat16, so that sums can be compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.training.twins.CPU_INFO", tmp_path_factory.mktemp("cpu") / "none")
        yield


@pytest.fixture(autouse=True)
def data_directory(tmp_path, monkeypatch):
    """Default places of the data lie below a temporary folder, which is not created yet."""
    monkeypatch.setattr(cifar10, "DATA_DIRECTORY", tmp_path / "data")
    monkeypatch.setattr(fetch, "PAUSE", 0)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def sample_archive(tmp_path_factory):
    """Archive of six drawn batches, 20 pictures each, two of every class."""
    path = tmp_path_factory.mktemp("archive") / "cifar-10-python.tar.gz"
    return write_sample_archive(path, images_per_batch=20)


@pytest.fixture(scope="session")
def sample_batches(sample_archive, tmp_path_factory):
    """Folder with the sample's batch files and ``batches.meta``."""
    return extract_cifar10_data(tmp_path_factory.mktemp("batches"), archive=sample_archive)


@pytest.fixture(scope="session")
def converted(sample_batches, tmp_path_factory):
    """The sample as 100 training and 20 test pictures with their names files."""
    folder = tmp_path_factory.mktemp("converted")
    result = Converted(
        folder / "images", folder / "train_names.txt", folder / "test_names.txt", sample_batches
    )
    converter = ConvertDataToImages(images_directory=result.images_directory)
    for name in TRAIN_BATCHES:
        converter.run(sample_batches / name, result.train_names, int(name == TRAIN_BATCHES[-1]))
    converter.run(sample_batches / TEST_BATCH, result.test_names, 1)
    return result


@pytest.fixture
def archive_bytes(sample_archive):
    """The content of the sample's archive."""
    return sample_archive.read_bytes()


@pytest.fixture
def other_archive(tmp_path_factory):
    """Sound archive of other pictures than the sample's."""
    path = tmp_path_factory.mktemp("other") / "other.tar.gz"
    return write_sample_archive(path, images_per_batch=10, seed=1)


@pytest.fixture
def repack(sample_archive, tmp_path):
    """Function that writes the sample again, its list of (TarInfo, bytes) changed by a function."""

    def write(change):
        with tarfile.open(sample_archive) as tar:
            members = [(member, tar.extractfile(member).read()) for member in tar]
        path = tmp_path / "repacked.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=1) as tar:
            for member, content in change(members):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return path

    return write


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


class FileServer(ThreadingHTTPServer):
    """HTTP on 127.0.0.1. Each request of a path takes its next answer; the last one stays."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests = []  # (path, Range header or None), in the order they came
        self.answers = defaultdict(list)
        self.ended = threading.Event()

    def add(
        self,
        path,
        content=b"",
        *,
        status=200,
        headers=(),
        ranges=True,
        length=True,
        cut=None,
        stall=False,
    ):
        """Add an answer and return its URL.

        Parameters
        ----------
        content : bytes
        status : int
            200 becomes 206 for a range, and 416 for one past the end, if `ranges`.
        headers : dict or pairs
            Beside ``Content-Length``, which is sent if `length`.
        cut : int, optional
            Close the connection after so many bytes of the body.
        stall : bool
            Keep it open instead, silently, until the server ends.
        """
        self.answers[path].append(
            SimpleNamespace(
                content=content,
                status=status,
                headers=dict(headers),
                ranges=ranges,
                length=length,
                cut=cut,
                stall=stall,
            )
        )
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        answers = self.server.answers[self.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        status, body, headers = answer.status, answer.content, dict(answer.headers)
        if status == 200 and wanted and answer.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status, body = (206, body[start:]) if start < len(body) else (416, b"")
            headers["Content-Range"] = f"bytes {start}-{len(answer.content) - 1}/*"
        if answer.length:
            headers["Content-Length"] = len(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[: answer.cut])
        if answer.stall:
            self.server.ended.wait()

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def server(monkeypatch):
    """A running `FileServer`, asked without any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def refused_url():
    """URL of a port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/file"


@pytest.fixture(scope="session")
def page():
    """URL and process of the page with the shipped models."""
    with serve() as (url, process):
        yield SimpleNamespace(url=url, process=process)
