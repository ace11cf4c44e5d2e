import csv
import io
import json
from urllib.parse import unquote

import numpy as np
import plotly.graph_objects as go

from utils.base.cifar10 import CLASS_NAMES
from utils.serving import page_parts
from utils.serving.classifier import Answer, Classifier
from utils.serving.picture_input import Part, Prepared

SHARES = dict.fromkeys(CLASS_NAMES, 0.05) | {"frog": 0.55}
PREPARED = Prepared(np.zeros((32, 32, 3), np.uint8), None, Part(), (0, 0, 1, 1))
FROG = Answer("frog", SHARES, True, PREPARED)
DOUBTED = FROG._replace(trusted=False)


def test_an_answer_not_to_be_trusted_is_not_shouted():
    assert "<b>frog</b>55.0 %" in page_parts.label(FROG)
    doubted = page_parts.label(DOUBTED)
    assert "Probably none of the ten</b>" in doubted
    assert "<b>frog" not in doubted
    assert "frog (55.0 %)" in doubted


def test_only_the_predicted_bar_has_another_colour():
    for answer, colour in ((FROG, page_parts.PREDICTED), (DOUBTED, page_parts.DOUBTED)):
        (bars,) = go.Figure(json.loads(page_parts.chart(answer))).data
        assert bars.y == CLASS_NAMES
        np.testing.assert_allclose(bars.x, [100 * share for share in SHARES.values()])
        expected = [colour if name == "frog" else page_parts.BAR for name in CLASS_NAMES]
        assert list(bars.marker.color) == expected
        assert colour != page_parts.BAR


def test_names_of_classes_are_text_not_html_nor_formulas():
    odd = FROG._replace(label="<b>=1", shares={"<b>=1": 0.75, "=2": 0.25})
    assert "<b>=1" not in page_parts.label(odd)
    assert "none of the 2 classes" in page_parts.label(odd._replace(trusted=False))
    assert "<b>=1" not in page_parts.chart(odd)
    shown = page_parts.table(["a.png"], [odd], tuple(odd.shares))
    link = shown.split('href="')[1].split('"')[0]
    (head, row) = csv.reader(io.StringIO(unquote(link.partition(",")[2])))
    assert head == ["file", "class", "percent", "note", "<b>=1", "'=2"]
    assert row == ["a.png", "<b>=1", "75.00", "", "75.00", "25.00"]


def test_names_of_files_are_text_not_html():
    assert "<script>" not in page_parts.table(["<script>.png"], [FROG])
    assert "<i>" not in page_parts.sentence("<i>")
    assert "<i>" not in page_parts.left_out(["<i>"])


def test_no_cell_of_the_csv_is_a_formula():
    names = ["=1+1.png", "+1.png", "-1.png", "@a.png", "a=1.png"]
    link = page_parts.table(names, [FROG] * 5).split('href="')[1].split('"')[0]
    cells = [row[0] for row in csv.reader(io.StringIO(unquote(link.partition(",")[2])))]
    assert cells[1:] == ["'=1+1.png", "'+1.png", "'-1.png", "'@a.png", "a=1.png"]


def test_the_answer_says_which_part_was_looked_at():
    assert "of the middle square" in page_parts.seen(FROG)
    overview = np.zeros((20, 30, 3), np.uint8)
    part = Prepared(PREPARED.pixels, overview, Part(0.4, 0, 1), (0, 0.6, 0.2, 0.4))
    shown = page_parts.seen(FROG._replace(picture=part))
    assert "40 % of the" in shown
    assert "0 % from left to right, 100 % from top to bottom" in shown
    assert "left: 0.00%; top: 60.00%; width: 20.00%; height: 40.00%" in shown


def test_what_is_not_known_of_a_model_stands_beside_it():
    model = Classifier("tiny", "Tiny", (32, 32), None, 0.929, notes=("It has no threshold.",))
    assert "right on 92.9% of the test pictures" in page_parts.about(model)
    assert "It has no threshold." in page_parts.about(model)
    assert "right on" not in page_parts.about(model._replace(accuracy=None))
