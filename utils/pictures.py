"""Rows of a batch in, PNG files out.

A row is uint8 of shape (3072,): red, green and blue of a 32x32 image, each row by row.
"""

import os
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

SHARE = 250  # pictures that a thread takes at a time


def encode_png(data):
    """Encode images as PNG.

    Written for 32x32 pictures, where the set-up of a general encoder takes longer than its work,
    and holds the interpreter lock; `benchmarks/convert.py` compares.

    Parameters
    ----------
    data : ndarray of uint8, shape (N, 3072), 0 to 255

    Returns
    -------
    list of N bytes
        PNG files, 8-bit RGB. Format: https://www.w3.org/TR/png-3/.
    """
    pixels = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).reshape(-1, 32, 96)
    rows = np.ones((len(pixels), 32, 97), np.uint8)  # each row opens with its filter: 1 is Sub,
    rows[:, :, 1:] = pixels  # the difference from the pixel to the left
    rows[:, :, 4:] -= pixels[:, :, :-3]
    header = _chunk(b"IHDR", struct.pack(">2I5B", 32, 32, 8, 2, 0, 0, 0))
    end = _chunk(b"IEND", b"")
    return [
        b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(image, 1)) + end
        for image in rows
    ]


def _chunk(kind, content):
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return b"%s%s%s%s" % (
        struct.pack(">I", len(content)),
        kind,
        content,
        struct.pack(">I", checksum),
    )


def write_pictures(paths, data, scratch):
    """Write the pictures that are missing or differ; each appears whole under its name.

    Parameters
    ----------
    paths : list of N str
    data : ndarray of uint8, shape (N, 3072), 0 to 255
    scratch : path-like
        An existing folder on the same disk, for the picture that is being written.
    """

    def write_share(start):
        temporary = os.path.join(scratch, f".{os.getpid()}-{threading.get_ident()}.part")
        share = slice(start, start + SHARE)
        for path, png in zip(paths[share], encode_png(data[share]), strict=True):
            if not _has(path, png):
                with open(temporary, "wb") as file:
                    file.write(png)
                os.replace(temporary, path)
        return len(paths[share])

    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(paths), unit="picture", desc="convert") as bar,
    ):
        for written in pool.map(write_share, range(0, len(paths), SHARE)):
            bar.update(written)


def looks_written(paths, data, samples=100):
    """Tell whether all pictures are there, none is empty, and some of them equal their rows.

    A quick look at a finished conversion; `write_pictures` compares every picture.
    """
    try:
        if not all(os.stat(path).st_size for path in paths):
            return False
    except FileNotFoundError:
        return False
    some = np.linspace(0, len(paths) - 1, samples, dtype=int)
    return all(_has(paths[i], png) for i, png in zip(some, encode_png(data[some]), strict=True))


def _has(path, content):
    try:
        with open(path, "rb") as file:
            return file.read() == content
    except FileNotFoundError:
        return False
