"""What the tools that train in several runs share: the data they read, the records they keep."""

import json
from pathlib import Path


def read_dataset(root):
    """Return what the first notebook wrote of its data (dict), below `root` (path-like).

    FileNotFoundError if it has converted nothing.
    """
    path = Path(root) / "data" / "dataset.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: nothing was converted yet; run the first notebook, or make run"
        ) from error


def recorded(place, settings, dataset):
    """Return the record (dict) at `place` (pathlib.Path), or None if there is none.

    ValueError if it is of other settings (dict) or data (dict).
    """
    if not place.exists():
        return None
    record = json.loads(place.read_text(encoding="utf-8"))
    if (record["settings"], record["data"]) != (settings, dataset):
        raise ValueError(f"{place}: a record of other settings or data; delete it to run it again")
    return record
