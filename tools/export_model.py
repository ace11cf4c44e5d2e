"""Write a model as ONNX and LiteRT, and check that both predict what Keras predicts.

    python -m tools.export_model [models/model_1.keras ...]     or: make export
    python -m tools.export_model models/model_1.keras --publish [--title "Model 1"]
    python -m tools.export_model mine.keras --classes my_pictures/train_names.txt --directory models

The files go to ``build/export/``, or where ``--directory`` says. With ``--publish`` it is the
``.onnx`` alone, beside the model, for the page: it is compared by the validation pictures, which
have to be converted, and its hash and the largest difference go to the record of the run. What
lies in ``models/`` as ``.onnx`` the page offers, with the classes of the names file.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from experiments import load
from utils.base.cifar10 import CLASS_NAMES, ROOT
from utils.base.files import atomic_path, sha256_of
from utils.pipeline.names_file import read_classes
from utils.results.model_files import load_model
from utils.results.onnx_files import add_onnx, export_onnx, exportable
from utils.results.records import RESULTS, read_records, write_record

TOLERANCE = 1e-4  # of a probability, in LiteRT


def export_model(path, directory, *, title=None, class_names=CLASS_NAMES):
    """Export the model at `path` to `directory` (path-likes) in both formats, and compare.

    `class_names` (sequence of str) are in label order.

    Returns
    -------
    dict of pathlib.Path to float
        File to the largest difference of a probability from Keras's.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no model or `load_model` refuses it; or if a difference is too large, and the
        file is not kept.
    """
    model, record = load_model(path), record_of(path)
    name = f"results/{record['experiment']}/seed_{record['seed']}.json" if record else None
    onnx, litert = (Path(directory) / f"{Path(path).stem}{end}" for end in (".onnx", ".tflite"))
    return {
        onnx: export_onnx(model, onnx, record=name, title=title, class_names=class_names),
        litert: _export_litert(model, litert),
    }


def publish_onnx(path, *, title=None):
    """Write the ``.onnx`` beside the published model at `path`, and complete its record.

    Returns and raises as `export_model`; ValueError too if no record knows the model.
    """
    record = record_of(path)
    if record is None:
        raise ValueError(f"{path}: no record in results/ knows this file; publish it first")
    pictures = load(record["data"]["validation"]).validation.images
    onnx = add_onnx(load_model(path), path.parent, record, images=pictures, title=title)
    write_record(RESULTS, record)
    return {onnx: record["scores"]["onnx"]["largest_difference"]}


def record_of(path):
    """Return the record (dict) of the run whose model is at `path`, None where none knows it."""
    digest = sha256_of(path)
    known = (each for each in read_records() if digest in each["model"]["sha256"].values())
    return next(known, None)


def litert_runner(path):
    """Return a function from images to probabilities that runs the LiteRT file at `path`."""
    # Here: what --publish needs is installed wherever the notebooks run, and this is not.
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    run = Interpreter(os.fspath(path), num_threads=os.cpu_count()).get_signature_runner()
    (name,), (output,) = run.get_input_details(), run.get_output_details()
    return lambda images: run(**{name: images})[output]


def _export_litert(model, target):
    images = np.random.default_rng(0).random((256, *model.input_shape[1:]), np.float32)
    with atomic_path(target) as temporary:
        exportable(model).export(temporary, format="litert", verbose=False)
        answers = litert_runner(temporary)(images)
        difference = float(np.abs(answers - model(images, training=False).numpy()).max())
        if not difference <= TOLERANCE:
            raise ValueError(f"{target}: differs by {difference:.1e} from Keras; not written")
    return difference


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="default: all .keras in models/")
    parser.add_argument("--directory", type=Path, default=ROOT / "build" / "export")
    parser.add_argument("--publish", action="store_true", help="write .onnx beside the model")
    parser.add_argument("--title", help="the network's name for people")
    parser.add_argument("--classes", metavar="NAMES_FILE", help="of which the classes are")
    given = parser.parse_args()
    if given.classes and (given.publish or not given.models):
        parser.error("--classes is for models that are named, and not published")
    for path in given.models or sorted((ROOT / "models").glob("*.keras")):
        try:
            if given.publish:
                differences = publish_onnx(path, title=given.title)
            else:
                names = read_classes(given.classes).names if given.classes else CLASS_NAMES
                how = {"title": given.title, "class_names": names}
                differences = export_model(path, given.directory, **how)
        except (OSError, ValueError) as problem:
            sys.exit(str(problem))
        for target, difference in differences.items():
            print(f"{target}: at most {difference:.1e} from Keras's probabilities")


if __name__ == "__main__":
    main()
