"""An ``.onnx`` file in, fast answers about pictures out, and whether to trust them.

Enters: what `utils.results.onnx_files.export_onnx` wrote, with the record of its run, which the
file's metadata name; pixels float32 in [0, 1].
Leaves: calibrated probabilities of the file's classes, and a score that is low where the network
finds nothing it knows. ONNX Runtime gives logits and features; the rest is NumPy.
"""

import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.files import sha256_of
from utils.base.unusual import unusualness
from utils.serving.picture_input import MIDDLE, Prepared, to_float

MAX_BYTES = 200 * 2**20  # of a file
BATCH = 128  # pictures a call
REMEDY = "restore it with git, or export it again: python -m tools.export_model"


def _energy(logits):
    largest = logits.max(axis=1)
    return largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))


def _energy_and_pixels(chosen):
    weight = chosen["pixels_weight"]
    usual = {name: np.asarray(values) for name, values in chosen["usual_pixels"].items()}
    return lambda pixels, logits, features: _energy(logits) - weight * unusualness(pixels, usual)


# What a record may call the score of its threshold, to a function of the record's part on it. That
# returns another, of pixels (uint8, (N, height, width, 3)), logits (N, 10) and features (N, F), to
# one number a picture, low for what is none of the ten. `utils.evaluation.unknowns` compares them.
SCORES = {
    "energy": lambda chosen: lambda pixels, logits, features: _energy(logits),
    "largest_logit": lambda chosen: lambda pixels, logits, features: logits.max(axis=1),
    "energy_and_pixels": _energy_and_pixels,
}


class Classifier(NamedTuple):
    """A loaded and warmed model.

    Attributes
    ----------
    name : str
        The file's name without suffix.
    title : str
        The same for people.
    image_shape : tuple of int
        Height and width of its input.
    run : callable
        Pixels float32 of shape (N, height, width, 3), 0 to 1, to logits of shape (N, classes) and
        features of shape (N, F), both float32.
    accuracy : float or None
        On the test pictures, 0 to 1.
    temperature : float
        What logits are divided by before the softmax.
    score : callable
        As `SCORES` make it.
    threshold : float or None
        Answers of a lower score are not to be trusted; None where nobody has chosen one.
    notes : tuple of str
        Sentences on what is not known of it.
    class_names : tuple of str
        In the order of the logits.
    """

    name: str
    title: str
    image_shape: tuple
    run: Callable
    accuracy: float | None = None
    temperature: float = 1.0
    score: Callable = SCORES["energy"]({})
    threshold: float | None = None
    notes: tuple = ()
    class_names: tuple = CLASS_NAMES


class Answer(NamedTuple):
    """What a model says of one picture.

    Attributes
    ----------
    label : str
        The most probable class.
    shares : dict of str to float
        Class name to probability, 0 to 1, in label order.
    trusted : bool
        False where it is probably none of the classes.
    picture : utils.serving.picture_input.Prepared
        What the model was given, and what of the picture that is.
    """

    label: str
    shares: dict
    trusted: bool
    picture: NamedTuple


def load_models(models=ROOT / "models", *, root=ROOT):
    """Load all ``.onnx`` files of a folder.

    Parameters
    ----------
    models, root : path-like
        The folder, and the one from which the files' records are found.

    Returns
    -------
    classifiers : list of Classifier
        The highest recorded test accuracy first.
    problems : list of str
        A sentence for each file that is no model for the page, and how to make it one.
    """
    classifiers, problems = [], []
    for path in sorted(Path(models).glob("*.onnx")):
        try:
            classifiers.append(load_classifier(path, root=root))
        except (OSError, ValueError) as problem:
            problems.append(str(problem))
    return sorted(classifiers, key=lambda found: (-(found.accuracy or 0), found.name)), problems


def without_onnx(models=ROOT / "models"):
    """Return a sentence (list of str) for each model of a folder that is not there as ``.onnx``."""
    paths = (_below(path, ROOT) for path in sorted(Path(models).glob("*.keras")))
    command = "python -m tools.export_model {0} --publish"
    return [
        f"{path}: the page reads .onnx; to offer it: {command.format(path)}"
        for path in paths
        if not (ROOT / path).with_suffix(".onnx").exists()
    ]


def load_classifier(path, *, root=ROOT):
    """Load the model at `path` (path-like, ``.onnx``), and run it once.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, of shapes that don't fit its classes, larger than 200 MB, changed since
        its record was written, or has weights or operators from elsewhere; it runs nothing then.
    """
    path = Path(path)
    said = _below(path, root)
    if not path.is_file():
        raise FileNotFoundError(f"{said}: no model there; {REMEDY}")
    session = _open(path, said)
    metadata = session.get_modelmeta().custom_metadata_map
    class_names = tuple(metadata.get("classes", ",".join(CLASS_NAMES)).split(","))
    if len(set(class_names)) < len(class_names):
        raise ValueError(f"{said}: has a class twice; {REMEDY}")
    image_shape = _check_shapes(session, len(class_names), said)
    record, notes = _read_record(path, metadata, Path(root), said)

    def run(images):
        return session.run(["logits", "features"], {"pixels": images})

    try:
        run(np.zeros((2, *image_shape, 3), np.float32))
    except Exception as error:  # onnxruntime's own, which share no other class
        raise ValueError(f"{said}: can't be run ({type(error).__name__}); {REMEDY}") from error
    try:
        known = _numbers_of(record, notes)
        title = metadata.get("title") or path.stem
        if known["accuracy"]:
            title += f", {known['accuracy']:.1%}".replace("%", " %")
        known |= {"notes": tuple(notes), "class_names": class_names}
        found = Classifier(path.stem, title, image_shape, run, **known)
        pixels = np.zeros((*image_shape, 3), np.uint8)
        classify(Prepared(pixels, None, MIDDLE, (0, 0, 1, 1)), found)  # the first one is slow
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{metadata['record']}: not what an evaluation writes ({type(error).__name__}: {error}"
            f"), which {said} names; restore it with git, or evaluate the model again"
        ) from error
    return found


def classify(picture, classifier):
    """Classify one picture (utils.serving.picture_input.Prepared); return an `Answer`."""
    logits, features = classifier.run(to_float(picture.pixels)[np.newaxis])
    (shares,) = probabilities_of(logits, classifier.temperature)
    trusted = True
    if classifier.threshold is not None:
        (score,) = classifier.score(picture.pixels[np.newaxis], logits, features)
        trusted = bool(score >= classifier.threshold)
    named = dict(zip(classifier.class_names, shares.tolist(), strict=True))
    return Answer(classifier.class_names[int(shares.argmax())], named, trusted, picture)


def run_in_batches(classifier, images):
    """Run any number of pictures, in batches side by side.

    Parameters
    ----------
    classifier : Classifier
    images : ndarray of float32, shape (N, height, width, 3), 0 to 1

    Returns
    -------
    probabilities : ndarray of float32, shape (N, classes)
    scores : ndarray of float32, shape (N,)
    """
    batches = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # each core its own, not all one after one
        answers = list(threads.map(classifier.run, batches))
    scores = [  # NumPy's products take all cores themselves
        classifier.score((batch * 255 + 0.5).astype(np.uint8), *answer)
        for batch, answer in zip(batches, answers, strict=True)
    ]
    logits = np.concatenate([logits for logits, _ in answers])
    return probabilities_of(logits, classifier.temperature), np.concatenate(scores)


def probabilities_of(logits, temperature):
    """Return the softmax of logits (ndarray, shape (N, classes)) divided by `temperature`."""
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def _below(path, root):
    """Return a path (str) as it reads from `root`, whole where it lies elsewhere."""
    path, root = Path(path).absolute(), Path(root).absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _open(path, said):
    """Return a session that shares its cores with others, of a file that is whole by itself."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{said}: more than {MAX_BYTES // 2**20} MB; the page takes smaller ones")
    content = path.read_bytes()
    if b"\x0a\x08location" in content:  # how an entry of a tensor's external data begins
        raise ValueError(f"{said}: has weights in other files; {REMEDY}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # to share one picture's work takes longer
    options.log_severity_level = 4  # what it refuses is told below
    with tempfile.TemporaryDirectory() as empty:
        # Should the entry be written otherwise, there is no file to be found.
        key = "session.model_external_initializers_file_folder_path"
        options.add_session_config_entry(key, empty)
        try:
            return onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own, which share no other class
            reason = "has operators that ONNX Runtime does not know"
            if "not a registered" not in str(error) and "No Op registered" not in str(error):
                reason = f"not an ONNX model or a damaged one ({type(error).__name__})"
            raise ValueError(f"{said}: {reason}; {REMEDY}") from error


def _check_shapes(session, classes, said):
    """Return height and width of the input, if input and outputs are what the page needs."""
    given = {each.name: (each.type, each.shape) for each in session.get_inputs()}
    made = {each.name: each.shape for each in session.get_outputs()}
    kind, shape = given.get("pixels", ("", []))
    if (
        list(given) != ["pixels"]
        or kind != "tensor(float)"
        or len(shape) != 4
        or not isinstance(shape[1], int)
        or not isinstance(shape[2], int)
        or shape[3] != 3
        or isinstance(shape[0], int)
        or made.get("logits", [None])[1:] != [classes]
        or len(made.get("features", [])) != 2
    ):
        raise ValueError(
            f"{said}: from {given} to {made}; expected pixels, float of shape (N, height, width, "
            f"3), to logits of {classes} classes and features; {REMEDY}"
        )
    return tuple(shape[1:3])


def _read_record(path, metadata, root, said):
    """Return the record (dict) that the file names, empty where there is none, and notes on it."""
    if not metadata.get("record"):
        return {}, ["Its file names no record of its training."]
    place = (root / metadata["record"]).resolve()
    if not place.is_relative_to((root / "results").resolve()) or place.suffix != ".json":
        raise ValueError(f"{said}: names {metadata['record']!r}, no record in results/; {REMEDY}")
    if not place.is_file():
        return {}, [f"The record of its training, {metadata['record']}, is not here."]
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        expected = record["model"]["sha256"].get(path.name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{_below(place, root)}: not the record of a run or a damaged one "
            f"({type(error).__name__}), which {said} names; restore it with git"
        ) from error
    if expected is None:
        return {}, [f"The record of its training, {metadata['record']}, knows no {path.name}."]
    if expected != sha256_of(path):
        raise ValueError(f"{said}: changed since {metadata['record']} was written; {REMEDY}")
    return record, []


def _numbers_of(record, notes):
    """Return what a record says of its model, as `Classifier` has it; adds what is missing."""
    scores = record.get("scores", {})
    tested = scores.get("published") or scores.get("test") or {}
    temperature = scores.get("calibration", {}).get("temperature")
    odd = scores.get("none_of_the_ten", {})
    known = {"accuracy": tested.get("accuracy"), "temperature": temperature or 1.0}
    if temperature is None:
        notes.append("Its percentages are not calibrated.")
    if odd.get("threshold") is not None and odd.get("score") in SCORES:
        return known | {"score": SCORES[odd["score"]](odd), "threshold": odd["threshold"]}
    notes.append("It has no threshold, so it can't say that a picture shows something else.")
    return known
