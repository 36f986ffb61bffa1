"""What Twilio sends on a Media Stream, decoded.

Two paths give the same messages. The fast one reads a well-formed `media` message in one go, base64 included: 50 of
those a second and call. Whatever it refuses, and every other event, takes the tolerant one, which reads key by key:
unknown keys are passed over, numbers and strings stand for each other, optional keys may be missing.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec

from callbot.wire.reading import LARGEST_COUNT, Unreadable, read_base64, read_count, read_object

LARGEST_MESSAGE: Final = 64 * 1024
"""In characters. Twilio's own stay under 1 kB, a `start` with all its parameters under 3 kB."""

_LONGEST_TEXT: Final = 256
"""Names and SIDs are cut here, so that no log line swells; Twilio's have at most 34 characters, our marks fewer."""
_MOST_PARAMETERS: Final = 32
_LARGEST_PARAMETER: Final = 1000
"""Name and value together. Twilio allows 500; what is larger is left out, for half a token is no token."""
_DTMF_DIGITS: Final = frozenset("0123456789*#ABCD")

_CALL_SID: Final = re.compile(r"CA[0-9a-f]{32}")
_STREAM_SID: Final = re.compile(r"MZ[0-9a-f]{32}")
_ACCOUNT_SID: Final = re.compile(r"AC[0-9a-f]{32}")


class Connected(msgspec.Struct, frozen=True):
    """The first message; the socket speaks Media Streams. Says nothing about the call."""

    protocol: str = ""
    version: str = ""


class MediaFormat(msgspec.Struct, frozen=True):
    """How the caller's audio is coded. The defaults are what a bidirectional stream always has."""

    encoding: str = "audio/x-mulaw"
    rate_hz: int = 8000
    channels: int = 1


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The stream's start, once, straight after `Connected`. The SIDs are as received: check them with `is_call_sid`
    and its like. `custom_parameters` holds the TwiML's `<Parameter>`s.
    """

    stream_sid: str
    call_sid: str
    account_sid: str
    media_format: MediaFormat = MediaFormat()
    custom_parameters: dict[str, str] = {}


class Media(msgspec.Struct, frozen=True):
    """A piece of the caller's audio: mu-law, 8 kHz, mono. Usually 160 bytes, 20 ms; any length may come, 0 too.

    `chunk` counts from 1, `timestamp_ms` from the stream's start (its first is 70 to 160, not 0); a gap in both is
    lost audio.
    """

    payload: bytes
    chunk: int | None = None
    timestamp_ms: int | None = None
    track: str = "inbound"


class Dtmf(msgspec.Struct, frozen=True):
    """The caller pressed a key: one of 0-9, *, #, A-D."""

    digit: str


class Mark(msgspec.Struct, frozen=True):
    """One of our marks came back: what was queued before it has been played, or cleared."""

    name: str


class Stop(msgspec.Struct, frozen=True):
    """The stream is over; Twilio closes the socket next. Often it never comes."""

    call_sid: str | None = None
    account_sid: str | None = None


type Incoming = Connected | Start | Media | Dtmf | Mark | Stop | Unreadable


def is_call_sid(text: str) -> bool:
    """Tell whether this is a call's SID: CA and 32 lower-case hexadecimal digits."""
    return _CALL_SID.fullmatch(text) is not None


def is_stream_sid(text: str) -> bool:
    """Tell whether this is a stream's SID: MZ and 32 lower-case hexadecimal digits."""
    return _STREAM_SID.fullmatch(text) is not None


def is_account_sid(text: str) -> bool:
    """Tell whether this is an account's SID: AC and 32 lower-case hexadecimal digits."""
    return _ACCOUNT_SID.fullmatch(text) is not None


def decode(message: str | bytes) -> Incoming:
    """Decode what the socket gave; never raises.

    Twilio sends text frames only, so bytes are `Unreadable("binary")` unseen. Faults beyond those of `Unreadable`:
    "unknown_event", "missing_key", "wrong_type", "null_payload", "bad_base64", "bad_digit".
    """
    if not isinstance(message, str):
        return Unreadable("binary")
    if len(message) > LARGEST_MESSAGE:
        return Unreadable("oversize")
    try:
        media = _read_media(message).media
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _decode_tolerantly(message)
    return Media(media.payload, media.chunk, media.timestamp, media.track)


# The fast path.

type _Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_COUNT)]


class _MediaBody(msgspec.Struct):
    payload: bytes  # msgspec takes the base64 off
    chunk: _Count | None = None
    timestamp: _Count | None = None
    track: Annotated[str, msgspec.Meta(max_length=_LONGEST_TEXT)] = "inbound"


class _MediaMessage(msgspec.Struct):
    event: Literal["media"]  # a field and no tag: msgspec lets a single struct's tag be missing
    media: _MediaBody


# Not strict: Twilio's counters are strings of digits.
_read_media: Final = msgspec.json.Decoder(_MediaMessage, strict=False).decode


# The tolerant path.


def _decode_tolerantly(message: str) -> Incoming:
    tree = read_object(message)
    if isinstance(tree, Unreadable):
        return tree
    event = tree.get("event")
    if not isinstance(event, str):
        return Unreadable("missing_key" if event is None else "wrong_type")
    reader = _READERS.get(event)
    if reader is None:
        return Unreadable("unknown_event")
    body = tree.get(event)
    if body is not None and not isinstance(body, dict):
        return Unreadable("wrong_type")
    return reader(tree, body or {})


def _connected(tree: dict[str, Any], _body: dict[str, Any]) -> Incoming:
    return Connected(_text(tree.get("protocol")) or "", _text(tree.get("version")) or "")


def _start(tree: dict[str, Any], body: dict[str, Any]) -> Incoming:
    stream_sid = _text(body.get("streamSid")) or _text(tree.get("streamSid"))
    call_sid = _text(body.get("callSid"))
    account_sid = _text(body.get("accountSid"))
    if not (stream_sid and call_sid and account_sid):
        return Unreadable("missing_key")
    return Start(
        stream_sid=stream_sid,
        call_sid=call_sid,
        account_sid=account_sid,
        media_format=_media_format(body.get("mediaFormat")),
        custom_parameters=_custom_parameters(body.get("customParameters")),
    )


def _media(_tree: dict[str, Any], body: dict[str, Any]) -> Incoming:
    if "payload" not in body:
        return Unreadable("missing_key")
    encoded = body["payload"]
    if not isinstance(encoded, str):
        return Unreadable("null_payload" if encoded is None else "wrong_type")
    payload = read_base64(encoded)
    if payload is None:
        return Unreadable("bad_base64")
    return Media(
        payload,
        read_count(body.get("chunk")),
        read_count(body.get("timestamp")),
        _text(body.get("track")) or "inbound",
    )


def _dtmf(_tree: dict[str, Any], body: dict[str, Any]) -> Incoming:
    digit = _text(body.get("digit"))
    if digit is None:
        return Unreadable("missing_key")
    return Dtmf(digit.upper()) if digit.upper() in _DTMF_DIGITS else Unreadable("bad_digit")


def _mark(_tree: dict[str, Any], body: dict[str, Any]) -> Incoming:
    name = _text(body.get("name"))
    return Unreadable("missing_key") if name is None else Mark(name)


def _stop(_tree: dict[str, Any], body: dict[str, Any]) -> Incoming:
    return Stop(_text(body.get("callSid")), _text(body.get("accountSid")))


_READERS: Final[dict[str, Callable[[dict[str, Any], dict[str, Any]], Incoming]]] = {
    "connected": _connected,
    "start": _start,
    "media": _media,
    "dtmf": _dtmf,
    "mark": _mark,
    "stop": _stop,
}


def _text(value: object) -> str | None:
    """Give a short text, also for a whole number; None for anything else."""
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    count = read_count(value)
    return None if count is None else str(count)


def _media_format(value: object) -> MediaFormat:
    usual = MediaFormat()
    if not isinstance(value, dict):
        return usual
    return MediaFormat(
        _text(value.get("encoding")) or usual.encoding,
        read_count(value.get("sampleRate")) or usual.rate_hz,
        read_count(value.get("channels")) or usual.channels,
    )


def _custom_parameters(value: object) -> dict[str, str]:
    parameters: dict[str, str] = {}
    if not isinstance(value, dict):
        return parameters
    for name, content in value.items():
        text = content if isinstance(content, str) else _text(content)
        if text is None or len(name) + len(text) > _LARGEST_PARAMETER:
            continue
        parameters[name] = text
        if len(parameters) == _MOST_PARAMETERS:
            break
    return parameters
