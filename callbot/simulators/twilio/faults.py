"""What can go wrong on Twilio's side of a call, as typed values that a call is given.

A fault with `at_ms` strikes when the stream has been running for that long (0: with the first frame); it
applies to every stream of the call unless `stream` names one (1 is the first). `Line.inject` strikes at once.
"""

import base64
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

HUGE_PAYLOAD_BYTES = 1 << 20  # far above anything Twilio sends, below the usual limits of several MiB
NESTING = 50_000  # deep enough to exhaust a recursive JSON reader


class HangUpStyle(StrEnum):
    """What the app gets to see when a stream ends from Twilio's side."""

    STOP_THEN_CLOSE = "stop, then close"
    STOP_WITH_CLOSE = "stop and close in one write"
    CLOSE_WITHOUT_STOP = "close without stop"
    STOP_WITHOUT_CLOSE = "stop without close"
    SILENCE = "nothing at all"
    RESET = "TCP reset"


class BadSignature(StrEnum):
    """Ways in which a signature is not the right one."""

    MISSING = "missing"
    WRONG = "wrong"
    WRONG_SCHEME = "https for wss, http for https"
    TRAILING_SLASH = "trailing slash"
    PREVIOUS = "made with the previous auth token"


class Garbage(StrEnum):
    """Messages that no well-behaved peer sends."""

    UNKNOWN_EVENT = "unknown event"
    NO_EVENT = "no event"
    MISSING_KEYS = "missing keys"
    NUMBERS_FOR_STRINGS = "numbers for strings"
    NULL_PAYLOAD = "null payload"
    BAD_BASE64 = "bad base64"
    EMPTY_PAYLOAD = "empty payload"
    HUGE_PAYLOAD = "1 MiB payload"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not an object"
    DEEP_NESTING = "deep nesting"
    BINARY_FRAME = "binary frame"
    INVALID_UTF8 = "invalid UTF-8"


type Signed = Literal[
    "voice", "fallback", "redirect", "action", "dial-action", "rest-url", "replay", "status", "stream-status", "stream"
]


@dataclass(frozen=True, slots=True)
class WrongSignature:
    """Sign one kind of request wrongly: an `Exchange.kind`, or "stream" for the handshake."""

    kind: BadSignature = BadSignature.WRONG
    where: Signed = "stream"


@dataclass(frozen=True, slots=True)
class OverrideParameter:
    """Change a <Parameter> on its way into `start`; None leaves it out. For foreign, old and reused tokens."""

    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class DelayHandshake:
    """Open the socket this much later than usual, for instance after a token has expired."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class NeverStart:
    """Send `connected` and nothing more."""


@dataclass(frozen=True, slots=True)
class MediaBeforeStart:
    """Send this many media frames between `connected` and `start`."""

    frames: int = 3


@dataclass(frozen=True, slots=True)
class StopAfterStart:
    """Send `stop` straight after `start`, without any media, and close."""


@dataclass(frozen=True, slots=True)
class DuplicateStart:
    """Send `start` again, optionally with another call's sid."""

    at_ms: int = 0
    call_sid: str = ""
    stream: int = 0


@dataclass(frozen=True, slots=True)
class SendGarbage:
    """Send a malformed message, `times` times in a row."""

    kind: Garbage
    at_ms: int = 0
    times: int = 1
    stream: int = 0


@dataclass(frozen=True, slots=True)
class DtmfStorm:
    """Key presses as fast as 50 a second, A-D among them."""

    at_ms: int = 0
    presses: int = 50
    stream: int = 0


@dataclass(frozen=True, slots=True)
class MarkFlood:
    """Echoes of marks that the app never sent, all at once."""

    at_ms: int = 0
    marks: int = 200
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """Hold up everything towards the app, then deliver it in one clump."""

    at_ms: int
    for_ms: int
    stream: int = 0


@dataclass(frozen=True, slots=True)
class LoseFrames:
    """Lose this many of the caller's frames in a row."""

    at_ms: int
    frames: int
    stream: int = 0


@dataclass(frozen=True, slots=True)
class OtherTrack:
    """Send frames of the outbound track among the caller's: `frames` in a row, of a loud tone."""

    at_ms: int
    frames: int = 50
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Mute:
    """Send no frames at all for a while; `chunk` goes on as if nothing were missing, `timestamp` jumps."""

    at_ms: int
    for_ms: int
    stream: int = 0


@dataclass(frozen=True, slots=True)
class StopReading:
    """Do not read from the socket for a while; the TCP window closes."""

    at_ms: int
    for_ms: int
    stream: int = 0


@dataclass(frozen=True, slots=True)
class EndStream:
    """End the stream in the given style while the call goes on (as after a fault at Twilio's)."""

    at_ms: int
    style: HangUpStyle = HangUpStyle.RESET
    stream: int = 0


@dataclass(frozen=True, slots=True)
class SecondSocket:
    """Open a second socket for the same call with the same parameters; at_ms -1: before the first one."""

    at_ms: int = 0
    lasts_ms: int = 1000


@dataclass(frozen=True, slots=True)
class ReplayVoiceWebhook:
    """Deliver the voice webhook again, byte for byte; only the first answer is executed."""

    times: int = 1


type TimedFault = (
    DuplicateStart | SendGarbage | DtmfStorm | MarkFlood | Stall | LoseFrames | OtherTrack | Mute | StopReading | EndStream
)  # fmt: skip
type Fault = (
    TimedFault
    | WrongSignature
    | OverrideParameter
    | DelayHandshake
    | NeverStart
    | MediaBeforeStart
    | StopAfterStart
    | SecondSocket
    | ReplayVoiceWebhook
)
TIMED_FAULTS = (
    DuplicateStart, SendGarbage, DtmfStorm, MarkFlood, Stall, LoseFrames, OtherTrack, Mute, StopReading, EndStream,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A WebSocket message as bytes; `binary` chooses the opcode, whatever the bytes are."""

    payload: bytes
    binary: bool = False


def garbage_message(kind: Garbage, stream_sid: str, sequence: int) -> RawMessage:
    """Build the malformed message `kind`, as close to a real one as the fault allows."""
    frame = base64.b64encode(b"\xff" * 160).decode()
    media: dict[str, object] = {"track": "inbound", "chunk": "1", "timestamp": "100", "payload": frame}
    message: dict[str, object] = {
        "event": "media",
        "sequenceNumber": str(sequence),
        "streamSid": stream_sid,
        "media": media,
    }
    match kind:
        case Garbage.UNKNOWN_EVENT:
            message = {"event": "weather", "sequenceNumber": str(sequence), "streamSid": stream_sid, "weather": {}}
        case Garbage.NO_EVENT:
            del message["event"]
        case Garbage.MISSING_KEYS:
            message = {"event": "media", "streamSid": stream_sid}
        case Garbage.NUMBERS_FOR_STRINGS:
            message["sequenceNumber"] = sequence
            media |= {"chunk": 1, "timestamp": 100}
        case Garbage.NULL_PAYLOAD:
            media["payload"] = None
        case Garbage.BAD_BASE64:
            media["payload"] = "!!not*base64!!"
        case Garbage.EMPTY_PAYLOAD:
            media["payload"] = ""
        case Garbage.HUGE_PAYLOAD:
            media["payload"] = base64.b64encode(b"\xff" * HUGE_PAYLOAD_BYTES).decode()
        case Garbage.NOT_JSON:
            return RawMessage(b'{"event":"media","streamSid":')
        case Garbage.NOT_AN_OBJECT:
            return RawMessage(b'["media"]')
        case Garbage.DEEP_NESTING:
            return RawMessage(b'{"event":"media","media":' + b"[" * NESTING + b"]" * NESTING + b"}")
        case Garbage.BINARY_FRAME:
            return RawMessage(json.dumps(message).encode(), binary=True)
        case Garbage.INVALID_UTF8:
            return RawMessage(b'{"event":"media","streamSid":"\xff\xfe"}')
    return RawMessage(json.dumps(message).encode())
