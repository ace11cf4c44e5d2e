"""Downloads and extractions that are killed, run out of disk, meet, or may not write."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from folder_state import files_below
from killed import environment, run_script

from utils.archive.kept import note_source
from utils.archive.members import MEMBERS
from utils.base.files import locked
from utils.download_handle_data import ARCHIVE_NAME, download_data, extract_cifar10_data

SET_UP = """
import sys
import threading
from pathlib import Path
from tqdm import tqdm
from folder_state import files_below
from killed import killed_at_each_operation, killed_at_random
from utils.archive import fetch
from utils.download_handle_data import download_data, extract_cifar10_data
fetch.CHUNK, fetch.PAUSE = 20_000, 0
tqdm.set_lock(threading.RLock())  # its usual one is shared with the children that are killed
tqdm.monitor_interval = 0  # no thread, which forks would not take along
source, kept, place = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
"""

KILLED = """
def run(number):
    STEP

def run_again(prefix, killed):
    for number in killed:
        run(f"{prefix}{number}")
        assert files_below(place / f"{prefix}{number}") == expected, number
    return number

expected = files_below(kept)
print(run_again("each", killed_at_each_operation(lambda number: run(f"each{number}"))))
print(run_again("time", killed_at_random(lambda number: run(f"time{number}"), 10)))
"""

DOWNLOAD = "download_data(source, directory=place / number)"
EXTRACT = "extract_cifar10_data(place / number, archive=source)"

DISK_FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    STEP
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture
def place(tmp_path):
    """An empty folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(sample_archive, tmp_path):
    """A folder with nothing but the sample's archive."""
    return download_data(sample_archive, directory=tmp_path / "kept").parent


def test_killed_download_is_completed_by_the_next(server, kept, place):
    url = server.add("/a.tar.gz", (kept / ARCHIVE_NAME).read_bytes())
    script = SET_UP + KILLED.replace("STEP", DOWNLOAD)
    each, _ = run_script(script, url, kept, place).split()
    assert int(each) >= 5
    assert any(wanted for _, wanted in server.requests)  # resumed


def test_killed_copy_is_completed_by_the_next(sample_archive, kept, place):
    script = SET_UP + KILLED.replace("STEP", DOWNLOAD)
    each, _ = run_script(script, sample_archive, kept, place).split()
    assert int(each) >= 5


def test_killed_extraction_is_completed_by_the_next(sample_archive, tmp_path, place):
    extract_cifar10_data(tmp_path / "sound", archive=sample_archive)
    script = SET_UP + KILLED.replace("STEP", EXTRACT)
    each, _ = run_script(script, sample_archive, tmp_path / "sound", place).split()
    assert int(each) >= 20


def test_full_disk_stops_the_download_and_the_next_goes_on(server, kept, place):
    content = (kept / ARCHIVE_NAME).read_bytes()
    url = server.add("/a.tar.gz", content)
    script = SET_UP + DISK_FULL.replace("STEP", "download_data(source, directory=place)")
    assert run_script(script, url, kept, place) == "File too large\n"
    assert files_below(place) == {f"{ARCHIVE_NAME}.part": content[:50_000]}
    download_data(url, directory=place)
    assert files_below(place) == files_below(kept)
    assert server.requests == [("/a.tar.gz", None), ("/a.tar.gz", "bytes=50000-")]


def test_full_disk_stops_a_copy_and_leaves_nothing(sample_archive, place):
    script = SET_UP + DISK_FULL.replace("STEP", "download_data(source, directory=place)")
    assert run_script(script, sample_archive, place, place) == "File too large\n"
    assert files_below(place) == {}


def test_full_disk_leaves_the_extraction_that_is_there(repack, sample_archive, place):
    extract_cifar10_data(place, archive=sample_archive)
    sound = files_below(place)
    other = repack(lambda members: members[::-1])
    script = SET_UP + DISK_FULL.replace("STEP", "extract_cifar10_data(place, archive=source)")
    assert run_script(script, other, place, place) == "File too large\n"
    assert files_below(place) == sound
    assert {path.name for path in place.iterdir()} == {"cifar-10-batches-py", ".lock"}


@pytest.mark.parametrize("step", ["download", "copy", "extract"])
def test_two_processes_at_once_share_the_work(server, sample_archive, kept, place, step):
    source = server.add("/a.tar.gz", sample_archive.read_bytes())
    call = "download_data(source, directory=place)"
    if step != "download":
        source = sample_archive
    if step == "extract":
        call = "extract_cifar10_data(place, archive=source)"
    script = f"{SET_UP}print('ready', flush=True); {call}"
    with locked(place):  # until both are ready
        both = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(source), str(kept), str(place)],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in both:
            assert process.stdout.readline() == "ready\n"
    outputs = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum(f"{step}: 100%" in output for output in outputs) == 1
    if step == "extract":
        assert set(files_below(place / "cifar-10-batches-py")) == {*MEMBERS, "extracted.json"}
    else:
        assert files_below(place) == files_below(kept)
        assert len(server.requests) == (1 if step == "download" else 0)


def test_valid_archive_and_extraction_need_no_writable_folder(server, kept, monkeypatch):
    url = server.add("/a")
    extract_cifar10_data(kept, archive=kept / ARCHIVE_NAME)
    note_source(kept / ARCHIVE_NAME, url)
    (kept / ".lock").unlink()

    def refuse(path, *_, **__):
        raise PermissionError(f"{path} may not be written")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert download_data(url, directory=kept) == kept / ARCHIVE_NAME
    extract_cifar10_data(kept, archive=kept / ARCHIVE_NAME)
    assert server.requests == []


@pytest.mark.parametrize("place", ["a file", "read-only", "/sys"])
def test_folder_that_cannot_be_written_is_an_error_and_no_other_is_taken(
    server, sample_archive, tmp_path, data_directory, monkeypatch, place
):
    (tmp_path / "a file").touch()
    (tmp_path / "read-only").mkdir()
    before = files_below(tmp_path)
    url = server.add("/a", sample_archive.read_bytes())
    folder, open_ = tmp_path / place, os.open

    def refuse_to_write(path, flags, *arguments, **options):  # root may write everywhere
        if flags & (os.O_WRONLY | os.O_RDWR) and "read-only" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return open_(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse_to_write)
    for bring in (
        lambda: download_data(url, directory=folder),
        lambda: download_data(sample_archive, directory=folder),
        lambda: extract_cifar10_data(folder, archive=sample_archive),
    ):
        with pytest.raises(OSError, match=f"{folder}: nothing can be written there"):
            bring()
    assert server.requests == []
    assert not data_directory.exists()
    assert files_below(tmp_path) == before
