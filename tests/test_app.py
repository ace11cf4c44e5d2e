"""The page as a program that calls its API sees it, and how it starts."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from gradio_client import Client, handle_file
from memory import peak_bytes
from PIL import Image
from small_onnx import write_recorded

import app
from tools.page_server import serve
from utils.base import cifar10
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.serving.classifier import classify, load_models
from utils.serving.picture_input import MIDDLE, Part, Prepared, prepare

DEER = ROOT / "images" / "examples" / "1_deer.png"

# One answer in half a second, a queue of three, uploads that live for eight seconds.
SLOW_PAGE = """
import time
import numpy as np
import app
from utils.serving.classifier import Classifier

def run(images):
    time.sleep(0.5)
    return np.zeros((1, 10), np.float32), np.zeros((1, 3), np.float32)

app.QUEUE, app.AT_ONCE, app.KEPT_SECONDS, app.SWEEP_SECONDS = 3, 1, 8, 1
app.launch(app.build_page([Classifier("model_1", "Model 1", (32, 32), run)]))
"""


def answer_to(path, classifier):
    return classify(prepare(path, classifier.image_shape), classifier)


@pytest.fixture(scope="module")
def client(page):
    client = Client(page.url, verbose=False)
    yield client
    client.close()


@pytest.fixture(scope="module")
def classifier():
    return load_models()[0][0]


@pytest.fixture
def picture(converted):
    return next(converted.images_directory.glob("cat/*.png"))


def ask(client, picture):
    return client.predict(handle_file(picture), api_name="/predict")


def test_the_api_gives_label_and_percentages_by_name(client, classifier, picture):
    found = ask(client, picture)
    expected = answer_to(picture, classifier)
    assert found["label"] == expected.label
    assert list(found["percentages"]) == list(CLASS_NAMES)
    assert found["trusted"] is expected.trusted
    for name, percentage in found["percentages"].items():
        assert percentage / 100 == pytest.approx(expected.shares[name], abs=1e-6)


def test_the_snippet_of_the_readme_runs(page, classifier):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    snippets = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    snippet = next(snippet for snippet in snippets if "gradio_client" in snippet)
    code = snippet.replace("http://127.0.0.1:7860", page.url)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    answer = answer_to(DEER, classifier)
    assert run.stdout.split()[0] == answer.label
    assert float(run.stdout.split()[1]) == pytest.approx(100 * answer.shares["deer"], abs=1e-4)


def test_a_bad_picture_is_refused_in_words_and_the_page_works_on(client, picture, tmp_path):
    (tmp_path / "text.png").write_text("some text")
    with pytest.raises(Exception, match="This file is not a picture that can be read"):
        ask(client, tmp_path / "text.png")
    with pytest.raises(Exception, match="Choose a picture"):
        client.predict(None, api_name="/predict")
    assert ask(client, picture)["label"] in CLASS_NAMES


def test_more_than_five_megabytes_are_not_taken(page, tmp_path):
    answer = requests.post(
        f"{page.url}/gradio_api/upload", files={"files": bytes(app.MAX_BYTES + 1)}, timeout=20
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path", ["/etc/passwd", str(ROOT / "app.py"), "http://127.0.0.1:9/a.png", "file:///etc/passwd"]
)
def test_only_uploads_can_be_read(page, classifier, path):
    assert requests.get(f"{page.url}/gradio_api/file={path}", timeout=20).status_code != 200
    named = {"path": path, "meta": {"_type": "gradio.FileData"}}
    answer = requests.post(
        f"{page.url}/gradio_api/call/predict", json={"data": [named, classifier.name]}, timeout=20
    )
    event = answer.json()["event_id"]
    result = requests.get(f"{page.url}/gradio_api/call/predict/{event}", timeout=20).text
    assert "event: error" in result
    assert "root:" not in result


def join_queue(page, inputs, data):
    """Call what the page itself calls with `inputs` (elem_ids), by its number, without a name."""
    config = requests.get(f"{page.url}/config", timeout=20).json()
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    (number,) = (
        called["id"]
        for called in config["dependencies"]
        if [names[i] for i in called["inputs"]] == inputs
        and not str(called["api_name"]).startswith("predict")
    )
    body = {"data": data, "fn_index": number, "session_hash": "session"}
    api = f"{page.url}/gradio_api/queue"
    requests.post(f"{api}/join", json=body, timeout=20).raise_for_status()
    said = requests.get(f"{api}/data", params={"session_hash": "session"}, timeout=20).text
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
    return next(event for event in events if event["msg"] == "process_completed")


@pytest.mark.parametrize("place", ["picture", "several"])
def test_what_has_no_name_reads_only_uploads_too(page, classifier, picture, server, place):
    def call(path):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        if place == "several":
            return join_queue(page, [place, "model"], [[file], classifier.name])
        sliders = ["size", "x", "y"]
        return join_queue(page, [place, "model", *sliders], [file, classifier.name, 100, 50, 50])

    with open(picture, "rb") as file:
        upload = f"{page.url}/gradio_api/upload"
        (uploaded,) = requests.post(upload, files={"files": file}, timeout=20).json()
    assert call(uploaded)["success"]
    for path in ("/etc/passwd", str(picture), "file:///etc/passwd"):
        assert not call(path)["success"]
    refused = call(server.add("/picture.png", picture.read_bytes()))
    assert "Upload the picture itself" in refused["output"]["error"]
    assert not server.requests


def test_a_url_is_refused_and_not_fetched(client, server):
    url = server.add("/picture.png", b"")
    with pytest.raises(Exception, match="Upload the picture itself"):
        client.predict({"path": url, "meta": {"_type": "gradio.FileData"}}, api_name="/predict")
    assert not server.requests


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_hundred_clients_at_once_get_the_answers_to_their_own_pictures(
    page, classifier, tmp_path
):
    """Every tenth picture is as large as the page takes them: 25 megapixels, of one colour each."""
    colours = np.random.default_rng(0).integers(0, 256, (100, 3), np.uint8)
    for number, colour in enumerate(colours):
        side = 5000 if number % 10 == 0 else 32
        image = Image.new("RGB", (side, side), tuple(map(int, colour)))
        image.save(tmp_path / f"{number}.png", compress_level=1)

    def one(number):
        api = f"{page.url}/gradio_api"
        with open(tmp_path / f"{number}.png", "rb") as file:
            (path,) = requests.post(f"{api}/upload", files={"files": file}, timeout=100).json()
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, classifier.name]
        event = requests.post(f"{api}/call/predict", json={"data": data}, timeout=100).json()
        result = requests.get(f"{api}/call/predict/{event['event_id']}", timeout=100).text
        return json.loads(result.partition("event: complete\ndata: ")[2])[0]["percentages"]

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(one, range(100)))
    for colour, answer in zip(colours, answers, strict=True):
        plain = Prepared(np.tile(colour, (32, 32, 1)), None, MIDDLE, (0, 0, 1, 1))
        expected = classify(plain, classifier).shares
        assert answer == pytest.approx({k: 100 * v for k, v in expected.items()}, abs=1e-4)
    assert len({round(answer["deer"], 3) for answer in answers}) > 90  # they can be told apart
    assert peak_bytes(page.process.pid) < 400 * 2**20  # 300 here; what is large is read elsewhere


def test_a_full_queue_says_so_and_uploads_are_deleted_in_time(picture, tmp_path):
    with serve("-c", SLOW_PAGE, GRADIO_TEMP_DIR=str(tmp_path)) as (url, _):
        client = Client(url, verbose=False)
        jobs = [client.submit(handle_file(picture), api_name="/predict") for _ in range(12)]
        outcomes = [job.exception(timeout=60) for job in jobs]
        refused = [str(outcome) for outcome in outcomes if outcome]
        assert len(refused) < 12
        assert refused
        assert all("queue" in reason.lower() for reason in refused), refused
        deadline = time.monotonic() + 30
        while list(tmp_path.rglob(picture.name)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not list(tmp_path.rglob(picture.name))
        client.close()


def test_the_examples_are_the_shipped_ones_and_a_real_picture_of_each_class(converted, monkeypatch):
    shipped = sorted(map(str, app.EXAMPLES.glob("*.png")))
    assert app.example_pictures() == shipped
    monkeypatch.setattr(cifar10, "DATA_DIRECTORY", converted.test_names.parent)
    found = app.example_pictures()
    assert found[: len(shipped)] == shipped
    assert [Path(path).parent.name for path in found[len(shipped) :]] == list(CLASS_NAMES)


def test_uploads_live_for_an_hour():
    assert (app.SWEEP_SECONDS, app.KEPT_SECONDS) == (600, 3600)


def test_the_environment_sets_the_port_but_no_analytics():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "True"}
    with serve("-c", SLOW_PAGE, **settings) as (url, _):
        assert url == f"http://127.0.0.1:{port}"
        assert requests.get(f"{url}/config", timeout=20).json()["analytics_enabled"] is False


def test_a_part_of_a_picture_can_be_asked_for_by_name(client, classifier):
    for size, x, y in ((100, 50, 50), (40, 20, 90)):
        found = client.predict(
            handle_file(DEER), classifier.name, size, x, y, api_name="/predict_part"
        )
        part = Part(size / 100, x / 100, y / 100)
        expected = classify(prepare(DEER, classifier.image_shape, part), classifier)
        percentages = {name: 100 * share for name, share in expected.shares.items()}
        assert found["percentages"] == pytest.approx(percentages, abs=1e-4)


def test_the_api_tells_what_is_wrong(client):
    with pytest.raises(Exception, match=r"nobody.* is not in the list of choices"):
        client.predict(handle_file(DEER), "nobody", api_name="/predict")


def copy_page(directory):
    """Copy the page without its models to `directory`."""
    for folder in ("base", "serving"):
        shutil.copytree(ROOT / "utils" / folder, directory / "utils" / folder)
    for name in ("app.py", "utils/__init__.py"):
        shutil.copy(ROOT / name, directory / name)


def test_it_serves_elsewhere_behind_a_proxy_beside_what_does_not_fit(tmp_path):
    """On a machine where another user's page was, with a file in the place of its uploads."""
    copy_page(tmp_path)
    write_recorded(tmp_path, scores={})
    (tmp_path / "models" / "odd.onnx").write_bytes(b"no model")
    (tmp_path / "results" / "notes.json").write_text("{")
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary" / "gradio").write_bytes(b"")
    settings = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    settings |= {"NO_PROXY": "", "no_proxy": "", "TMPDIR": str(tmp_path / "temporary")}
    with serve(directory=tmp_path, **settings) as (url, _):
        config = requests.get(f"{url}/config", timeout=20).text
        client = Client(url, verbose=False)
        assert ask(client, DEER)["label"] in CLASS_NAMES
        client.close()
    assert "Not offered: models/odd.onnx: not an ONNX model" in config
    assert "It has no threshold" in config
    deadline = time.monotonic() + 10
    uploads = list((tmp_path / "temporary").glob("cifar10_page_*"))
    while any(place.exists() for place in uploads) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(place.exists() for place in uploads)  # they end with the page


@pytest.mark.parametrize("port", ["", "abc", "70000", "7.5"])
def test_a_port_that_is_none_is_named(port):
    run = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "GRADIO_SERVER_PORT": port},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == f"GRADIO_SERVER_PORT is {port!r}, expected a number from 1 to 65535\n"


def test_without_its_model_the_page_does_not_start(tmp_path):
    copy_page(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model_1.onnx").write_text("not a model")
    run = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "models/model_1.onnx: not an ONNX model or a damaged one" in run.stderr
    assert "Traceback" not in run.stderr
