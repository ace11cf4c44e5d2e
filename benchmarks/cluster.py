"""Runs on two nodes of one core against the same runs one after the other on one core, in turns.

Both from the start: they load Keras and read the pictures. Also what a run costs beside itself, and
the driver's memory over 200 runs of a second. Needs converted pictures and requirements-ray.txt:
``PYTHONPATH=. python benchmarks/cluster.py``; a pair takes a quarter of an hour.
"""

# Ray and TensorFlow read their environment when they are imported

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("RAY_worker_niceness", "0")  # as the side that it is compared with
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

from pairs import compare
from ray.cluster_utils import Cluster

from experiments.cluster import run_on_ray
from experiments.runner import read_data, run
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


def a_second(like, name, recipe, seed, data, helpers, checkpoint, verbose, on_epoch):
    """Take a second, and return a record like that of another run (dict), and a megabyte."""
    time.sleep(1)
    on_epoch(0, {"val_accuracy": 0.5})
    about = {"experiment": name, "seed": seed, "recipe": recipe.recorded(), "data": data.recorded()}
    return like | about | {"model": {"parameters": 0, "sha256": {}}}, bytes(2**20)


def private_memory():
    """Return the MiB of this process, without Ray's object store, which it shares (Linux)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def two_nodes():
    """Return a cluster of two nodes of one core, and a head that does no runs."""
    room = {"object_store_memory": 2**29}  # for the pictures, 184 MB
    head = {"num_cpus": 0, "include_dashboard": False, **room}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, **room)
    return cluster


def on_one_core(root, runs, changes):
    """Do the runs one after the other, as a process of its own whose threads share a core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # Linux
    run("airbench94", range(runs), root=root, report=lambda _: None, **changes)


def compare_speed(folder, runs, pairs, on_ray, **changes):
    """Print how much faster two nodes are, both from the start; returns a run's record (dict)."""
    root = same_data(folder)

    def alone():
        own = (same_data(folder), runs, changes)
        process = multiprocessing.get_context("spawn").Process(target=on_one_core, args=own)
        process.start()
        process.join()
        if process.exitcode:
            sys.exit("the runs one after the other failed; see above")

    def on_two_nodes():
        read_data.cache_clear()
        shutil.rmtree(root / "results", ignore_errors=True)
        run_on_ray(["airbench94"], range(runs), root=root, **on_ray, **changes)

    compare(f"{runs} runs on two nodes, against one after the other", on_two_nodes, alone, pairs)
    records = read_records(root / "results")
    trained = sum(one["training"]["seconds"] for one in records) / runs
    print(f"{trained:.0f} s of each run were training; the load is {os.getloadavg()[0]:.1f}")
    return records[0]


def measure_overhead(folder, runs, on_ray):
    """Print what a run costs beside itself, and how much memory all of them cost this process."""
    root = same_data(folder)
    run_on_ray(["airbench94"], [1000], root=root, **on_ray)
    before, start = private_memory(), time.perf_counter()
    run_on_ray(["airbench94"], range(runs), root=root, **on_ray)
    overhead = (time.perf_counter() - start) * 2 / runs - 1
    grown = private_memory() - before
    print(f"{runs} runs of a second: {overhead:.2f} s more a run, {grown:.0f} MiB more memory")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=3, help="how often, in turns")
    parser.add_argument("--steps", type=int, default=15, help="an epoch; four epochs a run")
    parser.add_argument("--seconds", type=int, default=200, help="how many runs of a second")
    arguments = parser.parse_args()
    changes = {"epochs": 4, "steps_per_epoch": arguments.steps, "width": (32, 64, 64)}
    cluster = two_nodes()
    on_ray = {"address": cluster.address, "report": lambda _: None}
    with tempfile.TemporaryDirectory() as folder:
        record = compare_speed(folder, arguments.runs, arguments.pairs, on_ray, **changes)
        work = partial(a_second, record)
        measure_overhead(folder, arguments.seconds, on_ray | {"work": work})
    cluster.shutdown()


if __name__ == "__main__":
    main()
