"""What is noted down during a call: events, streams, marks, clears, requests, the caller's utterances.

All times `..._s` count from the start of the recordings, which is the start of the first stream; what
happened before it has a negative time.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from callbot.simulators.twilio.checks import ProtocolFault


class StreamEnd(StrEnum):
    """Why a stream is over."""

    APP_CLOSED = "the app closed the socket"
    APP_BROKE = "the socket broke"
    NOT_OPENED = "the socket was never opened"
    HUNG_UP = "the caller hung up"
    REDIRECTED = "the call was given new instructions"
    COMPLETED = "the call was ended through the API"
    TIME_LIMIT = "the call reached its time limit"
    INJECTED = "ended by an injected fault"


class CallEnd(StrEnum):
    """How a call ended."""

    CALLER = "the caller hung up"
    DOCUMENT = "the instructions ran out"
    HANGUP_VERB = "the instructions said to hang up"
    REJECTED = "the call was rejected"
    API = "ended through the API"
    TIME_LIMIT = "the time limit was reached"
    APPLICATION_ERROR = "application error"
    NOT_REACHED = "nobody answered"


class Event(NamedTuple):
    """One line of the timeline."""

    t_s: float
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class MarkRecord:
    """One mark: when it was received and echoed, and whether a clear brought it back unplayed."""

    name: str
    received_s: float
    echoed_s: float | None
    cleared: bool


@dataclass(frozen=True, slots=True)
class ClearRecord:
    """One clear: when, how much audio it threw away, which marks it returned."""

    at_s: float
    dropped_ms: float
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One Media Stream, from the handshake to the end of its socket.

    `http_status` is 101, or what the app answered instead, 0 for nothing. `close_code` is the app's, None
    without a close frame. `debugger` holds the codes Twilio would report, each once. `frames_discarded` are
    the caller's frames thrown away because the app read too slowly (31930).
    """

    stream_sid: str
    url: str
    parameters: tuple[tuple[str, str], ...]
    http_status: int
    started_s: float | None
    ended_s: float
    end: StreamEnd
    close_code: int | None
    close_reason: str
    debugger: tuple[int, ...]
    marks: tuple[MarkRecord, ...]
    clears: tuple[ClearRecord, ...]
    protocol_faults: tuple[ProtocolFault, ...]
    frames_sent: int
    frames_lost: int
    frames_discarded: int
    media_received: int
    audio_received_ms: float
    underruns: int
    underrun_ms: int
    partial_frames: int
    ragged_payloads: int
    max_queued_ms: float
    dropped_ms: float
    second: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request to the app, with its answer.

    `kind`: voice, fallback, redirect, action, dial-action, rest-url, replay, status or stream-status.
    `status` is 0 and `error_code` Twilio's code when there was no usable answer.
    """

    kind: str
    method: str
    url: str
    fields: tuple[tuple[str, str], ...]
    at_s: float
    took_s: float
    attempts: int
    status: int
    content_type: str
    body: str
    error_code: int = 0
    error: str = ""

    def field(self, name: str) -> str:
        """The value of a form field that was sent, "" when there is none."""
        return dict(self.fields).get(name, "")


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something the caller said.

    `end_s` is the end of its last audible frame. `latency_ms` runs from there to the first audible frame of
    the answer, None when none came before the caller spoke again. The barge-in fields are set when the bot
    was audible as the caller began: `clear_after_ms` from the caller's first frame to the clear (None: never),
    `heard_after_clear_ms` the bot's audio played between the clear and the caller's last word, `talked_over_ms` how
    long the bot's speech went on after the caller's first frame, until a pause.
    """

    name: str
    start_s: float
    end_s: float
    latency_ms: float | None
    barged_in: bool = False
    clear_after_ms: float | None = None
    dropped_ms: float = 0.0
    heard_after_clear_ms: float = 0.0
    talked_over_ms: float = 0.0
