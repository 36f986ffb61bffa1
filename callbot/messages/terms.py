"""The words that messages, states and logs share: closed sets of what there is. The values are those of the log."""

from dataclasses import dataclass
from enum import StrEnum


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
