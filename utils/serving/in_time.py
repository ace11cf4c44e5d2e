"""A picture prepared within a time limit, by a process of its own where it may take long.

Enters: the path of an uploaded file. Leaves: `utils.serving.picture_input.Prepared`.
A decoder can't be stopped from within, and a few kilobytes can keep one busy for hours; nor is a
flaw in one to be met by the process that serves everybody.
"""

import json
import os
import subprocess
import sys
import threading

import numpy as np

from utils.base.cifar10 import ROOT
from utils.serving.picture_input import MIDDLE, QUICK_BYTES, Part, Prepared, check_size, prepare

SECONDS = 10  # a picture; 25 megapixels take three on a slow core
MEMORY = 4 * 2**30  # bytes of address space; threads have 8 MB each, 25 megapixels 350 MB
_idle = []  # processes that wait for a picture


def prepare_in_time(path, image_shape, part=MIDDLE):
    """Do what `utils.serving.picture_input.prepare` does, within `SECONDS`.

    Raises
    ------
    ValueError
        As `prepare` does, or because it took longer.
    """
    if check_size(path) <= QUICK_BYTES:
        found = prepare(path, image_shape, part, quick_only=True)
        if found is not None:
            return found
    answer, pixels = _ask([os.path.abspath(path), *image_shape, *part])
    if isinstance(answer, str):
        raise ValueError(answer)
    shapes, frame = answer
    arrays, start = [], 0
    for shape in shapes:
        end = start + int(np.prod(shape))
        arrays.append(np.frombuffer(pixels[start:end], np.uint8).reshape(shape))
        start = end
    return Prepared(arrays[0], arrays[1] if len(arrays) > 1 else None, part, tuple(frame))


def _ask(question):
    """Return a helper's answer (from JSON) and the bytes that follow it."""
    helper = _take()
    limit = threading.Timer(SECONDS, helper.kill)
    limit.start()
    try:
        helper.stdin.write(json.dumps(question).encode() + b"\n")
        helper.stdin.flush()
        answer, size = json.loads(helper.stdout.readline())
        pixels = helper.stdout.read(size)
        if len(pixels) < size:
            raise EOFError
    except (OSError, ValueError, EOFError) as error:
        helper.kill()
        helper.communicate()
        raise ValueError(
            f"This picture can't be read within {SECONDS} seconds; make it smaller first."
        ) from error
    finally:
        limit.cancel()
    _idle.append(helper)
    return answer, pixels


def _take():
    while _idle:
        helper = _idle.pop()
        if helper.poll() is None:
            return helper
        helper.communicate()
    return subprocess.Popen(
        [sys.executable, "-m", "utils.serving.in_time"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _serve():
    """Answer questions, a line each, until nobody asks any more."""
    try:
        import resource  # noqa: PLC0415  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except ImportError:
        pass
    for line in sys.stdin.buffer:
        path, height, width, *part = json.loads(line)
        pixels = b""
        try:
            found = prepare(path, (height, width), Part(*part))
            arrays = [array for array in found[:2] if array is not None]
            answer = [array.shape for array in arrays], found.frame
            pixels = b"".join(array.tobytes() for array in arrays)
        except ValueError as problem:
            answer = str(problem)
        sys.stdout.buffer.write(json.dumps([answer, len(pixels)]).encode() + b"\n" + pixels)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
