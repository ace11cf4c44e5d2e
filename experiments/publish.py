"""A run's model in, its files in ``models/`` out, measured as they are; report and matrices."""

import numpy as np

from experiments.answers import ModelAnswers
from experiments.data import places
from experiments.evaluations import choose_threshold, evaluate_calibration
from experiments.recipes import recipe_of
from experiments.runner import find_model, read_data, recorded
from experiments.tables import network
from experiments.training import PLAIN_VIEW, probabilities, scores_of, six_views
from utils.base.cifar10 import ROOT
from utils.base.files import sha256_of
from utils.plotting import plot_combined_confusion_heat_map
from utils.results.model_files import load_model, save_model
from utils.results.onnx_files import add_onnx
from utils.results.records import write_record
from utils.results.reports import write_classification_report

FIRST = 512  # test pictures whose answers are counted apart: quick to check again


def publish(name, seed=0, *, root=ROOT, source=None, report=print):
    """Save a run's model for good, and add its files and their scores to its record.

    Parameters
    ----------
    name : str
        Of an experiment.
    seed : int
    root : path-like
    source : path-like, optional
        A file of that very model; by default the one that the run has kept.
    report : callable
        Called with a line (str) at the end.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    FileNotFoundError
        If the run is not recorded, or its model is not there.
    """
    _, recipe = recipe_of(name)
    record = recorded(name, recipe, seed, root)
    if record is None:
        raise FileNotFoundError(f"no record of {name}, seed {seed}: run it first")
    model = load_model(source or find_model(name, seed, root))
    folders, data = places(root), read_data(recipe.validation_size, root=root)
    saved = save_model(model, folders.models, half_precision=True, name=name)
    model = load_model(saved[0])
    answers = [probabilities(model, view) for view in six_views(data.test.images)]
    measure(record, answers, data.test.labels)
    record["model"]["sha256"] |= {path.name: sha256_of(path) for path in saved}
    title = network([record])
    add_onnx(model, folders.models, record, images=data.validation.images, title=title)
    answers_of_file = ModelAnswers(saved[0])
    record["scores"]["calibration"] = evaluate_calibration(answers_of_file, data)
    record["scores"]["none_of_the_ten"] = choose_threshold(answers_of_file, data)
    train = data.train.images[: len(data.test.labels)], data.train.labels[: len(data.test.labels)]
    describe_mistakes(folders.results / name, name, model, train, answers[PLAIN_VIEW], data.test)
    write_record(folders.results, record)
    report(f"{name}: {record['scores']['published']['accuracy']:.2%} as published")
    return record


def measure(record, answers, labels):
    """Add the scores of published files to a record (dict), from the answers to six views."""
    right = answers[PLAIN_VIEW].argmax(axis=1) == labels
    record["scores"]["published"] = scores_of(answers[PLAIN_VIEW], labels) | {
        f"right_of_the_first_{FIRST}": int(right[:FIRST].sum())
    }
    record["scores"]["published_six_views"] = scores_of(sum(answers), labels)


def describe_mistakes(folder, name, model, train, answers, test):
    """Write report and confusion matrices to `folder` (pathlib.Path); returns the figure."""
    predictions = answers.argmax(axis=1)
    write_classification_report(folder / "report", test.labels, predictions)
    learnt = probabilities(model, train[0]).argmax(axis=1)
    return plot_combined_confusion_heat_map(
        np.asarray(train[1]),
        learnt,
        test.labels,
        predictions,
        name,
        path=folder / "confusion_matrix.pdf",
    )
