"""Set up ``.venv``, for `make`: ``python -m tools.install requirements [requirements-dev]``.

What enters are ``<name>.txt``, ranges by hand, and ``<name>.lock``, exact versions with hashes.
The lock is taken where it fits; what it lacks, or all where it does not fit, comes by the ranges.
``LOCK=no`` leaves it out. Imports the standard library only, and runs on Pythons that are too old.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

LOCKED = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))
PIP = ("-m", "pip", "install", "--no-compile")  # what is imported compiles itself: a minute less
DIFFERS = "DO NOT MATCH THE HASHES"


def refuse_what_tensorflow_lacks(version=sys.version_info, machine=None):
    """Exit with what to do where TensorFlow has no build: `version`, (sys.platform, machine)."""
    machine = machine or (sys.platform, platform.machine())
    if not (3, 11) <= tuple(version[:2]) < (3, 14):
        sys.exit(
            f"TensorFlow needs Python 3.11 to 3.13, this is {version[0]}.{version[1]}: "
            "make PYTHON=/path/to/python3.13 ..."
        )
    if machine == ("darwin", "x86_64"):
        sys.exit(
            "TensorFlow 2.21 has no build for Macs with an Intel processor. On an Apple one, take "
            "a Python for arm64; on an Intel one, go on in a container of Linux: "
            'docker run -it -v "$PWD":/cifar -w /cifar -p 7860:7860 python:3.13 make run'
        )


def lock_fits(lock, machine=None):
    """Whether `lock` (pathlib.Path) is there, wanted, and made for this kind of machine."""
    machine = machine or (sys.platform, platform.machine())
    return lock.is_file() and os.environ.get("LOCK") != "no" and machine in LOCKED


def install(name, python):
    """Install ``<name>.lock`` where it fits, then what is missing of ``<name>.txt``."""
    lock, quietly = Path(name + ".lock"), []
    if lock_fits(lock):
        command = [python, *PIP, "--require-hashes", "-r", str(lock)]
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        sys.stderr.write(run.stderr)
        if DIFFERS in run.stderr:
            sys.exit(f"{lock}: a package is another than the locked one. LOCK=no takes it anyway.")
        if not run.returncode:
            quietly = ["-q"]  # most often there is nothing left to do
        else:
            print(f"{lock} can't be had here; going on with {name}.txt", flush=True)
    subprocess.run([python, *PIP, *quietly, "-r", name + ".txt"], check=True)


def environment(folder):
    """Return the path of the Python in `folder` (str), a virtual environment made if need be."""
    if Path(sys.prefix) == Path(folder).resolve():
        return sys.executable
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return str(Path(folder, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python"))))


def main(names):
    refuse_what_tensorflow_lacks()
    try:
        python = environment(".venv")
        for name in names:
            install(name, python)
    except subprocess.CalledProcessError as problem:
        sys.exit(problem.returncode)  # pip has said why


if __name__ == "__main__":
    main(sys.argv[1:])
