"""The budget of trouble with the model: how often, how long, and what it is given back for.

Only a turn that was completed and heard, or a session that has lived `stable_s`, gives the budget back; sound alone does
not, because what fails may make sounds. Dials are counted whatever they are for.
"""

from dataclasses import dataclass, replace
from typing import Final

from callbot.brief import Limits
from callbot.messages.call import CallerPaused, CallMessage, ChildExited, TurnPlayed
from callbot.messages.session import SessionLost, SessionReady, TurnAudible, TurnCompleted
from callbot.messages.terms import Child, Plan, Refusal
from callbot.states.regions.session import Closing, Open, Opening, Session, is_of

DIALS: Final = 12  # at most so many ...
DIALS_WITHIN_S: Final = 10.0  # ... within so long, whatever a model does


@dataclass(frozen=True, slots=True)
class SetUpRefused:
    """What the service said to one set-up: how it was planned, and without which parts."""

    refusal: Refusal
    plan: Plan
    without: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outage:
    """What has gone wrong since the last sign of health.

    `since_s`: the first loss, None when there was none; `tries`: sessions lost; `opening_failures`: of them, those that never
    became ready with the plan in force; `refused`: the refusals so far, each with its set-up; `bad_audio`: closed
    for what the caller said; `silent_moves`: sessions moved because they were silent; `asked`: this session was asked for its
    answer; `beginnings`: answers begun that were not heard to their end; `dials_s`: the last dials.
    """

    since_s: float | None = None
    tries: int = 0
    opening_failures: int = 0
    refused: frozenset[SetUpRefused] = frozenset()
    bad_audio: int = 0
    silent_moves: int = 0
    asked: bool = False
    beginnings: int = 0
    completed_turn: int = 0
    played_turn: int = 0
    dials_s: tuple[float, ...] = ()


def advance(outage: Outage, event: CallMessage, session: Session, limits: Limits, *, owed: bool = False) -> Outage:
    """What the event makes of the budget; `session` is as before it, and so is `owed`: whether an answer is due."""
    match event:
        case TurnAudible():
            return replace(outage, beginnings=outage.beginnings + 1)
        case TurnCompleted(turn=turn, audible=True):
            outage = replace(outage, completed_turn=turn)
            return _healthy(outage) if outage.played_turn == turn else outage
        case TurnPlayed(turn=turn, cleared=False, heard_ms=heard_ms) if heard_ms > 0:
            outage = replace(outage, played_turn=turn)
            return _healthy(outage) if outage.completed_turn == turn else outage
        case CallerPaused(speech_ms=speech_ms) if speech_ms >= limits.word_ms:
            return replace(outage, beginnings=0, asked=outage.asked and owed)  # what comes next answers something new
        case SessionReady(session_no=session_no) if is_of(session, session_no):
            return replace(outage, opening_failures=0, refused=frozenset(), asked=False)
        case SessionLost(session_no=session_no, at_s=at_s) if is_of(session, session_no):
            return _lost(outage, session, at_s, limits)
        case ChildExited(child=Child.GEMINI_SESSION, session_no=session_no, at_s=at_s) if is_of(session, session_no):
            return _lost(outage, session, at_s, limits)
        case _:
            return outage


def dialled(outage: Outage, at_s: float) -> Outage:
    """Note a dial at `at_s`."""
    return replace(outage, dials_s=(*outage.dials_s, at_s)[-DIALS:])


def may_dial_s(outage: Outage) -> float:
    """When the next dial may be at the earliest."""
    return outage.dials_s[0] + DIALS_WITHIN_S if len(outage.dials_s) == DIALS else 0.0


def _healthy(outage: Outage) -> Outage:
    return Outage(completed_turn=outage.completed_turn, played_turn=outage.played_turn, dials_s=outage.dials_s)


def _lost(outage: Outage, session: Session, at_s: float, limits: Limits) -> Outage:
    if isinstance(session, Open | Closing) and at_s - session.since_s >= limits.stable_s:
        # It has worked for a while. Answers that were begun and not heard to their end stay counted.
        outage = replace(_healthy(outage), beginnings=outage.beginnings, silent_moves=outage.silent_moves, asked=outage.asked)
        if isinstance(session, Closing):
            return outage  # a planned move
    since_s = at_s if outage.since_s is None else outage.since_s
    if isinstance(session, Opening):
        return replace(outage, since_s=since_s, tries=outage.tries + 1, opening_failures=outage.opening_failures + 1)
    return replace(outage, since_s=since_s, tries=outage.tries + 1, opening_failures=0)
