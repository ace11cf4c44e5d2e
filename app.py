"""The web page: a picture in, the percentages of the ten classes out.

Start it with ``make app``, or ``python app.py``; it serves on 127.0.0.1, or where the environment
variables ``GRADIO_SERVER_NAME`` and ``GRADIO_SERVER_PORT`` say.
"""

import gc
import os
import sys
from pathlib import Path
from unittest.mock import patch

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever Keras trains by elsewhere
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # 1.4 times as fast where it is off
if __name__ == "__main__":
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # to share one picture's work takes longer
    # The page starts in two thirds of the time without what Keras imports only where it is
    # installed, with no search for garbage in what the imports make, and without the type stubs
    # that Gradio writes of each component whose source it finds.
    sys.modules.update(dict.fromkeys(("matplotlib", "sklearn", "jax", "IPython")))
    gc.disable()
    with patch("inspect.getfile", side_effect=OSError):
        import gradio  # noqa: F401

import gradio as gr
from gradio.components.plot import PlotData

from utils.base import cifar10
from utils.base.cifar10 import ROOT
from utils.load_patchs import handle_images_path_and_labels, load_paths_labels
from utils.results.records import MODELS, RESULTS, best_first
from utils.serving import page_parts
from utils.serving.classifier import classify, load_classifier
from utils.serving.picture_input import MAX_BYTES

EXAMPLES = ROOT / "images" / "examples"
KEPT_SECONDS, SWEEP_SECONDS = 3600, 600  # an upload's life; how often old ones are deleted
QUEUE = 128  # waiting requests; more are told that the queue is full
AT_ONCE = 2  # pictures classified at the same time
MANY = 100  # pictures in one go
INVITATION = "Choose a picture: upload, paste or take one."


def load_models(models=MODELS, results=RESULTS):
    """Load all models of a folder, for `build_page`.

    Parameters
    ----------
    models, results : path-like
        Folders of ``.keras`` files and of run records.

    Returns
    -------
    classifiers : list of utils.serving.classifier.Classifier
        The highest recorded test accuracy first.
    accuracies : dict of str to float, 0 to 1
        By name, of those that have one recorded.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no model, or a file is none that fits; names the file.
    """
    found = best_first(models, results)
    classifiers = [load_classifier(path) for path in found]
    accuracies = {path.stem: record["test_accuracy"] for path, record in found.items() if record}
    return classifiers, accuracies


def build_page(classifiers, accuracies):
    """Return the page (gradio.Blocks) of what `load_models` returns; it starts with the first."""
    classifiers = {classifier.name: classifier for classifier in classifiers}
    names = list(classifiers)

    def show(picture_path, model):
        if picture_path is None:
            return page_parts.sentence(INVITATION), None, ""
        try:
            answer = classify(picture_path, classifiers[model])
        except ValueError as problem:
            return page_parts.sentence(str(problem)), None, ""
        chart = PlotData(type="plotly", plot=page_parts.chart(answer))
        return page_parts.label(answer), chart, page_parts.seen(answer)

    def show_several(paths, model):
        if not paths:
            return page_parts.sentence("Choose some pictures.")
        if len(paths) > MANY:
            return page_parts.sentence(f"Choose at most {MANY} pictures at once.")
        answers = [_answer_or_sentence(path, classifiers[model]) for path in paths]
        return page_parts.table([Path(path).name for path in paths], answers)

    def predict(picture, model=names[0]):
        if picture is None:
            raise gr.Error(INVITATION, print_exception=False)
        answer = _answer_or_sentence(picture, classifiers[model])
        if isinstance(answer, str):
            raise gr.Error(answer, print_exception=False)
        percentages = {name: 100 * share for name, share in answer.shares.items()}
        return {"label": answer.label, "percentages": percentages, "trusted": answer.trusted}

    def tell_about(model):
        return page_parts.about(model, accuracies.get(model))

    limits = {"concurrency_limit": AT_ONCE, "concurrency_id": "models"}
    with gr.Blocks(
        title="CIFAR-10",
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, KEPT_SECONDS),
    ) as page:
        gr.Markdown("# What is in the picture?")
        about = gr.Markdown(tell_about(names[0]), elem_id="about")
        model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model")
        gr.HTML(page_parts.NOTICE, elem_id="notice")
        with gr.Tab("One picture"), gr.Row(elem_id="one"):
            with gr.Column():
                picture = only_uploads(gr.Image(label="Picture", height=320, elem_id="picture"))
                gr.ClearButton([picture], value="Clear")
                examples = gr.Dataset(
                    components=[picture],
                    samples=[[path] for path in example_pictures()],
                    type="index",
                    label="Examples",
                    elem_id="examples",
                )
            with gr.Column():
                label = gr.HTML(page_parts.sentence(INVITATION), elem_id="answer")
                chart = gr.Plot(label="Percentages", show_label=False, elem_id="chart")
                seen = gr.HTML(elem_id="seen")
        with gr.Tab("Several pictures"):
            several = only_uploads(
                gr.File(file_count="multiple", label=f"Up to {MANY} pictures", elem_id="several")
            )
            table = gr.HTML(page_parts.sentence("Choose some pictures."), elem_id="several_answer")
        # Not gr.Examples: its click makes the picture's component anew, without `only_uploads`.
        examples.click(
            lambda number: examples.samples[number][0]["path"],
            examples,
            picture,
            show_progress="hidden",
            queue=False,
            api_visibility="private",
        )
        model.change(tell_about, model, about, api_visibility="private")
        gr.on(
            [picture.change, model.change],
            show,
            [picture, model],
            [label, chart, seen],
            api_visibility="private",
            **limits,
        )
        gr.on(
            [several.change, model.change],
            show_several,
            [several, model],
            table,
            api_visibility="private",
            **limits,
        )
        gr.Button(visible=False).click(
            predict, [picture, model], gr.JSON(visible=False), api_name="predict", **limits
        )
    return page.queue(max_size=QUEUE)


def launch(page, **options):
    """Serve the page; `options` are those of gradio.Blocks.launch."""
    return page.launch(
        share=False,
        max_file_size=MAX_BYTES,
        css=page_parts.CSS,
        head=page_parts.HEAD,
        _frontend=False,  # not to give up where localhost takes 3 seconds to answer
        **options,
    )


def only_uploads(component):
    """Make an input of files hand on its uploads unread, and fetch nothing from a URL.

    Gradio's own reading of a picture ends in a pop-up where the file is damaged, and it would
    download what a client names by its URL.
    """
    keep = component.async_move_resource_to_block_cache

    async def move(path):
        if "://" in str(path):
            raise gr.Error("Upload the picture itself, not its address.", print_exception=False)
        return await keep(path)

    def preprocess(payload):
        if payload is None:
            return None
        files = getattr(payload, "root", payload)
        return [file.path for file in files] if isinstance(files, list) else files.path

    component.async_move_resource_to_block_cache = move
    component.preprocess = preprocess
    return component


def example_pictures():
    """Return paths (list of str): the shipped examples, then a real test picture of each class."""
    shipped = sorted(map(str, EXAMPLES.glob("*.png")))
    names_file = cifar10.DATA_DIRECTORY / "test_names.txt"
    if not names_file.is_file():
        return shipped
    first = {label: (name, label) for name, label in reversed(load_paths_labels(names_file))}
    paths, _ = handle_images_path_and_labels([first[label] for label in sorted(first)])
    return shipped + [path for path in paths if Path(path).is_file()]


def _answer_or_sentence(path, classifier):
    try:
        return classify(path, classifier)
    except ValueError as problem:
        return str(problem)


if __name__ == "__main__":
    gc.enable()
    try:
        page = build_page(*load_models())
    except (FileNotFoundError, ValueError) as problem:
        sys.exit(str(problem))
    launch(page)
