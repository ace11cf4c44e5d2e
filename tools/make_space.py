"""Put together a Hugging Face Space in ``build/space/``: exactly what the page needs.

    python -m tools.make_space               or: make space
    python -m tools.make_space OWNER/NAME    or: make deploy-space SPACE=OWNER/NAME

With a name it is uploaded there too, as who the token in the environment variable ``HF_TOKEN`` is.
"""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys

from huggingface_hub import HfApi

from utils.base.cifar10 import ROOT
from utils.base.files import write_text

SPACE = ROOT / "build" / "space"
COPIED = ("app.py", "page_parts.py", "LICENSE", "models/*.keras", "models/*.json")
COPIED += ("results/*.json", "images/examples/*.png", "images/README.md")
MODULES = (
    *("__init__", "archive", "augment", "checks", "classifier", "download_handle_data", "fetch"),
    *("files", "load_patchs", "names_file", "picture_input", "pictures", "read_batches"),
    *("read_model", "read_pictures", "shipped_models"),
)
PACKAGES = ("filelock", "keras", "numpy", "pillow", "requests", "tqdm")

README = """\
---
title: CIFAR-10
emoji: 🦌
colorFrom: green
colorTo: red
sdk: gradio
sdk_version: {gradio}
app_file: app.py
python_version: "{python}"
license: mit
---

A small network says which of CIFAR-10's ten classes is in a picture, how sure it is, and when it
is probably none of them.
"""


def make_space(directory):
    """Write the Space to `directory` (pathlib.Path), in the place of what is there."""
    shutil.rmtree(directory, ignore_errors=True)
    modules = [f"utils/{name}.py" for name in MODULES]
    for path in [path for pattern in (*COPIED, *modules) for path in sorted(ROOT.glob(pattern))]:
        target = directory / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    versions = {name: importlib.metadata.version(name) for name in (*PACKAGES, "tensorflow")}
    versions["tensorflow-cpu"] = versions.pop("tensorflow")
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
    write_text(directory / "requirements.txt", "".join(lines))
    gradio = importlib.metadata.version("gradio")
    python = ".".join(platform.python_version_tuple()[:2])  # the one that has these versions
    write_text(directory / "README.md", README.format(gradio=gradio, python=python))


def deploy(directory, name):
    """Upload the folder to the Space `name` (str, ``owner/name``), and return its address."""
    api = HfApi(token=os.environ["HF_TOKEN"])
    api.create_repo(name, repo_type="space", space_sdk="gradio", exist_ok=True)
    api.upload_folder(repo_id=name, repo_type="space", folder_path=directory, delete_patterns="*")
    return f"https://huggingface.co/spaces/{name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="owner/name of the Space to upload to")
    name = parser.parse_args().name
    if name and not os.environ.get("HF_TOKEN"):
        sys.exit("HF_TOKEN is not set; put a write token of huggingface.co there")
    make_space(SPACE)
    print(f"{SPACE}: {sum(path.is_file() for path in SPACE.rglob('*'))} files")
    if name:
        print(deploy(SPACE, name))


if __name__ == "__main__":
    main()
