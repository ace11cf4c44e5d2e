"""Runs on a real Ray cluster of several nodes on this machine: records, order, and faults.

The last tests take nodes away from it. Ray is imported by fixtures, not by who only collects.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import fake_runs
import pytest
from experiment_roots import make_root

from experiments import __main__ as command
from experiments.recipes import EXPERIMENTS, Recipe
from experiments.runner import run, sole_writer
from utils.results.records import read_records

pytestmark = [
    pytest.mark.skipif(not find_spec("ray"), reason="pip install -r requirements-ray.txt"),
    # Ray leaves them to be closed by who collects garbage.
    pytest.mark.filterwarnings(
        "ignore:.*ray_client_server.*:pytest.PytestUnraisableExceptionWarning"
    ),
]

HERE = Path(__file__).parent
FIRST = Recipe("model_4", 3, width=(4, 4, 4), batch_size=45, validation_size=0.1)
TABLE = {
    "first": FIRST,
    "second": Recipe(**{**FIRST.recorded(), "init": "first"}),
    "pupil": Recipe(**{**FIRST.recorded(), "teacher": "first"}),
}
GIGABYTE = 2**30
ONE_AT_A_TIME = {"cores": os.cpu_count()}  # where more processes would show nothing more
ENVIRONMENT = {  # of Ray's processes
    "PYTHONPATH": os.pathsep.join([str(HERE / "without_grammar"), str(HERE)]),
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 2,
    "RAY_task_oom_retries": "0",
    "RAY_worker_niceness": "0",  # theirs is 15, which starves them beside other tests
    "RAY_enable_metrics_collection": "false",
}


def ports(*names):
    """Return free ports for a node's helpers: told them, Ray need not wait until they tell."""
    names = ("metrics_export_port", "metrics_agent_port", "runtime_env_agent_port", *names)
    found = [socket.socket() for _ in names]
    for one in found:
        one.bind(("", 0))
    numbers = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return dict(zip(names, numbers, strict=True))


@pytest.fixture(scope="module")
def environment():
    """What makes Ray start soon, here and in its processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.syspath_prepend(HERE / "without_grammar")
        import experiments.connection  # noqa: F401, PLC0415  # Ray, as this sets it up

        yield


@pytest.fixture(scope="module")
def cluster(environment):
    """A head and a node; each has room for one run at a time."""
    for tries_left in (2, 1, 0):
        try:
            made = start()
            break
        except Exception:  # Ray waits 30 seconds for its processes; a busy machine takes longer
            if not tries_left:
                raise
    yield made
    made.shutdown()


def start():
    import ray.cluster_utils  # noqa: PLC0415

    gate = ports("ray_client_server_port")
    room = {"memory": 3 * GIGABYTE, **gate, "num_cpus": os.cpu_count()}
    quiet = {"include_dashboard": False, "include_log_monitor": False}
    made = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=room | quiet)
    made.gate = f"ray://127.0.0.1:{gate['ray_client_server_port']}"
    made.add_node(num_cpus=1, memory=3 * GIGABYTE, **ports())
    return made


@pytest.fixture
def root(converted, tmp_path, monkeypatch):
    """A repository with three experiments that build on one another."""
    for name, recipe in TABLE.items():
        monkeypatch.setitem(EXPERIMENTS, name, recipe)
    return make_root(tmp_path, converted)


@pytest.fixture
def on_ray(cluster, root):
    """`run_on_ray` on that cluster, with quick runs; returns failures, and notes lines."""
    return caller(cluster, root)


def caller(cluster, root):
    from experiments.cluster import run_on_ray  # noqa: PLC0415

    def call(names, seeds, work=fake_runs.quick, **how):
        call.lines = []
        how = {"address": cluster.address, "root": root, "report": call.lines.append, **how}
        return run_on_ray(names, seeds, work=work, **how)

    return call


@pytest.fixture(scope="module")
def done(cluster, converted, tmp_path_factory):
    """A repository after two seeds of each experiment, and the lines that were told. Read only."""
    with pytest.MonkeyPatch.context() as patch:
        for name, recipe in TABLE.items():
            patch.setitem(EXPERIMENTS, name, recipe)
        root = make_root(tmp_path_factory.mktemp("root"), converted)
        call = caller(cluster, root)
        assert call(["pupil", "second"], [0, 1]) == []
        lines = call.lines
        assert call(["first", "pupil"], [0, 1], work=None) == []  # nothing is run again
    return root, lines


def records(root):
    """Return what is recorded: experiment and seed to record."""
    found = read_records(root / "results" / "sample")
    return {(one["experiment"], one["seed"]): one for one in found}


def test_each_run_is_recorded_once_and_says_where_it_was(done):
    root, lines = done
    found = records(root)
    assert sorted(found) == [(name, seed) for name in sorted(TABLE) for seed in (0, 1)]
    for record in found.values():
        training = record["training"]
        assert training["node"]["name"] == socket.gethostname()
        assert training["node"]["runs_at_once"] in (1, 2)
        assert training["device"]["cores"] == 1
        assert training["commit"]
        assert record["data"]["train"] == 90
    assert max(one["training"]["node"]["runs_at_once"] for one in found.values()) == 2
    assert any("epoch 3 of 3, 10.0% of the held-out pictures right" in one for one in lines)


def test_models_that_a_run_builds_on_come_first(done):
    root, _ = done
    runs = root / "results" / "sample" / "models" / "runs"
    pupil, second = ((runs / name / "seed_1.keras").read_text() for name in ("pupil", "second"))
    assert pupil == f"pupil 1 { {'teacher': b'first 0 {}'} }"
    assert second == f"second 1 { {'init': b'first 1 {}'} }"


def test_runs_that_fail_are_named_and_the_others_go_on(on_ray, root, monkeypatch):
    monkeypatch.setattr("experiments.cluster.RETRIES", 0)
    failures = sorted(on_ray(["second"], range(4), work=fake_runs.faulty, storage="/dev/full/kept"))
    here = socket.gethostname()
    assert [line.partition(": ")[2].partition(":")[0] for line in failures[:3]] == [
        "FloatingPointError",
        "MemoryError",
        "WorkerCrashedError",
    ]
    assert (
        failures[0] == f"first, seed 1 on {here}: FloatingPointError: model_4: the loss became nan"
    )
    for seed, line in zip((1, 2, 3), failures[3:], strict=True):
        assert line == f"second, seed {seed} on no node: builds on first, seed {seed}, which failed"
    assert sorted(records(root)) == [("first", 0), ("second", 0)]
    # A full storage stops no run.
    assert any("no checkpoint of epoch 1 at /dev/full/kept" in line for line in on_ray.lines)


@pytest.fixture
def ctrl_c():
    """Ctrl-C interrupts, also where these tests were started in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_after_ctrl_c_the_same_command_goes_on_and_from_outside(cluster, on_ray, root, ctrl_c):
    def report(line):
        if "test accuracy" in line:
            ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        on_ray(["first"], range(4), report=report, **ONE_AT_A_TIME)
    [kept] = records(root)
    assert on_ray(["first"], range(4), address=cluster.gate, **ONE_AT_A_TIME) == []
    assert sorted(records(root)) == [("first", seed) for seed in range(4)]
    assert not any(f"seed {kept[1]} on" in line for line in on_ray.lines)


def test_the_same_seed_gives_the_same_record_by_ray_or_not(
    cluster, on_ray, root, tmp_path, monkeypatch
):
    apart = shutil.copytree(root, tmp_path.parent / f"{tmp_path.name}_apart")
    run("first", [3], root=apart, report=str)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setattr("experiments.connection.PATIENCE", 60)  # beside other tests
    how = {"address": "auto", "work": fake_runs.in_float32, **ONE_AT_A_TIME}
    assert on_ray(["first"], [3], **how) == []
    here, there = records(root)["first", 3], records(apart)["first", 3]
    for name in ("experiment", "seed", "recipe", "data", "scores"):
        assert here[name] == there[name]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert here["training"]["history"][name] == there["training"]["history"][name]
    assert here["training"]["versions"] == there["training"]["versions"]
    assert there["training"].keys() | {"node"} == here["training"].keys()


def test_two_drivers_at_once_are_refused(on_ray, root):
    with sole_writer([("first", FIRST)], root), pytest.raises(OSError, match="another process is"):
        on_ray(["pupil"], [0])


def test_no_such_address_is_said_soon(on_ray, root, refused_url):
    port = refused_url.rpartition(":")[2].partition("/")[0]
    started = time.monotonic()
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(ConnectionError, match=f"no connection to Ray at '{address}': nothing"):
            on_ray(["first"], [0], address=address)
    with pytest.raises(ConnectionError, match="'nowhere' is no address, expected local"):
        on_ray(["first"], [0], address="nowhere")
    assert time.monotonic() - started < 20


def test_a_cluster_that_is_gone_is_said_soon(on_ray, refused_url, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", refused_url.removeprefix("http://").removesuffix("/file"))
    monkeypatch.setattr("experiments.connection.PATIENCE", 5)
    with pytest.raises(ConnectionError, match="no connection to Ray at 'auto': no answer within 5"):
        on_ray(["first"], [0], address="auto")


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("ray.__version__", "2.1.0"),
        ("sys.version_info", namedtuple("Version", "major minor micro")(3, 99, 0)),
    ],
)
def test_another_version_of_ray_or_python_is_said(on_ray, monkeypatch, what, other):
    monkeypatch.setattr(what, other)
    with pytest.raises(ConnectionError, match=r"Version mismatch.*same Python and Ray on all"):
        on_ray(["first"], [0])


def test_the_command_says_what_ctrl_c_leaves(environment, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.cluster.run_on_ray", interrupted)
    monkeypatch.setattr(sys, "argv", ["experiments", "run", "first", "--ray", "auto"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 130
    assert "what is recorded stays, and the same command goes on" in capsys.readouterr().err


def test_without_it_ray_is_not_imported():
    code = "import sys, experiments.__main__; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parent)


def test_a_head_that_goes_is_said_and_records_stay(environment, root, tmp_path):
    """In a process of its own, by the command line: Ray ends those that have lost their cluster."""
    start = [sys.executable, HERE / "lost_head.py", "run", "first", "--seeds", "0-99"]
    done = subprocess.run(
        [*start, "--ray", "local", "--cores", str(os.cpu_count()), root],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    told = re.search(r"the head of the cluster, .*, is gone; (\d) runs were recorded", done.stderr)
    assert told, done.stdout + done.stderr
    assert done.returncode == 1
    assert 2 <= int(told[1]) == len(records(root)) < 100


def test_a_sweep_goes_on_after_ctrl_c_and_finds_the_best(cluster, root, tmp_path, ctrl_c):
    from experiments.sweeps import sweep  # noqa: PLC0415

    lines = []

    def stop(line):  # once: Ray Tune keeps whom it tells too
        if "epoch" in line and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            ctrl_c()

    how = {"address": cluster.address, "root": root, "work": fake_runs.learnt}
    how |= {"validation_size": 0.1, "seeds": 2, **ONE_AT_A_TIME}
    over = ["learning_rate=0.1,0.9"]
    with pytest.raises(KeyboardInterrupt):
        sweep("airbench94", over, report=stop, **how)
    found = sweep("airbench94", over, report=lines.append, **how)
    assert any("going on with the search" in line for line in lines)
    assert len(found) == 2  # a grid is done whole
    assert {one["state"] for one in found} == {"finished"}
    assert found[0]["values"]["learning_rate"] == 0.1
    assert found[0]["accuracy"] == pytest.approx(0.995)  # of two seeds
    folder = root / "results" / "sample" / "sweeps" / "airbench94"
    assert "learning_rate=0.1" in (folder / "README.md").read_text()


def test_a_search_stops_the_worse(cluster, root):
    from experiments.sweeps import sweep  # noqa: PLC0415

    how = {"address": cluster.address, "root": root, "work": fake_runs.learnt, "report": str}
    how |= {"validation_size": 0.1, "trials": 5, **ONE_AT_A_TIME}
    found = sweep("airbench94", ["learning_rate=0.1:0.9:log", "epochs=8,10"], **how)
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
def test_a_sweep_that_makes_no_sense_is_refused(environment, root, how, words):
    from experiments.sweeps import sweep  # noqa: PLC0415

    with pytest.raises(ValueError, match=words):
        sweep("airbench94", ["learning_rate=0.1:0.9"], root=root, **how)


@pytest.fixture
def roomy_node(cluster):
    """One more node, with a core, and memory for many runs."""
    node = cluster.add_node(num_cpus=1, memory=30 * GIGABYTE, **ports())
    yield
    cluster.remove_node(node)


@pytest.mark.usefixtures("roomy_node")
def test_a_core_has_one_run_at_a_time(on_ray, tmp_path, monkeypatch):
    """Also while a worker waits for an answer."""
    monkeypatch.setattr("experiments.cluster.Board", fake_runs.SlowBoard)
    assert on_ray(["first"], range(6), work=partial(fake_runs.alone, tmp_path), epochs=30) == []


def test_when_a_node_is_killed_another_goes_on_from_the_checkpoint(cluster, on_ray, root, tmp_path):
    from experiments.connection import ray  # noqa: PLC0415

    marks, kept = tmp_path / "marks", tmp_path / "kept"
    marks.mkdir()
    trained, killed = set(), []

    def report(line):
        if ": epoch " in line:
            trained.add(line.partition(" on ")[0])
        if len(trained) == 2 and not killed:
            own = ray.get_runtime_context().get_node_id()  # can't be removed
            killed.extend(node for node in cluster.worker_nodes if node.node_id != own)
            cluster.remove_node(killed[0], allow_graceful=False)

    work = partial(fake_runs.in_pairs, marks)
    how = {"work": work, "report": report, "storage": f"file://{kept}", "epochs": 30}
    assert on_ray(["first"], range(2), **how) == []
    found = records(root)
    assert sorted(seed for _, seed in found) == [0, 1]
    epochs = sorted(len(one["training"]["history"]["seconds"]) for one in found.values())
    assert epochs[0] < epochs[1] == 30  # one was taken over after its first
    assert [path for path in kept.rglob("*") if path.is_file()] == []


def test_a_node_without_memory_left_is_said(cluster, on_ray, root):
    low = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "50"}
    cluster.add_node(num_cpus=1, memory=4 * GIGABYTE, env_vars=low, **ports())
    [failure] = on_ray(["first"], [0], network="model_3", epochs=200)  # needs four
    assert re.search("seed 0 on .*: OutOfMemoryError: 1 worker.* due to the node running", failure)
    assert records(root) == {}
