"""What a sweep is to try: ``field=low:high[:log]`` or ``field=a,b,c`` in, checked values out."""

from dataclasses import fields
from typing import NamedTuple, get_args

from experiments.recipes import Recipe, parse, recipe_of

# Trials must be chosen by the same pictures, and build on models that are there.
FIXED = ("validation_size", "init", "teacher", "trains", "network")


class Span(NamedTuple):
    """Numbers from `low` to `high`, both included; evenly, or evenly by their logarithm."""

    low: int | float
    high: int | float
    log: bool


def parse_space(name, texts, **changes):
    """Return what is to be tried of each field.

    Parameters
    ----------
    name : str
        Of an experiment.
    texts : list of str
        "learning_rate=0.05:0.4:log", "epochs=8,10", "width=64-128-128,64-256-256".
    **changes
        Fields that are the same in all trials.

    Returns
    -------
    dict of str to Span or list

    Raises
    ------
    ValueError
        If there is no such experiment or field, a field is given twice or must stay as it is, or a
        value or range makes no sense.
    """
    recipe_of(name, **changes)
    space = {}
    for text in texts:
        field, _, values = text.partition("=")
        if field in FIXED:
            raise ValueError(f"{field} can't be searched; change it by --set, for all trials")
        if field in space:
            raise ValueError(f"{field} is given twice; list all its values once")
        space[field] = _span(field, values) if ":" in values else _choices(field, values)
        for value in space[field][:2] if isinstance(space[field], Span) else space[field]:
            recipe_of(name, **changes, **{field: value})  # refuses what makes no sense
    return space


def is_grid(space):
    """Return whether every field of a space has values that can be listed."""
    return not any(isinstance(values, Span) for values in space.values())


def _choices(field, text):
    values = [parse(field, part) for part in text.split(",")]
    if len(set(values)) < len(values):
        raise ValueError(f"{field}={text} has a value twice; list each once")
    return values


def _span(field, text):
    low, high, *rest = text.split(":")
    kinds = {item.name: item.type for item in fields(Recipe)}
    if field in kinds and not {int, float} & {kinds[field], *get_args(kinds[field])}:
        raise ValueError(f"{field} is no number and has no range; list its values: {field}=a,b")
    low, high = parse(field, low), parse(field, high)
    if rest not in ([], ["log"]) or None in (low, high):
        raise ValueError(f"{field}={text}, expected low:high or low:high:log")
    if not low < high:
        raise ValueError(f"{field}={text} is an empty range; the lower end comes first")
    if rest and low <= 0:
        raise ValueError(f"{field}={text}: zero has no logarithm; begin above it, or without :log")
    return Span(low, high, bool(rest))
