"""The web page: a picture in, the percentages of the ten classes out.

Start it with ``make app``, or ``python app.py``; it serves on 127.0.0.1.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import keras

from utils.download_handle_data import CLASS_NAMES, ROOT
from utils.load_patchs import load_images_patch

MODEL_PATH = ROOT / "models" / "model_1.keras"


def classify(picture_path, model):
    """Classify one picture.

    Parameters
    ----------
    picture_path : path-like
        As in `utils.load_patchs.load_images_patch`; resized to the model's input.
    model : keras.Model

    Returns
    -------
    dict of str to float
        Class name to probability, 0 to 1, in label order.
    """
    images = load_images_patch([picture_path], image_shape=model.input_shape[1:3])
    probabilities = model(images, training=False)[0]
    return {name: float(share) for name, share in zip(CLASS_NAMES, probabilities, strict=True)}


def build_page(model):
    """Return the page (gradio.Blocks) that classifies with `model` (keras.Model)."""

    def predict(picture_path):
        if picture_path is None:
            raise gr.Error("Choose a picture first.", print_exception=False)
        return classify(picture_path, model)

    with gr.Blocks(title="CIFAR-10") as page:
        gr.Markdown(
            f"# What is in the picture?\nThe model knows ten things only: {', '.join(CLASS_NAMES)}."
        )
        with gr.Row():
            picture = gr.Image(type="filepath", format="png", label="Picture", height=320)
            label = gr.Label(label="Prediction", num_top_classes=len(CLASS_NAMES))
        gr.Button("Classify", variant="primary").click(
            predict, picture, label, api_name="predict", concurrency_limit=2
        )
    return page


def load_model(path):
    """Load the model (keras.Model) at `path`; FileNotFoundError or ValueError if it can't be."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no model there; train one with 'make run'")
    return keras.models.load_model(path, compile=False)


if __name__ == "__main__":
    try:
        page_model = load_model(MODEL_PATH)
    except (FileNotFoundError, ValueError) as problem:
        sys.exit(str(problem))
    build_page(page_model).queue(max_size=64).launch(max_file_size="5mb")
