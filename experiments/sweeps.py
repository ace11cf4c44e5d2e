"""An experiment and values of its fields in, the best of them out, by Ray Tune.

A trial is a recipe; its score is the accuracy on held-out pictures, the mean over its seeds. Trials
of a search are compared after each epoch, and the worse half is stopped after a quarter and after
half of its training (ASHA); a grid is done whole. The test pictures don't even reach the workers.
Leaves ``results/sweeps/<name>/``: trials.json, README.md and slices.pdf.
"""

import hashlib
import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from experiments.cluster import first_line, resources
from experiments.connection import connected
from experiments.data import places
from experiments.recipes import recipe_of, written
from experiments.runner import check_places, find_model, learn, needed, read_data
from experiments.spaces import Span, is_grid, parse_space
from experiments.storage import absolute
from experiments.sweep_results import write_results
from utils.base.cifar10 import ROOT

GRACE, REDUCTION = 25, 2  # per cent of a training before any is stopped; one of so many goes on
RETRIES = 3


def sweep(
    name,
    over,
    *,
    trials=None,
    seeds=1,
    address="local",
    storage=None,
    cores=1,
    gpus=None,
    root=ROOT,
    report=print,
    work=learn,
    **changes,
):
    """Search for better values of a recipe's fields; goes on where the same call was interrupted.

    Parameters
    ----------
    name : str
        Of an experiment.
    over : list of str
        As of `experiments.spaces.parse_space`.
    trials : int, optional
        How many to try; without it, all of a grid.
    seeds : int
        Of a trial: the first decides whether it is stopped, the mean of all is its score.
    address, storage, cores, gpus, root, report
        As of `experiments.cluster.run_on_ray`; `storage` keeps the state of the search.
    work : callable
        As `experiments.runner.learn`.
    **changes
        Fields that are the same in all trials.

    Returns
    -------
    list of dict
        A trial each, the best first.

    Raises
    ------
    ValueError
        If a value makes no sense, a range lacks `trials`, or `address` is one of "ray://".
    FileNotFoundError
        If a model that the recipe builds on isn't there.
    OSError, ConnectionError
        As of `experiments.cluster.run_on_ray`.
    """
    space = parse_space(name, over, **changes)
    if trials is None and not is_grid(space):
        raise ValueError("a range has no end of values: say by --trials how many to try")
    if (trials is not None and trials < 1) or seeds < 1:
        raise ValueError(f"{trials} trials, {seeds} seeds; expected at least one of each")
    if address.startswith("ray://"):
        raise ValueError(f"{address}: a sweep runs on the head; log in there, and pass --ray auto")
    _, recipe = recipe_of(name, **changes)
    check_places(root)
    helpers = {kind: _model_of(*needed(recipe, 0)[kind], root) for kind in needed(recipe, 0)}
    data = read_data(recipe.validation_size, root=root)
    data = data._replace(test=data.validation)  # never a look at the test
    label = f"{name}_{_digest(space, trials, seeds, changes)}"  # another search is another folder
    where = absolute(storage or places(root).checkpoints / "sweeps")
    given, needs = {"data": data, "helpers": helpers}, resources(recipe, cores, gpus)
    with connected(address, cores=cores):
        trial = partial(run_trial, recipe, seeds, work)
        results = _tune(label, trial, space, given, trials, where, report, needs)
    found = [_summary(result, space, seeds) for result in results]
    found.sort(key=lambda one: (one["state"] == "finished", one["accuracy"] or 0), reverse=True)
    settings = {"over": list(over), "trials": trials, "seeds": seeds, "changes": changes}
    write_results(places(root).results / "sweeps" / name, name, space, settings, found, report)
    return found


def run_trial(recipe, seeds, work, config, *, data, helpers):
    """Train with each seed, and report the accuracy after each epoch of the first.

    The last report is the mean over seeds: a trial that was stopped before has trained one only.

    Parameters
    ----------
    recipe : Recipe
    seeds : int
    work : callable
        As of `sweep`.
    config : dict
        The trial's values of the recipe's fields.
    data : Data
    helpers : dict of str to bytes
        The ``.keras`` files of "init" and "teacher", where the recipe names them.
    """
    recipe = replace(recipe, **config)
    started = time.monotonic()
    first = []

    def after_epoch(epoch, logs):
        first.append(float(logs["val_accuracy"]))
        if epoch + 1 < recipe.epochs:  # the last waits for the other seeds
            _report(first[-1], epoch + 1, recipe.epochs, started)

    scores = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: Path(folder) / f"{kind}.keras" for kind in helpers}
        for kind, path in paths.items():
            path.write_bytes(helpers[kind])
        for seed in range(seeds):
            on_epoch = after_epoch if seed == 0 else None
            trained = work(recipe, seed, data, paths, None, 0, on_epoch)
            scores.append(float(trained.history.history["val_accuracy"][-1]))
    _report(sum(scores) / seeds, recipe.epochs, recipe.epochs, started, scores)


def _report(accuracy, epoch, epochs, started, scores=()):
    from ray import tune  # noqa: PLC0415  # pandas, slow to import

    tune.report(
        {
            "accuracy": accuracy,
            "epoch": epoch,
            "per_cent": 100 * epoch / epochs,  # trials of other lengths compare by it
            "seconds": time.monotonic() - started,
            "seeds": list(scores),
        }
    )


def _tune(label, trial, space, given, trials, where, report, needs):
    """Run the search, or what is left of it; returns Ray Tune's results."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # else Ctrl-C ends as if all is done
    from ray import tune  # noqa: PLC0415

    trainable = tune.with_resources(
        tune.with_parameters(trial, **given),
        {"cpu": needs["num_cpus"], "gpu": needs["num_gpus"], "memory": needs["memory"]},
    )
    path = f"{where.rstrip('/')}/{label}"
    if tune.Tuner.can_restore(path):
        report(f"going on with the search in {path}")
        tuner = tune.Tuner.restore(path, trainable, resume_unfinished=True, restart_errored=True)
        return tuner.fit()
    search = {} if trials is None else _search(space)
    tuner = tune.Tuner(
        trainable,
        param_space={field: _domain(values, trials is None) for field, values in space.items()},
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=trials or 1, reuse_actors=True, **search
        ),
        run_config=tune.RunConfig(
            name=label,
            storage_path=where,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[_lines(report)],
        ),
    )
    return tuner.fit()


def _search(space):
    """Return how trials are chosen and stopped: keywords (dict) of `tune.TuneConfig`."""
    from ray.tune.schedulers import ASHAScheduler  # noqa: PLC0415

    found = {
        "scheduler": ASHAScheduler(
            time_attr="per_cent", max_t=100, grace_period=GRACE, reduction_factor=REDUCTION
        )
    }
    try:
        import optuna  # noqa: PLC0415
    except ModuleNotFoundError:
        return found
    from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return found | {"search_alg": OptunaSearch(sampler=optuna.samplers.TPESampler(seed=0))}


def _domain(values, whole_grid):
    """Return what Ray Tune calls a Span or list of values."""
    from ray import tune  # noqa: PLC0415

    if not isinstance(values, Span):
        return tune.grid_search(values) if whole_grid else tune.choice(values)
    low, high, log = values
    if isinstance(low, int):
        return (tune.lograndint if log else tune.randint)(low, high + 1)
    return (tune.loguniform if log else tune.uniform)(low, high)


def _lines(report):
    """Return a callback of Ray Tune that tells how far each trial is, a line at a time."""
    from ray import tune  # noqa: PLC0415

    def told(config):
        return " ".join(f"{field}={written(value)}" for field, value in config.items())

    class Lines(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **_):
            report(f"{told(trial.config)}: epoch {result['epoch']}, {result['accuracy']:.2%}")

        def on_trial_error(self, iteration, trials, trial, **_):
            report(f"{told(trial.config)}: failed")

    return Lines()


def _summary(result, space, seeds):
    """Return what there is to say of a trial (dict); `result` is one of Ray Tune's."""
    last = result.metrics or {}
    whole = len(last.get("seeds", ())) == seeds
    found = {
        "values": {field: (result.config or {}).get(field) for field in space},
        "state": "finished" if whole else f"stopped after epoch {last.get('epoch', 0)}",
        "accuracy": last.get("accuracy"),
        "seeds": list(last.get("seeds", ())),
        "epoch": last.get("epoch", 0),
        "seconds": last.get("seconds"),
    }
    if result.error:
        found["state"] = f"failed: {first_line(result.error)}"
    return found


def _model_of(name, seed, root):
    path = find_model(name, seed, root)
    if path is None:
        raise FileNotFoundError(f"no model of {name}, seed {seed}: run {name} first")
    return path.read_bytes()


def _digest(*what):
    return hashlib.sha256(repr(what).encode()).hexdigest()[:8]
