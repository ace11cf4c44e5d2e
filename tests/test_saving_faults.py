"""What is saved is whole, old or new, when its saving is killed or the disk is full."""

import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from folder_state import OLD, files_below, room_for
from killed import killed_at_each_operation, killed_at_random, run_script

from utils.results.model_files import save_model

NAMES = {"small.keras", "small.h5"}


def save(folder, value):
    """Save a small model in both formats, with `value` in all of its weights."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="small")
    model.set_weights([np.full((4, 3), value), np.full(3, value)])
    save_model(model, folder)


def value_in(path):
    """Return the one value in the weights of a saved model."""
    weights = keras.models.load_model(path, compile=False).get_weights()
    [value] = np.unique(np.concatenate(weights, axis=None))
    return value


def names_in(folder):
    return {path.name for path in folder.iterdir()}


# ---- killed


def save_killed(place):
    """Save 1 over 0, killed at many moments: 0 or 1 is there, and saving again leaves only 1."""
    place, moments, left_over = Path(place), 0, 0
    save(place / "old", 0)
    folder = place / "folder"
    for killed in (killed_at_each_operation, lambda function: killed_at_random(function, 4)):
        shutil.copytree(place / "old", folder)
        for _ in killed(lambda _: save(folder, 1)):
            for name in NAMES:
                is_old = (folder / name).read_bytes() == (place / "old" / name).read_bytes()
                assert is_old or value_in(folder / name) == 1, (moments, name)
            moments += 1
            if names_in(folder) != NAMES:
                left_over += 1
                for path in folder.iterdir():
                    os.utime(path, (OLD, OLD))
                save(folder, 1)
                assert names_in(folder) == NAMES, moments
                assert {value_in(folder / name) for name in NAMES} == {1}, moments
            shutil.rmtree(folder)
            shutil.copytree(place / "old", folder)
        shutil.rmtree(folder)
    print(moments, left_over)


def test_killed_while_saving_the_old_or_the_new_model_is_there(tmp_path):
    script = "import sys, test_saving_faults as tests; tests.save_killed(sys.argv[1])"
    moments, left_over = map(int, run_script(script, tmp_path).split())
    assert moments >= 15
    assert left_over >= 8


# ---- disk full


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9, 0.999])
def test_full_disk_leaves_the_old_model_and_nothing_else(tmp_path, share):
    save(tmp_path, 0)
    old = files_below(tmp_path)
    room = int(share * max(map(len, old.values())))
    with pytest.raises(OSError, match=r"write|Write|too large"), room_for(room):
        save(tmp_path, 1)
    assert files_below(tmp_path) == old
    save(tmp_path, 1)
    assert {value_in(tmp_path / name) for name in NAMES} == {1}
