"""What actors say to each other. Data only: frozen, slotted, without methods that do anything.

Grouped by the actor that receives them; each group is closed by a union, which is that actor's whole protocol. Times are
seconds of the loop's monotonic clock (`at_s`); audio is bytes in the form its name says. A turn is the model's: its
number (the generation) travels with audio, marks and clears, so that what belongs to an interrupted turn is recognised
anywhere.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Child(StrEnum):
    """The child actors of a call, by the names that logs and `ChildExited` use."""

    TWILIO_IO = "twilio_io"
    TRANSCODER = "transcoder"
    GEMINI_SESSION = "gemini_session"
    HEARTBEAT = "heartbeat"


class Plan(StrEnum):
    """How a model session is opened: one rung of the ladder."""

    NEW = "new"  # the call's first session
    RESUME = "resume"  # with the newest resumable handle
    HISTORY = "history"  # a fresh session that is told what was said so far


class Decision(StrEnum):
    """What a lost session calls for; `gemini/failures.py` maps every failure to one of these."""

    RESUME = "resume"  # the link went, the session may still be there
    RESUME_WITHOUT_REPLAY = "resume_without_replay"  # what the caller said since may have been the cause (1007)
    FRESH = "fresh"  # the handle or the session is no good: start anew and tell it the history
    WAIT = "wait"  # overload or quota: the same again, later
    GIVE_UP = "give_up"  # this model will refuse every time: key, name, set-up


class RefusedPart(StrEnum):
    """What the service said no to."""

    KEY = "key"
    CREDENTIALS = "credentials"
    BILLING = "billing"
    QUOTA = "quota"
    MODEL = "model"
    LOCATION = "location"
    HANDLE = "handle"
    VOICE = "voice"  # the next set-up can do without it
    FIELD = "field"  # likewise, by its name
    SETUP = "setup"  # the set-up as a whole: nothing in it was named


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal's identity: the same one again, of the same set-up, will not change by itself.

    `name` is the field's, for FIELD and VOICE: one that a set-up can leave out. `reason` is the peer's words without ids.
    """

    part: RefusedPart
    name: str = ""
    reason: str = ""

    @property
    def can_be_left_out(self) -> bool:
        """Whether the next set-up can do without what was refused."""
        return self.part in {RefusedPart.VOICE, RefusedPart.FIELD}


class Role(StrEnum):
    """Who said it."""

    CALLER = "caller"
    BOT = "bot"


class Outcome(StrEnum):
    """How a call ended, for its summary and the metrics."""

    COMPLETED = "completed"  # somebody ended it, or a limit that was set
    BROKEN = "broken"  # the stream's socket was lost: the caller may well be there, and a new stream carries on
    MODEL_UNREACHABLE = "model_unreachable"
    MOVED = "moved"  # this instance stops, a new stream carries on
    FAILED = "failed"  # a dead stream, or a fault of ours


class Reason(StrEnum):
    """Why a call ended or a session was left, where callbot decided it. A loss has its own `cause`, an open set."""

    # the call ends
    CALLER_HUNG_UP = "caller_hung_up"
    STREAM_CLOSED = "stream_closed"
    STREAM_SILENT = "stream_silent"
    INSTANCE_STOPPING = "instance_stopping"
    CALL_LIMIT = "call_limit"
    NOBODY_SPOKE = "nobody_spoke"
    BOT_SAID_GOODBYE = "bot_said_goodbye"
    TWILIO_IO_CRASHED = "twilio_io_crashed"
    TRANSCODER_CRASHED = "transcoder_crashed"
    HEARTBEAT_CRASHED = "heartbeat_crashed"
    CALL_CRASHED = "call_crashed"
    CANCELLED = "cancelled"
    GREETING_TIME_OUT = "greeting_time_out"
    MODEL_UNREACHABLE = "model_unreachable"
    # a session is left
    GO_AWAY = "go_away"
    ROTATION = "rotation"
    NO_TURN_COMPLETE = "no_turn_complete"
    NO_ANSWER = "no_answer"
    SILENT_TURN = "silent_turn"
    TURN_GAP = "turn_gap"
    WORK_TIME_OUT = "work_time_out"
    MODEL_SOCKET_SILENT = "model_socket_silent"
    SESSION_CRASHED = "session_crashed"
    # the machine moves on
    SESSION_READY = "session_ready"
    ALL_ENDED = "all_ended"
    DRAIN_TIME_OUT = "drain_time_out"


class Ending(StrEnum):
    """What `/twiml/next` should do when the stream has ended."""

    HANG_UP = "hang_up"  # the conversation is over
    APOLOGISE = "apologise"  # the model cannot be reached: words, then hang up or dial a person
    CONTINUE = "continue"  # this instance stops: a new stream carries on


class Timer(StrEnum):
    """The timers of a call; `states/timers.py` says when each is due."""

    MAX_CALL = "max_call"
    IDLE = "idle"
    GOODBYE = "goodbye"
    KEYS = "keys"
    UNREACHABLE = "unreachable"
    TROUBLE = "trouble"
    COMFORT = "comfort"
    FIRST_AUDIO = "first_audio"
    TURN_GAP = "turn_gap"
    TURN_COMPLETE = "turn_complete"
    WORK = "work"
    SPEECH = "speech"
    MOVE = "move"
    ROTATE = "rotate"
    FAREWELL = "farewell"
    DRAIN = "drain"


# --- to CallActor ------------------------------------------------------------------------------------------------------


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
class SessionReady:
    """`setupComplete` has come: audio may flow."""

    session_no: int
    plan: Plan
    setup_ms: int
    at_s: float


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session `session_no` has ended or could not be opened."""

    session_no: int
    decision: Decision
    cause: str  # a short stable name, such as "close_1011_internal"
    code: int | None  # WebSocket close code or HTTP status
    detail: str  # the peer's words, cut
    at_s: float
    retry_after_s: float | None = None
    refusal: Refusal | None = None
    remedy: str = ""  # what the operator can do; empty when there is nothing but to wait


@dataclass(frozen=True, slots=True)
class HandleRenewed:
    """A resumable handle: a bearer secret, never logged, forgotten when the call ends."""

    session_no: int
    handle: str = field(repr=False)
    at_s: float = 0.0
    unix_s: float = 0.0  # the same moment by the wall clock, which another process can compare


@dataclass(frozen=True, slots=True)
class GoAway:
    """The service will close the connection. `time_left_s` is None when it could not be read."""

    session_no: int
    time_left_s: float | None
    at_s: float


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The model's turn has begun: its first content has come."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class TurnAudible:
    """The turn's first audio that a person would hear has come from the model."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class TurnGenerated:
    """`generationComplete`, or the turn's end without it: no more audio of this turn will come."""

    turn: int
    audible: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """`turnComplete`. `turn` is 0 when the model completed a turn in which nothing was ever said."""

    turn: int
    audible: bool
    reason: str
    at_s: float
    only_text: bool = False  # parts of text came, which are reasoning and never said, and nothing else


@dataclass(frozen=True, slots=True)
class TurnWorking:
    """`turnComplete` with an interaction status that says the answer is still being worked on; a filler was perhaps said."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class ModelInterrupted:
    """`interrupted`: the caller spoke over the model. `turn` is the newest turn, 0 when there was none."""

    turn: int
    at_s: float


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """`usageMetadata`, as reported: tokens of one answer, with all that was in the context when it was made.

    Thoughts and tool use are counted beside the prompt and the response; what was cached is a part of the prompt.
    """

    prompt_tokens: int
    response_tokens: int
    thoughts_tokens: int = 0
    tool_tokens: int = 0
    cached_tokens: int = 0
    prompt_text_tokens: int = 0  # of the prompt; the rest is audio
    response_text_tokens: int = 0


@dataclass(frozen=True, slots=True)
class AnswerGrounded:
    """The answer rests on a search: what was looked for, and the addresses of what was found."""

    queries: tuple[str, ...] = field(default=(), repr=False)
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcribed:
    """Words heard from the caller or said by the model; fragments, in arrival order."""

    role: Role
    text: str
    turn: int
    language: str = ""  # as the service heard it (BCP 47); empty when it did not say


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model wants a function run. `turn` is the open one, or the next where none is."""

    session_no: int
    call_id: str
    name: str
    arguments: dict[str, Any]
    at_s: float
    turn: int = 0


@dataclass(frozen=True, slots=True)
class ToolsCancelled:
    """The model no longer wants these answers."""

    session_no: int
    call_ids: tuple[str, ...]


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


# --- to Transcoder -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """A chunk of the caller: mu-law, 8 kHz, any length."""

    mulaw: bytes
    at_s: float


@dataclass(frozen=True, slots=True)
class CallerGap:
    """Time of the caller's line for which no frame came: lost ones, or silence that was not sent.

    `is_over`: frames come again, and the time stamps say how much is missing; else it goes on, at `at_s`.
    """

    gap_ms: int
    at_s: float
    is_over: bool = True


@dataclass(frozen=True, slots=True)
class ModelAudio:
    """A chunk of the model's turn: s16le mono at `rate_hz`, any length, odd bytes included."""

    turn: int
    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class ModelAudioEnded:
    """The turn has no more audio: flush what the converter holds."""

    turn: int


@dataclass(frozen=True, slots=True)
class DropTurns:
    """Forget all audio of turns up to and including `through_turn`."""

    through_turn: int


TranscoderMessage = CallerAudio | CallerGap | ModelAudio | ModelAudioEnded | DropTurns


# --- to TwilioIO -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayFrames:
    """Whole 20 ms frames of a turn: mu-law, 8 kHz, a multiple of 160 bytes."""

    turn: int
    mulaw: bytes


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """All frames of the turn have been handed over: mark its end."""

    turn: int


@dataclass(frozen=True, slots=True)
class PlayComfort:
    """A short soft sound, so that the caller knows the line is alive. Belongs to no turn; not played over speech."""


@dataclass(frozen=True, slots=True)
class ClearPlayback:
    """Drop everything unheard of turns up to `through_turn`, here and at Twilio."""

    through_turn: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close the WebSocket."""

    code: int
    reason: str


TwilioIOMessage = PlayFrames | PlayEnded | PlayComfort | ClearPlayback | CloseStream


# --- to GeminiSession --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SayText:
    """Give the model a text as the user's turn: the greeting's request, a nudge, keys, a late result.

    A nudge is `until_interrupted`: it asks for an answer, and once the caller speaks it is not to be asked for any more.
    """

    text: str
    until_interrupted: bool = False


@dataclass(frozen=True, slots=True)
class AnswerTool:
    """The result of a function for the model."""

    call_id: str
    name: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndSpeech:
    """The caller's stream pauses: `audioStreamEnd`."""


@dataclass(frozen=True, slots=True)
class SendSilence:
    """Keep an idle session alive with `duration_ms` of zero samples; never beside live speech."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class ProbeLink:
    """Send a WebSocket ping; its pong is a sign of life."""


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End the session in order; what was given to it before is sent first."""


GeminiSessionMessage = SayText | AnswerTool | EndSpeech | SendSilence | ProbeLink | CloseSession


# --- to Heartbeat ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watch:
    """The session to watch from now on; None while there is none."""

    session_no: int | None


HeartbeatMessage = Watch
