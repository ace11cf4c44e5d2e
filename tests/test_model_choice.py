"""The page with two models: which one answers, by the API and in the browser."""

import json

import keras
import numpy as np
import pytest
from gradio_client import Client, handle_file

from tools.page_server import serve
from tools.take_screenshots import find_chromium, open_page, upload
from utils.base.cifar10 import CLASS_NAMES, ROOT

DEER = ROOT / "images" / "examples" / "1_deer.png"
PAGE = "import sys, app; app.launch(app.build_page(*app.load_models(sys.argv[1], sys.argv[1])))"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The page with ``better``, which says cat and has 90 %, and ``model_1``: dog, 80 %."""
    folder = tmp_path_factory.mktemp("two")
    for name, said, accuracy in (("model_1", "dog", 0.8), ("better", "cat", 0.9)):
        layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
        model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
        bias = np.array([9.0 * (name == said) for name in CLASS_NAMES])
        model.set_weights([np.zeros((3072, 10)), bias])
        model.save(folder / f"{name}.keras")
        record = {"model": name, "test_accuracy": accuracy}
        (folder / f"{name}.json").write_text(json.dumps(record))
    with serve("-c", PAGE, folder) as (url, _):
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
        assert "(better), trained" in opened.inner_text("#about")
        upload(opened, DEER)
        for name, right, label in (("model_1", "80.0%", "dog"), ("better", "90.0%", "cat")):
            opened.locator("#model input").click()
            opened.get_by_role("option", name=name, exact=True).click()
            opened.wait_for_selector(f"#answer b:text-is('{label}')")
            opened.wait_for_selector(f"#about:has-text('({name}), trained')")
            assert f"right on {right} of the test" in opened.inner_text("#about")
