"""One picture and 10,000, by `model.predict`, our call, ONNX Runtime and LiteRT; and the page.

    PYTHONPATH=. python benchmarks/page.py [models/model_1.keras]     or: the best model

Prints milliseconds, and each as a multiple of ONNX Runtime's: the median over rounds in which all
take turns, with the smallest and the largest, since on a shared machine a single time says little.
All four use as many threads as there are cores; the page itself uses one for a picture, and is
measured before them, in a process of its own. Takes five minutes on two slow idle cores.
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
from gradio_client import Client, handle_file

from tools.export_model import export_model, litert_runner, onnx_runner
from tools.page_server import serve
from utils.base.cifar10 import DATA_DIRECTORY, ROOT
from utils.results.records import best_first, processor_name
from utils.results.reports import markdown_table
from utils.serving import page_parts
from utils.serving.classifier import BATCH, classify, load_classifier, run_in_batches

MODEL = sys.argv[1] if len(sys.argv) > 1 else next(iter(best_first()))
EXAMPLES = sorted((ROOT / "images" / "examples").glob("*.png"))  # 128 pixels wide
OWN = sorted((DATA_DIRECTORY / "images" / "deer").glob("*.png"))[:1]  # 32, where a run left it


def measure(ways, images, rounds):
    """Time functions (dict by name) of `images` in turn; return name to seconds, a list each."""
    for way in ways.values():
        way(images[:BATCH])  # warms up
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way(images)
            times[name].append(time.perf_counter() - start)
    return times


def print_table(title, times):
    peer = times["ONNX Runtime"]
    rows = []
    for name, own in times.items():
        ratios = [a / b for a, b in zip(own, peer, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}, {len(own)} rounds"
        times_peer = f"{statistics.median(ratios):.2f} ({spread})"
        rows.append([name, f"{1000 * statistics.median(own):.2f}", times_peer])
    header = [title, "median, ms", "times ONNX Runtime's"]
    print("\n" + markdown_table(header, rows), flush=True)


def in_batches(run):
    """Return a function that runs any number of images a batch at a time."""
    return lambda images: [run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]


def print_page_milliseconds(paths, rounds=100):
    """Print the median time of all that the page computes for the pictures at `paths`, in turn."""
    classifier = load_classifier(MODEL)
    times = {path: [] for path in paths}
    for _ in range(rounds):
        for path in paths:
            start = time.perf_counter()
            answer = classify(path, classifier)
            page_parts.label(answer), page_parts.chart(answer), page_parts.seen(answer)
            times[path].append(1000 * (time.perf_counter() - start))
    print(f"the page's own compute: {np.median(list(times.values())):.2f} ms")
    for path, own in times.items():
        print(f"- {path.name}: {statistics.median(own):.2f} ms", flush=True)


def print_page_milliseconds_apart():
    """Print the same from a process with one thread for a picture, as the page has."""
    with patch.dict(os.environ, TF_NUM_INTRAOP_THREADS="1"):
        page = multiprocessing.get_context("spawn").Process(
            target=print_page_milliseconds, args=[OWN + EXAMPLES]
        )
        page.start()
        page.join()


def answer_seconds(path):
    """Return the seconds from the server's start to its first answer, and those of the next.

    The picture at `path` is uploaded for each of them.
    """
    times = [time.perf_counter()]
    with serve() as (url, _):
        client = Client(url, verbose=False)
        for _ in range(2):
            client.predict(handle_file(path), api_name="/predict")
            times.append(time.perf_counter())
        client.close()
    return times[1] - times[0], times[2] - times[1]


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "In the future `np", FutureWarning)
    print(f"{processor_name()}, {os.cpu_count()} cores")
    print_page_milliseconds_apart()
    with tempfile.TemporaryDirectory() as folder:
        onnx, litert = map(str, export_model(MODEL, folder))
        runners = {"ONNX Runtime": onnx_runner(onnx), "LiteRT": litert_runner(litert)}
    model, classifier = keras.models.load_model(MODEL, compile=False), load_classifier(MODEL)
    images = np.random.default_rng(0).random((10_000, 32, 32, 3), np.float32)

    def keras_predict(images):
        model.predict(images, batch_size=BATCH, verbose=0)

    ours = {"our call": lambda images: run_in_batches(classifier, images)}
    ways = {"model.predict": keras_predict} | ours
    print_table("one picture", measure(ways | runners, images[:1], 50))
    batched = {name: in_batches(run) for name, run in runners.items()}
    print_table("10,000 pictures", measure(ways | batched, images, 5))
    first, second = answer_seconds(EXAMPLES[0])
    print(f"from the server's start to its first answer {first:.1f} s, the next in {second:.2f} s")
