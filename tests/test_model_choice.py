"""The page with two models: which one answers, by the API and in the browser."""

import numpy as np
import pytest
import small_onnx
from gradio_client import Client, handle_file

from tools.page_server import serve
from tools.take_screenshots import find_chromium, open_page, upload
from utils.base.cifar10 import CLASS_NAMES, ROOT

DEER = ROOT / "images" / "examples" / "1_deer.png"
PAGE = """
import sys
import app
from utils.serving.classifier import load_models
app.launch(app.build_page(*load_models(sys.argv[1] + "/models", root=sys.argv[1])))
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The page with ``better``, which says cat and has 90 %, and ``model_1``: dog, 80 %."""
    root = tmp_path_factory.mktemp("two")
    for name, said, accuracy in (("model_1", "dog", 0.8), ("better", "cat", 0.9)):
        weights = np.zeros((3, 10), np.float32)
        weights[:, CLASS_NAMES.index(said)] = 20
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(small_onnx, "WEIGHTS", weights)
            small_onnx.write_recorded(root, name, scores={"test": {"accuracy": accuracy}})
    with serve("-c", PAGE, root) as (url, _):
        yield url


def test_the_best_model_answers_where_none_is_named(url):
    client = Client(url, verbose=False)
    picture = handle_file(DEER)
    assert client.predict(picture, api_name="/predict")["label"] == "cat"
    for name, label in (("better", "cat"), ("model_1", "dog")):
        assert client.predict(picture, name, api_name="/predict")["label"] == label
    with pytest.raises(Exception, match="not in the list of choices"):
        client.predict(picture, "none", api_name="/predict")
    client.close()


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium here: apt-get install chromium")
def test_the_answers_and_the_line_on_the_model_follow_the_choice(url):
    with open_page(url) as opened:
        assert "right on 90.0% of the test" in opened.inner_text("#about")
        upload(opened, DEER)
        for right, label in (("80.0", "dog"), ("90.0", "cat")):
            opened.locator("#model input").click()
            opened.get_by_role("option", name=f"Tiny network, {right} %", exact=True).click()
            opened.wait_for_selector(f"#answer b:text-is('{label}')")
            opened.wait_for_selector(f"#about:has-text('right on {right}% of the test')")
