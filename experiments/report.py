"""Published models in, what their numbers are worth out: scores in records, cards, and a page.

``python -m experiments evaluate NAME`` adds scores to one record; ``report`` does so for all
published models, and writes what compares them: near-duplicates, doubtful labels, pairs of models,
cards, and ``results/REPORT.md``.
"""

import json

import numpy as np

from experiments.answers import ModelAnswers
from experiments.data import places, split
from experiments.evaluations import EVALUATIONS, right_answers
from experiments.recipes import EXPERIMENTS
from experiments.runner import find_model, read_data
from utils.base.cifar10 import ROOT
from utils.base.files import atomic_path, write_text
from utils.evaluation import calibration
from utils.evaluation.card import draw_card, draw_doubtful
from utils.evaluation.doubtful import doubtful_labels
from utils.evaluation.duplicates import find_duplicates
from utils.evaluation.intervals import compare_in_pairs, share_with_interval
from utils.pipeline.names_file import read_names_file
from utils.results.records import read_record, record_path, write_record
from utils.results.reports import markdown_table

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
    """Return the list of near-duplicates (dict), found once and kept in ``results/``."""
    path = places(root).results / "near_duplicates.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    report("looking for near-duplicates")
    name = EYES if EYES in published(root) else next(iter(published(root)))
    answers, data = answers_of(name, 0, root)
    pairs = find_duplicates(
        data.test.images,
        answers.features(data.test.images),
        data.train.images,
        answers.features(data.train.images),
    )
    folder = places(root).pictures
    test, train = (read_names_file(folder / f"{part}_names.txt") for part in ("test", "train"))
    kept, _ = split([label for *_, label in train], len(data.validation.labels))
    for pair in pairs:
        pair["test_picture"] = test[pair["test"]][1]
        pair["training_picture"] = train[kept[pair.pop("train")]][1]
    found = {
        "features": name,
        "test_pictures": len(test),
        "training_pictures": len(data.train.labels),
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


def page(records, right, twins, doubtful):
    """Return ``results/REPORT.md`` (str)."""
    rows = [_row(name, record["scores"]) for name, record in records.items()]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    names = list(records)
    pairs = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            found = compare_in_pairs(right[first], right[second])
            pairs.append(
                [
                    f"`{first}`",
                    f"`{second}`",
                    f"{100 * found['difference']:+.2f}",
                    f"{found['only_first']} / {found['only_second']}",
                    f"{found['p_value']:.2g}",
                    "yes" if found["p_value"] < 0.05 else "no",
                ]
            )
    return PAGE.format(
        models=markdown_table(columns, [[row.get(key, "") for key in columns] for row in rows]),
        pairs=markdown_table(
            ["first", "second", "difference, points", "right only", "p", "real"], pairs
        ),
        scores=_scores_table(records),
        twins=len(twins["pairs"]),
        test=twins["test_pictures"],
        train=twins["training_pictures"],
        doubtful=len(doubtful),
        cards="\n".join(f"- [`{name}`]({name}/card.pdf)" for name in records),
    )


def _percent(share):
    return f"{100 * share:.2f} %"


def _row(name, scores):
    low, high = scores["accuracy"]["interval_95"]
    row = {
        "model": f"`{name}`",
        "accuracy, 95 % by Wilson": f"{_percent(scores['accuracy']['share'])} "
        f"({100 * low:.2f} to {100 * high:.2f})",
        "without near-duplicates": _percent(scores["near_duplicates"]["without_twin"]["share"]),
        "temperature": f"{scores['calibration']['temperature']:.2f}",
    }
    for key, label in (
        ("ece_equal_width", "ECE"),
        ("negative_log_likelihood", "NLL"),
        ("brier", "Brier"),
    ):
        before, after = (scores["calibration"][when][key] for when in ("before", "after"))
        row[f"{label}, before and after"] = f"{before:.3f}, {after:.3f}"
    if "none_of_the_ten" in scores:
        best = scores["none_of_the_ten"]["scores"][scores["none_of_the_ten"]["score"]]
        row["strange: area under ROC"] = f"{best['mean_area_under_roc']:.3f}"
        row["refused"] = _percent(best["mean_refused"])
    if "corruptions" in scores:
        found = scores["corruptions"]
        row["corrupted"] = f"{_percent(found['mean_accuracy'])} (of {found['pictures_a_cell']})"
    if "cifar10_1" in scores:
        row["CIFAR-10.1"] = _percent(scores["cifar10_1"]["share"])
    if "cifar10h" in scores:
        row["agrees with people"] = _percent(scores["cifar10h"]["agreement"]["share"])
    return row


def _scores_table(records):
    """Return a Markdown table: a row a score, two columns a model."""
    found = {
        name: one["scores"]["none_of_the_ten"]["scores"]
        for name, one in records.items()
        if "none_of_the_ten" in one["scores"]
    }
    if not found:
        return ""
    rows = []
    for score in next(iter(found.values())):
        cells = [
            f"{one[score]['mean_area_under_roc']:.3f}, {one[score]['mean_refused']:.0%}"
            for one in found.values()
        ]
        rows.append([f"`{score}`", *cells])
    return markdown_table(["score", *(f"`{name}`" for name in found)], rows)


def _write_json(path, content):
    write_text(path, json.dumps(content, indent=1) + "\n")


PAGE = """\
# What the numbers are worth

Written by `python -m experiments report` from the records. Temperatures and thresholds come from
validation pictures; nothing here is chosen by the test pictures.

{models}
An accuracy's interval is Wilson's: how far it may be off had other test pictures been drawn. How
far it depends on the seed is in [README.md](README.md), by Student's t. *ECE* is the expected
calibration error over 15 bins of equal width, *NLL* the negative log-likelihood in nats, *Brier*
the squared distance to the label; before and after the temperature. *Strange* is the mean over nine
kinds of pictures of none of the ten, with a threshold that 95 % of the validation pictures pass.
*Corrupted* is the mean over kinds and five severities of our own renderings of CIFAR-10-C's
corruptions, without snow and frost, on so many test pictures of each: near the official numbers,
not equal. CIFAR-10.1, CIFAR-10H (people's answers; it needs the official archive, whose order it
has) and CIFAR-10-C itself are read where the environment names them: `python -m
tools.get_test_sets` downloads them and says how.

## Which differences are real

Two models on the same test pictures, by McNemar's exact test: how many pictures only the one and
only the other has right. *Real* is a p below 0.05; of pairs that are equal, one in twenty seems so.

{pairs}
## None of the ten

Mean area under ROC, and share of the strange pictures that is refused where 95 % of the validation
pictures pass, by score. None is fitted on strange pictures; but the page's score,
`energy_and_pixels`, and its weight were chosen with these kinds in sight.

{scores}
## Near-duplicates

{twins} of {test} test pictures have a twin among the {train} training pictures, by a program that
compares pixels, mirrored and shifted: [list](near_duplicates.json). People who looked at pairs of
the official 60,000 found 286 (ciFAIR, Barz and Denzler, 2020).

## Doubtful labels

The {doubtful} test pictures whose label the strongest models contradict most surely, by one voice:
[list](doubtful_labels.json).

![Test pictures whose label the strongest models contradict](doubtful_labels.png)

## Cards

{cards}
"""
