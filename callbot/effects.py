"""What a state may ask for. Data only; `CallActor` carries them out, in order, and nothing else does."""

from dataclasses import dataclass, field

from callbot.messages.children import AnswerTool, ClearPlayback, CloseSession, CloseStream, DropTurns, PlayComfort, SayText
from callbot.messages.session import ToolCalled
from callbot.messages.terms import Child, Ending, Outcome, Plan, Timer


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Open model session number `session_no` after `after_s`, or a little sooner, but never before `least_s`."""

    session_no: int
    plan: Plan
    model_index: int  # which of the configured models
    first_turn: int  # the number its first turn gets
    after_s: float = 0.0
    handle: str | None = field(default=None, repr=False)
    without: frozenset[str] = frozenset()  # parts of the set-up that this model has refused by name
    least_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Tell:
    """Give the child that takes it a message; dropped when the child is gone."""

    message: SayText | AnswerTool | CloseSession | DropTurns | ClearPlayback | PlayComfort | CloseStream


@dataclass(frozen=True, slots=True)
class StartTimer:
    """`TimerFired(timer)` at `due_s` of the loop's clock, at once when that is past; a running one is set anew."""

    timer: Timer
    due_s: float


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop a timer."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class DropBacklog:
    """Forget the caller's audio that no session has taken: it may be what the service objects to."""


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a function for the model; `ToolFinished` follows, always."""

    call: ToolCalled


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Stop these functions; they answer no more."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Start a crashed child again."""

    child: Child


@dataclass(frozen=True, slots=True)
class StopChildren:
    """Let every child but TwilioIO and GeminiSession end (those end with their sockets)."""


@dataclass(frozen=True, slots=True)
class CancelChildren:
    """End every child now, whatever it is doing."""


@dataclass(frozen=True, slots=True)
class RecordEnding:
    """Remember what `/twiml/next` shall answer; before the stream closes."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class Moved:
    """The machine has moved; comes between the effects of leaving and those of entering."""

    origin: str
    dest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """Write the call's one summary."""

    outcome: Outcome
    reason: str


Effect = (
    OpenSession
    | Tell
    | StartTimer
    | StopTimer
    | DropBacklog
    | RunTool
    | CancelTools
    | RestartChild
    | StopChildren
    | CancelChildren
    | RecordEnding
    | Moved
    | Report
)
