"""What `make` installs: no version that is known to be vulnerable, and each by its hash."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FILES = ("requirements.txt", "requirements-dev.txt", "requirements-ray.txt")
TESTED = ("3.11.0", "3.11.7", "3.12.1", "3.13.0")
PLATFORMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))


def requirements_in(name):
    """Name to Requirement of a file's own lines."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    texts = [line.partition("#")[0].strip() for line in lines]
    read = [Requirement(text) for text in texts if text and not text.startswith("-r ")]
    return {requirement.name: requirement for requirement in read}


def locked_in(name):
    """The lock's (Requirement, hashes) in its order."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    parts = [re.split(r"\s+--hash=", line.strip()) for line in lines]
    return [(Requirement(text), hashes) for text, *hashes in parts]


@pytest.mark.parametrize(
    ("name", "vulnerable", "sound"),
    [
        ("keras", "3.15.0", "3.15.1"),
        ("gradio", "6.19.9", "6.31.0"),
        ("pillow", "12.2.9", "12.3.0"),
    ],
)
def test_versions_known_to_be_vulnerable_are_excluded(name, vulnerable, sound):
    specifier = requirements_in("requirements.txt")[name].specifier
    assert not specifier.contains(vulnerable)
    assert specifier.contains(sound)


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_bounded_above(name):
    operators = {
        name: {item.operator for item in requirement.specifier}
        for name, requirement in requirements_in(name).items()
    }
    assert [name for name, each in operators.items() if not each & {"~=", "<"}] == []


@pytest.mark.parametrize(
    ("lock", "files"), [("requirements.lock", FILES[:1]), ("requirements-dev.lock", FILES)]
)
@pytest.mark.parametrize("python", TESTED)
@pytest.mark.parametrize("system", PLATFORMS, ids="-".join)
def test_the_lock_has_one_fitting_version_of_each_requirement(lock, files, python, system):
    place = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "sys_platform": system[0],
        "platform_machine": system[1],
        "os_name": "nt" if system[0] == "win32" else "posix",
    }
    pins = {}
    for requirement, _ in locked_in(lock):
        if requirement.marker is None or requirement.marker.evaluate(place):
            assert requirement.name not in pins
            pins[requirement.name] = str(requirement.specifier).removeprefix("==")
    for file in files:
        for name, requirement in requirements_in(file).items():
            pin = pins[name.replace("_", "-")]
            assert requirement.specifier.contains(pin), f"{file} wants {requirement}: make lock"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_version_has_hashes_and_no_place(lock):
    for requirement, hashes in locked_in(lock):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier))
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|file:|index-url|find-links|^-", text, re.MULTILINE)


def test_tests_run_on_the_versions_that_the_page_and_the_notebooks_get():
    versions = {}
    for requirement, _ in locked_in("requirements-dev.lock"):
        versions.setdefault(requirement.name, set()).add(str(requirement.specifier))
    other = [
        str(requirement)
        for requirement, _ in locked_in("requirements.lock")
        if str(requirement.specifier) not in versions[requirement.name]
    ]
    assert other == []
