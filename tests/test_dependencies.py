"""What callbot imports is what it declares: nothing comes by way of somebody else's dependency."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_rooms import MODULES, imports_of, room_of

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = packages_distributions()
# Parts of the namespace `google`, which many distributions share.
GOOGLE = {"google.genai": "google-genai", "google.auth": "google-auth", "google.oauth2": "google-auth"}


def distribution_name(text: str) -> str:
    """A requirement's or a distribution's name, in PyPI's normal form."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", text)[0]).lower()


def distribution_of(imported: str) -> str | None:
    """The distribution behind a dotted name; None for the standard library's and callbot's own."""
    top = imported.split(".", maxsplit=1)[0]
    if top in sys.stdlib_module_names or top == "callbot":
        return None
    if top == "google":
        return GOOGLE[".".join(imported.split(".")[:2])]
    return distribution_name(DISTRIBUTIONS[top][0])


def imported_by(*, simulators: bool) -> set[str]:
    names = {name for module in MODULES if (room_of(module) == "simulators") is simulators for name in imports_of(module)}
    # `from google import genai` is read as google.genai, `from google import auth` likewise.
    return {found for name in names if (found := distribution_of(name)) is not None}


DECLARED = {distribution_name(text): text for text in PROJECT["dependencies"]}
FOR_SIMULATORS = {distribution_name(text) for text in PROJECT["optional-dependencies"]["simulators"]}


def test_callbot_declares_what_it_imports_and_imports_what_it_declares() -> None:
    imported = imported_by(simulators=False)
    assert imported - set(DECLARED) == set()
    assert set(DECLARED) - imported == set()


def test_the_stand_ins_declare_what_they_import() -> None:
    imported = imported_by(simulators=True)
    assert imported - set(DECLARED) - FOR_SIMULATORS == set()
    assert FOR_SIMULATORS - imported - imported_by(simulators=False) == set()


@pytest.mark.parametrize(
    "name", ["google-genai", "websockets", "hypercorn", "quart", "transitions", "werkzeug", "wsproto", "redis"]
)
def test_a_library_whose_private_parts_are_used_has_an_upper_bound(name: str) -> None:
    assert "<" in DECLARED[name]
