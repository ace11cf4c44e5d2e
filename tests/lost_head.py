"""Three runs on a cluster whose head is killed after two; started by test_cluster.py."""

# ruff: noqa: E402  # Ray reads its environment when it is imported

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.modules.setdefault("rfc3987_syntax", None)  # as in test_cluster.py

import fake_runs
import ray.cluster_utils

from experiments import cluster as module
from experiments.connection import ray
from experiments.recipes import EXPERIMENTS, Recipe

module.PATIENCE = 2
EXPERIMENTS["first"] = Recipe("model_4", 3, width=(4, 4, 4), batch_size=45, validation_size=0.1)


def report(line):
    """Kill the head's own process when the second run is recorded."""
    done.extend([line] * ("test accuracy" in line))
    if len(done) == 2 and "killed" not in done:
        done.append("killed")
        for process in made.head_node.all_processes["gcs_server"]:
            process.process.kill()


done = []
made = ray.cluster_utils.Cluster(
    initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
)
try:
    module.run_on_ray(
        ["first"],
        range(4),
        address=made.address,
        root=Path(sys.argv[1]),
        report=report,
        work=fake_runs.quick,
    )
except ConnectionError as error:
    print(error, file=sys.stderr, flush=True)
    os._exit(1)
