"""Each region's whole grid: every value against every event. What a grid does not name leaves the region as it is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest

from callbot.brief import Limits
from callbot.messages.call import (
    Beat,
    CallerGone,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    ChildExited,
    DrainRequested,
    KeyPressed,
    ModelSilent,
    PlayoutEmpty,
    PlayoutResumed,
    StreamFault,
    StreamSilent,
    StreamStarted,
    TimerFired,
    ToolFinished,
    TurnFirstHeard,
    TurnPlayed,
    TurnSpeaking,
)
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
from callbot.messages.terms import Child, Decision, Plan, Refusal, RefusedPart, Role, Timer
from callbot.states.regions import floor, goodbye, idle, keys, outage, playback, session, turn, wait
from callbot.states.regions.floor import AnswerDue, CallerSpeaking, Nobody
from callbot.states.regions.goodbye import Due, NoGoodbye
from callbot.states.regions.idle import Idle
from callbot.states.regions.keys import Entering, NoKeys
from callbot.states.regions.outage import Outage
from callbot.states.regions.playback import Playing, Silent
from callbot.states.regions.session import Closing, Move, NoSession, Open, Opening
from callbot.states.regions.turn import Generated, Quiet, Speaking, Working
from callbot.states.regions.wait import NotWaiting, Waiting

LIMITS = Limits(max_session_s=100.0)
LOST = SessionLost(2, Decision.RESUME, "close_1006_link_lost", 1006, "", 50.0)

# One of each event, at second 50, of session 2 and turn 3; and those whose fields make a difference.
EVENTS: dict[str, CallMessage] = {
    "StreamStarted": StreamStarted("CA1", "MZ1", "AC1", 50.0),
    "SessionReady": SessionReady(2, Plan.RESUME, 300, 50.0),
    "SessionReady other": SessionReady(1, Plan.RESUME, 300, 50.0),
    "SessionLost": LOST,
    "SessionLost other": replace(LOST, session_no=1),
    "HandleRenewed": HandleRenewed(2, "h", 50.0),
    "GoAway": GoAway(2, 20.0, 50.0),
    "GoAway unreadable": GoAway(2, None, 50.0),
    "GoAway other": GoAway(1, 20.0, 50.0),
    "TurnStarted": TurnStarted(3, 50.0),
    "TurnAudible": TurnAudible(3, 50.0),
    "TurnGenerated": TurnGenerated(3, True, 50.0),
    "TurnCompleted": TurnCompleted(3, True, "", 50.0),
    "TurnCompleted silent": TurnCompleted(0, False, "", 50.0),
    "TurnWorking": TurnWorking(3, 50.0),
    "ModelInterrupted": ModelInterrupted(3, 50.0),
    "ModelUsage": ModelUsage(1, 1),
    "AnswerGrounded": AnswerGrounded(("q",)),
    "Transcribed": Transcribed(Role.CALLER, "hello", 0),
    "ToolCalled": ToolCalled(2, "f1", "look_up", {}, 50.0, 3),
    "ToolsCancelled": ToolsCancelled(2, ("f1",)),
    "ToolFinished": ToolFinished(2, "f1", "look_up", {}, False, 50.0),
    "ToolFinished ends": ToolFinished(2, "f1", "end_call", {}, True, 50.0),
    "TurnSpeaking": TurnSpeaking(3, 50.0),
    "TurnFirstHeard": TurnFirstHeard(3, 50.0),
    "TurnPlayed": TurnPlayed(3, 20, 20, False, 50.0),
    "TurnPlayed cleared": TurnPlayed(3, 20, 20, True, 50.0),
    "PlayoutEmpty": PlayoutEmpty(50.0),
    "PlayoutResumed": PlayoutResumed(3, 50.0),
    "CallerSpoke": CallerSpoke(50.0),
    "CallerPaused": CallerPaused(49.5, 900, 50.0),
    "CallerPaused cough": CallerPaused(49.5, 100, 50.0),
    "CallerGone": CallerGone("stop", 50.0),
    "KeyPressed": KeyPressed("5", 50.0),
    "KeyPressed #": KeyPressed("#", 50.0),
    "StreamFault": StreamFault("not_json"),
    "StreamSilent": StreamSilent(10.0, 50.0),
    "ModelSilent": ModelSilent(2, 60.0, 50.0),
    "Beat": Beat(50.0),
    "DrainRequested": DrainRequested(50.0),
    "ChildExited session": ChildExited(Child.GEMINI_SESSION, 2, "x", 50.0),
    "ChildExited other": ChildExited(Child.HEARTBEAT, 0, "x", 50.0),
    **{f"TimerFired {timer.value}": TimerFired(timer, 50.0, 50.0) for timer in Timer},
}

type Grid = Mapping[str, tuple[Any, ...]]


def test_there_is_one_of_each_event() -> None:
    assert {type(event) for event in EVENTS.values()} == set(get_args(CallMessage))


def check(advance: Callable[[Any, CallMessage], Any], columns: tuple[Any, ...], grid: Grid, name: str) -> None:
    """`grid` has what becomes of each column's value; an ellipsis, and a row that is not there, is "nothing"."""
    expected = grid.get(name, (...,) * len(columns))
    for before, after in zip(columns, expected, strict=True):
        assert advance(before, EVENTS[name]) == (before if after is ... else after), before


NO, OPENING, OPEN = NoSession(), Opening(2, Plan.RESUME), Open(2, Plan.RESUME, 10.0)
MOVING, CLOSING = replace(OPEN, move=Move("go_away", 60.0)), Closing(2, 10.0, Decision.RESUME)
SESSION: Grid = {
    "SessionReady": (..., Open(2, Plan.RESUME, 50.0), ..., ..., ...),
    "SessionLost": (..., NO, NO, NO, NO),
    "ChildExited session": (..., NO, NO, NO, NO),
    "GoAway": (..., ..., replace(OPEN, move=Move("go_away", 68.0)), replace(OPEN, move=Move("go_away", 68.0)), ...),
    "GoAway unreadable": (..., ..., replace(OPEN, move=Move("go_away", 53.0)), replace(OPEN, move=Move("go_away", 53.0)), ...),
    "TimerFired rotate": (..., ..., replace(OPEN, move=Move("rotation", 80.0)), ..., ...),
    "TimerFired turn_complete": (..., ..., replace(OPEN, move=Move("no_turn_complete", 80.0)), ..., ...),
}


@pytest.mark.parametrize("name", EVENTS)
def test_the_session(name: str) -> None:
    check(lambda before, event: session.advance(before, event, LIMITS), (NO, OPENING, OPEN, MOVING, CLOSING), SESSION, name)


QUIET, SPEAKING, HEARD = Quiet(8.0), Speaking(3), Speaking(3, 8.0)
WORKING, GENERATED = Working(40.0, 8.0), Generated(3, 40.0, 8.0)
ALL_CAME = Generated(3, 50.0, 8.0)
TURN: Grid = {
    "TurnStarted": (SPEAKING, ..., SPEAKING, SPEAKING, SPEAKING),
    "TurnAudible": (..., Speaking(3, 50.0), Speaking(3, 50.0), ..., ...),
    "TurnGenerated": (ALL_CAME, Generated(3, 50.0), ALL_CAME, ALL_CAME, ALL_CAME),
    "TurnWorking": (Working(50.0, 8.0), Working(50.0), Working(50.0, 8.0), ..., Working(50.0, 8.0)),
    "TurnCompleted": (..., Quiet(), Quiet(8.0), Quiet(8.0), Quiet(8.0)),
    "TurnCompleted silent": (..., Quiet(), Quiet(8.0), Quiet(8.0), Quiet(8.0)),
    "ModelInterrupted": (Quiet(), Quiet(), Quiet(), Quiet(), Quiet()),
    "TimerFired turn_gap": (..., Quiet(), Quiet(8.0), Quiet(8.0), Quiet(8.0)),
    "TimerFired turn_complete": (..., ..., ..., ..., Quiet(8.0)),
}  # fmt: skip
TURNS = (QUIET, SPEAKING, HEARD, WORKING, GENERATED)


@pytest.mark.parametrize("name", EVENTS)
def test_the_turn(name: str) -> None:
    check(lambda before, event: turn.advance(before, event, ended=False), TURNS, TURN, name)


@pytest.mark.parametrize("before", TURNS)
def test_a_session_that_ends_takes_its_turn_with_it(before: turn.Turn) -> None:
    assert turn.advance(before, LOST, ended=True) == Quiet()


SILENT, PLAYING = Silent(40.0, 2), Playing(2)
PLAYBACK: Grid = {
    "TurnSpeaking": (Playing(3), Playing(3)),
    "PlayoutResumed": (Playing(3), Playing(3)),
    "PlayoutEmpty": (..., Silent(50.0, 2)),
}


@pytest.mark.parametrize("name", EVENTS)
def test_the_playback(name: str) -> None:
    check(playback.advance, (SILENT, PLAYING), PLAYBACK, name)


NO_TURN, NOTHING = Quiet(), Silent()
NOBODY, SPEAKS, OWED, DUE = Nobody(), CallerSpeaking(45.0), CallerSpeaking(45.0, owed=True, by_s=51.0), AnswerDue(51.0)
FLOORS = (NOBODY, SPEAKS, OWED, DUE)
SOON, LATER = AnswerDue(54.0), AnswerDue(57.0)
OWED_NOW = CallerSpeaking(45.0, owed=True)
FLOOR: Grid = {  # a session is open, nothing is generated or heard
    "SessionReady": (..., ..., ..., AnswerDue(51.5)),
    "SessionReady other": (..., ..., ..., AnswerDue(51.5)),
    "TurnAudible": (..., ..., CallerSpeaking(45.0), NOBODY),
    "TurnWorking": (AnswerDue(110.0), OWED_NOW, ..., AnswerDue(110.0)),
    "CallerSpoke": (
        CallerSpeaking(50.0),
        CallerSpeaking(50.0),
        CallerSpeaking(50.0, owed=True, by_s=51.0),
        CallerSpeaking(50.0, owed=True, by_s=51.0),
    ),
    "CallerPaused": (LATER, LATER, SOON, SOON),
    "CallerPaused cough": (NOBODY, NOBODY, SOON, SOON),
    "ToolFinished": (..., ..., ..., LATER),
    "ToolFinished ends": (..., ..., ..., LATER),
    "TimerFired turn_gap": (AnswerDue(50.0), ..., ..., ...),
    "TimerFired speech": (..., NOBODY, LATER, ...),
}
FLOOR_TALKING: Grid = FLOOR | {  # the model is in the middle of a turn, which the caller hears since second 8
    "PlayoutResumed": (..., ..., CallerSpeaking(45.0), NOBODY),
    "PlayoutEmpty": (..., ..., ..., LATER),
    "CallerPaused": (NOBODY, NOBODY, SOON, SOON),
    "ModelInterrupted": (LATER, OWED_NOW, ..., LATER),
}
FLOOR_ALONE: Grid = {  # there is no session since second 49
    **{name: row for name, row in FLOOR.items() if not name.startswith("ToolFinished")},
    "CallerPaused": (AnswerDue(57.0, unheard_words=True),) * 4,
    "CallerPaused cough": (NOBODY, NOBODY, LATER, LATER),
}


def floor_of(
    now: turn.Turn = NO_TURN, heard: playback.Playback = NOTHING, **how: Any
) -> Callable[[floor.Floor, CallMessage], floor.Floor]:
    given = {"has_session": True, "ended": False, "lost_s": 0.0, "greets": False, **how}
    return lambda before, event: floor.advance(before, event, limits=LIMITS, turn=now, playback=heard, **given)


@pytest.mark.parametrize("name", EVENTS)
def test_the_floor(name: str) -> None:
    check(floor_of(), FLOORS, FLOOR, name)


@pytest.mark.parametrize("name", EVENTS)
def test_the_floor_while_the_model_talks(name: str) -> None:
    check(floor_of(HEARD, PLAYING), FLOORS, FLOOR_TALKING, name)


@pytest.mark.parametrize("name", EVENTS)
def test_the_floor_without_a_session(name: str) -> None:
    check(floor_of(has_session=False, lost_s=49.0), FLOORS, FLOOR_ALONE, name)


@pytest.mark.parametrize(("now", "owes"), [(QUIET, False), (GENERATED, False), (SPEAKING, True), (WORKING, True)])
def test_what_a_session_leaves_unsaid_is_owed(now: turn.Turn, owes: bool) -> None:
    after = [floor_of(now, ended=True)(before, LOST) for before in FLOORS]
    due = AnswerDue(float("inf"))
    assert after == ([due, OWED_NOW, OWED, due] if owes else [NOBODY, SPEAKS, OWED, due])


def test_the_last_samples_of_a_session_that_closes_are_no_answer() -> None:
    """They once were, and 22 seconds of silence followed."""
    assert floor_of(HEARD, SILENT, has_session=False)(DUE, EVENTS["PlayoutResumed"]) == DUE


def test_a_greeting_is_an_answer_that_is_due() -> None:
    assert floor_of(greets=True)(NOBODY, EVENTS["SessionReady"]) == LATER


NOT_DUE, DUE_NOW = NoGoodbye(), Due("f1", 55.0)
GOODBYE: Grid = {
    "ToolFinished ends": (Due("f1", 53.0), Due("f1", 53.0)),
    "TurnSpeaking": (..., Due("f1", 60.0)),
    "ModelInterrupted": (..., NOT_DUE),
    "ToolsCancelled": (..., NOT_DUE),
    "CallerPaused": (..., NOT_DUE),
    "CallerPaused cough": (..., Due("f1", 55.0)),
}


@pytest.mark.parametrize("name", EVENTS)
def test_the_goodbye(name: str) -> None:
    def advance(before: goodbye.Goodbye, event: CallMessage) -> goodbye.Goodbye:
        return goodbye.advance(before, event, limits=LIMITS, saying=False, is_void=False)

    check(advance, (NOT_DUE, DUE_NOW), GOODBYE, name)


def test_a_goodbye_that_is_being_said_has_its_whole_time_and_one_of_an_interrupted_turn_none() -> None:
    ends = EVENTS["ToolFinished ends"]
    assert goodbye.advance(NOT_DUE, ends, limits=LIMITS, saying=True, is_void=False) == Due("f1", 60.0)
    assert goodbye.advance(NOT_DUE, ends, limits=LIMITS, saying=True, is_void=True) == NOT_DUE


KEYS: Grid = {"KeyPressed": (Entering(54.0), Entering(54.0)), "KeyPressed #": (Entering(50.0), Entering(50.0))}


@pytest.mark.parametrize("name", EVENTS)
def test_the_keys(name: str) -> None:
    check(lambda before, event: keys.advance(before, event, LIMITS), (NoKeys(), Entering(51.0)), KEYS, name)


IDLE: Grid = {
    "CallerSpoke": (Idle(50.0),),
    "KeyPressed": (Idle(50.0),),
    "KeyPressed #": (Idle(50.0),),
    "TurnSpeaking": (Idle(50.0, 1),),
    "PlayoutEmpty": (Idle(50.0, 1),),
    "TimerFired idle": (Idle(50.0, 2),),
}


@pytest.mark.parametrize("name", EVENTS)
def test_the_idle_time(name: str) -> None:
    check(lambda before, event: idle.advance(before, event, playing=True), (Idle(20.0, 1),), IDLE, name)


WAIT: Grid = {"TimerFired comfort": (Waiting(50.0, 50.0), Waiting(40.0, 50.0))}


@pytest.mark.parametrize("name", EVENTS)
def test_the_wait(name: str) -> None:
    waiting = Waiting(40.0, 43.0)
    grid = {name: (Waiting(50.0, 50.0), ...) for name in EVENTS} | dict(WAIT)
    check(lambda before, event: wait.advance(before, event, waits=True, at_s=50.0), (NotWaiting(), waiting), grid, name)
    assert wait.advance(waiting, EVENTS[name], waits=False, at_s=50.0) == NotWaiting()


REFUSED = outage.SetUpRefused(Refusal(RefusedPart.SETUP, "", "no"), Plan.NEW, frozenset())
TROUBLE = Outage(
    45.0, 4, 2, frozenset({REFUSED}), 1, 1, asked=True, beginnings=2, completed_turn=2, played_turn=2, dials_s=(44.0,)
)
PLAYED = replace(TROUBLE, played_turn=3)
COMPLETED = replace(TROUBLE, completed_turn=3)
HEALTHY = Outage(completed_turn=3, played_turn=3, dials_s=(44.0,))
READY = {"opening_failures": 0, "refused": frozenset(), "asked": False}
OUTAGE: Grid = {  # session 2 is open since second 46
    "TurnAudible": tuple(replace(before, beginnings=3) for before in (TROUBLE, PLAYED, COMPLETED)),
    "TurnCompleted": (COMPLETED, HEALTHY, ...),
    "TurnPlayed": (PLAYED, ..., HEALTHY),
    "CallerPaused": tuple(replace(before, beginnings=0, asked=False) for before in (TROUBLE, PLAYED, COMPLETED)),
    "SessionReady": tuple(replace(before, **READY) for before in (TROUBLE, PLAYED, COMPLETED)),  # type: ignore[arg-type]
    "SessionLost": tuple(replace(before, tries=5, opening_failures=0) for before in (TROUBLE, PLAYED, COMPLETED)),
    "ChildExited session": tuple(replace(before, tries=5, opening_failures=0) for before in (TROUBLE, PLAYED, COMPLETED)),
}


@pytest.mark.parametrize("owed", [False, True])
def test_only_who_was_answered_may_have_the_session_asked_again(owed: bool) -> None:
    assert outage.advance(TROUBLE, EVENTS["CallerPaused"], Open(2, Plan.RESUME, 46.0), LIMITS, owed=owed).asked == owed


@pytest.mark.parametrize("name", EVENTS)
def test_the_outage(name: str) -> None:
    young = Open(2, Plan.RESUME, 46.0)
    check(lambda before, event: outage.advance(before, event, young, LIMITS), (TROUBLE, PLAYED, COMPLETED), OUTAGE, name)


def test_a_loss_while_opening_is_a_failure_to_open() -> None:
    first = outage.advance(Outage(), LOST, OPENING, LIMITS)
    again = outage.advance(first, LOST, OPENING, LIMITS)
    assert [(one.tries, one.opening_failures) for one in (first, again)] == [(1, 1), (2, 2)]
    assert first.since_s == 50.0


@pytest.mark.parametrize("before", [Open(2, Plan.RESUME, 45.0), Closing(2, 45.0, Decision.RESUME)])
def test_a_session_that_has_lived_long_enough_gives_the_budget_back(before: session.Session) -> None:
    after = outage.advance(TROUBLE, LOST, before, LIMITS)
    assert (after.tries, after.bad_audio, after.since_s) == ((1, 0, 50.0) if isinstance(before, Open) else (0, 0, None))
    assert (after.beginnings, after.silent_moves) == (2, 1), "an answer that is begun again and again is none"


def test_the_last_twelve_dials_are_kept() -> None:
    after = Outage()
    for at_s in range(20):
        after = outage.dialled(after, float(at_s))
        assert outage.may_dial_s(after) == (0.0 if at_s < 11 else at_s - 11 + 10.0)
