import numpy as np
import pytest

from tools import export_model as module
from tools.export_model import export_model, litert_runner, onnx_runner
from utils.model_training_testing import model_1

# tf2onnx, which Keras calls, asks NumPy for names it has dropped.
pytestmark = pytest.mark.filterwarnings("ignore:In the future `np:FutureWarning")


@pytest.fixture(scope="module")
def model():
    model = model_1()
    random = np.random.default_rng(0)
    model.set_weights([w + random.random(w.shape, np.float32) / 50 for w in model.get_weights()])
    return model


def saved(model, tmp_path):
    model.save(tmp_path / "model_1.keras")
    return tmp_path / "model_1.keras"


def test_both_files_predict_as_keras_does_for_any_number_of_pictures(model, tmp_path):
    differences = export_model(saved(model, tmp_path), tmp_path)
    onnx, litert = differences
    assert (onnx.name, litert.name) == ("model_1.onnx", "model_1.tflite")
    assert max(differences.values()) <= 1e-4
    images = np.random.default_rng(1).random((3, 32, 32, 3), np.float32)
    for run in (onnx_runner(onnx), litert_runner(litert)):
        for count in (1, 3):
            np.testing.assert_allclose(run(images[:count]), model(images[:count]), atol=1e-4)


def test_a_file_that_predicts_something_else_is_not_kept(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "onnx_runner", lambda path: lambda images: np.zeros((1, 10)))
    with pytest.raises(ValueError, match=r"model_1\.onnx: differs by"):
        export_model(saved(model, tmp_path), tmp_path)
    assert not (tmp_path / "model_1.onnx").exists()
