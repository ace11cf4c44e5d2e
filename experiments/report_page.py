"""Evaluated records in, ``results/REPORT.md`` out: one table of models, and what compares them."""

from utils.evaluation.intervals import compare_in_pairs
from utils.results.reports import markdown_table

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

{twins} of {test} test pictures have a twin among {train} training pictures, by {source}, mirrored
and shifted: [list](near_duplicates.json). People who looked at pairs of the official 60,000 found
286 (ciFAIR, Barz and Denzler, 2020); where `CIFAIR` names their list, it is taken.

## Doubtful labels

The {doubtful} test pictures whose label the strongest models contradict most surely, by one voice:
[list](doubtful_labels.json).

![Test pictures whose label the strongest models contradict](doubtful_labels.png)

## Cards

{cards}
"""


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
        source=twins["source"],
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
