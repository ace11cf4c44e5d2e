"""Checks of arguments that several modules share."""

import operator


def positive_integer(name, value):
    """Return `value` as int; ValueError naming it unless it is an integer of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected an integer of at least 1")
    return number
