"""Start the page as a process of its own, for tests and screenshots."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from utils.download_handle_data import ROOT


@contextmanager
def serve(program="app.py", *, directory=ROOT, python=sys.executable, **environment):
    """Run a program that launches a Gradio page; yield its URL, and end it after the block.

    Parameters
    ----------
    program : str
        A file, or code as for ``python -c``.
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
    code = [program] if Path(directory, program).is_file() else ["-c", program]
    with subprocess.Popen(
        [python, "-u", *code],
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if "http://127.0.0.1" in line:
                    yield line.split()[-1]
                    return
            raise RuntimeError(f"the page did not start: {''.join(said)}")
        finally:
            process.terminate()
