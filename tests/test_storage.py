"""Checkpoints on what fsspec knows: a folder, and a store of objects without folders."""

import pytest

pytest.importorskip("fsspec", reason="pip install -r requirements-ray.txt")

from experiments.recipes import EXPERIMENTS
from experiments.storage import absolute, checkpoint_url, fetch, forget, store


@pytest.mark.parametrize("kind", ["folder", "file", "memory"])
def test_a_checkpoint_is_kept_found_again_and_forgotten(tmp_path, kind):
    places = {
        "folder": tmp_path / "kept",
        "file": f"file://{tmp_path}/kept",
        "memory": f"memory://{tmp_path.name}",
    }
    recipe = EXPERIMENTS["airbench94"]
    url = checkpoint_url(absolute(places[kind]), "airbench94", recipe, 0)
    other = checkpoint_url(absolute(places[kind]), "airbench94", recipe, 1)
    here, there = tmp_path / "here", tmp_path / "there"
    fetch(url, here)  # nothing yet
    assert list(here.iterdir()) == []
    store(here, url)  # nothing either
    for content in (b"first epoch", b"second epoch"):
        (here / "training.npz").write_bytes(content)
        store(here, url)
    fetch(url, there)
    assert (there / "training.npz").read_bytes() == b"second epoch"
    fetch(other, tmp_path / "another run")
    assert list((tmp_path / "another run").iterdir()) == []
    forget(url)
    forget(url)  # as a second worker that believes to own the run
    fetch(url, tmp_path / "later")
    assert list((tmp_path / "later").iterdir()) == []


def test_without_storage_nothing_is_kept(tmp_path):
    assert absolute(None) is None
    assert checkpoint_url(None, "airbench94", EXPERIMENTS["airbench94"], 0) is None
    (tmp_path / "training.npz").write_bytes(b"an epoch")
    store(tmp_path, None)
    fetch(None, tmp_path)
    forget(None)
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]


def test_a_relative_folder_means_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("kept") == str(tmp_path / "kept")


def test_an_unknown_kind_of_storage_is_refused():
    with pytest.raises(ValueError, match=r"--storage is nowhere://kept: .*take a folder"):
        absolute("nowhere://kept")
