"""The timeline of one call, put together again from its log lines.

The lines are `actors/journal.py`'s: `message` is the event's name, `t_ms` counts from the stream's start. A log file comes
from anywhere, so nothing in it is trusted: a field of another type counts as absent, control characters are taken out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

Event = Mapping[str, Any]

_LONGEST_TEXT: Final = 120  # characters of one field; what people read in a table cell
_LONGEST_WORDS: Final = 2_000  # of what somebody said
_UNREAD: Final = frozenset({"call.progress", "turn.started", "tool.called", "caller.dtmf"})  # of these only the time is kept


def number(event: Event, key: str) -> float | None:
    """The number under `key`, or None when there is none."""
    value = event.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(event: Event, key: str, longest: int = _LONGEST_TEXT) -> str:
    """The text under `key`, fit for a terminal and cut to `longest` characters; empty when there is none."""
    value = event.get(key)
    if not isinstance(value, str):
        return ""
    value = value[:longest]
    return value if value.isprintable() else "".join(char for char in value if char.isprintable())


@dataclass(slots=True)
class StateSpan:
    """One stay in a state, in ms since the stream's start; `reason` says why it was left."""

    name: str
    start_ms: float
    end_ms: float
    reason: str = ""

    @property
    def duration_ms(self) -> float:
        """How long the call stayed."""
        return self.end_ms - self.start_ms


@dataclass(slots=True)
class Turn:
    """One turn of the model. `latency_ms` is from the caller's last word to the moment Twilio played the first audio."""

    number: int
    speaking_ms: float | None = None  # first audio sent to Twilio
    heard_at_ms: float | None = None  # first mark back
    ended_at_ms: float | None = None
    latency_ms: float | None = None
    audio_ms: float | None = None
    heard_ms: float | None = None
    interrupted: bool = False


@dataclass(slots=True)
class Session:
    """One model session, opened or not."""

    session_no: int
    plan: str
    opening_at_ms: float
    ready_at_ms: float | None = None
    setup_ms: float | None = None
    go_away_at_ms: float | None = None
    ended_at_ms: float | None = None
    cause: str = ""  # of its loss
    decision: str = ""  # what the loss called for
    code: int | None = None  # of the socket's close, or HTTP's
    detail: str = ""  # the service's or the network's own words
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What one side said, redacted, and when its last word was written down."""

    at_ms: float
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller spoke over a turn, of which so much went unheard."""

    at_ms: float
    turn: int
    unheard_ms: float


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without a model session; `end_ms` is None if none came back."""

    start_ms: float
    end_ms: float | None
    cause: str


@dataclass(slots=True)
class Call:
    """One media stream of a call, as far as the log tells; `summary` is its last line's, empty if that is missing."""

    call_sid: str
    stream_sid: str
    stream_no: int = 1
    began: str = ""
    caller: str = ""
    model: str = ""
    backend: str = ""
    spans: list[StateSpan] = field(default_factory=list)
    turns: dict[int, Turn] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    barge_ins: list[BargeIn] = field(default_factory=list)
    utterances_ms: list[float] = field(default_factory=list)  # how long each piece of the caller's speech was
    words: list[Words] = field(default_factory=list)  # only of logs with CALLBOT_LOG_TRANSCRIPTS
    faults: dict[str, int] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    last_ms: float = 0.0
    summary: Event = field(default_factory=dict)

    @property
    def duration_ms(self) -> float:
        """From the stream's start to the call's end, or to the last line there is."""
        return number(self.summary, "duration_ms") or self.last_ms

    @property
    def outcome(self) -> str:
        """The summary's outcome, or that the log does not have the end."""
        return text(self.summary, "outcome") or "no end in this log"

    @property
    def reason(self) -> str:
        """Why the call ended."""
        return text(self.summary, "reason")

    @property
    def latencies_ms(self) -> list[float]:
        """Of every turn that answered something."""
        return [turn.latency_ms for turn in self.turns.values() if turn.latency_ms is not None]

    @property
    def lost_sessions(self) -> list[Session]:
        """The sessions that ended before the call did, or never opened."""
        return [session for session in self.sessions.values() if session.cause]

    @property
    def failed(self) -> bool:
        """Whether the call ended otherwise than it should: no hang-up, no goodbye, no move to another instance."""
        return (bool(self.summary) and self.outcome not in {"completed", "moved"}) or bool(self.crashes)

    @property
    def never_sent_ms(self) -> float | None:
        """The caller's audio that no session was given, whether it was dropped or still waited at the end."""
        dropped_ms = number(self.summary, "caller_dropped_ms")
        frames, uplink_ms = number(self.summary, "frames_in"), number(self.summary, "uplink_ms")
        if frames is None or uplink_ms is None:
            return dropped_ms
        return max(dropped_ms or 0.0, frames * 20 - uplink_ms, 0.0)

    def outages(self) -> list[Outage]:
        """When the link to the model was gone, in order. What was never there could not be lost."""
        found: list[Outage] = []
        start_ms, cause, opened = None, "", False
        for session in sorted(self.sessions.values(), key=lambda each: each.session_no):
            if session.ready_at_ms is not None:
                opened = True
                if start_ms is not None:
                    found.append(Outage(start_ms, session.ready_at_ms, cause))
                start_ms, cause = None, ""
            if opened and session.cause and session.ended_at_ms is not None and start_ms is None:
                start_ms, cause = session.ended_at_ms, session.cause
        if start_ms is not None:
            found.append(Outage(start_ms, None, cause))
        return found


def calls_of(events: Iterable[Event]) -> list[Call]:
    """The calls of these events, in the order in which they began; the events of a call may come in any order."""
    streams: dict[tuple[str, str], list[tuple[float, Event]]] = {}
    for event in events:
        call_sid, stream_sid, t_ms = text(event, "call_sid"), text(event, "stream_sid"), number(event, "t_ms")
        if not call_sid or not stream_sid or t_ms is None:
            continue
        if event.get("message") in _UNREAD:
            event = {"message": "", "time": event.get("time")}  # noqa: PLW2901 - a log of a day has millions
        streams.setdefault((call_sid, stream_sid), []).append((t_ms, event))
    calls = []
    for (call_sid, stream_sid), lines in streams.items():
        if lines[0][0] > lines[-1][0]:
            lines.reverse()  # newest first: what has the same time comes the other way round too
        lines.sort(key=itemgetter(0))
        call = Call(call_sid, stream_sid, began=text(lines[0][1], "time"))
        for t_ms, event in lines:
            _add(call, event, t_ms)
        calls.append(call)
    calls.sort(key=lambda call: call.began)
    return calls


def _add(call: Call, event: Event, t_ms: float) -> None:
    if not call.spans:  # every call begins in Connecting, which no line announces
        call.spans.append(StateSpan("connecting", 0.0, 0.0))
    call.last_ms = max(call.last_ms, t_ms)
    call.spans[-1].end_ms = max(call.spans[-1].end_ms, t_ms)
    name = text(event, "message")
    if name == "call.started":
        call.began, call.caller = text(event, "time") or call.began, text(event, "caller")
        call.model, call.backend = text(event, "model"), text(event, "backend")
        call.stream_no = int(number(event, "stream_no") or 1)
    elif name == "call.state":
        call.spans[-1].end_ms, call.spans[-1].reason = t_ms, text(event, "reason")
        call.spans.append(StateSpan(text(event, "to") or "unknown", t_ms, t_ms))
    elif name == "call.summary":
        call.summary = event
        counts = event.get("faults")
        for kind, times in counts.items() if isinstance(counts, dict) else ():
            # Through `text`: a kind comes out of a file too, and goes to a terminal.
            call.faults[text({"kind": kind}, "kind")] = int(number({"times": times}, "times") or 1)
    elif name == "transcript":
        if said := text(event, "text", _LONGEST_WORDS):
            call.words.append(Words(t_ms, text(event, "role"), said))
    elif name == "barge_in":
        call.barge_ins.append(BargeIn(t_ms, int(number(event, "turn") or 0), number(event, "unheard_ms") or 0.0))
    elif name == "caller.speech":
        call.utterances_ms.append(number(event, "speech_ms") or 0.0)
    elif name == "stream.fault":
        call.faults.setdefault(text(event, "fault") or "unknown", 1)
    elif name == "child.crashed":
        call.crashes.append(f"{text(event, 'child')}: {text(event, 'error')}")
    elif name.startswith("turn."):
        _add_turn(call, name, event, t_ms)
    elif name.startswith("session."):
        _add_session(call, name, event, t_ms)


def _add_turn(call: Call, name: str, event: Event, t_ms: float) -> None:
    index = number(event, "turn")
    if index is None:
        return
    turn = call.turns.setdefault(int(index), Turn(int(index)))
    match name:
        case "turn.speaking":
            turn.speaking_ms = t_ms
            turn.latency_ms = number(event, "latency_ms")
        case "turn.heard":
            turn.heard_at_ms = t_ms
            turn.latency_ms = number(event, "latency_ms")
        case "turn.ended":
            turn.ended_at_ms = t_ms
            turn.audio_ms, turn.heard_ms = number(event, "audio_ms"), number(event, "heard_ms")
            turn.interrupted = event.get("interrupted") is True
        case _:
            pass


def _add_session(call: Call, name: str, event: Event, t_ms: float) -> None:
    session_no = number(event, "session_no")
    if session_no is None:  # a go-away has no number: it is the newest session's
        if name == "session.go_away" and call.sessions:
            call.sessions[next(reversed(call.sessions))].go_away_at_ms = t_ms
        return
    session = call.sessions.setdefault(int(session_no), Session(int(session_no), text(event, "plan"), t_ms))
    match name:
        case "session.ready":
            session.ready_at_ms, session.setup_ms = t_ms, number(event, "setup_ms")
        case "session.lost":
            session.ended_at_ms = t_ms
            session.cause, session.decision = text(event, "cause") or "unknown", text(event, "decision")
            code = number(event, "code")
            session.code = None if code is None else int(code)
            session.detail, session.remedy = text(event, "detail", 300), text(event, "remedy", 300)
        case "session.closed":
            session.ended_at_ms = t_ms
        case _:
            pass
