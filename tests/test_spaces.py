"""What a sweep is asked to try: what it means, and what is refused. Ray is not needed."""

import json

import pytest

from experiments.spaces import Span, is_grid, parse_space
from experiments.sweep_results import write_results

TRIALS = [
    {
        "values": {"learning_rate": rate, "width": width},
        "state": state,
        "accuracy": accuracy,
        "seeds": [accuracy] if state == "finished" else [],
        "epoch": 8,
        "seconds": 1.0,
    }
    for rate, width, state, accuracy in (
        (0.1, (4, 4, 4), "finished", 0.9),
        (0.2, (8, 4, 4), "finished", 0.8),
        (0.3, (8, 4, 4), "stopped after epoch 2", 0.95),
    )
]


def test_ranges_and_lists():
    texts = [
        "learning_rate=0.05:0.4:log",
        "epochs=5:10",
        "cutout=none,12",
        "width=64-128-128,8-8-8",
    ]
    space = parse_space("airbench94", texts)
    assert space == {
        "learning_rate": Span(0.05, 0.4, True),
        "epochs": Span(5, 10, False),
        "cutout": [None, 12],
        "width": [(64, 128, 128), (8, 8, 8)],
    }
    assert not is_grid(space)
    assert is_grid(parse_space("airbench94", texts[2:]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rat=0.1,0.2", "'learning_rat' is no field of a recipe"),
        ("learning_rate", "learning_rate is '', expected"),
        ("learning_rate=0.4:0.1", "is an empty range; the lower end comes first"),
        ("learning_rate=0:0.1:log", "zero has no logarithm"),
        ("learning_rate=0.1:0.2:lin", "expected low:high or low:high:log"),
        ("cutout=none:12", "expected low:high"),
        ("learning_rate=0.1:1e40", "learning_rate is 1e+40, expected"),
        ("epochs=8,0", "epochs is 0, expected 1"),
        ("epochs=8,8", "has a value twice"),
        ("flip=alternate:random", "flip is no number and has no range"),
        ("validation_size=0.1,0.2", "validation_size can't be searched"),
    ],
)
def test_what_makes_no_sense_is_refused(text, words):
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        parse_space("airbench94", [text])


def test_a_field_is_given_once():
    with pytest.raises(ValueError, match="epochs is given twice"):
        parse_space("airbench94", ["epochs=8,10", "epochs=12,13"])


def test_results_are_a_table_a_figure_and_a_line(tmp_path):
    space = {"learning_rate": Span(0.1, 0.4, True), "width": [(4, 4, 4), (8, 4, 4)]}
    asked = {
        "over": ["learning_rate=0.1:0.4:log"],
        "trials": 3,
        "seeds": 1,
        "changes": {"epochs": 8},
    }
    lines = []
    write_results(tmp_path, "airbench94", space, asked, TRIALS, lines.append)
    line = (
        '"airbench94_swept": replace(EXPERIMENTS["airbench94"], '
        "epochs=8, learning_rate=0.1, width=(4, 4, 4)),"
    )
    assert lines == [line]
    text = (tmp_path / "README.md").read_text()
    assert line in text
    assert "90.00%" in text
    assert "stopped after epoch 2" in text
    assert len(json.loads((tmp_path / "trials.json").read_text())["found"]) == 3
    assert (tmp_path / "slices.pdf").read_bytes().startswith(b"%PDF")
