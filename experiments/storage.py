"""Checkpoints between a worker's disk and what all nodes see: a folder, or a URL that fsspec knows.

A run's checkpoint lies there as ``<name>/seed_<n>_<recipe's digest>.npz``, whole or not at all.
"""

import hashlib
import json
import os
import socket
from pathlib import Path

import fsspec

CHECKPOINT = "training.npz"  # the engine's file in its folder


def absolute(storage):
    """Return `storage` (str, path-like or None) as every node understands it (str or None).

    ValueError if it is a URL of a kind that is unknown here, or whose package is missing.
    """
    if storage is None:
        return None
    if "://" not in str(storage):
        return str(Path(storage).resolve())
    try:
        fsspec.url_to_fs(str(storage))
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"--storage is {storage}: {error}; take a folder, or install what reads such URLs on "
            "all nodes"
        ) from error
    return str(storage)


def checkpoint_url(storage, name, recipe, seed):
    """Return where a run's checkpoint belongs below `storage` (str or None): a URL, or None."""
    if storage is None:
        return None
    digest = hashlib.sha256(json.dumps(recipe.recorded(), sort_keys=True).encode()).hexdigest()
    return f"{storage.rstrip('/')}/{name}/seed_{seed}_{digest[:8]}.npz"


def fetch(url, folder):
    """Copy the checkpoint at `url` (str or None), if there is one, to `folder` (pathlib.Path)."""
    folder.mkdir(parents=True, exist_ok=True)
    if url is not None:
        files, path = fsspec.url_to_fs(url)
        if files.exists(path):
            files.get_file(path, str(folder / CHECKPOINT))


def store(folder, url):
    """Copy the checkpoint in `folder` (pathlib.Path), if there is one, to `url` (str or None)."""
    source = folder / CHECKPOINT
    if url is None or not source.exists():
        return
    files, path = fsspec.url_to_fs(url)
    # Beside it first: of two workers that both believe to own the run, each leaves a whole file.
    temporary = f"{path}.{socket.gethostname()}.{os.getpid()}"
    files.makedirs(str(Path(path).parent), exist_ok=True)
    try:
        files.put_file(str(source), temporary)
        files.mv(temporary, path)
    finally:
        if files.exists(temporary):
            files.rm(temporary)


def forget(url):
    """Remove the checkpoint at `url` (str or None)."""
    if url is not None:
        files, path = fsspec.url_to_fs(url)
        if files.exists(path):
            files.rm(path)
