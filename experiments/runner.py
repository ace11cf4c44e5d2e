"""A run is (experiment, seed): trained, tested once, recorded; what is recorded is not run again.

Leaves: ``results/<experiment>/seed_<n>.json``, and the model in ``models/runs/<experiment>/``.
"""

import shutil
from contextlib import ExitStack, contextmanager
from functools import lru_cache

from filelock import FileLock, Timeout

from experiments.data import load, places, read_dataset
from experiments.recipes import Recipe, recipe_of
from utils.base.cifar10 import ROOT
from utils.base.files import ROOM, atomic_path, check_writable, sha256_of
from utils.results.records import describe_training, read_record, record_path, write_record

read_data = lru_cache(maxsize=1)(load)  # the pictures of one run are mostly those of the next


def run(experiment, seeds=(0,), *, root=ROOT, report=print, **changes):
    """Do the runs of an experiment that are not recorded yet, and first those that they build on.

    Parameters
    ----------
    experiment : str
        A name in `experiments.recipes.EXPERIMENTS`, where `experiments.own_recipes.register` adds
        your own.
    seeds : iterable of int
    root : path-like
        Of a repository in which the first notebook has converted the pictures.
    report : callable
        Called with a line (str) for each run that is done.
    **changes
        Fields of the recipe; they extend the run's name.

    Returns
    -------
    list of dict
        The records, one a seed.

    Raises
    ------
    ValueError
        If there is no such experiment or field, or a record there is of another recipe or of other
        pictures.
    FileNotFoundError
        If nothing was converted, or a model that a run builds on is recorded but not there.
    OSError
        If a folder that is needed at the end can't be written; now, not after the training.
    """
    name, recipe = recipe_of(experiment, **changes)
    seeds = list(seeds)
    check_places(root)
    with sole_writer([(name, recipe)], root):
        for (one, seed), its_recipe in plan([(name, recipe)], seeds, root).items():
            _run_once(one, its_recipe, seed, root, report)
    return [recorded(name, recipe, seed, root) for seed in seeds]


def check_places(root=ROOT):
    """Refuse folders that can't be written, by an OSError, before anything is trained."""
    for folder in (places(root).results, places(root).runs, places(root).checkpoints):
        check_writable(folder, ROOM)


@contextmanager
def sole_writer(experiments, root=ROOT):
    """Let nobody else do runs of `experiments` (list of (name, Recipe)), or what they build on.

    OSError if another process does. The lock ends with its process; its empty file stays.
    """
    names = {name for name, _ in experiments}
    waiting = [recipe for _, recipe in experiments]
    while waiting:
        for other, _ in needed(waiting.pop(), 0).values():
            names.add(other)
            waiting.append(recipe_of(other)[1])
    with ExitStack() as stack:
        for name in sorted(names):
            try:
                stack.enter_context(FileLock(places(root).runs / f".{name}.lock", timeout=0))
            except Timeout:
                raise OSError(
                    f"{name}: another process is doing runs of it; wait until it has ended"
                ) from None
        yield


def plan(experiments, seeds, root=ROOT):
    """Tell which runs are to be done, each after those whose models it needs.

    Parameters
    ----------
    experiments : list of (str, Recipe)
    seeds : list of int
    root : path-like

    Returns
    -------
    dict of (str, int) to Recipe
        By name and seed, without what is recorded.

    Raises
    ------
    ValueError, FileNotFoundError
        As of `recorded` and `find_model`.
    """
    runs = {}

    def add(name, recipe, seed):
        if (name, seed) in runs or recorded(name, recipe, seed, root):
            return
        for other, its_seed in needed(recipe, seed).values():
            if find_model(other, its_seed, root) is None:
                add(other, recipe_of(other)[1], its_seed)
        runs[name, seed] = recipe

    for name, recipe in experiments:
        for seed in seeds:
            add(name, recipe, seed)
    return runs


def recorded(name, recipe, seed, root=ROOT):
    """Return the record (dict) of a run, None if there is none.

    ValueError if it is of another recipe or other pictures. The same pictures in an archive of
    another hash, packed anew, are the same data.
    """
    path = record_path(places(root).results, name, seed)
    if not path.exists():
        return None
    record = read_record(path)
    wanted = {**recipe.recorded(), "data": read_dataset(root)["name"]}
    found = {**Recipe(**record["recipe"]).recorded(), "data": record["data"]["name"]}
    other = {key: found.get(key) for key in found | wanted if found.get(key) != wanted.get(key)}
    if other:
        raise ValueError(
            f"{path}: a record of another run, with {other}; delete it to run it again"
        )
    _check_helpers(record, recipe, path, root)
    return record


def perform(name, recipe, seed, data, helpers, checkpoint=None, verbose=2, on_epoch=None):
    """Train a model and test it.

    Parameters
    ----------
    name : str
        Of the run.
    recipe : Recipe
    seed : int
    data : Data
    helpers : dict of str to path
        The model files of "init" and "teacher", where the recipe names them.
    checkpoint : pathlib.Path, optional
        A folder; the same call goes on from what an interrupted one has left there.
    verbose : int
        As in ``keras.Model.fit``.
    on_epoch : callable, optional
        Called after each epoch with its number, from 0, and what was measured (dict). JAX's engine
        calls nobody.

    Returns
    -------
    record : dict
        But for the hash of the model's file.
    model : keras.Model
    """
    from experiments.training import evaluate  # noqa: PLC0415  # Keras

    trained = learn(recipe, seed, data, helpers, checkpoint, verbose, on_epoch)
    record = describe_run(name, recipe, seed, data, trained)
    hashes = {f"{kind}_sha256": sha256_of(path) for kind, path in helpers.items()}
    return record | {
        "training": record["training"] | hashes,
        "scores": evaluate(trained.model, data),
    }, trained.model


def learn(recipe, seed, data, helpers, checkpoint=None, verbose=2, on_epoch=None):
    """Train a model, as `perform` does; returns `experiments.training.Trained`."""
    import keras  # noqa: PLC0415

    from experiments.training import train_by_recipe  # noqa: PLC0415  # Keras
    from utils.results.model_files import load_model  # noqa: PLC0415

    ended = []

    def tell(*_):  # not before the engine has written the epoch's checkpoint
        if ended:
            on_epoch(*ended.pop())

    callbacks = []
    if on_epoch and keras.backend.backend() == "tensorflow":
        callbacks = [
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: ended.append((epoch, dict(logs))),
                on_epoch_begin=tell,
                on_train_end=tell,
            )
        ]
    how = {kind: load_model(path) for kind, path in helpers.items()}
    how |= {"checkpoint": checkpoint, "verbose": verbose, "callbacks": callbacks}
    return train_by_recipe(recipe, data, seed=seed, **how)


def describe_run(name, recipe, seed, data, trained):
    """Return the record (dict) of an `experiments.training.Trained`, without scores and hashes."""
    return {
        "experiment": name,
        "seed": seed,
        "recipe": recipe.recorded(),
        "data": data.recorded(),
        "training": describe_training(trained.history.history, **trained.facts),
        "model": {"parameters": trained.model.count_params(), "sha256": {}},
        "scores": {},
    }


def keep(record, model, root=ROOT):
    """Save a run's model, then write its record; returns the record (dict)."""
    from utils.results.model_files import save_model  # noqa: PLC0415  # Keras

    folder = places(root).runs / record["experiment"]
    (path,) = save_model(model, folder, suffixes=[".keras"], name=f"seed_{record['seed']}")
    return _record(record, path, root)


def keep_file(record, content, root=ROOT):
    """Do what `keep` does, of a model that is a ``.keras`` file already (bytes)."""
    path = places(root).runs / record["experiment"] / f"seed_{record['seed']}.keras"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return _record(record, path, root)


def _record(record, path, root):
    record["model"]["sha256"][path.name] = sha256_of(path)
    write_record(places(root).results, record)
    return record


def needed(recipe, seed):
    """Return which runs' models a recipe needs: dict of "init" and "teacher" to (name, seed).

    The model to begin with is of the run's own seed; all seeds have the same teacher, seed 0.
    """
    names = {"init": (recipe.init, seed), "teacher": (recipe.teacher, 0)}
    return {kind: run for kind, run in names.items() if run[0]}


def find_model(name, seed, root=ROOT):
    """Return the path of a run's model, None where it is not recorded.

    FileNotFoundError if it is recorded but neither kept nor published.
    """
    _, recipe = recipe_of(name)
    record = recorded(name, recipe, seed, root)
    if record is None:
        return None
    kept = places(root).runs / name / f"seed_{seed}.keras"
    for path in (kept, places(root).models / f"{name}.keras"):
        if path.exists() and sha256_of(path) == record["model"]["sha256"].get(path.name):
            return path
    raise FileNotFoundError(
        f"{kept}: not there, though {record_path(places(root).results, name, seed)} tells of it; "
        "delete the record, then it is trained again"
    )


def _check_helpers(record, recipe, path, root):
    """Refuse a record whose teacher, or the model that it begins with, was trained anew since."""
    for kind, run in needed(recipe, record["seed"]).items():
        pinned = record["training"].get(f"{kind}_sha256")
        other = record_path(places(root).results, *run)
        known = read_record(other)["model"]["sha256"] if pinned and other.exists() else {}
        if known and pinned not in known.values():
            raise ValueError(f"{path}: made with another {kind} than {other}; delete one")


def describe(record):
    """Return what a run reached, as a line (str)."""
    test, views = record["scores"]["test"], record["scores"]["test_six_views"]
    return (
        f"{record['experiment']}, seed {record['seed']}: "
        f"{record['training']['seconds'] / 60:.3g} minutes, test accuracy "
        f"{test['accuracy']:.2%}, averaged over six views {views['accuracy']:.2%}"
    )


def _run_once(name, recipe, seed, root, report):
    helpers = {
        kind: find_model(other, its_seed, root)
        for kind, (other, its_seed) in needed(recipe, seed).items()
    }
    data = read_data(recipe.validation_size, root=root)
    checkpoint = places(root).checkpoints / name / f"seed_{seed}"
    record = keep(*perform(name, recipe, seed, data, helpers, checkpoint), root)
    shutil.rmtree(checkpoint, ignore_errors=True)
    report(describe(record))
