"""The command line: ``python -m experiments`` lists what can be run.

python -m experiments run airbench94 --seeds 0-4 [--set epochs=8 width=64-128-128]
python -m experiments run my_recipes.py:mine
python -m experiments run airbench94 --seeds 0-99 --ray auto [--storage s3://bucket/checkpoints]
python -m experiments sweep airbench94 --over learning_rate=0.05:0.4:log epochs=8,10 --trials 40
python -m experiments publish airbench_small
python -m experiments evaluate airbench_small [--on calibration corruptions]
python -m experiments report
python -m experiments tables
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # 1.4 times as fast where it is off

from experiments.own_recipes import register
from experiments.recipes import EXPERIMENTS, parse
from experiments.runner import describe, run
from experiments.tables import network, write_tables


def list_experiments(_):
    """Print each experiment, its network and epochs."""
    for name, recipe in EXPERIMENTS.items():
        print(f"{name:28} {network([{'recipe': recipe.recorded()}])}, {recipe.epochs} epochs")


def run_experiments(arguments):
    """Do the runs that are asked for; print what each reached."""
    changes = dict(arguments.set)
    if arguments.ray:
        run_on_cluster(arguments, changes)
        return
    if arguments.storage:
        sys.exit("--storage is for runs on Ray; pass --ray too")
    for name in arguments.names:
        for record in run(name, arguments.seeds, report=lambda _: None, **changes):
            print(describe(record), flush=True)


def run_on_cluster(arguments, changes):
    """Do the runs on Ray; exit with what failed."""
    from experiments.cluster import run_on_ray  # noqa: PLC0415  # Ray

    failures = run_on_ray(
        arguments.names,
        arguments.seeds,
        dashboard=arguments.dashboard,
        **where(arguments),
        **changes,
    )
    if failures:
        sys.exit("\n".join([f"{len(failures)} runs failed:", *failures]))


def sweep_experiment(arguments):
    """Search for better values of a recipe's fields; print what was found."""
    from experiments.sweeps import sweep  # noqa: PLC0415  # Ray

    sweep(
        arguments.name,
        arguments.over,
        trials=arguments.trials,
        seeds=arguments.seeds,
        **where(arguments),
        **dict(arguments.set),
    )


def publish_experiments(arguments):
    """Publish the models that are asked for."""
    from experiments.publish import publish  # noqa: PLC0415  # Keras

    for name in arguments.names:
        publish(name, arguments.seed)


def evaluate_experiments(arguments):
    """Add scores to the records that are asked for."""
    from experiments.report import evaluate_run  # noqa: PLC0415  # Keras

    for name in arguments.names:
        evaluate_run(name, arguments.seed, only=arguments.on)


def report_on_models(_):
    """Evaluate all published models and write the report."""
    from experiments.report import write_report  # noqa: PLC0415  # Keras

    write_report()


def add_cluster(parser, default):
    """Add the options that say where runs are done."""
    where = "local, auto, host:port or ray://host:port; see docs/cluster.md"
    parser.add_argument("--ray", default=default, metavar="ADDRESS", help=where)
    parser.add_argument("--storage", help="a folder that all nodes see, or a URL: for checkpoints")
    parser.add_argument("--cores", type=int, default=1, help="of each run on Ray; by default 1")
    parser.add_argument("--gpus", type=float, help="of each run on Ray; 0.5: two share one")


def where(arguments):
    """Return what the options of `add_cluster` say, as keywords (dict)."""
    found = {name: getattr(arguments, name) for name in ("storage", "cores", "gpus")}
    return {"address": arguments.ray, **found}


def seed_range(text):
    """Return the seeds (list of int) that "0-4", "3" or "0,2,5-7" means."""
    seeds = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            seeds += range(int(first), int(last or first) + 1)
    except ValueError:
        seeds = []
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r}, expected seeds such as 0-4 or 0,3")
    return seeds


def change(text):
    """Return field and value that "field=value" means."""
    field, _, value = text.partition("=")
    try:
        return field, parse(field, value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def experiment(text):
    """Return the name of an experiment that a name, or "my_recipes.py:mine", means."""
    try:
        return register(text) if ".py:" in text else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main():
    parser = argparse.ArgumentParser(prog="python -m experiments", description="Named experiments.")
    parser.set_defaults(call=list_experiments)
    commands = parser.add_subparsers(title="commands")
    one = commands.add_parser("run", help="train, test and record")
    one.add_argument("names", type=experiment, nargs="+", metavar="NAME")
    one.add_argument("--seeds", type=seed_range, default=[0], help="0-4, or 0,3; by default 0")
    one.add_argument("--set", type=change, nargs="+", default=[], metavar="FIELD=VALUE")
    add_cluster(one, default=None)
    one.add_argument("--dashboard", action="store_true", help="show Ray's, of a local cluster")
    one.set_defaults(call=run_experiments)
    one = commands.add_parser("sweep", help="search for better values of a recipe's fields")
    one.add_argument("name", type=experiment, metavar="NAME")
    one.add_argument(
        "--over", nargs="+", required=True, metavar="FIELD=VALUES", help="0.1:0.4[:log], or 8,10"
    )
    one.add_argument("--trials", type=int, help="needed for ranges; without it, a whole grid")
    one.add_argument("--seeds", type=int, default=1, help="how many a trial; by default 1")
    one.add_argument("--set", type=change, nargs="+", default=[], metavar="FIELD=VALUE")
    add_cluster(one, default="local")
    one.set_defaults(call=sweep_experiment)
    one = commands.add_parser("publish", help="save a run's model in models/")
    one.add_argument("names", type=experiment, nargs="+", metavar="NAME")
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(call=publish_experiments)
    one = commands.add_parser("evaluate", help="add to a record what its numbers are worth")
    one.add_argument("names", type=experiment, nargs="+", metavar="NAME")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--on", nargs="+", metavar="EVALUATION", help="by default all")
    one.set_defaults(call=evaluate_experiments)
    one = commands.add_parser("report", help="evaluate all published models, and compare them")
    one.set_defaults(call=report_on_models)
    one = commands.add_parser("tables", help="write the tables of all READMEs anew")
    one.set_defaults(call=lambda _: write_tables())
    arguments = parser.parse_args()
    try:
        arguments.call(arguments)
    except (OSError, ValueError, FloatingPointError) as problem:
        sys.exit(str(problem))
    except ModuleNotFoundError as problem:
        if problem.name != "ray":
            raise
        sys.exit("Ray is not installed: pip install -r requirements-ray.txt")
    except KeyboardInterrupt:
        print("stopped: what is recorded stays, and the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
