"""What CIFAR-10 is and where it lies: the ten classes, and the path of each picture."""

from pathlib import Path

# Installed as a package there is no repository: data and results go where Python was started.
ROOT = Path(__file__).resolve().parents[2] if __name__.startswith("utils.") else Path.cwd()
DATA_DIRECTORY = ROOT / "data"

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def picture_paths(names, labels, *, images_directory=None):
    """Return where the pictures are: ``<images_directory>/<class name>/<file name>.png``.

    Parameters
    ----------
    names : sequence of N str
        File names of the data set.
    labels : sequence of N int, 0 to 9
    images_directory : path-like, optional
        ``data/images`` of the repository by default.

    Returns
    -------
    list of N str
    """
    for name, label in zip(names, labels, strict=True):
        if not 0 <= label < len(CLASS_NAMES):
            raise ValueError(f"label {label!r} of {name!r}, expected 0 to 9")
    folders = [f"{images_directory or DATA_DIRECTORY / 'images'}/{name}/" for name in CLASS_NAMES]
    return [
        folders[label] + (name if name.endswith(".png") else f"{name}.png")
        for name, label in zip(names, labels, strict=True)
    ]
