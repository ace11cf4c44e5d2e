"""Experiments and seeds in, their runs on a Ray cluster, records out.

This process alone writes; Ray schedules, retries and transports. The pictures go to each node once;
the model that a run begins with, or its teacher, goes from node to node. Importing this imports
Ray.
"""

import os
import socket
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from experiments.connection import PATIENCE, answers, connected, ray
from experiments.progress import Board, Progress, title
from experiments.recipes import recipe_of
from experiments.runner import (
    check_places,
    describe,
    find_model,
    keep_file,
    needed,
    perform,
    plan,
    read_data,
    sole_writer,
)
from experiments.storage import absolute, checkpoint_url, fetch, forget, store
from utils.base.cifar10 import ROOT
from utils.results.records import commit

RETRIES = 3  # of a run whose node or process died; one that raised isn't tried again
GIGABYTE = 2**30
# What Ray sets aside for a run, by its network: ample, not measured.
MEMORY = {"model_1": 2, "model_2": 3, "model_3": 4, "model_4": 3}


def resources(recipe, cores=1, gpus=None):
    """Return what Ray is to set aside for a run of `recipe` (dict).

    A core and memory; on the JAX backend a GPU, or the share `gpus` of one.
    """
    if gpus is None:
        gpus = float(os.environ.get("KERAS_BACKEND") == "jax")
    memory = MEMORY.get(recipe.network, max(MEMORY.values())) * GIGABYTE
    return {"num_cpus": cores, "num_gpus": gpus, "memory": memory}


def run_on_ray(
    experiments,
    seeds=(0,),
    *,
    address="local",
    storage=None,
    cores=1,
    gpus=None,
    dashboard=False,
    root=ROOT,
    report=print,
    work=perform,
    **changes,
):
    """Do the runs of experiments that are not recorded yet, and those that they build on.

    Parameters
    ----------
    experiments : list of str
    seeds : iterable of int
    address : str
        "local", "auto", "host:port" or "ray://host:port"; see `experiments.connection.connected`.
    storage : str, optional
        A folder that all nodes see, or a URL, for checkpoints: a run whose node died goes on from
        its last epoch. Without it such a run starts over.
    cores : int
        Of a run.
    gpus : float, optional
        Of a run; 0.5 lets two share one.
    dashboard : bool
        Show Ray's, of a local cluster.
    root : path-like
    report : callable
        Called with a line (str) on what happens.
    work : callable
        What a worker does, as `experiments.runner.perform`; it may return a file's bytes as model.
    **changes
        Fields of the recipes.

    Returns
    -------
    list of str
        What went wrong, a line a run; empty if all is recorded.

    Raises
    ------
    ValueError, FileNotFoundError
        As of `experiments.runner.run`; or nothing here knows the kind of `storage`.
    OSError
        If another process does these runs, or a folder can't be written.
    ConnectionError
        If there is no cluster, or its head is gone; what is recorded stays.
    """
    found = [recipe_of(name, **changes) for name in experiments]
    check_places(root)
    storage = absolute(storage)
    with sole_writer(found, root):
        runs = plan(found, list(seeds), root)
        if not runs:
            return []
        with connected(address, cores=cores, dashboard=dashboard) as head:
            driver = _Driver(runs, root, storage, Progress(report), report)
            driver.submit(work, partial(resources, cores=cores, gpus=gpus))
            return driver.follow(head)


class _Driver:
    """The runs that are under way, by the reference to what each will return."""

    def __init__(self, runs, root, storage, progress, report):
        self.runs, self.root, self.storage = runs, root, storage
        self.progress, self.report = progress, report
        self.pending, self.failures, self.failed, self.recorded = {}, [], set(), 0
        self.forgetting = []  # checkpoints of what is recorded
        here = ray.get_runtime_context().get_node_id()  # it ends with this process's node
        self.board = _on_node(ray.remote(num_cpus=0)(Board), here).remote()

    def submit(self, work, resources):
        """Hand all runs to Ray; each starts when its helpers are there and a node has room."""
        pictures, models = {}, {}
        for (name, seed), recipe in self.runs.items():
            size = recipe.validation_size
            if size not in pictures:
                pictures[size] = ray.put(read_data(size, root=self.root))
            helpers = dict.fromkeys(("init", "teacher"))
            for kind, other in needed(recipe, seed).items():
                if other not in models:
                    models[other] = ray.put(find_model(*other, self.root).read_bytes())
                helpers[kind] = models[other]
            task = ray.remote(do_run).options(
                num_returns=2, max_retries=RETRIES, name=title((name, seed)), **resources(recipe)
            )
            where = checkpoint_url(self.storage, name, recipe, seed)
            how = {"board": self.board, "checkpoint": where, "work": work, **helpers}
            record, model = task.remote(name, recipe, seed, pictures[size], **how)
            models[name, seed] = model
            self.pending[model] = (name, seed), record

    def follow(self, head):
        """Record each run as it ends; returns the failures (list of str)."""
        heard = time.monotonic()
        try:
            while self.pending:
                ended, _ = ray.wait(list(self.pending), num_returns=len(self.pending), timeout=1)
                self.listen()
                for model in ended:
                    run, record = self.pending.pop(model)
                    self.end(run, record, model)
                if ended or answers(head):
                    heard = time.monotonic()
                if time.monotonic() - heard > PATIENCE:
                    raise ConnectionError("it does not answer")
            if self.forgetting:
                ray.wait(self.forgetting, num_returns=len(self.forgetting), timeout=60)
        except ConnectionError as error:  # by ray:// it is Ray's own
            raise ConnectionError(
                f"the head of the cluster, {head}, is gone; {self.recorded} runs were recorded "
                "before: start it again, and the same command goes on"
            ) from error
        return self.failures

    def listen(self):
        """Show what the workers have told."""
        with suppress(ray.exceptions.RayError):  # progress is no reason to stop
            for told in ray.get(self.board.take.remote(), timeout=PATIENCE):
                self.progress.hear(*told)

    def end(self, run, record, model):
        """Write the record of a run that has ended, or note why there is none."""
        node, shared = self.progress.end(run)
        try:
            record, content = ray.get([record, model])
        except ray.exceptions.RayError as error:
            self.failed.add(run)
            others = self.failed.intersection(needed(self.runs[run], run[1]).values())
            cause = (
                f"builds on {title(others.pop())}, which failed" if others else first_line(error)
            )
            self.failures.append(f"{title(run)} on {node or 'no node'}: {cause}")
            self.report(self.failures[-1])
            return
        record["training"]["commit"] = commit()  # workers have the code, but no clone
        record["training"]["node"]["runs_at_once"] = shared
        self.report(describe(keep_file(record, content, self.root)))
        self.recorded += 1
        where = checkpoint_url(self.storage, run[0], self.runs[run], run[1])
        if where:
            self.forgetting.append(ray.remote(num_cpus=0)(forget).remote(where))


def do_run(name, recipe, seed, data, *, init, teacher, board, checkpoint, work):
    """What a worker does of a run.

    Parameters
    ----------
    name, recipe, seed, data, work
        As of `run_on_ray` and `experiments.runner.perform`.
    init, teacher : bytes or None
        Of ``.keras`` files.
    board : actor handle of `Board`
    checkpoint : str or None
        The URL of a checkpoint to go on from, and to keep anew after each epoch.

    Returns
    -------
    record : dict
    content : bytes
        The model, as a ``.keras`` file.
    """
    node, own = socket.gethostname(), ray.get_runtime_context().get_assigned_resources()
    tell = partial(board.tell.remote, (name, seed))
    tell_now(tell, "started", node)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        helpers = {}
        for kind, content in (("init", init), ("teacher", teacher)):
            if content is not None:
                helpers[kind] = folder / f"{kind}.keras"
                helpers[kind].write_bytes(content)
        kept = folder / "checkpoint"
        fetch(checkpoint, kept)
        after = partial(after_epoch, recipe.epochs, time.monotonic(), [], tell, kept, checkpoint)
        record, model = work(name, recipe, seed, data, helpers, kept, 0, after)
        record["training"]["device"]["cores"] = int(own["CPU"])
        record["training"]["node"] = {"name": node}
        tell_now(tell, "ended", node)
        return record, model if isinstance(model, bytes) else file_of(model, folder)


def tell_now(tell, kind, what):
    """Tell something that must be known before this process does anything else.

    Not by `ray.get`: while a task waits in it, Ray gives its core to another run.
    """
    with suppress(ray.exceptions.RayError):
        tell(kind, what).future().result()


def after_epoch(epochs, start, done, tell, kept, checkpoint, epoch, logs):
    """Tell how far a run is, and bring its checkpoint to safety.

    Parameters
    ----------
    epochs : int
        Of the recipe.
    start : float
        When this process began, by `time.monotonic`.
    done : list
        Grows by an item an epoch; those before a checkpoint took this process no time.
    tell : callable
    kept : pathlib.Path
    checkpoint : str or None
    epoch : int
        The one that has ended, from 0.
    logs : dict of str to float
    """
    done.append(epoch)
    left = (time.monotonic() - start) / len(done) * (epochs - epoch - 1)
    tell("epoch", (epoch, epochs, float(logs["val_accuracy"]), left))
    try:
        store(kept, checkpoint)
    except Exception as error:  # each file system raises its own; the run itself is sound
        tell("warning", f"no checkpoint of epoch {epoch + 1} at {checkpoint}: {first_line(error)}")


def file_of(model, folder):
    """Return a model (keras.Model) as the bytes of a ``.keras`` file, made in `folder`."""
    from utils.results.model_files import save_model  # noqa: PLC0415  # Keras

    (path,) = save_model(model, folder, suffixes=[".keras"])
    return path.read_bytes()


def first_line(error):
    """Return what an exception says, and what kind it is, as one line (str)."""
    error = getattr(error, "cause", None) or error
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _on_node(actor, node):
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
    return actor.options(scheduling_strategy=strategy)
