"""Whatever Twilio's own library can write is known: no element and no attribute of it is a warning."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from twilio.twiml import TwiML
from twilio.twiml.voice_response import VoiceResponse

from callbot.simulators.twilio.twiml_reader import parse

ACCUSATIONS = ("has no attribute", "is not a TwiML verb", "cannot hold", "not known in")


def builders(element: Any) -> Iterator[tuple[str, Any]]:
    """The methods of a library class that add an element to it."""
    for name, method in inspect.getmembers(element, inspect.ismethod):
        own = name not in dir(TwiML)
        if own and not name.startswith("_"):
            yield name, method


def filled(method: Any) -> dict[str, str]:
    """Something for every parameter of a builder."""
    parameters = inspect.signature(method).parameters.values()
    return {parameter.name: "1" for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD}


VERBS = [name for name, _ in builders(VoiceResponse())]


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_of_the_library_and_its_nouns_are_known(name: str) -> None:
    documents = []
    verb = getattr(VoiceResponse(), name)
    response = VoiceResponse()
    getattr(response, name)(**filled(verb))
    documents.append(str(response))
    for noun, _ in builders(verb(**filled(verb))):
        response = VoiceResponse()
        parent = getattr(response, name)(**filled(verb))
        add = getattr(parent, noun)
        add(**filled(add))
        documents.append(str(response))
    warnings = [warning for document in documents for warning in parse(document).warnings]
    assert [warning for warning in warnings if any(accusation in warning for accusation in ACCUSATIONS)] == []


def test_the_library_was_found_to_write_verbs() -> None:
    assert {"say", "dial", "connect", "gather", "record", "start", "pay"} <= set(VERBS)
