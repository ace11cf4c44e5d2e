"""Run a function in child processes that are killed: at every file operation, or at any time.

To be used in a process without threads, since it forks; `run_script` starts one.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

OPERATIONS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}
TO_WRITE = os.O_WRONLY | os.O_RDWR


def environment():
    """Return the variables to import from the repository and from here, and to show progress."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here)])
    return {**os.environ, "PYTHONPATH": path, "TQDM_DISABLE": ""}


def run_script(script, *arguments):
    """Run Python code that imports from the repository and from here; return what it prints."""
    run = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def killed_at_each_operation(function):
    """Yield 0, 1, 2, ... after `function(number)` was killed before that file operation."""
    number = 0
    while was_killed(function, number, before=number):
        yield number
        number += 1


def killed_at_random(function, times):
    """Yield 0, 1, 2, ... after `function(number)` was killed within the time that it takes."""
    start = time.perf_counter()
    assert not was_killed(function, times)
    seconds = time.perf_counter() - start
    for number in range(times):
        was_killed(function, number, after=random.Random(number).uniform(0, seconds))
        yield number


def was_killed(function, number, *, before=None, after=None, reading=True):
    """Run `function(number)` in a child; tell whether it was killed before it ended.

    That is before its file operation number `before`, or `after` so many seconds. Files opened to
    be read don't count where `reading` is False.
    """
    child = os.fork()
    if not child:
        _run_and_exit(function, number, before, reading)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), f"the child ended with {status}"
    return status == signal.SIGKILL


def _run_and_exit(function, number, before, reading):
    left = [None] * before if before is not None else None

    def kill(event, arguments):
        if event not in OPERATIONS or str(arguments[0]).endswith((".py", ".pyc")):
            return
        if reading or event != "open" or arguments[2] & TO_WRITE:
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left.pop()

    if before is not None:
        sys.addaudithook(kill)
    status = 1
    try:
        function(number)
        status = 0
    finally:
        os._exit(status)
