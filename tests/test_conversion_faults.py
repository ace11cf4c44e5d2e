"""Conversions that are killed, run out of disk, or run at the same time lose and double nothing."""

import errno
import itertools
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from folder_state import files_below

from utils import download_handle_data as module
from utils.archive.members import TRAIN_BATCHES
from utils.download_handle_data import ConvertDataToImages

BATCHES = TRAIN_BATCHES[:2]
CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}  # of files, as audit events


def convert(batches, place, names=BATCHES):
    """Convert some batches to ``<place>/images`` and ``<place>/names.txt``."""
    for name in names:
        converter = ConvertDataToImages(images_directory=place / "images")
        converter.run(batches / name, place / "names.txt", int(name == names[-1]))


def files_in(place):
    """Return the content of every file in `place`, by its path there, but for the lock."""
    files = files_below(place)
    files.pop("images/.lock", None)
    return files


@pytest.fixture(scope="module")
def expected(sample_batches, tmp_path_factory):
    """What an undisturbed conversion leaves."""
    place = tmp_path_factory.mktemp("expected")
    convert(sample_batches, place)
    return files_in(place)


@pytest.fixture(scope="module")
def processes():
    """Context of processes that start fast, from one that has imported the modules already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "utils.download_handle_data"])
    return context


@pytest.fixture
def place(tmp_path):
    """An empty folder for pictures and names files."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def assert_nothing_wrong(place, expected):
    """See that what is there under a final name is right; the names file may lack the end."""
    for name, content in files_in(place).items():
        if name == "names.txt":
            assert expected[name].startswith(content.rstrip(b"\n"))
        elif "part" not in name:
            assert content == expected[name]


# ---- killed


def at_change(moment, act):
    """Call `act` before the change of files number `moment` of this process."""
    changes = itertools.count()
    sys.addaudithook(lambda event, _: event in CHANGES and next(changes) == moment and act())
    return changes


def killed_at(moment, *arguments):
    """Convert in this process, and kill it before a change; -1 exits with their number."""
    changes = at_change(moment, lambda: os.kill(os.getpid(), signal.SIGKILL))
    convert(*arguments)
    sys.exit(next(changes))


def run_process(context, function, *arguments):
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def test_killed_at_any_moment_the_next_run_completes(processes, sample_batches, tmp_path, expected):
    (tmp_path / "whole").mkdir()
    count = run_process(processes, killed_at, -1, sample_batches, tmp_path / "whole")
    assert count > 100
    last_ones = range(count - 4, count)  # around the names file
    for moment in {*random.Random(0).sample(range(count), 20), *last_ones}:
        place = tmp_path / str(moment)
        place.mkdir()
        code = run_process(processes, killed_at, moment, sample_batches, place)
        assert code == -signal.SIGKILL
        assert_nothing_wrong(place, expected)
        convert(sample_batches, place)
        assert files_in(place) == expected
        assert {path.name for path in place.iterdir()} == {"images", "names.txt"}


def test_killed_again_and_again_the_last_run_completes(processes, sample_batches, place, expected):
    for moment in (9, 60, 30, 45, 20):
        assert run_process(processes, killed_at, moment, sample_batches, place) == -signal.SIGKILL
    assert_nothing_wrong(place, expected)
    convert(sample_batches, place)
    assert files_in(place) == expected


# ---- disk full


def full_at(moment, *arguments):
    """Convert in this process, where no file may grow from a change on; exit with errno."""
    at_change(moment, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
    try:
        convert(*arguments)
    except OSError as error:
        sys.exit(error.errno)


@pytest.mark.parametrize("moment", [0, 33, 78])
def test_full_disk_leaves_whole_pictures_and_is_completed(
    processes, sample_batches, place, expected, moment
):
    assert run_process(processes, full_at, moment, sample_batches, place) == errno.EFBIG
    assert_nothing_wrong(place, expected)
    found = files_in(place)
    assert (moment == 0) == (len(found) == 0)
    assert not [name for name in found if "part" in name]
    convert(sample_batches, place)
    assert files_in(place) == expected


def test_full_disk_at_the_names_leaves_the_old_ones_and_is_completed(
    processes, sample_batches, place, expected
):
    convert(sample_batches, place, BATCHES[:1])
    names = place / "names.txt"
    names.write_bytes(old := names.read_bytes() + b"\n")
    converter = ConvertDataToImages(images_directory=place / "images")
    converter.run(sample_batches / BATCHES[1], place / "other.txt", 1)
    (place / "other.txt").unlink()
    assert run_process(processes, full_at, 0, sample_batches, place) == errno.EFBIG
    assert names.read_bytes() == old
    assert {path.name for path in place.iterdir()} == {"images", "names.txt"}
    convert(sample_batches, place)
    assert files_in(place) == expected


# ---- several at once


def test_two_conversions_at_once_wait_for_each_other(sample_batches, place, monkeypatch, expected):
    both = threading.Barrier(2)
    write_pictures = module.write_pictures

    def meet_and_write(*arguments, **options):
        with suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.3)  # both have read the names file, unless one waits for the other
        write_pictures(*arguments, **options)

    monkeypatch.setattr(module, "write_pictures", meet_and_write)
    threads = [
        threading.Thread(target=convert, args=(sample_batches, place, [name])) for name in BATCHES
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = files_in(place)
    lines, expected_lines = (files["names.txt"].split(b"\n") for files in (found, expected))
    assert sorted(filter(None, lines)) == sorted(expected_lines)
    assert found.keys() == expected.keys()


def test_processes_at_once_do_what_one_does(processes, sample_batches, place, converted):
    orders = [TRAIN_BATCHES, TRAIN_BATCHES[::-1], TRAIN_BATCHES[2:] + TRAIN_BATCHES[:2]]
    running = [
        processes.Process(target=convert, args=(sample_batches, place, order)) for order in orders
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    found = (place / "names.txt").read_text().split("\n")
    assert sorted(filter(None, found)) == sorted(converted.train_names.read_text().split("\n"))
    pictures = {path.name for path in (place / "images").glob("*/*.png")}
    assert pictures == {line.split()[0] for line in filter(None, found)}


# ---- places


@pytest.mark.parametrize("name", ["with spaces", "Füchse 狐", "100% [a]*?"])
def test_folder_may_have_any_name(sample_batches, tmp_path, expected, name):
    place = tmp_path / name
    convert(sample_batches, place)
    left = place / ".names.1.part.txt"
    left.write_text("half a li")
    (place / "names.txt").unlink()
    convert(sample_batches, place)
    assert files_in(place) == expected


def test_relative_paths_are_those_of_the_working_directory(
    sample_batches, tmp_path, monkeypatch, expected
):
    monkeypatch.chdir(tmp_path)
    os.symlink(sample_batches, "batches")
    convert(Path("batches"), Path("here"))
    assert files_in(tmp_path / "here") == expected


def test_default_places_do_not_depend_on_the_working_directory(
    sample_batches, tmp_path, data_directory, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ConvertDataToImages().run(sample_batches / BATCHES[0], "names.txt", 1)
    assert os.listdir() == ["names.txt"]
    assert len(list(data_directory.glob("images/*/*.png"))) == 20
