"""An address in, a Ray cluster that runs this code out; or a sentence that says why not.

Importing this imports Ray. Nothing is sent home, and the dashboard stays off unless asked for.
"""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

# Before Ray is imported, which reads them once.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A busy machine takes over the 30 and 15 seconds that Ray gives its own processes to start.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")
os.environ.setdefault("RAY_task_oom_retries", "2")  # without end otherwise

import ray  # others take it from here, so that it finds this environment

from utils.base.cifar10 import ROOT

PATIENCE = 10  # seconds until an address counts as dead
CODE = ("experiments", "utils")
HANDED_ON = (
    *("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"),
    *("MOBILENETV2_WEIGHTS", "VGG16_WEIGHTS"),
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
        reason = " ".join(str(error).split()) or "it did not answer"
        raise ConnectionError(
            f"no connection to Ray at {address!r}: {reason[:400]}; have the same Python and Ray on "
            f"all nodes, here {sys.version.split()[0]} and {ray.__version__}"
        ) from error
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
    """Refuse an address at which nothing answers: Ray itself would try for minutes."""
    if address == "local":
        return
    if address == "auto":
        found = _asks_ray()
    else:
        place = address.removeprefix("ray://")
        if ":" not in place:
            raise ConnectionError(
                f"{address!r} is no address, expected local, auto, host:6379 or ray://host:10001"
            )
        found = answers(place)
    if not found:
        raise ConnectionError(
            f"no Ray cluster answers at {address!r}: start one by 'ray start --head', or use local"
        )


def _asks_ray():
    """Return whether this machine is part of a cluster that is alive."""
    program = shutil.which("ray", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    try:
        done = subprocess.run(
            [program, "health-check"], timeout=1.5 * PATIENCE, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
