"""Runs on two nodes of one core against the same runs one after the other on one core, in turns.

Also what a run costs beside itself, and the driver's memory over 200 runs of a second.
Needs converted pictures and requirements-ray.txt: ``PYTHONPATH=. python benchmarks/cluster.py``.
"""

# Ray and TensorFlow read their environment when they are imported

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("RAY_worker_niceness", "0")  # as the side that it is compared with
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

from ray.cluster_utils import Cluster

from experiments.cluster import run_on_ray
from experiments.runner import run
from utils.base.cifar10 import ROOT
from utils.results.records import read_records


def same_data(folder):
    """Return a repository below `folder` (path-like) with this one's pictures, without records."""
    root = Path(tempfile.mkdtemp(dir=folder))
    (root / "data").mkdir()
    for path in (ROOT / "data").iterdir():
        if path.name == "dataset.json":
            shutil.copy(path, root / "data")
        elif path.name != "checkpoints":
            (root / "data" / path.name).symlink_to(path)
    return root


def a_second(name, recipe, seed, data, helpers, checkpoint, verbose, on_epoch):
    """Take a second, and return a record like that of a run."""
    time.sleep(1)
    on_epoch(0, {"val_accuracy": 0.5})
    device = {"accelerator": None, "processor": "", "vendor": None, "family": None, "model": None}
    score = {"accuracy": 0.5, "macro_f1": 0.5, "pictures": 1}
    return {
        "experiment": name,
        "seed": seed,
        "recipe": recipe.recorded(),
        "data": data.recorded(),
        "training": {
            "engine": "none",
            "seconds": 1.0,
            "compilation_seconds": None,
            "device": {**device, "cores": 0, "bfloat16": False},
            "versions": {},
            "commit": None,
            "finished": None,
            "history": {"seconds": [1.0]},
        },
        "model": {"parameters": 0, "sha256": {}},
        "scores": {"test": score, "test_six_views": score},
    }, bytes(2**20)


def private_memory():
    """Return the MiB of this process, without Ray's object store, which it shares (Linux)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40, help="an epoch; four epochs a run")
    arguments = parser.parse_args()
    changes = {"epochs": 4, "steps_per_epoch": arguments.steps, "width": (32, 64, 64)}
    quiet = {"report": lambda _: None}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    with tempfile.TemporaryDirectory() as folder:
        on_ray = {"address": cluster.address, **quiet}
        run("airbench94", [1000], root=same_data(folder), **quiet, **changes)  # compiled, read
        seconds = {}
        root = same_data(folder)
        start = time.perf_counter()
        run("airbench94", range(arguments.runs), root=root, **quiet, **changes)
        seconds["one after the other"] = time.perf_counter() - start
        root = same_data(folder)
        start = time.perf_counter()
        run_on_ray(["airbench94"], range(arguments.runs), root=root, **on_ray, **changes)
        seconds["two nodes"] = time.perf_counter() - start
        trained = sum(one["training"]["seconds"] for one in read_records(root / "results"))
        ratio = seconds["one after the other"] / seconds["two nodes"]
        print(f"{arguments.runs} runs of {trained / arguments.runs:.1f} s: {seconds}, {ratio:.2f}")
        root = same_data(folder)
        run_on_ray(["airbench94"], [1000], root=root, work=a_second, **on_ray)
        before = private_memory()
        start = time.perf_counter()
        run_on_ray(["airbench94"], range(200), root=root, work=a_second, **on_ray)
        overhead = (time.perf_counter() - start) * 2 / 200 - 1
        grown = private_memory() - before
        print(f"200 runs of a second: {overhead:.2f} s more a run, {grown:.0f} MiB more memory")
    cluster.shutdown()


if __name__ == "__main__":
    main()
