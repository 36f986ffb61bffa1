"""The picture in docs/states.md is the table's."""

import re
from pathlib import Path

import pytest

from callbot.messages.terms import Timer
from callbot.states import State, diagram

PAGE = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    match = re.search(r"<!-- diagram: begin -->\n```mermaid\n(.*?)```\n<!-- diagram: end -->", PAGE.read_text(), re.DOTALL)
    assert match is not None, f"{PAGE.name} has lost its markers"
    assert match[1] == diagram(), "paste the output of callbot.states.diagram() between the markers of docs/states.md"


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_section(state: State) -> None:
    assert f"\n## {state.value.capitalize()}\n" in PAGE.read_text()


@pytest.mark.parametrize("timer", [timer.value for timer in Timer])
def test_every_timer_is_explained(timer: str) -> None:
    assert f"`{timer}`" in PAGE.read_text()
