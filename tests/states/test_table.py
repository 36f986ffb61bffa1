"""The whole grid, every state against every event, and what the table of moves must be."""

from collections.abc import Callable
from dataclasses import replace
from types import UnionType
from typing import Literal, get_args

import pytest
from call_machine import STARTED, connecting, reconnecting, streaming

from callbot.effects import Moved
from callbot.messages import (
    Beat,
    CallerGone,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    Child,
    ChildExited,
    Decision,
    DrainRequested,
    GoAway,
    HandleRenewed,
    KeyPressed,
    ModelInterrupted,
    ModelSilent,
    ModelUsage,
    Plan,
    PlayoutEmpty,
    PlayoutResumed,
    SessionLost,
    SessionReady,
    StreamFault,
    StreamSilent,
    StreamStarted,
    TimerFired,
    ToolCalled,
    ToolFinished,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnFirstHeard,
    TurnGenerated,
    TurnPlayed,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import TABLE, CallMachine, CallRecord, IllegalEventError, State, Step, Trigger
from callbot.states import closed as closed_state
from callbot.states import common
from callbot.states import connecting as connecting_state
from callbot.states import draining as draining_state
from callbot.states import reconnecting as reconnecting_state
from callbot.states import streaming as streaming_state

type Answer = Trigger | None | Literal["illegal"]

STAYS: None = None
ILLEGAL: Literal["illegal"] = "illegal"
READY, LOST, MOVE = Trigger.READY, Trigger.LOST, Trigger.MOVE
GIVE_UP, END, DRAINED = Trigger.GIVE_UP, Trigger.END, Trigger.DRAINED

# A quiet call in each state, its session number `now`; `then` is a session that is over. In Draining the last words play.
# fmt: off
GRID: dict[str, tuple[Callable[[int, int], CallMessage], Answer, Answer, Answer, Answer, Answer]] = {
    # event                                                                          connecting streaming reconnecting draining closed
    "StreamStarted": (lambda now, then: STARTED,                                         ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, STAYS),
    "SessionReady": (lambda now, then: SessionReady(now, Plan.NEW, 1, 0.0),              READY,   STAYS,   READY,   STAYS,   STAYS),
    "SessionReady stale": (lambda now, then: SessionReady(then, Plan.NEW, 1, 0.0),       STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "SessionLost": (lambda now, then: _lost(now, Decision.RESUME),                       STAYS,   LOST,    STAYS,   STAYS,   STAYS),
    "SessionLost hopeless": (lambda now, then: _lost(now, Decision.GIVE_UP),             GIVE_UP, LOST,    GIVE_UP, STAYS,   STAYS),
    "SessionLost stale": (lambda now, then: _lost(then, Decision.GIVE_UP),               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "HandleRenewed": (lambda now, then: HandleRenewed(now, "h"),                         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "GoAway": (lambda now, then: GoAway(now, 50.0, 0.0),                                 STAYS,   MOVE,    STAYS,   STAYS,   STAYS),
    "GoAway stale": (lambda now, then: GoAway(then, 0.0, 0.0),                           STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnStarted": (lambda now, then: TurnStarted(7, 0.0),                               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnAudible": (lambda now, then: TurnAudible(7, 0.0),                               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnGenerated": (lambda now, then: TurnGenerated(7, audible=True, at_s=0.0),        STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnCompleted": (lambda now, then: TurnCompleted(7, True, "", 0.0),                 STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnCompleted silent": (lambda now, then: TurnCompleted(0, False, "", 0.0),         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ModelInterrupted": (lambda now, then: ModelInterrupted(7, 0.0),                     STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ModelUsage": (lambda now, then: ModelUsage(1, 1),                                   STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "Transcribed": (lambda now, then: Transcribed("caller", "hello", 0),                 STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ToolCalled": (lambda now, then: ToolCalled(now, "f1", "look_up", {}, 0.0),          STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ToolsCancelled": (lambda now, then: ToolsCancelled(now, ("f1",)),                   STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ToolFinished": (lambda now, then: ToolFinished(now, "f1", "end_call", {}, True, 0.0), STAYS, STAYS,   STAYS,   STAYS,   STAYS),
    "TurnSpeaking": (lambda now, then: TurnSpeaking(7, 0.0),                             STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnFirstHeard": (lambda now, then: TurnFirstHeard(7, 0.0),                         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnPlayed": (lambda now, then: TurnPlayed(7, 20, 20, False, 0.0),                  STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "PlayoutEmpty": (lambda now, then: PlayoutEmpty(0.0),                                STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "PlayoutResumed": (lambda now, then: PlayoutResumed(7, 0.0),                         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "CallerSpoke": (lambda now, then: CallerSpoke(0.0),                                  STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "CallerPaused": (lambda now, then: CallerPaused(0.0, 900, 0.5),                      STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "CallerGone": (lambda now, then: CallerGone("stop", 0.0),                            END,     END,     END,     STAYS,   STAYS),
    "CallerGone closed": (lambda now, then: CallerGone("closed", 0.0),                   END,     END,     END,     STAYS,   STAYS),
    "KeyPressed": (lambda now, then: KeyPressed("5", 0.0),                               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "StreamFault": (lambda now, then: StreamFault("not_json"),                           STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "StreamSilent": (lambda now, then: StreamSilent(10.0, 0.0),                          END,     END,     END,     STAYS,   STAYS),
    "ModelSilent": (lambda now, then: ModelSilent(now, 60.0, 0.0),                       STAYS,   LOST,    STAYS,   STAYS,   STAYS),
    "ModelSilent stale": (lambda now, then: ModelSilent(then, 60.0, 0.0),                STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "Beat": (lambda now, then: Beat(0.0),                                                STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "DrainRequested": (lambda now, then: DrainRequested(0.0),                            END,     END,     END,     STAYS,   STAYS),
    "TimerFired max_call": (lambda now, then: TimerFired("max_call", 0.0),               END,     END,     END,     STAYS,   STAYS),
    "TimerFired idle": (lambda now, then: TimerFired("idle", 0.0),                       END,     END,     END,     STAYS,   STAYS),
    "TimerFired goodbye": (lambda now, then: TimerFired("goodbye", 0.0),                 END,     END,     END,     STAYS,   STAYS),
    "TimerFired keys": (lambda now, then: TimerFired("keys", 0.0),                       STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired unreachable": (lambda now, then: TimerFired("unreachable", 0.0),         GIVE_UP, STAYS,   GIVE_UP, STAYS,   STAYS),
    "TimerFired comfort": (lambda now, then: TimerFired("comfort", 0.0),                 STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired first_audio": (lambda now, then: TimerFired("first_audio", 0.0),         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired turn_gap": (lambda now, then: TimerFired("turn_gap", 0.0),               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired turn_complete": (lambda now, then: TimerFired("turn_complete", 0.0),     STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired move": (lambda now, then: TimerFired("move", 0.0),                       STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired rotate": (lambda now, then: TimerFired("rotate", 0.0),                   STAYS,   MOVE,    STAYS,   STAYS,   STAYS),
    "TimerFired farewell": (lambda now, then: TimerFired("farewell", 0.0),               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired drain": (lambda now, then: TimerFired("drain", 0.0),                     STAYS,   STAYS,   STAYS,   DRAINED, STAYS),
    "ChildExited twilio_io": (lambda now, then: _exit(Child.TWILIO_IO),                  END,     END,     END,     STAYS,   STAYS),
    "ChildExited twilio_io crash": (lambda now, then: _crash(Child.TWILIO_IO),           END,     END,     END,     STAYS,   STAYS),
    "ChildExited transcoder": (lambda now, then: _crash(Child.TRANSCODER),               END,     END,     END,     STAYS,   STAYS),
    "ChildExited heartbeat": (lambda now, then: _crash(Child.HEARTBEAT),                 STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ChildExited session": (lambda now, then: _crash(Child.GEMINI_SESSION, now),         STAYS,   LOST,    STAYS,   STAYS,   STAYS),
    "ChildExited session stale": (lambda now, then: _exit(Child.GEMINI_SESSION, then),   STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
}
# fmt: on

ON_EVENT: dict[State, Callable[[CallRecord, CallMessage], Step | None]] = {
    State.CONNECTING: connecting_state.on_event,
    State.STREAMING: streaming_state.on_event,
    State.RECONNECTING: reconnecting_state.on_event,
    State.DRAINING: draining_state.on_event,
    State.CLOSED: closed_state.on_event,
}


def _lost(attempt: int, decision: Decision) -> SessionLost:
    return SessionLost(attempt, decision, "close_1011_internal", 1011, "", 0.0)


def _exit(child: Child, attempt: int = 0) -> ChildExited:
    return ChildExited(child, attempt, None, 0.0)


def _crash(child: Child, attempt: int = 0) -> ChildExited:
    return ChildExited(child, attempt, "ValueError: x", 0.0)


def _draining() -> CallMachine:
    """The process stops while the model's last words play."""
    machine = streaming()
    machine.handle(TurnSpeaking(1, 0.0))
    machine.handle(DrainRequested(0.0))
    return machine


def _closed() -> CallMachine:
    machine = streaming()
    machine.handle(CallerGone("stop", 0.0))
    machine.handle(TimerFired("drain", 0.0))
    return machine


CALLS: dict[State, Callable[[], CallMachine]] = {
    State.CONNECTING: connecting,
    State.STREAMING: streaming,
    State.RECONNECTING: reconnecting,
    State.DRAINING: _draining,
    State.CLOSED: _closed,
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", list(GRID))
def test_every_state_answers_every_event_as_the_grid_says(state: State, name: str) -> None:
    make, *answers = GRID[name]
    expected = dict(zip(State, answers, strict=True))[state]
    machine = CALLS[state]()
    assert machine.state is state
    event = make(machine.record.attempt, machine.record.attempt - 1)

    step = ON_EVENT[state](machine.record, event)

    answer: Answer = "illegal" if step is None else step.trigger
    assert answer == expected


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", list(GRID))
def test_the_machine_moves_only_along_rows_of_the_table(state: State, name: str) -> None:
    make, *answers = GRID[name]
    expected = dict(zip(State, answers, strict=True))[state]
    machine = CALLS[state]()
    before = machine.record
    event = make(before.attempt, before.attempt - 1)

    if expected == "illegal":
        with pytest.raises(IllegalEventError):
            machine.handle(event)
        assert (machine.state, machine.record) == (state, before)
        return
    path = [(effect.origin, effect.dest) for effect in machine.handle(event) if isinstance(effect, Moved)]

    # One event may lead through a state that is over as it begins: Draining when no child is left.
    assert path[:1] == [(row.source.value, row.dest.value) for row in TABLE if (row.source, row.trigger) == (state, expected)]
    assert set(path) <= {(row.source.value, row.dest.value) for row in TABLE}
    assert [origin for origin, _ in path[1:]] == [dest for _, dest in path[:-1]]
    assert machine.state.value == (path[-1][1] if path else state.value)


def test_the_grid_knows_every_event_class() -> None:
    assert isinstance(CallMessage, UnionType)
    assert {name.split()[0] for name in GRID} == {event.__name__ for event in get_args(CallMessage)}


@pytest.mark.parametrize("name", list(GRID))
def test_each_row_is_about_the_event_it_is_named_for(name: str) -> None:
    assert type(GRID[name][0](2, 1)).__name__ == name.split()[0]


def test_the_grid_knows_every_timer() -> None:
    names = {
        value
        for name, value in vars(common).items()
        if name.isupper() and isinstance(value, str)
    }
    assert names == {name.split()[1] for name in GRID if name.startswith("TimerFired")}


def test_every_trigger_moves_something() -> None:
    assert {row.trigger for row in TABLE} == set(Trigger)


def test_no_state_has_two_ways_for_one_trigger() -> None:
    assert len({(row.source, row.trigger) for row in TABLE}) == len(TABLE)


def _reachable(origin: State) -> set[State]:
    found, todo = {origin}, [origin]
    while todo:
        here = todo.pop()
        for row in TABLE:
            if row.source is here and row.dest not in found:
                found.add(row.dest)
                todo.append(row.dest)
    return found


def test_every_state_is_reachable_from_the_first() -> None:
    assert _reachable(State.CONNECTING) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_closed_is_reachable_from_every_state(state: State) -> None:
    assert State.CLOSED in _reachable(state)


def test_closed_is_final() -> None:
    assert [row for row in TABLE if row.source is State.CLOSED] == []


def test_nothing_leads_back_to_connecting() -> None:
    assert [row for row in TABLE if row.dest is State.CONNECTING] == []


def test_the_table_has_exactly_these_moves() -> None:
    assert {(row.source.value, row.trigger.value, row.dest.value) for row in TABLE} == {
        ("connecting", "ready", "streaming"),
        ("connecting", "give_up", "draining"),
        ("connecting", "end", "draining"),
        ("streaming", "lost", "reconnecting"),
        ("streaming", "move", "reconnecting"),
        ("streaming", "give_up", "draining"),
        ("streaming", "end", "draining"),
        ("reconnecting", "ready", "streaming"),
        ("reconnecting", "give_up", "draining"),
        ("reconnecting", "end", "draining"),
        ("draining", "drained", "closed"),
    }


def test_a_second_start_is_illegal_and_says_so() -> None:
    machine = connecting()
    with pytest.raises(IllegalEventError, match="StreamStarted has no meaning in state connecting") as caught:
        machine.handle(replace(STARTED, attempt=2))
    assert (caught.value.state, caught.value.event) == (State.CONNECTING, replace(STARTED, attempt=2))


def test_something_that_is_no_event_of_a_call_is_illegal() -> None:
    machine = connecting()
    before = machine.record
    with pytest.raises(IllegalEventError, match="str has no meaning"):
        machine.handle("hello")  # type: ignore[arg-type]
    assert (machine.state, machine.record) == (State.CONNECTING, before)


def test_a_class_that_no_machine_is_bound_to_cannot_be_triggered() -> None:
    with pytest.raises(AssertionError):
        CallMachine.trigger(CallMachine.__new__(CallMachine), "ready")


def test_the_start_event_is_a_message_of_the_call() -> None:
    assert StreamStarted in get_args(CallMessage)
