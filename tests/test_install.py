"""What `make` installs, from a folder of two tiny wheels in the place of a registry."""

import hashlib
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tools import install as module
from tools.install import install, refuse_what_tensorflow_lacks
from utils.base.cifar10 import ROOT


def write_wheel(folder, version):
    """Write version `version` of a package without content; return its hash."""
    path = folder / f"tiny_thing-{version}-py3-none-any.whl"
    info = f"tiny_thing-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-thing\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Function that installs by a lock of version 1.0 with some hash; returns what is there."""
    registry, target = tmp_path / "registry", tmp_path / "environment"
    registry.mkdir()
    hashes = {version: write_wheel(registry, version) for version in ("1.0", "1.1")}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", target], check=True)
    [site] = target.rglob("site-packages")
    ours = Path(sysconfig.get_path("purelib"), "pip")
    (site / "pip").symlink_to(ours)  # to install one takes seconds
    python = next(target.glob("[bS]*/python*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry))
    monkeypatch.delenv("LOCK", raising=False)
    Path("requirements.txt").write_text("tiny-thing~=1.0\n")

    def versions(locked="1.0", digest=hashes["1.0"]):
        Path("requirements.lock").write_text(f"tiny-thing=={locked} --hash=sha256:{digest}\n")
        install("requirements", str(python))
        return [path.name.split("-")[1][:-5] for path in target.rglob("tiny_thing-*.dist-info")]

    return versions


def test_the_locked_version_is_taken_where_the_lock_fits(installed):
    assert installed() == ["1.0"]


def test_the_ranges_are_taken_on_another_kind_of_machine(installed, monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "riscv64")
    assert installed() == ["1.1"]


def test_the_ranges_are_taken_where_the_registry_lacks_the_locked_version(installed, capfd):
    assert installed(locked="1.0.5") == ["1.1"]
    assert "requirements.lock can't be had here; going on with requirements.txt" in (
        capfd.readouterr().out
    )


def test_another_file_under_the_locked_name_is_refused_unless_one_asks_for_it(
    installed, monkeypatch
):
    with pytest.raises(SystemExit, match=r"requirements\.lock: a package is another .* LOCK=no"):
        installed(digest="0" * 64)
    monkeypatch.setenv("LOCK", "no")
    assert installed(digest="0" * 64) == ["1.1"]


def test_what_the_lock_lacks_comes_from_the_ranges(installed):
    Path("requirements.txt").write_text("tiny-thing>=1.1\n")
    assert installed() == ["1.1"]


@pytest.mark.parametrize(
    ("version", "machine", "said"),
    [
        ((3, 10, 1), ("linux", "x86_64"), r"3\.11 to 3\.13, this is 3\.10: make PYTHON="),
        ((3, 14, 0), ("linux", "x86_64"), r"3\.11 to 3\.13, this is 3\.14: make PYTHON="),
        ((3, 13, 0), ("darwin", "x86_64"), "no build for Macs with an Intel processor.* docker"),
    ],
)
def test_where_tensorflow_has_no_build_make_says_how_to_go_on(version, machine, said):
    with pytest.raises(SystemExit, match=said):
        refuse_what_tensorflow_lacks(version, machine)


@pytest.mark.parametrize("machine", [("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")])
def test_it_goes_on_where_tensorflow_has_one(machine):
    refuse_what_tensorflow_lacks((3, 12, 0), machine)


@pytest.mark.parametrize(
    ("system", "folder"), [("Linux", ".venv/bin"), ("Windows_NT", ".venv/Scripts")]
)
def test_make_finds_the_environment_of_its_system(system, folder):
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/ready", f"OS={system}", "app"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert made.stdout == f"{folder}/python app.py\n"


def test_running_asks_for_nothing_that_only_tests_need(tmp_path):
    command = ["make", "-n", "-C", tmp_path, "-f", ROOT / "Makefile", "run", "app"]
    for name in ("requirements.txt", "requirements.lock"):
        (tmp_path / name).touch()
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "tools.install requirements\n" in made
    assert "requirements-dev" not in made
