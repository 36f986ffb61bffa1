"""What else a `CallActor` is told, by the line, by tools, by timers and by its children; and its whole protocol."""

from dataclasses import dataclass, field
from typing import Any

from callbot.messages.session import (
    AnswerGrounded,
    GoAway,
    HandleRenewed,
    ModelInterrupted,
    ModelUsage,
    SessionLost,
    SessionReady,
    ToolCalled,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnStarted,
    TurnWorking,
)
from callbot.messages.terms import Child, Timer


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """Twilio's `start`, admitted: the stream showed its token. Opens the call."""

    call_sid: str
    stream_sid: str
    account_sid: str
    at_s: float
    caller: str = ""  # masked
    stream_no: int = 1  # the number of this stream within its call
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnSpeaking:
    """The first frame of the turn went to Twilio."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class TurnFirstHeard:
    """The mark behind the turn's first frame came back without a clear: Twilio has begun to play the turn."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class TurnPlayed:
    """All that the turn had is behind us: heard to its end, or cleared. `heard_ms` of `audio_ms` were heard."""

    turn: int
    audio_ms: int
    heard_ms: int
    cleared: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class PlayoutEmpty:
    """Nothing is queued here and, as far as marks and the clock tell, nothing is unheard at Twilio."""

    at_s: float


@dataclass(frozen=True, slots=True)
class PlayoutResumed:
    """Audio goes to Twilio again after `PlayoutEmpty`."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A function has run, or failed: `result` says either in words the model understands."""

    session_no: int
    call_id: str
    name: str
    result: dict[str, Any]
    ends_call: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class CallerSpoke:
    """The local detector heard the caller begin."""

    at_s: float


@dataclass(frozen=True, slots=True)
class CallerPaused:
    """The local detector heard the caller end; `ended_s` is when the last sound was, in the loop's clock.

    A `speech_ms` of 0: what it had taken for speech was a noise, for it never paused.
    """

    ended_s: float
    speech_ms: int
    at_s: float


@dataclass(frozen=True, slots=True)
class CallerGone:
    """The stream is over from Twilio's side: `stop`, or the socket is closed."""

    how: str  # "stop" or "closed"
    at_s: float


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """DTMF."""

    digit: str
    at_s: float


@dataclass(frozen=True, slots=True)
class StreamFault:
    """Something on Twilio's wire that should not be there. Counted, logged once a kind, never fatal."""

    fault: str


@dataclass(frozen=True, slots=True)
class StreamSilent:
    """Twilio has sent nothing for `silence_s`: the stream is dead although its socket is open."""

    silence_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class ModelSilent:
    """The model's socket has shown no sign of life, pongs included, for `silence_s`."""

    session_no: int
    silence_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Beat:
    """The heartbeat's tick: the moment for the periodic log line."""

    at_s: float


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the machine asked for; `due_s` is the moment that it was set for, in the loop's clock."""

    timer: Timer
    due_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """The process is going to stop."""

    at_s: float


@dataclass(frozen=True, slots=True)
class ChildExited:
    """A child actor has ended; `error` names the fault when it crashed."""

    child: Child
    session_no: int  # the session's number for GeminiSession, else 0
    error: str | None
    at_s: float


CallMessage = (
    StreamStarted
    | SessionReady
    | SessionLost
    | HandleRenewed
    | GoAway
    | TurnStarted
    | TurnAudible
    | TurnGenerated
    | TurnCompleted
    | TurnWorking
    | ModelInterrupted
    | AnswerGrounded
    | ModelUsage
    | Transcribed
    | ToolCalled
    | ToolsCancelled
    | ToolFinished
    | TurnSpeaking
    | TurnFirstHeard
    | TurnPlayed
    | PlayoutEmpty
    | PlayoutResumed
    | CallerSpoke
    | CallerPaused
    | CallerGone
    | KeyPressed
    | StreamFault
    | StreamSilent
    | ModelSilent
    | Beat
    | TimerFired
    | DrainRequested
    | ChildExited
)
