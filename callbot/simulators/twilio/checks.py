"""Reads what the app sends, as strictly as Twilio documents it, and says what is wrong with it.

Only three shapes are valid (Twilio's page "WebSocket messages"); an extra or a missing key, another
`streamSid`, or anything that is not one JSON object in a text frame is a fault.
"""

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass

UNDECODABLE = 31950  # Twilio's debugger, once per stream
INVALID = 31951  # likewise
NOT_REPORTED = 0  # Twilio says nothing, the caller hears it
_SHOWN = 120  # characters of an offending message kept in a report


@dataclass(frozen=True, slots=True)
class ProtocolFault:
    """One message that the app should not have sent.

    `code` is the number in Twilio's debugger, 0 where Twilio would stay silent. `at_s` counts from the start
    of the recordings.
    """

    code: int
    kind: str
    explanation: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Media:
    """Audio to be played: mu-law bytes."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A request for an echo."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """A request to drop what is queued."""


type AppMessage = Media | Mark | Clear


def read_message(message: str | bytes, stream_sid: str) -> tuple[AppMessage | None, ProtocolFault | None]:
    """Return the message, the fault, or both when Twilio would act on a message that is still wrong."""
    if isinstance(message, bytes):
        return None, ProtocolFault(UNDECODABLE, "binary_frame", f"a binary frame of {len(message)} bytes")
    try:
        decoded: object = json.loads(message, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        return None, _invalid("not_json", f"{error}: {message[:_SHOWN]!r}")
    if not isinstance(decoded, dict):
        return None, _invalid("not_an_object", f"a message must be a JSON object: {message[:_SHOWN]!r}")
    event = decoded.get("event")
    expected = {"media": {"event", "streamSid", "media"}, "mark": {"event", "streamSid", "mark"}}.get(
        str(event), {"event", "streamSid"}
    )
    if event not in ("media", "mark", "clear"):
        return None, _invalid("unknown_event", f"event {event!r} is not one of media, mark, clear")
    wrong = _keys(decoded, expected, str(event))
    if wrong is not None:
        return None, wrong
    if decoded["streamSid"] != stream_sid:
        return None, _invalid("wrong_stream_sid", f"{event} names stream {decoded['streamSid']!r}")
    if event == "clear":
        return Clear(), None
    body = decoded[event]
    if not isinstance(body, dict):
        return None, _invalid("wrong_type", f"{event}.{event} must be an object")
    if event == "mark":
        return _mark(body)
    return _media(body)


def _mark(body: dict[str, object]) -> tuple[AppMessage | None, ProtocolFault | None]:
    wrong = _keys(body, {"name"}, "mark.mark")
    if wrong is not None:
        return None, wrong
    name = body["name"]
    if not isinstance(name, str) or not name:
        return None, _invalid("wrong_type", f"mark.name must be a text that is not empty, not {name!r}")
    return Mark(name), None


def _media(body: dict[str, object]) -> tuple[AppMessage | None, ProtocolFault | None]:
    wrong = _keys(body, {"payload"}, "media.media")
    if wrong is not None:
        return None, wrong
    payload = body["payload"]
    if not isinstance(payload, str):
        return None, _invalid("wrong_type", f"media.payload must be a text, not {type(payload).__name__}")
    try:
        audio = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        return None, _invalid("bad_base64", f"media.payload: {error}")
    if not audio:
        return None, ProtocolFault(NOT_REPORTED, "empty_payload", "a media message without audio")
    if audio[:4] in (b"RIFF", b".snd"):
        text = "the payload begins with a file header, which is played as noise"
        return Media(audio), ProtocolFault(NOT_REPORTED, "file_header", text)
    return Media(audio), None


def _keys(given: dict[str, object], expected: set[str], where: str) -> ProtocolFault | None:
    missing, extra = expected - set(given), set(given) - expected
    if missing:
        return _invalid("missing_key", f"{where} lacks {', '.join(sorted(missing))}")
    if extra:
        return _invalid("extra_key", f"{where} has {', '.join(sorted(extra))}, which Twilio does not know")
    return None


def _invalid(kind: str, explanation: str) -> ProtocolFault:
    return ProtocolFault(INVALID, kind, explanation)


def _without_duplicates(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} appears twice")
        found[key] = value
    return found
