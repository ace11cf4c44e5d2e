"""A recipe in a Python file of one's own in, one experiment more out: ``my_recipes.py:mine``."""

import importlib.util
from pathlib import Path

from experiments.recipes import EXPERIMENTS, Recipe

_registered = {}  # name to recipe, of other files than the table's


def register(reference):
    """Add a recipe of one's own to the experiments that can be run, recorded and reported.

    Parameters
    ----------
    reference : str
        ``"my_recipes.py:mine"``: the `Recipe` that is called ``mine`` in that file, which is run.
        Those of the file that it begins with, or learns from, are added too.

    Returns
    -------
    str
        Its name among the experiments, ``"mine"``.

    Raises
    ------
    ValueError
        If there is no such file or recipe, or another experiment has its name.
    """
    path, _, name = reference.rpartition(":")
    if not Path(path).is_file():
        raise ValueError(f"{reference}: no file {path!r}; expected such as my_recipes.py:mine")
    specification = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    found = {key: part for key, part in vars(module).items() if isinstance(part, Recipe)}
    if name not in found:
        raise ValueError(
            f"{path}: {name!r} is no Recipe there; there are {', '.join(found) or 'none'}"
        )
    _add(name, found, path)
    return name


def _add(name, found, path):
    recipe = found[name]
    if name in EXPERIMENTS and EXPERIMENTS[name] not in (recipe, _registered.get(name)):
        raise ValueError(f"{path}: there is another experiment {name}; call yours otherwise")
    EXPERIMENTS[name] = _registered[name] = recipe
    for other in sorted({recipe.init, recipe.teacher} & found.keys() - EXPERIMENTS.keys()):
        _add(other, found, path)
