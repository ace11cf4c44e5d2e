import json

import numpy as np
import plotly.graph_objects as go

from utils.base.cifar10 import CLASS_NAMES
from utils.serving import page_parts
from utils.serving.classifier import Answer

SHARES = dict.fromkeys(CLASS_NAMES, 0.05) | {"frog": 0.55}
FROG = Answer("frog", SHARES, True, np.zeros((32, 32, 3), np.uint8))
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


def test_names_of_files_are_text_not_html():
    assert "<script>" not in page_parts.table(["<script>.png"], [FROG])
    assert "<i>" not in page_parts.sentence("<i>")
