"""The web page: a picture in, the percentages of the ten classes out.

Start it with ``make app``, or ``python app.py``; it serves on 127.0.0.1, or where the environment
variables ``GRADIO_SERVER_NAME`` and ``GRADIO_SERVER_PORT`` say.
"""

# ruff: noqa: E402  # Gradio reads the environment when it is imported

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

PORT = os.environ.get("GRADIO_SERVER_PORT", "7860")
if not PORT.isdecimal() or not 0 < int(PORT) < 2**16:  # Gradio reads it when it is imported
    sys.exit(f"GRADIO_SERVER_PORT is {PORT!r}, expected a number from 1 to 65535")
if "GRADIO_TEMP_DIR" not in os.environ:  # its own default may be another user's
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="cifar10_page_")
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

import gradio as gr
from gradio.components.plot import PlotData

from utils.base import cifar10
from utils.base.cifar10 import ROOT
from utils.serving import page_parts
from utils.serving.classifier import classify, load_models, without_onnx
from utils.serving.in_time import prepare_in_time
from utils.serving.picture_input import MAX_BYTES, Part

EXAMPLES = ROOT / "images" / "examples"
KEPT_SECONDS, SWEEP_SECONDS = 3600, 600  # an upload's life; how often old ones are deleted
QUEUE = 512  # waiting requests, some seconds of work; more are told that the queue is full
AT_ONCE = 2  # pictures classified at the same time
MANY = 100  # pictures in one go
INVITATION = "Choose a picture: upload, paste or take one."


class OnlyUploads:
    """An input of files hands on its uploads unread, and fetches nothing from a URL.

    Gradio's own reading of a picture ends in a pop-up where the file is damaged, and it would
    download what a client names by its URL.
    """

    async def async_move_resource_to_block_cache(self, path):
        if "://" in str(path):
            raise gr.Error("Upload the picture itself, not its address.", print_exception=False)
        return await super().async_move_resource_to_block_cache(path)

    def preprocess(self, payload):
        files = getattr(payload, "root", payload)
        return [file.path for file in files] if isinstance(files, list) else files and files.path


class PictureInput(OnlyUploads, gr.Image):
    def get_block_name(self):
        return "image"


class PicturesInput(OnlyUploads, gr.File):
    def get_block_name(self):
        return "file"


def functions_of(classifiers):
    """Return what the page does with pictures: show, show_several, predict, predict_part.

    `classifiers` is a dict of name to utils.serving.classifier.Classifier.
    """

    def answer_of(path, model, *part):
        """Return an Answer, or a sentence (str) where the file holds no picture."""
        classifier = classifiers[model]
        try:
            part = Part(*(percent / 100 for percent in part))
            return classify(prepare_in_time(path, classifier.image_shape, part), classifier)
        except ValueError as problem:
            return str(problem)

    def show(picture, model, size, x, y):
        if picture is None:
            return page_parts.sentence(INVITATION), None, ""
        answer = answer_of(picture, model, size, x, y)
        if isinstance(answer, str):
            return page_parts.sentence(answer), None, ""
        chart = PlotData(type="plotly", plot=page_parts.chart(answer))
        return page_parts.label(answer), chart, page_parts.seen(answer)

    def show_several(paths, model):
        if not paths:
            return page_parts.sentence("Choose some pictures.")
        if len(paths) > MANY:
            return page_parts.sentence(f"Choose at most {MANY} pictures at once.")
        answers = [answer_of(path, model) for path in paths]
        names = [Path(path).name for path in paths]
        return page_parts.table(names, answers, classifiers[model].class_names)

    def predict(picture, model):
        return predict_part(picture, model)

    def predict_part(picture, model, size=100, x=50, y=50):
        if picture is None:
            raise gr.Error(INVITATION, print_exception=False)
        answer = answer_of(picture, model, size, x, y)
        if isinstance(answer, str):
            raise gr.Error(answer, print_exception=False)
        percentages = {name: 100 * share for name, share in answer.shares.items()}
        return {"label": answer.label, "percentages": percentages, "trusted": answer.trusted}

    return show, show_several, predict, predict_part


def build_page(classifiers, problems=()):
    """Return the page (gradio.Blocks) of what `load_models` returns; it starts with the first."""
    classifiers = {classifier.name: classifier for classifier in classifiers}
    names = list(classifiers)
    show, show_several, predict, predict_part = functions_of(classifiers)

    def tell_about(model):
        return page_parts.about(classifiers[model])

    limits = {"concurrency_limit": AT_ONCE, "concurrency_id": "models"}
    with gr.Blocks(
        title="CIFAR-10",
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, KEPT_SECONDS),
    ) as page:
        gr.Markdown("# What is in the picture?")
        about = gr.Markdown(tell_about(names[0]), elem_id="about")
        choices = [(classifier.title, name) for name, classifier in classifiers.items()]
        model = gr.Dropdown(choices, value=names[0], label="Model", elem_id="model")
        gr.HTML(page_parts.NOTICE, elem_id="notice")
        with gr.Tab("One picture"), gr.Row(elem_id="one"):
            with gr.Column():
                picture = PictureInput(label="Picture", height=320, elem_id="picture")
                gr.ClearButton([picture], value="Clear")
                with gr.Accordion("Look at a part of it", open=False, elem_id="part"):
                    part = [
                        gr.Slider(
                            10,
                            100,
                            100,
                            step=5,
                            label="Its side, % of the shorter side",
                            elem_id="size",
                        ),
                        gr.Slider(0, 100, 50, step=5, label="Left to right, %", elem_id="x"),
                        gr.Slider(0, 100, 50, step=5, label="Top to bottom, %", elem_id="y"),
                    ]
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
            several = PicturesInput(
                file_count="multiple", label=f"Up to {MANY} pictures", elem_id="several"
            )
            table = gr.HTML(page_parts.sentence("Choose some pictures."), elem_id="several_answer")
        if problems:
            gr.HTML(page_parts.left_out(problems), elem_id="problems")
        # Not gr.Examples, which makes the picture's component anew and fills it with its own.
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
            [picture.change, model.change, *(slider.change for slider in part)],
            show,
            [picture, model, *part],
            [label, chart, seen],
            trigger_mode="always_last",
            show_progress="hidden",
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
        for function, inputs in (
            (predict, [picture, model]),
            (predict_part, [picture, model, *part]),
        ):
            gr.Button(visible=False).click(
                function, inputs, gr.JSON(visible=False), api_name=function.__name__, **limits
            )
    return page.queue(max_size=QUEUE)


def launch(page, **options):
    """Serve the page; `options` are those of gradio.Blocks.launch."""
    for key in ("NO_PROXY", "no_proxy"):  # Gradio asks itself whether it has started
        hosts = [os.environ.get(key), "127.0.0.1", "localhost", "0.0.0.0"]
        os.environ[key] = ",".join(filter(None, hosts))
    return page.launch(
        share=False,
        show_error=True,
        max_file_size=MAX_BYTES,
        css=page_parts.CSS,
        head=page_parts.HEAD,
        **options,
    )


def example_pictures():
    """Return paths (list of str): the shipped examples, then a real test picture of each class."""
    shipped = sorted(map(str, EXAMPLES.glob("*.png")))
    names_file = cifar10.DATA_DIRECTORY / "test_names.txt"
    if not names_file.is_file():
        return shipped
    lines = names_file.read_text(encoding="utf-8").splitlines()
    first = {int(line.split()[-1]): line.split()[0] for line in reversed(lines) if line.strip()}
    paths = cifar10.picture_paths([first[label] for label in sorted(first)], sorted(first))
    return shipped + [path for path in paths if Path(path).is_file()]


def main():
    """Serve all models of ``models/``, or say what keeps it from that and end with 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uploads are removed then too
    classifiers, problems = load_models()
    for sentence in [*problems, *without_onnx()]:
        print(sentence, file=sys.stderr)
    if not classifiers:
        sys.exit("models/: no model for the page; train one with 'make run'")
    try:
        launch(build_page(classifiers, problems))
    except OSError as problem:  # the port is taken
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
