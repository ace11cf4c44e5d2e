"""What `make` installs: no version that is known to be vulnerable."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

LINES = (Path(__file__).parents[1] / "requirements.txt").read_text(encoding="utf-8").splitlines()
REQUIREMENTS = {
    requirement.name: requirement.specifier
    for line in LINES
    if (text := line.partition("#")[0].strip())
    for requirement in [Requirement(text)]
}


@pytest.mark.parametrize(
    ("name", "vulnerable", "sound"),
    [
        ("keras", "3.15.0", "3.15.1"),
        ("gradio", "6.19.9", "6.31.0"),
        ("pillow", "12.2.9", "12.3.0"),
    ],
)
def test_versions_known_to_be_vulnerable_are_excluded(name, vulnerable, sound):
    assert not REQUIREMENTS[name].contains(vulnerable)
    assert REQUIREMENTS[name].contains(sound)


def test_every_requirement_is_bounded_above():
    operators = {name: {item.operator for item in each} for name, each in REQUIREMENTS.items()}
    assert [name for name, each in operators.items() if not each & {"~=", "<"}] == []
