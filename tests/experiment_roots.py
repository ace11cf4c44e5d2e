"""A repository in which the first notebook has converted the drawn sample."""

import json
import shutil

SMALL = {"width": (4, 4, 4), "epochs": 1, "batch_size": 45, "validation_size": 0.1}


def make_root(folder, converted):
    """Lay out the sample below `folder`, as the first notebook does; returns `folder`."""
    shutil.copytree(converted.images_directory.parent, folder / "data" / "sample")
    dataset = {
        "name": "drawn sample",
        "archive_sha256": None,
        "directory": "data/sample",
        "results": "results/sample",
    }
    (folder / "data" / "dataset.json").write_text(json.dumps(dataset))
    return folder
