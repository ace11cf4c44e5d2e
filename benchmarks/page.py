"""The page against ONNX Runtime alone, model.predict and LiteRT; its start, memory and size.

    PYTHONPATH=. python benchmarks/page.py [models/model_1.keras]     or: the page's first model
    PYTHONPATH=. python benchmarks/page.py --space       the Space: installed size, start, memory

Prints milliseconds, and each as a multiple of ONNX Runtime's: the median over rounds in which all
take turns, with the smallest and the largest, since on a shared machine a single time says little.
The page takes one thread for a picture; the others as many as there are cores. Takes four minutes
on two slow idle cores.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import requests

from tools.page_server import serve
from utils.base.cifar10 import DATA_DIRECTORY, ROOT
from utils.serving import page_parts
from utils.serving.classifier import BATCH, classify, load_classifier, load_models, run_in_batches
from utils.serving.in_time import prepare_in_time

EXAMPLES = sorted((ROOT / "images" / "examples").glob("*.png"))  # 128 pixels wide
OWN = sorted((DATA_DIRECTORY / "images" / "deer").glob("*.png"))[:1]  # 32, where a run left it
CLIENTS = 300


def print_page_milliseconds(classifier, paths, rounds=100):
    """Print the median time of all that the page computes for the pictures at `paths`, in turn."""
    times = {path: [] for path in paths}
    for _ in range(rounds):
        for path in paths:
            start = time.perf_counter()
            answer = classify(prepare_in_time(path, classifier.image_shape), classifier)
            page_parts.label(answer), page_parts.chart(answer), page_parts.seen(answer)
            times[path].append(1000 * (time.perf_counter() - start))
    print(f"the page's own compute: {np.median(list(times.values())):.2f} ms")
    for path, own in times.items():
        print(f"- {path.name}: {statistics.median(own):.2f} ms", flush=True)


def ask(url, path):
    """Upload a picture to the page at `url`, and return the seconds until its answer."""
    start = time.perf_counter()
    api = f"{url}/gradio_api"
    with open(path, "rb") as file:
        (place,) = requests.post(f"{api}/upload", files={"files": file}, timeout=300).json()
    data = [{"path": place, "meta": {"_type": "gradio.FileData"}}, load_models()[0][0].name]
    event = requests.post(f"{api}/call/predict", json={"data": data}, timeout=300).json()
    said = requests.get(f"{api}/call/predict/{event['event_id']}", timeout=300).text
    assert "event: complete" in said, said
    return time.perf_counter() - start


def print_start_and_memory(*arguments, **where):
    """Print the seconds to the first answer, and the memory after 300 clients at once.

    The parameters are those of `tools.page_server.serve`.
    """
    for _ in range(3):
        start = time.perf_counter()
        with serve(*arguments, **where) as (url, _):
            ask(url, EXAMPLES[0])
            print(
                f"from the server's start to its first answer {time.perf_counter() - start:.1f} s"
            )
    with serve(*arguments, **where) as (url, process), ThreadPoolExecutor(CLIENTS) as clients:
        times = list(clients.map(lambda _: ask(url, EXAMPLES[0]), range(CLIENTS)))
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        memory = [line.split()[1] for line in status if line.startswith(("VmRSS", "VmHWM"))]
        highest, now = (int(kilobytes) * 1024 / 1e6 for kilobytes in memory)
        print(f"{len(times)} of {CLIENTS} clients at once answered, the last in {max(times):.1f} s")
        print(
            f"memory of the process then {now:.0f} MB, at its highest {highest:.0f} MB", flush=True
        )


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
    from utils.results.reports import markdown_table  # noqa: PLC0415  # scikit-learn

    peer, rows = times["ONNX Runtime"], []
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


def compare_with_peers(path):
    """Print how long one picture and 10,000 take by our call and by its peers."""
    # After the page was measured: TensorFlow's threads are not in its process.
    from tools.export_model import export_model, litert_runner  # noqa: PLC0415
    from utils.results.model_files import load_model  # noqa: PLC0415
    from utils.results.onnx_files import onnx_runner  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        onnx, litert = export_model(path, folder)
        runners = {"ONNX Runtime": onnx_runner(onnx), "LiteRT": litert_runner(litert)}
        published = Path(path).with_suffix(".onnx")  # it has a score beside, whose time counts
        classifier = load_classifier(published if published.exists() else onnx)
        model = load_model(path)
    images = np.random.default_rng(0).random((10_000, 32, 32, 3), np.float32)
    ways = {
        "model.predict": lambda images: model.predict(images, batch_size=BATCH, verbose=0),
        "our call": lambda images: run_in_batches(classifier, images),
    }
    print_table("one picture", measure(ways | runners, images[:1], 50))
    batched = {name: in_batches(run) for name, run in runners.items()}
    print_table("10,000 pictures", measure(ways | batched, images, 5))


def print_space():
    """Install what the Space asks for into an empty folder; print how large it is, and its start.

    Where more is installed, Gradio imports more: Matplotlib for one.
    """
    from tools.make_space import make_space  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        space, packages = Path(folder) / "space", Path(folder) / "packages"
        make_space(space)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-compile", "--target", packages]
        subprocess.run([*pip, "-r", space / "requirements.txt"], check=True)
        size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
        modules = len(list(space.rglob("utils/**/*.py")))
        print(
            f"the Space's requirements: {size / 1e6:.0f} MB installed; modules of ours: {modules}"
        )
        subprocess.run([sys.executable, "-m", "compileall", "-q", packages], check=False)
        print_start_and_memory("-S", "app.py", directory=space, PYTHONPATH=str(packages))


if __name__ == "__main__":
    from utils.results.records import processor

    print(f"{processor()['processor']}, {os.cpu_count()} cores")
    if sys.argv[1:] == ["--space"]:
        sys.exit(print_space())
    first = load_models()[0][0]
    print_page_milliseconds(first, OWN + EXAMPLES)
    print_start_and_memory()
    compare_with_peers(sys.argv[1] if sys.argv[1:] else ROOT / "models" / f"{first.name}.keras")
