import subprocess
import sys

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

import app
from utils.download_handle_data import CLASS_NAMES, ROOT
from utils.load_patchs import read_image_labels
from utils.model_training_testing import model_1


@pytest.fixture(scope="module")
def model():
    return model_1()


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    """A client of the page, which is served by a process of its own."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    program = f"import app; app.build_page(app.load_model({str(path)!r})).launch()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        url = next(line.split()[-1] for line in server.stdout if "http://127.0.0.1" in line)
        client = Client(url, verbose=False)
        yield client
        client.close()
        server.terminate()


@pytest.fixture
def picture(converted):
    return next(converted.images_directory.glob("cat/*.png"))


def test_classify_gives_the_same_as_the_pipeline(model, converted):
    patch = read_image_labels(
        converted.test_names, 20, (32, 32), images_directory=converted.images_directory
    )
    images, _ = next(iter(patch))
    name = converted.test_names.read_text().split()[0]
    path = next(converted.images_directory.glob(f"*/{name}"))
    shares = app.classify(path, model)
    assert list(shares) == list(CLASS_NAMES)
    np.testing.assert_allclose(list(shares.values()), model(images)[0], atol=1e-6)


def test_a_picture_of_another_size_is_resized(model, tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "large.png")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "small.png")
    large, small = (app.classify(tmp_path / f"{size}.png", model) for size in ("large", "small"))
    assert large == pytest.approx(small, abs=1e-5)


def test_the_page_answers_with_all_ten_classes(client, model, picture):
    answer = client.predict(handle_file(picture), api_name="/predict")
    shares = {entry["label"]: entry["confidence"] for entry in answer["confidences"]}
    assert shares == pytest.approx(app.classify(picture, model), abs=1e-6)
    assert answer["label"] == max(shares, key=shares.get)


def test_the_page_asks_for_a_picture_and_works_on(client, picture):
    with pytest.raises(Exception, match="Choose a picture"):
        client.predict(None, api_name="/predict")
    assert client.predict(handle_file(picture), api_name="/predict")["label"] in CLASS_NAMES


def test_a_missing_model_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras: no model there; train one"):
        app.load_model(tmp_path / "none.keras")


def test_a_foreign_model_file_stops_the_start(tmp_path):
    (tmp_path / "bad.keras").write_text("not a model")
    program = f"import app, sys; app.load_model({str(tmp_path / 'bad.keras')!r})"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, text=True
    )
    assert run.returncode != 0
    assert "bad.keras" in run.stderr
