"""An address in, a Ray cluster that runs this code out; or a sentence that says why not.

Importing this imports Ray. Nothing is sent home, and the dashboard stays off unless asked for.
"""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager

# Before Ray is imported, which reads them once.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A busy machine takes over the 15 seconds that Ray gives its own processes to start.
os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")
os.environ.setdefault("RAY_task_oom_retries", "2")  # without end otherwise

import ray  # others take it from here, so that it finds this environment

from utils.base.cifar10 import ROOT

PATIENCE = 18  # seconds until an address counts as dead; Ray itself would try for minutes
CODE = ("experiments", "utils")
TRY_AUTO = """
import sys, ray
try:
    ray.init("auto", log_to_driver=False, logging_level="ERROR")
except (Exception, SystemExit) as error:
    sys.exit(print(error) or 1)
"""
HANDED_ON = (
    *("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"),
    *("MOBILENETV2_WEIGHTS", "VGG16_WEIGHTS"),
    "RAY_task_oom_retries",  # by ray:// another process owns the runs
)


@contextmanager
def connected(address, *, cores=1, dashboard=False):
    """Connect to a cluster, with the code of this repository on each node, until the block ends.

    Parameters
    ----------
    address : str
        "local": one of its own on this machine; "auto": the one that this machine is part of;
        "host:port" of a head that this machine is part of; "ray://host:port" from outside.
    cores : int
        Threads that TensorFlow may use in each worker.
    dashboard : bool
        Of a local cluster.

    Yields
    ------
    str
        The head's "host:port".

    Raises
    ------
    ConnectionError
        If nothing answers there, or it runs other versions of Python or Ray.
    """
    _check(address)
    threads = {"TF_NUM_INTRAOP_THREADS": str(cores), "TF_NUM_INTEROP_THREADS": "1"}
    kept = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    environment = {
        "py_modules": [str(ROOT / package) for package in CODE],
        "excludes": ["__pycache__"],
        "env_vars": kept | threads,
    }
    options = {"include_dashboard": dashboard} if address == "local" else {}
    try:
        ray.init(
            address,
            runtime_env=environment,
            log_to_driver=False,
            logging_level="ERROR",
            **options,
        )
    except (Exception, SystemExit) as error:  # Ray raises bare ones too
        ray.shutdown()
        raise _no_connection(address, str(error)) from error
    head = address.removeprefix("ray://") if "://" in address else None
    try:
        yield head or ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()


def answers(place):
    """Return whether somebody listens at `place` (str, "host:port")."""
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PATIENCE):
            return True
    except (OSError, ValueError):
        return False


def _check(address):
    """Refuse, by a ConnectionError, an address at which nothing answers."""
    if address == "local":
        return
    place = address.removeprefix("ray://")
    if address != "auto" and ":" not in place:
        raise ConnectionError(
            f"{address!r} is no address, expected local, auto, host:6379 or ray://host:10001"
        )
    if address != "auto" and not answers(place):
        raise _no_connection(address, "nothing answers")
    if address == "auto":
        _try_auto()


def _try_auto():
    """Connect in a process that can be ended: what Ray waits for can't be interrupted."""
    command = [sys.executable, "-c", TRY_AUTO]
    try:
        done = subprocess.run(
            command, timeout=PATIENCE, capture_output=True, encoding="utf-8", check=False
        )
    except subprocess.TimeoutExpired:
        raise _no_connection("auto", f"no answer within {PATIENCE} seconds") from None
    if done.returncode:
        raise _no_connection("auto", done.stdout)


def _no_connection(address, reason):
    """Return a ConnectionError that says what can be done."""
    reason = " ".join(reason.split())[:400] or "it did not answer"
    return ConnectionError(
        f"no connection to Ray at {address!r}: {reason}; start one by 'ray start --head', with the "
        f"same Python and Ray on all nodes, here {sys.version.split()[0]} and {ray.__version__}; a "
        "cluster with a token needs RAY_AUTH_MODE=token here too"
    )
