"""What workers tell of their runs in, a line for each run that is under way out."""

import sys

from tqdm import tqdm


class Board:
    """What the workers have told since it was last asked for; an actor on the driver's node."""

    def __init__(self):
        self.told = []

    def tell(self, *what):
        """Note (run, kind, what there is to say)."""
        self.told.append(what)

    def take(self):
        """Return what was told (list), and forget it."""
        told, self.told = self.told, []
        return told


class Progress:
    """Where each run is, how far, and with how many others it has shared its node.

    On a terminal a run's line is written over; elsewhere each epoch is a line.

    Parameters
    ----------
    report : callable
        Called with a line (str) where there is no terminal.
    """

    def __init__(self, report):
        self.report = report
        self.node, self.shared, self._lines, self._running = {}, {}, {}, set()

    def hear(self, run, kind, what):
        """Take in what a worker told of `run` ((name, seed)): "started", "epoch", "ended"..."""
        if kind == "started":
            self.node[run] = what
            self._running.add(run)
            neighbours = [one for one in self._running if self.node[one] == what]
            for one in neighbours:
                self.shared[one] = max(self.shared.get(one, 0), len(neighbours))
            self.show(run, "started")
        elif kind == "epoch":
            self.show(run, describe_epoch(*what))
        elif kind == "ended":
            self._running.discard(run)
        else:
            self.report(f"{title(run)} on {self.node.get(run)}: {what}")

    def show(self, run, text):
        """Show a run's line."""
        text = f"{title(run)} on {self.node[run]}: {text}"
        if not sys.stderr.isatty():
            self.report(text)
            return
        if run not in self._lines:
            self._lines[run] = tqdm(bar_format="{desc}", leave=False)
        self._lines[run].set_description_str(text)

    def end(self, run):
        """Take a run's line away; returns (node, how many runs shared it at most)."""
        if run in self._lines:
            self._lines.pop(run).close()
        self._running.discard(run)
        return self.node.pop(run, None), self.shared.pop(run, 1)


def title(run):
    """Return a run's name for people (str); `run` is (name, seed)."""
    return f"{run[0]}, seed {run[1]}"


def describe_epoch(epoch, epochs, accuracy, seconds_left):
    """Return how far a training is, as a line (str)."""
    return (
        f"epoch {epoch + 1} of {epochs}, {accuracy:.1%} of the held-out pictures right, "
        f"{seconds_left / 60:.1f} minutes left"
    )
