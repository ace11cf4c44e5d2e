"""A file is whole under its name, or it is not there."""

import os
import shutil
import threading

import pytest
from folder_state import OLD, Interruption
from killed import run_script

from utils.base.files import (
    atomic_path,
    check_writable,
    locked,
    remove_leftovers,
    sha256_of,
    write_text,
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def refuse_to_wait(_):
    raise Interruption


def refuse_to_replace(*_):
    raise Interruption


def test_file_appears_under_its_name_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    with atomic_path(path) as temporary:
        temporary.write_text("1,2\n")
        assert not path.exists()
    assert path.read_text() == "1,2\n"
    assert names_in(path.parent) == ["table.csv"]


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Otherwise a power cut may leave an empty file under the final name."""
    path, calls, replace = tmp_path / "table.csv", [], os.replace

    def note_replace(*paths):
        calls.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", lambda file: calls.append(os.fstat(file).st_ino))
    monkeypatch.setattr(os, "replace", note_replace)
    write_text(path, "1,2\n")
    assert calls == [path.stat().st_ino, "replace"]


def test_temporary_path_has_the_same_folder_and_suffix(tmp_path):
    with atomic_path(tmp_path / "model.keras") as temporary:
        temporary.touch()
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".keras")


def test_interrupted_block_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise Interruption

    with pytest.raises(Interruption):
        write_half()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["table.csv"]


def test_block_that_writes_nothing_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "table.csv"):
        pass
    assert names_in(tmp_path) == []


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    names = [".table.12.part.csv", ".table.part.csv", "table.12.part.csv", ".other.1.part.csv"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "table.csv")
    assert names_in(tmp_path) == sorted(names[1:])


def test_leftovers_of_a_writer_killed_long_ago_go_with_the_next_write(tmp_path):
    old, young = tmp_path / ".table.12.part.csv", tmp_path / ".table.13.part.csv"
    for path in (old, young):
        path.touch()
    os.utime(old, (OLD, OLD))
    write_text(tmp_path / "table.csv", "1,2")
    assert names_in(tmp_path) == [young.name, "table.csv"]


def test_killed_writer_leaves_the_old_or_the_new_file(tmp_path):
    output = run_script(
        "import sys; from pathlib import Path\n"
        "from killed import killed_at_each_operation\n"
        "from utils.base.files import write_text\n"
        "path, found = Path(sys.argv[1]), []\n"
        "path.write_text('old')\n"
        "for _ in killed_at_each_operation(lambda _: write_text(path, 'new')):\n"
        "    found.append(path.read_text())\n"
        "    path.write_text('old')\n"
        "print(*found)",
        tmp_path / "table.csv",
    )
    assert output == "old old old old new\n"


def test_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    output = run_script(
        "import resource, sys; from utils.base.files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_text(sys.argv[1], 'x' * 5000)\n"
        "except OSError: print('refused')",
        path,
    )
    assert output == "refused\n"
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["table.csv"]


def test_folder_that_can_be_written_is_made_and_left_empty(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert names_in(tmp_path / "new" / "folder") == []


def test_a_disk_without_room_is_told_with_what_is_left(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    check_writable(tmp_path, 2**20)
    with pytest.raises(OSError, match=r"only \d+ MiB are free, and a run needs up to \d+; make"):
        check_writable(tmp_path, 2 * free)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nobody", "/proc/self"])
@pytest.mark.parametrize("function", [check_writable, lambda folder: locked(folder).__enter__()])
def test_folder_that_cannot_be_written_is_named(tmp_path, place, function, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("time.sleep", refuse_to_wait)  # for a lock that will never be had
    with pytest.raises(OSError, match=f"{place}: nothing can be written there"):
        function(tmp_path / place)


def test_folder_is_locked_for_others_until_it_is_left(tmp_path):
    folder, entered = tmp_path / "new", threading.Event()

    def enter():
        with locked(folder):
            entered.set()

    thread = threading.Thread(target=enter)
    with locked(folder):
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    thread.join()


@pytest.mark.parametrize("text", ["", "a\nb\n", "a\nb", "a\r\nb\r\n", "Füchse 狐\n"])
def test_text_is_written_as_utf8_with_its_own_newlines(tmp_path, text):
    path = tmp_path / "names.txt"
    path.write_text("something longer that was there before")
    write_text(path, text)
    assert path.read_bytes() == text.encode("utf-8")


def test_text_that_cannot_be_renamed_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "names.txt"
    write_text(path, "old\n")
    monkeypatch.setattr(os, "replace", refuse_to_replace)
    with pytest.raises(Interruption):
        write_text(path, "new\n")
    assert path.read_text() == "old\n"
    assert names_in(tmp_path) == ["names.txt"]


@pytest.mark.parametrize(
    ("content", "digest"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_sha256_is_that_of_the_standard(tmp_path, content, digest):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256_of(path) == digest
