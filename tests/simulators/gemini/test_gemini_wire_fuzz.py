"""Anything that parses as JSON is answered or closed with 1007, and the stand-in lives on."""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_gemini_protocol import SETUP, dial
from websockets.exceptions import ConnectionClosed

from callbot.simulators.gemini import GeminiStandIn, StandInOptions
from callbot.simulators.gemini.families import RULES
from callbot.simulators.gemini.setup import SetupRefusedError, read_setup
from callbot.simulators.gemini.vad import VadSettings
from callbot.simulators.gemini.wire_reader import InvalidMessageError, camel, read_message, snake
from callbot.simulators.gemini.wire_schema import CLIENT_MESSAGE, Enum, Kind, Mapped, Message, Repeated, Scalar

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
RIGHT: dict[Scalar, st.SearchStrategy[Any]] = {
    Scalar.STRING: st.sampled_from(
        ["", "x", "user", "models/gemini-3.8-live", "audio/pcm;rate=16000", "audio/pcm;rate=99999999999"]
    ),
    Scalar.BOOL: st.booleans(),
    Scalar.INT32: st.integers(-(2**31), 2**31 - 1),
    Scalar.INT64: st.integers(0, 2**40).map(str) | st.integers(0, 2**40),
    Scalar.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Scalar.BYTES: st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode()),
    Scalar.OBJECT: st.dictionaries(st.text(max_size=6), SCALARS, max_size=2),
    Scalar.ANY: JUNK,
}


def values_of(kind: Kind, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a kind, now and then with something wrong in them."""
    match kind:
        case Message(_, fields):
            if depth > 6:
                return st.just({})
            some = {st.sampled_from([name, snake(name)]): values_of(field, depth + 1) for name, field in fields.items()}
            pairs = [st.tuples(name, value) for name, value in some.items()]
            right = st.lists(st.one_of(pairs), max_size=4).map(dict) if pairs else st.just({})
        case Repeated(item):
            right = st.lists(values_of(item, depth + 1), max_size=2) | values_of(item, depth + 1)
        case Mapped(item):
            right = st.dictionaries(st.text(max_size=4), values_of(item, depth + 1), max_size=2)
        case Enum(_, names):
            right = st.sampled_from(sorted(names))
        case Scalar():
            right = RIGHT[kind]
    return st.integers(0, 19).flatmap(lambda dice: JUNK if dice == 0 else right)


MESSAGES = st.deferred(lambda: values_of(CLIENT_MESSAGE))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(MESSAGES | JUNK, st.sampled_from(["gemini", "vertex"]), st.sampled_from(["v1alpha", "v1beta"]))
def test_every_message_is_read_or_refused_with_words(decoded: Any, mode: str, version: str) -> None:
    try:
        message = read_message(decoded)
        if "setup" in message:
            read_setup(message["setup"], mode=mode, version=version, vad=VadSettings(), extra_models=frozenset({"x"}))
    except (InvalidMessageError, SetupRefusedError) as refused:
        reason = str(refused)
    else:
        reason = "read"
    assert reason


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(MESSAGES, min_size=1, max_size=6), st.sampled_from(["gemini-3.8-live", "gemini-2.5-flash-native-audio-latest"]))
async def test_over_the_wire_it_ends_in_1007_or_not_at_all(messages: list[Any], model: str) -> None:
    async with GeminiStandIn(StandInOptions(tls=False, time_scale=1000)) as standin:  # raises what went wrong inside
        async with dial(standin) as wire:
            await wire.send(json.dumps({"setup": {**SETUP["setup"], "model": f"models/{model}"}}))
            await wire.recv()
            try:
                for message in messages:
                    await wire.send(json.dumps(message))
                    await wire.ping()
            except ConnectionClosed:
                pass
            await standin.wait_for(lambda: standin.sessions[0].closed or standin.sessions[0].messages_received >= len(messages))
        session = standin.sessions[0]
        await standin.wait_for(lambda: session.closed)
        assert (session.closed_by, session.close_code) in {("client", 1000), ("server", 1007)}


def test_every_field_can_be_written_in_both_spellings() -> None:
    for message in [CLIENT_MESSAGE, *(kind for kind in CLIENT_MESSAGE.fields.values() if isinstance(kind, Message))]:
        for name in message.fields:
            assert camel(snake(name)) == name
    assert set(RULES) == {"2.5", "3.1", "3.8", ""}


@pytest.mark.parametrize("value", ["5", 5, 5.0])
def test_integers_may_come_as_text(value: Any) -> None:
    message = read_message({"setup": {"context_window_compression": {"trigger_tokens": value}}})
    assert message["setup"]["contextWindowCompression"]["triggerTokens"] == 5


def test_a_list_of_one_may_come_without_its_list() -> None:
    message = read_message({"clientContent": {"turns": {"role": "user", "parts": {"text": "hi"}}}})
    assert message == {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hi"}]}]}}
