"""Rows of a batch in, PNG files out; and a look at the headers of pictures from elsewhere.

A row is uint8 of shape (3072,): red, green and blue of a 32x32 image, each row by row.
"""

import io
import os
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from tqdm import tqdm

SHARE = 250  # pictures that a thread takes at a time
MAX_PIXELS = 50_000_000  # of a picture from elsewhere; decoded, that many take 150 MB


def _chunk(kind, content):
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


# Every picture's file is HEAD, its pixels, two checksums of 4 bytes, END.
ROW_SIZE = 1 + 32 * 3  # bytes: the row's filter, which is none, then red, green, blue of each pixel
PIXELS_SIZE = 32 * ROW_SIZE
STORED = b"\x78\x01\x01" + struct.pack("<2H", PIXELS_SIZE, 0xFFFF - PIXELS_SIZE)  # one zlib block
HEAD = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">2I5B", 32, 32, 8, 2, 0, 0, 0))
    + struct.pack(">I4s", len(STORED) + PIXELS_SIZE + 4, b"IDAT")
    + STORED
)
END = _chunk(b"IEND", b"")
SIZE = len(HEAD) + PIXELS_SIZE + 8 + len(END)


def encode_png(data):
    """Encode images as PNG with their pixels stored, not compressed.

    A picture takes one 4-KiB block of the disk either way, but is written and read in a fraction
    of the time (`benchmarks/convert.py`, `benchmarks/read.py`).

    Parameters
    ----------
    data : ndarray of uint8, shape (N, 3072), 0 to 255

    Returns
    -------
    list of N bytes
        PNG files, 8-bit RGB. Format: https://www.w3.org/TR/png-3/ and RFC 1950, 1951.
    """
    rows = np.zeros((len(data), 32, ROW_SIZE), np.uint8)
    rows[:, :, 1:] = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).reshape(-1, 32, 96)
    return [_file_of(image.tobytes()) for image in rows]


def _file_of(pixels):
    checked = b"IDAT" + STORED + pixels + struct.pack(">I", zlib.adler32(pixels))
    return HEAD[: -len(STORED) - 4] + checked + struct.pack(">I", zlib.crc32(checked)) + END


def check_header(file):
    """Raise ValueError unless the header of `file` (bytes) is a picture's of at most `MAX_PIXELS`.

    To be called before a decoder, which takes the memory that a header of a few bytes asks for.
    """
    try:
        with Image.open(io.BytesIO(file), formats=("PNG", "JPEG", "GIF", "BMP")) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:  # Pillow's own limit, which is higher
        raise ValueError(str(error)) from error
    except Exception as error:  # damaged headers raise almost anything
        raise ValueError("no header of a PNG, JPEG, GIF or BMP picture") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, more than {MAX_PIXELS:,}; make it smaller")


def write_pictures(paths, data, scratch):
    """Write the pictures that are missing or differ; each appears whole under its name.

    Parameters
    ----------
    paths : list of N str
    data : ndarray of uint8, shape (N, 3072), 0 to 255
    scratch : path-like
        A folder on the same disk for the pictures that are being written. What a killed run left
        there is removed first, and the folder at the end: only one may write at a time.
    """

    def write_share(start):
        temporary = os.path.join(scratch, str(start))
        share = slice(start, start + SHARE)
        for path, png in zip(paths[share], encode_png(data[share]), strict=True):
            if not _has(path, png):
                with open(temporary, "wb") as file:
                    file.write(png)
                os.replace(temporary, path)
        return len(paths[share])

    shutil.rmtree(scratch, ignore_errors=True)
    os.mkdir(scratch)
    try:
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tqdm(total=len(paths), unit="picture", desc="convert") as bar,
        ):
            for written in pool.map(write_share, range(0, len(paths), SHARE)):
                bar.update(written)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def find_other_picture(paths, data):
    """Return the first of `paths` that holds a sound picture other than its row, None if none does.

    Parameters
    ----------
    paths : list of N str
    data : ndarray of uint8, shape (N, 3072), 0 to 255
    """
    there = [i for i, path in enumerate(paths) if os.path.exists(path)]
    for i, png in zip(there, encode_png(data[there]), strict=True):
        with open(paths[i], "rb") as file:
            found = file.read()
        is_sound = found == _file_of(found[len(HEAD) : len(HEAD) + PIXELS_SIZE])
        if is_sound and found != png:
            return paths[i]
    return None


def read_pictures(paths):
    """Read pictures of one size, without TensorFlow.

    Parameters
    ----------
    paths : sequence of N str

    Returns
    -------
    ndarray of uint8, shape (N, height, width, 3), 0 to 255

    Raises
    ------
    FileNotFoundError, ValueError
        If a picture is missing, damaged, or of another size than the first; names its path.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = list(pool.map(_read_picture, paths, chunksize=SHARE))
    for path, picture in zip(paths, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise ValueError(f"{path}: shape {picture.shape}, the first has {pictures[0].shape}")
    return np.stack(pictures)


def _read_picture(path):
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such picture; convert again") from error
    pixels = content[len(HEAD) : len(HEAD) + PIXELS_SIZE]
    rows = np.frombuffer(pixels, np.uint8)
    if len(content) == SIZE and content == _file_of(pixels):
        rows = rows.reshape(32, ROW_SIZE)
        if not rows[:, 0].any():  # pixels as they are, not differences
            return rows[:, 1:].reshape(32, 32, 3)
    try:
        check_header(content)
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path}: not a picture or a damaged one; convert again") from error


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
