"""The way of the code: doors import wings, wings import base, never back, and never in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from utils.base.cifar10 import ROOT

FOLDERS = ("utils", "experiments", "tools")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in [ROOT / "app.py", *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))]
}
WINGS = ("base", "archive", "pipeline", "training", "results", "evaluation", "serving")
DOORS = ("download_handle_data", "load_patchs", "model_training_testing", "plotting")
HEAVY = {"tensorflow", "keras", "requests", "jax"}


def imports(name):
    """Return the full names of all that a module imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def inside(name):
    """Return the modules of this repository that a module imports."""
    return {one for one in imports(name) if one.split(".")[0] in (*FOLDERS, "app")}


def wing(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 2 and parts[0] == "utils" else None


@pytest.mark.parametrize("name", [name for name in MODULES if wing(name)])
def test_a_wing_imports_itself_and_base_only(name):
    assert wing(name) in WINGS
    assert {wing(one) for one in inside(name)} <= {wing(name), "base"}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_imports_wings_only(door):
    found = inside(f"utils.{door}")
    assert found
    assert all(wing(one) for one in found)


def test_there_are_no_other_rooms_beside_the_doors():
    beside = {path.stem for path in (ROOT / "utils").glob("*.py")}
    assert beside == {"__init__", *DOORS}


@pytest.mark.parametrize("name", [name for name in MODULES if wing(name) in ("base", "serving")])
def test_base_and_serving_do_without_a_training_framework(name):
    assert not {one.split(".")[0] for one in imports(name)} & HEAVY


def test_nothing_that_is_imported_imports_back():
    order = ("utils", "experiments", "tools")
    for name in MODULES:
        if name.split(".")[0] in order:
            own = order.index(name.split(".")[0])
            assert all(order.index(one.split(".")[0]) <= own for one in inside(name)), name


def test_there_is_no_circle():
    graph = {name: inside(name) & set(MODULES) for name in MODULES}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", MODULES)
def test_a_module_does_one_job(name):
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= 330


def test_every_public_name_can_be_imported_from_a_door():
    public = {
        "download_handle_data": "download_data extract_cifar10_data ConvertDataToImages",
        "load_patchs": "load_paths_labels handle_images_path_and_labels get_patch "
        "load_images_patch read_image_labels extract_labels split_names_file",
        "model_training_testing": "custom_f1_score train_and_evaluate_models predict model_1 "
        "model_2 model_3 model_4 whiten one_cycle_schedule save_model",
        "plotting": "show_images plot_accuracy plot_combined_confusion_heat_map",
    }
    for door, names in public.items():
        module = __import__(f"utils.{door}", fromlist=["*"])
        assert [name for name in names.split() if not hasattr(module, name)] == []


def test_folders_of_modules_are_known():
    assert {path.name for path in Path(ROOT / "utils").iterdir() if path.is_dir()} - {
        "__pycache__"
    } == set(WINGS)
