"""A run is (experiment, seed): trained, tested once, recorded; what is recorded is not run again.

Leaves: ``results/<experiment>/seed_<n>.json``, and the model in ``models/runs/<experiment>/``.
"""

import shutil
from functools import lru_cache

from experiments.data import load, places, read_dataset
from experiments.recipes import Recipe, recipe_of
from utils.base.cifar10 import ROOT
from utils.base.files import check_writable, sha256_of
from utils.results.records import describe_training, read_record, record_path, write_record

read_data = lru_cache(maxsize=1)(load)  # the pictures of one run are mostly those of the next


def run(experiment, seeds=(0,), *, root=ROOT, report=print, **changes):
    """Do the runs of an experiment that are not recorded yet, and first those that they build on.

    Parameters
    ----------
    experiment : str
        A name in `experiments.recipes.EXPERIMENTS`.
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
    for folder in (places(root).results, places(root).runs, places(root).checkpoints):
        check_writable(folder)
    found = {seed: recorded(name, recipe, seed, root) for seed in seeds}  # refused now
    return [found[seed] or _run_once(name, recipe, seed, root, report) for seed in seeds]


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
    return record


def perform(name, recipe, seed, data, helpers, checkpoint=None, verbose=2):
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

    Returns
    -------
    record : dict
        But for the hash of the model's file.
    model : keras.Model
    """
    from experiments.training import evaluate, train_by_recipe  # noqa: PLC0415  # Keras
    from utils.results.model_files import load_model  # noqa: PLC0415

    how = {kind: load_model(path) for kind, path in helpers.items()}
    trained = train_by_recipe(
        recipe, data, seed=seed, checkpoint=checkpoint, verbose=verbose, **how
    )
    record = describe_run(name, recipe, seed, data, trained)
    hashes = {f"{kind}_sha256": sha256_of(path) for kind, path in helpers.items()}
    return record | {
        "training": record["training"] | hashes,
        "scores": evaluate(trained.model, data),
    }, trained.model


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


def describe(record):
    """Return what a run reached, as a line (str)."""
    test, views = record["scores"]["test"], record["scores"]["test_six_views"]
    return (
        f"{record['experiment']}, seed {record['seed']}: "
        f"{record['training']['seconds'] / 60:.3g} minutes, test accuracy "
        f"{test['accuracy']:.2%}, averaged over six views {views['accuracy']:.2%}"
    )


def _run_once(name, recipe, seed, root, report):
    helpers = {}
    for kind, (other, its_seed) in needed(recipe, seed).items():
        if find_model(other, its_seed, root) is None:
            _run_once(other, recipe_of(other)[1], its_seed, root, report)
        helpers[kind] = find_model(other, its_seed, root)
    data = read_data(recipe.validation_size, root=root)
    checkpoint = places(root).checkpoints / name / f"seed_{seed}"
    record = keep(*perform(name, recipe, seed, data, helpers, checkpoint), root)
    shutil.rmtree(checkpoint, ignore_errors=True)
    report(describe(record))
    return record
