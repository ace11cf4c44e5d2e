"""What CIFAR-10 is and where it lies: the ten classes, and the path of each picture."""

from pathlib import Path

# Installed as a package there is no repository: data and results go where Python was started.
ROOT = Path(__file__).resolve().parents[2] if __name__.startswith("utils.") else Path.cwd()
DATA_DIRECTORY = ROOT / "data"

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp")  # of pictures that can be read, in any case
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


def picture_paths(names, labels, *, images_directory=None, class_names=CLASS_NAMES):
    """Return where the pictures are: ``<images_directory>/<class name>/<file name>``.

    Parameters
    ----------
    names : sequence of N str
        File names, as they are; one without a picture's suffix is of a ``.png``, as CIFAR-10's.
    labels : sequence of N int, 0 to 9, or to the number of classes - 1
    images_directory : path-like, optional
        ``data/images`` of the repository by default.
    class_names : sequence of str
        The folders of the classes, in label order.

    Returns
    -------
    list of N str
    """
    for name, label in zip(names, labels, strict=True):
        if not 0 <= label < len(class_names):
            raise ValueError(f"label {label!r} of {name!r}, expected 0 to {len(class_names) - 1}")
    folders = [f"{images_directory or DATA_DIRECTORY / 'images'}/{name}/" for name in class_names]
    return [
        folders[label] + (name if name.lower().endswith(SUFFIXES) else f"{name}.png")
        for name, label in zip(names, labels, strict=True)
    ]
