"""What the app sends is held against the three documented shapes."""

import json
from typing import Any

import pytest

from callbot.simulators.twilio.checks import Clear, Mark, Media, read_message

SID = "MZ1"


def message(**given: Any) -> str:
    return json.dumps({"streamSid": SID} | given)


def test_the_three_shapes_are_read() -> None:
    assert read_message(message(event="media", media={"payload": "//8="}), SID) == (Media(b"\xff\xff"), None)
    assert read_message(message(event="mark", mark={"name": "a"}), SID) == (Mark("a"), None)
    assert read_message(message(event="clear"), SID) == (Clear(), None)


@pytest.mark.parametrize(
    ("sent", "code", "kind"),
    [
        (b"\xff\xff", 31950, "binary_frame"),
        ("{", 31951, "not_json"),
        ("[" * 100_000, 31951, "not_json"),
        ('{"event":"clear","streamSid":"MZ1","streamSid":"MZ1"}', 31951, "not_json"),
        ('"media"', 31951, "not_an_object"),
        (message(event="hello"), 31951, "unknown_event"),
        (message(), 31951, "unknown_event"),
        (message(event=["media"]), 31951, "unknown_event"),
        (message(event="clear", streamSid="MZ2"), 31951, "wrong_stream_sid"),
        (json.dumps({"event": "clear"}), 31951, "missing_key"),
        (message(event="media"), 31951, "missing_key"),
        (message(event="media", media={}), 31951, "missing_key"),
        (message(event="media", media={"payload": "//8=", "track": "outbound"}), 31951, "extra_key"),
        (message(event="clear", clear={}), 31951, "extra_key"),
        (message(event="mark", mark={"name": "a", "at": 1}), 31951, "extra_key"),
        (message(event="mark", mark={"name": 5}), 31951, "wrong_type"),
        (message(event="mark", mark={"name": ""}), 31951, "wrong_type"),
        (message(event="mark", mark="a"), 31951, "wrong_type"),
        (message(event="media", media={"payload": None}), 31951, "wrong_type"),
        (message(event="media", media={"payload": "a*"}), 31951, "bad_base64"),
        (message(event="media", media={"payload": "//8"}), 31951, "bad_base64"),
        (message(event="media", media={"payload": ""}), 0, "empty_payload"),
    ],
)
def test_anything_else_is_a_fault_with_its_code(sent: str | bytes, code: int, kind: str) -> None:
    wanted, fault = read_message(sent, SID)
    assert wanted is None
    assert fault is not None
    assert (fault.code, fault.kind) == (code, kind)
    assert fault.explanation


def test_a_file_header_is_played_and_still_a_fault() -> None:
    wanted, fault = read_message(message(event="media", media={"payload": "UklGRgAA"}), SID)
    assert wanted == Media(b"RIFF\x00\x00")
    assert fault is not None
    assert fault.kind == "file_header"
