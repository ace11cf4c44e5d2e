"""Runs on a real Ray cluster of three nodes on this machine: records, order, and faults."""

# ruff: noqa: E402  # Ray reads its environment when it is imported

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install -r requirements-ray.txt")
HERE = Path(__file__).parent
os.environ |= {  # of Ray's processes
    "PYTHONPATH": os.pathsep.join([str(HERE / "without_grammar"), str(HERE)]),
    "RAY_worker_niceness": "0",  # theirs is 15, which starves them beside other tests
    "RAY_enable_metrics_collection": "false",
}
sys.modules.setdefault("rfc3987_syntax", None)  # here too

import fake_runs
import ray.cluster_utils
from experiment_roots import make_root

from experiments import cluster as module
from experiments.cluster import run_on_ray
from experiments.recipes import EXPERIMENTS, Recipe
from experiments.runner import perform, sole_writer
from experiments.sweeps import sweep
from utils.results.records import read_records

FIRST = Recipe("model_4", 3, width=(4, 4, 4), batch_size=45, validation_size=0.1)


def ports():
    """Return free ports for a node's helpers: told them, Ray need not wait until they tell."""
    names = ("metrics_export_port", "metrics_agent_port", "runtime_env_agent_port")
    found = [socket.socket() for _ in names]
    for one in found:
        one.bind(("", 0))
    numbers = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return dict(zip(names, numbers, strict=True))


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and two nodes of one core."""
    head = {"num_cpus": 0, "include_dashboard": False, **ports()}
    made = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        made.add_node(num_cpus=1, wait=False, **ports())
    yield made
    made.shutdown()


@pytest.fixture
def root(converted, tmp_path, monkeypatch):
    """A repository with three experiments that build on one another."""
    for name, recipe in {
        "first": FIRST,
        "second": Recipe(**{**FIRST.recorded(), "init": "first"}),
        "pupil": Recipe(**{**FIRST.recorded(), "teacher": "first"}),
    }.items():
        monkeypatch.setitem(EXPERIMENTS, name, recipe)
    return make_root(tmp_path, converted)


@pytest.fixture
def on_ray(cluster, root):
    """`run_on_ray` on that cluster, with quick runs; returns failures, and notes lines."""

    def call(names, seeds, work=fake_runs.quick, **how):
        call.lines = []
        return run_on_ray(
            names,
            seeds,
            work=work,
            **{"address": cluster.address, "root": root, "report": call.lines.append, **how},
        )

    return call


def records(root):
    """Return what is recorded: experiment and seed to record."""
    found = read_records(root / "results" / "sample")
    return {(one["experiment"], one["seed"]): one for one in found}


def test_each_run_is_recorded_once_and_says_where_it_was(on_ray, root):
    assert on_ray(["first"], range(4)) == []
    found = records(root)
    assert sorted(found) == [("first", seed) for seed in range(4)]
    for record in found.values():
        training = record["training"]
        assert training["node"]["name"] == socket.gethostname()
        assert training["node"]["runs_at_once"] in (1, 2)
        assert training["device"]["cores"] == 1
        assert training["commit"]
        assert record["data"]["train"] == 90
    assert max(one["training"]["node"]["runs_at_once"] for one in found.values()) == 2
    assert any("epoch 3 of 3, 20.0% of the held-out pictures right" in one for one in on_ray.lines)
    assert on_ray(["first"], range(4), work=None) == []  # nothing is run again


def test_models_that_a_run_builds_on_come_first(on_ray, root):
    assert on_ray(["pupil", "second"], [1]) == []
    assert sorted(records(root)) == [("first", 0), ("first", 1), ("pupil", 1), ("second", 1)]
    runs = root / "results" / "sample" / "models" / "runs"
    pupil, second = ((runs / name / "seed_1.keras").read_text() for name in ("pupil", "second"))
    assert pupil == f"pupil 1 { {'teacher': b'first 0 {}'} }"
    assert second == f"second 1 { {'init': b'first 1 {}'} }"


@pytest.mark.parametrize(
    ("work", "cause"),
    [
        (fake_runs.one_raises, "FloatingPointError: model_4: the loss became nan"),
        (fake_runs.out_of_memory, "MemoryError"),
        (fake_runs.one_is_killed, "WorkerCrashedError"),
    ],
)
def test_a_run_that_fails_is_named_and_the_others_go_on(on_ray, root, work, cause, monkeypatch):
    monkeypatch.setattr(module, "RETRIES", 1)
    failures = on_ray(["second"], [0, 1], work=work)
    assert len(failures) == 2
    assert failures[0].startswith(f"first, seed 1 on {socket.gethostname()}: {cause}")
    assert failures[1].endswith("builds on first, seed 1, which failed")
    assert sorted(records(root)) == [("first", 0), ("second", 0)]


def test_when_a_node_is_killed_another_goes_on_from_the_checkpoint(cluster, on_ray, root, tmp_path):
    cluster.add_node(num_cpus=1, **ports())
    marks, kept = tmp_path / "marks", tmp_path / "kept"
    marks.mkdir()
    trained, killed = set(), []

    def report(line):
        if ": epoch " in line:
            trained.add(line.partition(" on ")[0])
        if len(trained) == 3 and not killed:
            own = ray.get_runtime_context().get_node_id()  # can't be removed
            killed.extend(node for node in cluster.worker_nodes if node.node_id != own)
            cluster.remove_node(killed[0], allow_graceful=False)

    work = partial(fake_runs.on_three_nodes, marks)
    how = {"work": work, "report": report, "storage": str(kept), "epochs": 8}
    assert on_ray(["first"], range(3), **how) == []
    found = records(root)
    assert sorted(seed for _, seed in found) == [0, 1, 2]
    epochs = sorted(len(one["training"]["history"]["seconds"]) for one in found.values())
    assert epochs[0] < epochs[1] == epochs[2] == 8  # one was taken over after its first
    assert [path for path in kept.rglob("*") if path.is_file()] == []


def test_a_full_storage_stops_no_run(on_ray, root):
    assert on_ray(["first"], [0], storage="/dev/full/kept") == []
    assert ("first", 0) in records(root)
    assert any("no checkpoint of epoch 1 at /dev/full/kept" in line for line in on_ray.lines)


def test_two_drivers_at_once_are_refused(on_ray, root):
    with sole_writer([("first", FIRST)], root), pytest.raises(OSError, match="another process is"):
        on_ray(["pupil"], [0])


def test_no_such_address_is_said_soon(on_ray, root, refused_url):
    port = refused_url.rpartition(":")[2].partition("/")[0]
    started = time.monotonic()
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(ConnectionError, match=f"no Ray cluster answers at '{address}'"):
            on_ray(["first"], [0], address=address)
    with pytest.raises(ConnectionError, match="'nowhere' is no address, expected local"):
        on_ray(["first"], [0], address="nowhere")
    assert time.monotonic() - started < 20


def test_another_version_of_ray_is_said(on_ray, monkeypatch):
    monkeypatch.setattr("ray.__version__", "2.1.0")
    with pytest.raises(ConnectionError, match=r"Version mismatch.*same Python and Ray on all"):
        on_ray(["first"], [0])


def test_without_it_ray_is_not_imported():
    code = "import sys, experiments.__main__; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_a_head_that_goes_is_said_and_records_stay(converted, root):
    """In a process of its own: Ray ends those that have lost their cluster."""
    script = HERE / "lost_head.py"
    done = subprocess.run(
        [sys.executable, script, root], capture_output=True, text=True, timeout=180, check=False
    )
    told = re.search(r"the head of the cluster, .*, is gone; (\d) runs were recorded", done.stderr)
    assert told, done.stdout + done.stderr
    assert 2 <= int(told[1]) == len(records(root)) < 4


def test_a_sweep_finds_the_best_and_stops_the_worse(cluster, root):
    lines = []
    how = {"address": cluster.address, "root": root, "report": lines.append}
    how |= {"work": fake_runs.learnt, "validation_size": 0.1, "seeds": 2}
    over = ["learning_rate=0.1,0.9"]  # each trial starts a process
    found = sweep("airbench94", over, **how)
    assert len(found) == 2  # a grid is done whole
    assert {one["state"] for one in found} == {"finished"}
    assert found[0]["values"]["learning_rate"] == 0.1
    assert found[0]["accuracy"] == pytest.approx(0.995)  # of two seeds
    folder = root / "results" / "sample" / "sweeps" / "airbench94"
    assert "learning_rate=0.1" in (folder / "README.md").read_text()
    how["work"] = None  # nothing is trained again
    again = sweep("airbench94", over, **how)
    assert sorted(again, key=str) == sorted(found, key=str)
    assert any("going on with the search" in line for line in lines)
    how["work"] = fake_runs.learnt
    found = sweep("airbench94", ["learning_rate=0.1:0.9:log", "epochs=8,10"], trials=5, **how)
    states = {one["state"] for one in found}
    assert "finished" in states
    assert any(state.startswith("stopped after epoch") for state in states)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "say by --trials how many to try"),
        ({"trials": 0}, "0 trials, 1 seeds; expected at least one"),
        ({"trials": 1, "address": "ray://a:1"}, "a sweep runs on the head"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(root, how, words):
    with pytest.raises(ValueError, match=words):
        sweep("airbench94", ["learning_rate=0.1:0.9"], root=root, **how)


def test_the_same_seed_gives_the_same_record_by_ray_or_not(on_ray, root, tmp_path):
    apart = shutil.copytree(root, tmp_path.parent / f"{tmp_path.name}_apart")
    call = f"""
from experiments.recipes import EXPERIMENTS, Recipe
from experiments.runner import run
EXPERIMENTS["first"] = Recipe(**{FIRST.recorded()})
run("first", [3], root={str(apart)!r}, report=str)
"""
    one_core = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", call], check=True, cwd=HERE.parent, env=os.environ | one_core
    )
    assert on_ray(["first"], [3], work=perform) == []
    here, there = records(root)["first", 3], records(apart)["first", 3]
    for name in ("experiment", "seed", "recipe", "data", "scores"):
        assert here[name] == there[name]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert here["training"]["history"][name] == there["training"]["history"][name]
    assert here["training"]["versions"] == there["training"]["versions"]
    assert there["training"].keys() | {"node"} == here["training"].keys()
