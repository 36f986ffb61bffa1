"""What the model's session and its conversion tell the call: sessions, turns, words, tools, use."""

from dataclasses import dataclass, field
from typing import Any

from callbot.messages.terms import Decision, Plan, Refusal, Role


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
