"""Download other test sets of CIFAR-10's classes, for ``python -m experiments evaluate``.

    python -m tools.get_test_sets [cifar10_1 cifar10h cifar10_c]

They go below ``data/``, checked by MD5 or, where none is published, by the length; an interrupted
download goes on. The last lines say which environment variables name them.
"""

import argparse
import hashlib
import sys
import tarfile

from utils.archive.fetch import fetch
from utils.base.cifar10 import DATA_DIRECTORY

GITHUB = "https://raw.githubusercontent.com"
CIFAR10_1 = f"{GITHUB}/modestyachts/CIFAR-10.1/master/datasets"
CIFAR10_C = "https://zenodo.org/records/2535967/files"
# Name to the variable, what it names below data/<name>/, and the files: URL, bytes if they are
# known, and MD5: of CIFAR-10-C from its page, of CIFAR-10.1 as several projects have it.
TEST_SETS = {
    "cifar10_1": (
        "CIFAR10_1",
        "",
        [
            (f"{CIFAR10_1}/cifar10.1_v6_data.npy", None, "4fcae82cb1326aec9ed1dc1fc62345b8"),
            (f"{CIFAR10_1}/cifar10.1_v6_labels.npy", None, "09a97fb7c430502fcbd69d95093a3f85"),
        ],
    ),
    "cifar10h": (
        "CIFAR10H",
        "cifar10h-probs.npy",
        [(f"{GITHUB}/jcpeterson/cifar-10h/master/data/cifar10h-probs.npy", 800_128, None)],
    ),
    "cifar10_c": (
        "CIFAR10_C",
        "CIFAR-10-C",
        [(f"{CIFAR10_C}/CIFAR-10-C.tar", 2_918_471_680, "56bf5dcef84df0e2308c6dcbcbbd8499")],
    ),
}


def get_test_set(name, directory):
    """Download a test set.

    Parameters
    ----------
    name : str
        In `TEST_SETS`.
    directory : pathlib.Path
        What is there already is not asked for again.

    Returns
    -------
    str
        The setting of the environment that names it.

    Raises
    ------
    ConnectionError
        If a source does not answer, or with something else.
    """
    variable, named, files = TEST_SETS[name]
    if not (named and (directory / named).exists()):
        for url, size, md5 in files:
            path = directory / url.rpartition("/")[2]
            if not path.exists():
                fetch([url], path, lambda part, md5=md5: _check(part, md5), size=size)
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    tar.extractall(directory, filter="data")
                path.unlink()
    return f"{variable}={directory / named}"


def _check(path, md5):
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if md5 not in (None, found):
        raise ValueError(f"MD5 is {found}, expected {md5}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TEST_SETS)}")
    names = parser.parse_args().names or list(TEST_SETS)
    for name in names:
        if name not in TEST_SETS:
            sys.exit(f"{name!r} is no test set; there are {', '.join(TEST_SETS)}")
    try:
        settings = [get_test_set(name, DATA_DIRECTORY / name) for name in names]
    except (OSError, tarfile.TarError) as problem:
        sys.exit(str(problem))
    print(*(f"export {setting}" for setting in settings), sep="\n")


if __name__ == "__main__":
    main()
