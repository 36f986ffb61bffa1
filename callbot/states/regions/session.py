"""The model's session: none, opening, open, or told to close."""

from dataclasses import dataclass, replace

from callbot.brief import Limits
from callbot.messages.call import CallMessage, ChildExited, TimerFired
from callbot.messages.session import GoAway, SessionLost, SessionReady
from callbot.messages.terms import Child, Decision, Plan, Reason, Timer


@dataclass(frozen=True, slots=True)
class NoSession:
    """There is none: before the first, and between two."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Being dialled, or waiting to be."""

    session_no: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class Move:
    """Why the session is to be moved to a new connection, and by when at the latest."""

    reason: str
    by_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """Set up since `since_s`; to be moved where `move` says so."""

    session_no: int
    plan: Plan
    since_s: float
    move: Move | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """Told to close after it was open since `since_s`; its `SessionLost` is still to come. `then` says what is opened next."""

    session_no: int
    since_s: float
    then: Decision


type Session = NoSession | Opening | Open | Closing


def is_of(session: Session, session_no: int) -> bool:
    """Whether news of session `session_no` are of this one."""
    return not isinstance(session, NoSession) and session.session_no == session_no


def advance(session: Session, event: CallMessage, limits: Limits) -> Session:
    """What the event makes of the session."""
    match event, session:
        case SessionReady(session_no=session_no, at_s=at_s), Opening(plan=plan) if is_of(session, session_no):
            return Open(session_no, plan, at_s)
        case (SessionLost(session_no=session_no), _) if is_of(session, session_no):
            return NoSession()
        case (ChildExited(child=Child.GEMINI_SESSION, session_no=session_no), _) if is_of(session, session_no):
            return NoSession()
        case GoAway(session_no=session_no, time_left_s=left_s, at_s=at_s), Open() if is_of(session, session_no):
            left_s = limits.go_away_unknown_s if left_s is None else left_s
            return replace(session, move=Move(Reason.GO_AWAY, at_s + max(0.0, left_s - limits.go_away_margin_s)))
        case TimerFired(timer=Timer.ROTATE, at_s=at_s), Open(move=None):
            return replace(session, move=Move(Reason.ROTATION, at_s + limits.rotation_patience_s))
        case TimerFired(timer=Timer.TURN_COMPLETE, at_s=at_s), Open(move=None):
            # It never said that the turn is over, so it may not take the next one: another session will.
            return replace(session, move=Move(Reason.NO_TURN_COMPLETE, at_s + limits.rotation_patience_s))
        case _:
            return session
