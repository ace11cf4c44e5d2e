"""Put a published model together for Hugging Face, in ``build/hub/<name>``, and upload it.

    python -m tools.deploy_model MODEL               only the folder
    python -m tools.deploy_model MODEL OWNER/NAME    or: make deploy-model MODEL=... REPO=OWNER/NAME

Leaves: the ``.keras`` file, its report card, and a model card (``README.md``) whose metadata hold
the scores of its record. It is uploaded as who the token in ``HF_TOKEN`` is.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData

from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.files import sha256_of, write_text
from utils.results.records import read_record

LICENSES = {"model_2": "apache-2.0", "model_3": "cc-by-4.0"}  # of the weights they began with
CONTENT = """\
---
{metadata}
---

# {name}

A network of {parameters:,} parameters that says which of CIFAR-10's ten classes is in a picture of
32x32 pixels: {classes}.

```python
import keras
import numpy as np

model = keras.models.load_model("{file}")
picture = np.zeros((1, 32, 32, 3), "float32")  # red, green and blue, 0 to 1
probabilities = model.predict(picture)
```

{scores}
![Report card](card.png)

It says nothing of things that are none of the ten, and was tested on CIFAR-10's test pictures only;
the card shows what noise, blur and other corruptions cost. Trained on CIFAR-10 (A. Krizhevsky,
*Learning Multiple Layers of Features from Tiny Images*, 2009){origin}. SHA-256 of the file:
`{sha256}`.
"""


def find_record(name, root=ROOT):
    """Return the record (dict) of the run whose model is published as `name` (str).

    FileNotFoundError or ValueError if there is no such model, or no record tells of it.
    """
    path = Path(root) / "models" / f"{name}.keras"
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in path.parent.glob("*.keras")))
        raise FileNotFoundError(f"{path}: no such published model; there are {there}")
    digest = sha256_of(path)
    for place in sorted((Path(root) / "results" / name).glob("seed_*.json")):
        record = read_record(place)
        if record["model"]["sha256"].get(path.name) == digest:
            return record
    raise ValueError(f"{path}: no record in results/{name} tells of this file; publish it again")


def make_card(name, record):
    """Return the model card (huggingface_hub.ModelCard) of a record (dict)."""
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type="cifar10",
            dataset_name=dataset,
            dataset_split="test",
            metric_type=kind,
            metric_name=metric,
            metric_value=round(value, 4),
        )
        for dataset, metric, kind, value in _scores(record["scores"])
    ]
    data = ModelCardData(
        model_name=name,
        eval_results=results,
        license=LICENSES.get(record["recipe"]["network"], "mit"),
        library_name="keras",
        pipeline_tag="image-classification",
        datasets=["cifar10"],
        metrics=["accuracy"],
        tags=["cifar-10", record["recipe"]["network"].replace("_", "-")],
    )
    lines = [
        f"- {metric}, {dataset}: {value:.4f}\n"
        for dataset, metric, _, value in _scores(record["scores"])
    ]
    is_transferred = record["recipe"]["network"] in LICENSES
    text = CONTENT.format(
        metadata=data.to_yaml(),
        name=name,
        parameters=record["model"]["parameters"],
        classes=", ".join(CLASS_NAMES),
        file=f"{name}.keras",
        scores="".join(lines),
        origin=", from weights that ImageNet has trained" if is_transferred else "",
        sha256=record["model"]["sha256"][f"{name}.keras"],
    )
    return ModelCard(text)


def make_folder(name, directory, root=ROOT):
    """Write model, cards and metadata to `directory` (pathlib.Path), in the place of what is there.

    FileNotFoundError if the model or its report card is missing.
    """
    record, picture = find_record(name, root), Path(root) / "results" / name / "card.png"
    if not picture.is_file():
        raise FileNotFoundError(f"{picture}: no report card yet; run make report")
    card = make_card(name, record)
    shutil.rmtree(directory, ignore_errors=True)
    write_text(Path(directory) / "README.md", str(card))
    shutil.copy(Path(root) / "models" / f"{name}.keras", directory)
    shutil.copy(picture, directory)


def deploy(directory, repository):
    """Upload the folder to `repository` (str, ``owner/name``), and return its address (str)."""
    api = HfApi(token=os.environ["HF_TOKEN"])
    api.create_repo(repository, exist_ok=True)
    api.upload_folder(repo_id=repository, folder_path=directory)
    return f"https://huggingface.co/{repository}"


def _scores(scores):
    """Yield data set, metric, its type and value of what was measured."""
    yield "CIFAR-10", "accuracy", "accuracy", scores["published"]["accuracy"]
    yield "CIFAR-10", "macro-F1", "f1", scores["published"]["macro_f1"]
    if "accuracy" in scores:
        for end, value in zip(("low", "high"), scores["accuracy"]["interval_95"], strict=True):
            name = f"accuracy, {end} end of the 95 % interval by Wilson"
            yield "CIFAR-10", name, "accuracy", value
    if "calibration" in scores:
        after = scores["calibration"]["after"]
        temperature = f"at temperature {scores['calibration']['temperature']:.2f}"
        name = f"expected calibration error {temperature}"
        yield "CIFAR-10", name, "expected_calibration_error", after["ece_equal_width"]
    if "corruptions" in scores:
        name = f"mean accuracy, {scores['corruptions']['source']}"
        yield "CIFAR-10, corrupted", name, "accuracy", scores["corruptions"]["mean_accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a published model: airbench_small")
    parser.add_argument("repository", nargs="?", help="owner/name to upload to")
    arguments = parser.parse_args()
    if arguments.repository and not os.environ.get("HF_TOKEN"):
        sys.exit("HF_TOKEN is not set; put a write token of huggingface.co there")
    directory = ROOT / "build" / "hub" / arguments.model
    try:
        make_folder(arguments.model, directory)
    except (OSError, ValueError) as problem:
        sys.exit(str(problem))
    print(directory)
    if arguments.repository:
        print(deploy(directory, arguments.repository))


if __name__ == "__main__":
    main()
