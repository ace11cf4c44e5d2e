"""Checks of arguments that several modules share."""

import math
import operator
import re
from numbers import Real

RESERVED_NAME = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])\s*(?:\.|\Z)", re.IGNORECASE
)


def positive_integer(name, value):
    """Return `value` as int; ValueError naming it unless it is an integer of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected an integer of at least 1")
    return number


def positive_number(name, value):
    """Return `value` as it is; ValueError naming it unless it is a finite number more than 0."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}, expected a number more than 0")
    return value


def is_reserved_name(name):
    """Tell whether Windows takes the file `name` (str) for a device: ``CON``, ``aux.png``."""
    return RESERVED_NAME.match(name) is not None
