"""Start the page as a process of its own, for tests and screenshots."""

import os
import subprocess
import sys
from contextlib import contextmanager

from utils.base.cifar10 import ROOT


@contextmanager
def serve(*arguments, directory=ROOT, python=sys.executable, **environment):
    """Run a program that launches a Gradio page; yield its URL and process, and end it then.

    Parameters
    ----------
    *arguments : str
        Of Python; ``app.py`` by default.
    directory : path-like
        Where it runs.
    python : path-like
    **environment
        Added to the environment variables.

    Raises
    ------
    RuntimeError
        If the program ends without serving; tells what it printed.
    """
    with subprocess.Popen(
        [python, "-u", *(arguments or ["app.py"])],
        cwd=directory,
        env={**os.environ, "GRADIO_SERVER_NAME": "127.0.0.1", **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if "http://127.0.0.1" in line:
                    yield line.split()[-1], process
                    return
            raise RuntimeError(f"the page did not start: {''.join(said)}")
        finally:
            process.terminate()
