import keras
import numpy as np
import pytest

from tools import export_model as module
from tools.export_model import export_model, litert_runner, onnx_runner
from utils.training.models import model_1, model_4

# tf2onnx, which Keras calls, asks NumPy for names it has dropped.
pytestmark = pytest.mark.filterwarnings("ignore:In the future `np:FutureWarning")


def built(builder):
    keras.utils.clear_session()
    model = builder()
    random = np.random.default_rng(0)
    model.set_weights([w + random.random(w.shape, np.float32) / 50 for w in model.get_weights()])
    return model


def saved(model, tmp_path):
    path = tmp_path / f"{model.name}.keras"
    model.save(path)
    keras.utils.clear_session()  # layers get their names anew, as in the program that exports
    return path


@pytest.mark.parametrize("builder", [model_1, model_4])
def test_both_files_predict_as_keras_does_for_any_number_of_pictures(builder, tmp_path):
    model = built(builder)
    differences = export_model(saved(model, tmp_path), tmp_path)
    onnx, litert = differences
    assert (onnx.name, litert.name) == (f"{model.name}.onnx", f"{model.name}.tflite")
    assert max(differences.values()) <= 1e-4
    images = np.random.default_rng(1).random((3, 32, 32, 3), np.float32)
    for run in (onnx_runner(onnx), litert_runner(litert)):
        for count in (1, 3):
            np.testing.assert_allclose(run(images[:count]), model(images[:count]), atol=1e-4)


def test_a_file_that_predicts_something_else_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "onnx_runner", lambda path: lambda images: np.zeros((1, 10)))
    with pytest.raises(ValueError, match=r"model_1\.onnx: differs by"):
        export_model(saved(built(model_1), tmp_path), tmp_path)
    assert not (tmp_path / "model_1.onnx").exists()
