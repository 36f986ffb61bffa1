"""The model's turn: what it is generating, if anything."""

from dataclasses import dataclass, replace

from callbot.messages.call import CallMessage, TimerFired
from callbot.messages.session import ModelInterrupted, TurnAudible, TurnCompleted, TurnGenerated, TurnStarted, TurnWorking
from callbot.messages.terms import Timer


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing is being generated. `audible_s` is when the newest turn became audible; 0 when it did not, or was dropped."""

    audible_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Speaking:
    """Content of the turn comes. `audible_s` is when the first audible sound came; 0 before."""

    turn: int
    audible_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Working:
    """The service works on the answer since `since_s`, and has said so; a filler may have been said before."""

    since_s: float
    audible_s: float = 0.0
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Generated:
    """All of the turn has come; the service has not said that it is complete, since `since_s`."""

    turn: int
    since_s: float
    audible_s: float = 0.0


type Turn = Quiet | Speaking | Working | Generated


def is_generating(turn: Turn) -> bool:
    """Whether more of an answer is still to come."""
    return isinstance(turn, Speaking | Working)


def advance(turn: Turn, event: CallMessage, *, ended: bool) -> Turn:
    """What the event makes of the turn; `ended` says that it ends the session with all that it was doing."""
    if ended:
        return Quiet()
    match event:
        case TurnStarted(turn=number):
            return Speaking(number)
        case TurnAudible(at_s=at_s) if isinstance(turn, Speaking):
            return replace(turn, audible_s=at_s)
        case TurnGenerated(turn=number, at_s=at_s):
            return Generated(number, at_s, turn.audible_s)
        case TurnWorking(at_s=at_s):
            return turn if isinstance(turn, Working) else Working(at_s, turn.audible_s)
        case TurnCompleted():
            return Quiet(turn.audible_s)
        case ModelInterrupted():
            return Quiet()
        case TimerFired(timer=Timer.TURN_GAP):
            return Quiet(turn.audible_s)
        case TimerFired(timer=Timer.TURN_COMPLETE) if isinstance(turn, Generated):
            return Quiet(turn.audible_s)
        case _:
            return turn
