"""Pack the converted pictures into one file of arrays: ``python -m tools.pack_pictures``.

It is all that `tools.gpu_runs` needs of the data, also on a machine without TensorFlow.
"""

import json
import sys
from pathlib import Path

import numpy as np

from tools.recipe import PACKED, PARTS, VALIDATION_SIZE
from tools.recorded_runs import read_dataset, read_pictures
from utils.base.cifar10 import ROOT
from utils.base.files import atomic_path
from utils.load_patchs import extract_labels


def pack_pictures(root, validation_size=VALIDATION_SIZE):
    """Write ``data/pictures.npz``; by default the same thousand are held out as everywhere.

    Parameters
    ----------
    root : path-like
        Of a repository in which the first notebook has converted the pictures.
    validation_size : float, 0 to 1
        Share of the training pictures that is held out.

    Returns
    -------
    pathlib.Path
        Its path; `tools.gpu_runs.read_arrays` tells what it holds.

    Raises
    ------
    FileNotFoundError
        If nothing was converted.
    """
    dataset = read_dataset(root)
    directory = Path(root) / dataset["directory"]
    how = {"patch_size": 500, "max_shift": None, "validation_size": validation_size}
    sources = read_pictures(directory, directory / "checkpoints" / "pack", how, seed=0)
    arrays = {"dataset": json.dumps(dataset), "validation_size": validation_size}
    for part, source in zip(PARTS, ("plain_train", "validation", "test"), strict=True):
        images, arrays[f"{part}_labels"] = extract_labels(getattr(sources, source))
        arrays[part] = np.rint(images * 255).astype(np.uint8)
    path = Path(root) / PACKED
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return path


def main():
    try:
        print(pack_pictures(ROOT))
    except (OSError, ValueError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
