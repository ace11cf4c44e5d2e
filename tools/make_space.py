"""Put together a Hugging Face Space in ``build/space/``: exactly what the page needs.

    python -m tools.make_space               or: make space
    python -m tools.make_space OWNER/NAME    or: make deploy-space SPACE=OWNER/NAME

With a name it is uploaded there too, as who the token in the environment variable ``HF_TOKEN`` is.
Who hosts it elsewhere builds a container of it: ``docker build -t cifar10 build/space``.
"""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys

import onnx
from huggingface_hub import HfApi

from utils.base.cifar10 import ROOT
from utils.base.files import write_text

SPACE = ROOT / "build" / "space"
COPIED = ("app.py", "LICENSE", "utils/__init__.py", "utils/base/*.py", "utils/serving/*.py")
COPIED += ("models/*.onnx", "images/examples/*.png", "images/README.md")
PACKAGES = ("gradio", "numpy", "onnxruntime", "pillow", "pillow-heif")
OURS = "images/examples/1_deer.png"  # in every Space of this kind
OF_ANY = {"README.md", ".gitattributes"}  # in a Space that was only created

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
DOCKERFILE = """\
FROM python:{python}-slim
RUN useradd --create-home page
WORKDIR /home/page/app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER page
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \\
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/config')"]
CMD ["python", "app.py"]
"""


def make_space(directory):
    """Write the Space to `directory` (pathlib.Path), in the place of what is there."""
    shutil.rmtree(directory, ignore_errors=True)
    records = {record_of(path) for path in ROOT.glob("models/*.onnx")} - {""}
    for path in [path for pattern in (*COPIED, *records) for path in sorted(ROOT.glob(pattern))]:
        target = directory / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    lines = [f"{name}=={version}\n" for name, version in versions.items()]
    write_text(directory / "requirements.txt", "".join(lines))
    python = ".".join(platform.python_version_tuple()[:2])  # the one that has these versions
    front = README.format(gradio=versions["gradio"], python=python)
    write_text(directory / "README.md", front)
    write_text(directory / "Dockerfile", DOCKERFILE.format(python=python))
    write_text(directory / ".dockerignore", "Dockerfile\nREADME.md\n")


def record_of(path):
    """Return which record (str, below the repository root) the ``.onnx`` file names, or ""."""
    properties = onnx.load(path).metadata_props
    return next((each.value for each in properties if each.key == "record"), "")


def deploy(directory, name):
    """Upload the folder to the Space `name` (str, ``owner/name``), and return its address.

    ValueError if there is such a Space with anything else in it, which would be lost.
    """
    api = HfApi(token=os.environ["HF_TOKEN"])
    if api.repo_exists(name, repo_type="space"):
        files = set(api.list_repo_files(name, repo_type="space"))
        if OURS not in files and files - OF_ANY:
            raise ValueError(
                f"{name}: a Space of something else, with {min(files - OF_ANY)}; choose another "
                "name, or delete it on huggingface.co"
            )
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
        try:
            print(deploy(SPACE, name))
        except ValueError as problem:
            sys.exit(str(problem))


if __name__ == "__main__":
    main()
