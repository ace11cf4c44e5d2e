"""Builds the package ``cifar10_keras`` from ``utils/`` and ``experiments/``, for `pip install`.

In a clone the folders are imported as they are. Installed beside other packages, ``utils`` would be
anybody's name, so that the build copies the modules and changes the name in their imports, and
where their text names a module. Nothing else differs.
"""

import re
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "cifar10_keras"
FOLDERS = {"utils": NAME, "experiments": f"{NAME}/experiments"}


def renamed(source, modules):
    """Return the text `source` with `modules` (mapping of folder to names in it) under `NAME`."""
    for folder, names in modules.items():
        name = FOLDERS[folder].replace("/", ".")
        following = rf"(?=\.(?:{'|'.join(names)})\b|\s+import\b)"
        source = re.sub(rf"(?<![\w./]){folder}{following}", name, source)
    return source.replace("python -m experiments", f"python -m {NAME}.experiments")


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling as the build begins; adds the copies to what the wheel contains."""

    def initialize(self, version, build_data):
        if self.target_name != "wheel":
            return
        if version == "editable":
            raise ValueError("a clone needs no `pip install -e`: import `utils` in its root")
        root = Path(self.root)
        modules = {
            folder: sorted({path.stem for path in (root / folder).glob("[!_]*")})
            for folder in FOLDERS
        }
        self.copies = tempfile.TemporaryDirectory()
        for folder, target in FOLDERS.items():
            for path in sorted((root / folder).rglob("*.py")):
                place = Path(target, path.relative_to(root / folder))
                copy = Path(self.copies.name, place)
                copy.parent.mkdir(parents=True, exist_ok=True)
                text = renamed(path.read_text(encoding="utf-8"), modules)
                copy.write_text(text, encoding="utf-8")
                build_data["force_include"][str(copy)] = str(place)

    def finalize(self, version, build_data, artifact_path):
        if hasattr(self, "copies"):
            self.copies.cleanup()
