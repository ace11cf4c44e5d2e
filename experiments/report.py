"""Published models in, what their numbers are worth out: scores in records, cards, and a page.

``python -m experiments evaluate NAME`` adds scores to one record; ``report`` does so for all
published models, and writes what compares them: near-duplicates, doubtful labels, pairs of models,
cards, and ``results/REPORT.md``.
"""

import json
import os

import numpy as np

from experiments.answers import ModelAnswers
from experiments.data import places, split
from experiments.evaluations import EVALUATIONS, right_answers
from experiments.recipes import EXPERIMENTS
from experiments.report_page import page
from experiments.runner import find_model, read_data
from utils.base.cifar10 import ROOT
from utils.base.files import atomic_path, write_text
from utils.download_handle_data import OFFICIAL_SHA256
from utils.evaluation import calibration
from utils.evaluation.card import draw_card, draw_doubtful
from utils.evaluation.doubtful import doubtful_labels
from utils.evaluation.duplicates import find_duplicates
from utils.evaluation.intervals import share_with_interval
from utils.evaluation.test_sets import read_cifair
from utils.pipeline.names_file import read_names_file
from utils.results.records import read_record, record_path, write_record

EYES = "airbench_small"  # whose features propose near-duplicates: the quickest network
STRONGEST = 3  # models that have to agree against a label


def evaluate_run(name, seed=0, *, only=None, root=ROOT, report=print):
    """Evaluate a run's model, and add the scores to its record.

    Parameters
    ----------
    name : str
        Of an experiment.
    seed : int
    only : sequence of str, optional
        Names in `experiments.evaluations.EVALUATIONS`; by default all.
    root : path-like
    report : callable
        Called with a line (str) for each evaluation.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    ValueError
        If there is no such experiment or evaluation, or the model has other classes.
    FileNotFoundError
        If the run is not recorded, or its model is not there.
    """
    unknown = [one for one in only or () if one not in EVALUATIONS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no evaluation; there are {', '.join(EVALUATIONS)}")
    answers, data = answers_of(name, seed, root)
    folder = places(root).results
    for evaluation in only or EVALUATIONS:
        found = EVALUATIONS[evaluation](answers, data)
        if found is not None:
            record = read_record(record_path(folder, name, seed))  # as others may have left it
            record["scores"][evaluation] = found
            write_record(folder, record)
            report(f"{name}, seed {seed}: {evaluation}")
    return read_record(record_path(folder, name, seed))


def answers_of(name, seed=0, root=ROOT):
    """Return the `ModelAnswers` of a run's model, the published one first, and its `Data`."""
    place = record_path(places(root).results, name, seed)
    if not place.exists():
        raise FileNotFoundError(f"{place}: no record of {name}, seed {seed}; run it first")
    record = read_record(place)
    shipped = places(root).models / f"{name}.keras"
    is_published = shipped.name in record["model"]["sha256"]
    path = shipped if is_published else find_model(name, seed, root)
    if path is None or not path.exists():
        raise FileNotFoundError(f"{path or name}: no model of {name}, seed {seed}; run it first")
    return ModelAnswers(path), read_data(record["recipe"]["validation_size"], root=root)


def published(root=ROOT):
    """Return experiment to record (dict of str to dict) of all published models, best first."""
    folder = places(root)
    found = {}
    for name in [*EXPERIMENTS]:
        if (folder.models / f"{name}.keras").exists():
            paths = sorted((folder.results / name).glob("seed_*.json"))
            records = [read_record(path) for path in paths]
            for record in records:
                if f"{name}.keras" in record["model"]["sha256"]:
                    found[name] = record
    order = sorted(found, key=lambda name: -found[name]["scores"]["test"]["accuracy"])
    return {name: found[name] for name in order}


def write_report(root=ROOT, report=print):
    """Evaluate all published models where records lack a score, and write what compares them."""
    for name, record in published(root).items():
        scores = record["scores"]
        missing = [one for one in EVALUATIONS if one not in scores]
        if "scores" not in scores.get("none_of_the_ten", {"scores": {}}):  # a threshold alone
            missing.append("none_of_the_ten")
        if missing:
            evaluate_run(name, record["seed"], only=missing, root=root, report=report)
    compare(root, report)


def compare(root=ROOT, report=print):
    """Write near-duplicates, doubtful labels, cards and the page, from evaluated records."""
    results, records = places(root).results, published(root)
    records = {name: one for name, one in records.items() if "calibration" in one["scores"]}
    if not records:
        raise FileNotFoundError("no published model is evaluated; run python -m experiments report")
    twins = find_twins(root, report)
    right, shares = {}, {}
    for name, record in records.items():
        answers, data = answers_of(name, record["seed"], root)
        right[name] = right_answers(answers, data.test)
        logits = answers.logits(data.test.images)
        temperature = record["scores"]["calibration"]["temperature"]
        shares[name] = calibration.probabilities_of(logits, temperature)
        record["scores"]["near_duplicates"] = without_twins(right[name], twins)
        write_record(results, record)
        figure = draw_card(name, record)
        for suffix in (".png", ".pdf"):
            with atomic_path(results / name / f"card{suffix}") as temporary:
                metadata = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
                figure.savefig(temporary, dpi=150, metadata=metadata)
        report(f"{results / name / 'card.png'}")
    best = list(shares)[:STRONGEST]
    doubtful = doubtful_labels([shares[name] for name in best], data.test.labels)
    _write_json(results / "doubtful_labels.json", {"models": best, "pictures": doubtful})
    figure = draw_doubtful(data.test.images, doubtful)
    with atomic_path(results / "doubtful_labels.png") as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
    write_text(results / "REPORT.md", page(records, right, twins, doubtful))
    report(f"{results / 'REPORT.md'}")


def find_twins(root=ROOT, report=print):
    """Return the list of near-duplicates (dict), found once and kept in ``results/``.

    Of the official archive, people's list is taken if the environment's ``CIFAIR`` names it.
    """
    path, given = places(root).results / "near_duplicates.json", os.environ.get("CIFAIR")
    if path.exists() and not given:
        return json.loads(path.read_text(encoding="utf-8"))
    report("looking for near-duplicates")
    name = EYES if EYES in published(root) else next(iter(published(root)))
    answers, data = answers_of(name, 0, root)
    folder = places(root).pictures
    test, train = (read_names_file(folder / f"{part}_names.txt") for part in ("test", "train"))
    kept, _ = split([label for *_, label in train], len(data.validation.labels))
    if given:
        if data.archive_sha256 != OFFICIAL_SHA256:
            raise ValueError(f"CIFAIR is {given}, a list of another archive than this; unset it")
        pairs, kept = read_cifair(given), range(len(train))
    else:
        sides = (data.test.images, data.train.images)
        features = [answers.features(images) for images in sides]
        pairs = find_duplicates(sides[0], features[0], sides[1], features[1])
    for pair in pairs:
        pair["test_picture"] = test[pair["test"]][1]
        pair["training_picture"] = train[kept[pair.pop("train")]][1]
    found = {
        "source": "ciFAIR" if given else f"features of {name}, and pixels",
        "test_pictures": len(test),
        "training_pictures": len(kept),
        "pairs": pairs,
    }
    _write_json(path, found)
    return found


def without_twins(right, twins):
    """Return the accuracy (dict) on test pictures with a twin in training, and on the others."""
    has_twin = np.zeros(len(right), bool)
    has_twin[[pair["test"] for pair in twins["pairs"]]] = True
    return {
        name: share_with_interval(right[chosen])
        for name, chosen in (("with_twin", has_twin), ("without_twin", ~has_twin))
        if chosen.any()
    }


def _write_json(path, content):
    write_text(path, json.dumps(content, indent=1) + "\n")
