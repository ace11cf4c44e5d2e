"""Runs that learn nothing, for tests of what is around them; workers of a cluster import this."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

from experiments.progress import Board

EPOCH = 0.1  # seconds


def fake_record(name, recipe, seed, data, epochs=1):
    """Return what a run would record."""
    device = {"accelerator": None, "processor": "fake", "vendor": None, "family": None}
    return {
        "experiment": name,
        "seed": seed,
        "recipe": recipe.recorded(),
        "data": data.recorded(),
        "training": {
            "engine": "fake",
            "seconds": EPOCH * epochs,
            "compilation_seconds": None,
            "device": {**device, "model": None, "cores": 0, "bfloat16": False},
            "versions": {},
            "commit": None,
            "finished": None,
            "history": {"seconds": [EPOCH] * epochs},
        },
        "model": {"parameters": 0, "sha256": {}},
        "scores": {
            "test": {"accuracy": 0.5, "macro_f1": 0.5, "pictures": len(data.test.labels)},
            "test_six_views": {"accuracy": 0.5, "macro_f1": 0.5, "pictures": 20},
        },
    }


def quick(name, recipe, seed, data, helpers, checkpoint, verbose, on_epoch):
    """Go through the epochs from the checkpoint; its model says what it was made of."""
    kept = Path(checkpoint) / "training.npz"
    first = int(kept.read_text()) if kept.exists() else 0
    for epoch in range(first, recipe.epochs):
        time.sleep(EPOCH)
        kept.write_text(str(epoch + 1))
        on_epoch(epoch, {"val_accuracy": seed / 10})
    made_of = {kind: path.read_bytes() for kind, path in helpers.items()}
    record = fake_record(name, recipe, seed, data, recipe.epochs - first)
    return record, f"{name} {seed} {made_of}".encode()


def in_pairs(marks, name, recipe, seed, *rest):
    """Begin when two runs have begun, so that no node is left without one."""
    (marks / str(seed)).touch()
    while len(list(marks.iterdir())) < 2:
        time.sleep(0.05)
    return quick(name, recipe, seed, *rest)


class SlowBoard(Board):
    """Takes its time to note that a run has started."""

    def tell(self, run, kind, what):
        time.sleep(kind == "started")
        super().tell(run, kind, what)


def alone(marks, name, recipe, seed, *rest):
    """Raise if another run is under way on this node."""
    import ray  # noqa: PLC0415  # others import this without it

    folder = marks / ray.get_runtime_context().get_node_id()
    folder.mkdir(exist_ok=True)
    (folder / str(seed)).touch()
    beside = [path.name for path in folder.iterdir() if path.name != str(seed)]
    done = quick(name, recipe, seed, *rest)
    (folder / str(seed)).unlink()
    if beside:
        raise RuntimeError(f"beside seed {beside}")
    return done


def faulty(name, recipe, seed, *rest):
    """Raise for seed 1, ask for more memory than there is for 2, be killed for 3."""
    if seed == 1:
        raise FloatingPointError(f"{recipe.network}: the loss became nan\nin epoch 1")
    if seed == 2:
        bytearray(2**60)
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)  # as by the system that has no memory left
    return quick(name, recipe, seed, *rest)


def in_float32(*run):
    """Do a run as on a processor without bfloat16, whose use is decided by measuring."""
    from experiments.runner import perform  # noqa: PLC0415  # the others do without
    from utils.training import twins  # noqa: PLC0415  # Keras

    twins.CPU_INFO = Path("none")
    return perform(*run)


def learnt(recipe, seed, data, helpers, checkpoint, verbose, on_epoch):
    """Learn the better, the nearer the learning rate is to 0.1."""
    history = {"val_accuracy": []}
    for epoch in range(recipe.epochs):
        accuracy = (1 - abs(recipe.learning_rate - 0.1)) * (epoch + 1) / recipe.epochs - seed / 100
        history["val_accuracy"].append(accuracy)
        if on_epoch:
            on_epoch(epoch, {"val_accuracy": accuracy})
    return SimpleNamespace(history=SimpleNamespace(history=history))
