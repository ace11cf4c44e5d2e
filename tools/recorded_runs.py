"""What the tools that train in several runs share: the data they read, the records they keep."""

import json
from pathlib import Path
from types import SimpleNamespace

from utils.base.files import write_text
from utils.load_patchs import read_image_labels
from utils.model_training_testing import predict
from utils.pipeline.names_file import split_names_file


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


def claim(checkpoints, settings):
    """Note in a folder of `checkpoints` (pathlib.Path) which `settings` (dict) they belong to.

    ValueError if they belong to others: a checkpoint itself knows only those of its training.
    """
    place = checkpoints / "settings.json"
    if place.exists() and json.loads(place.read_text(encoding="utf-8")) != settings:
        raise ValueError(f"{checkpoints}: checkpoints of other settings; delete it to start over")
    write_text(place, json.dumps(settings, indent=2) + "\n")


def read_pictures(directory, place, settings, seed):
    """Hold out a part of the training pictures, the same in all runs, and read what a run needs.

    Parameters
    ----------
    directory : pathlib.Path
        Where the first notebook has converted the pictures.
    place : pathlib.Path
        Folder for the names files of the parts.
    settings : dict
        With patch_size, max_shift (pixels), validation_size (share of the training pictures) and
        maybe alternate and cutout, as of `utils.load_patchs.read_image_labels`.
    seed : int
        Of order and augmentation.

    Returns
    -------
    types.SimpleNamespace
        The datasets train (shuffled and augmented), plain_train, validation and test.
    """
    train_names, validation_names = place / "train.txt", place / "held_out.txt"
    split_names_file(
        directory / "train_names.txt",
        train_names,
        validation_names,
        validation_size=settings["validation_size"],
        seed=0,  # as in the notebook
    )
    how = {"patch_size": settings["patch_size"], "image_shape": (32, 32)}
    how["images_directory"] = directory / "images"
    augmented = {"shuffle": True, "seed": seed, "max_shift": settings["max_shift"]}
    augmented |= {name: settings[name] for name in ("alternate", "cutout") if name in settings}
    return SimpleNamespace(
        train=read_image_labels(train_names, **how, **augmented, cache="memory"),
        plain_train=read_image_labels(train_names, **how),
        validation=read_image_labels(validation_names, **how, cache="memory"),
        test=read_image_labels(directory / "test_names.txt", **how, cache="memory"),
    )


def measure(model, test, history):
    """Return what a record says (dict) of a trained `model`, after one look at the pictures `test`.

    `history` is the keras.callbacks.History of its training.
    """
    accuracy, macro_f1, _, labels = predict(model, test)
    averaged_accuracy, averaged_f1, *_ = predict(model, test, test_time_augmentation=True)
    return {
        "parameters": model.count_params(),
        "test_images": len(labels),
        "validation_accuracy": history.history["val_accuracy"][-1],
        "test_accuracy": accuracy,
        "test_macro_f1": macro_f1,
        "test_accuracy_averaged": averaged_accuracy,
        "test_macro_f1_averaged": averaged_f1,
        "history": history.history,
    }
