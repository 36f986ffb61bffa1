"""The whole grid, every state against every event, and what the table of moves must be."""

from collections.abc import Callable
from dataclasses import replace
from types import UnionType
from typing import Literal, get_args

import pytest
from call_machine import STARTED, Call, connecting, reconnecting, streaming

from callbot.effects import Moved
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
from callbot.messages.terms import Child, Decision, Plan, Role, Timer
from callbot.states import TABLE, IllegalEventError, State, Trigger

type Answer = Trigger | Literal["illegal"] | None

STAYS: None = None
ILLEGAL: Literal["illegal"] = "illegal"
READY, LOST, MOVE = Trigger.READY, Trigger.LOST, Trigger.MOVE
GIVE_UP, END, DRAINED = Trigger.GIVE_UP, Trigger.END, Trigger.DRAINED

# A quiet call in each state, its session number n; t is a session that is over. In Draining the last words play. A timer that
# does not run in that moment fires too late.
# fmt: off
GRID: dict[str, tuple[Callable[[int, int], CallMessage] | None, Answer, Answer, Answer, Answer, Answer]] = {
    # event                                                                         connecting, streaming, reconnecting, draining, closed
    "StreamStarted": (lambda n, t: STARTED,                                         ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, STAYS),
    "SessionReady": (lambda n, t: SessionReady(n, Plan.NEW, 1, 0.0),                READY,   STAYS,   READY,   STAYS,   STAYS),
    "SessionReady stale": (lambda n, t: SessionReady(t, Plan.NEW, 1, 0.0),          STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "SessionLost": (lambda n, t: _lost(n, Decision.RESUME),                         STAYS,   LOST,    STAYS,   STAYS,   STAYS),
    "SessionLost hopeless": (lambda n, t: _lost(n, Decision.GIVE_UP),               GIVE_UP, LOST,    GIVE_UP, STAYS,   STAYS),
    "SessionLost stale": (lambda n, t: _lost(t, Decision.GIVE_UP),                  STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "HandleRenewed": (lambda n, t: HandleRenewed(n, "h"),                           STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "GoAway": (lambda n, t: GoAway(n, 50.0, 0.0),                                   STAYS,   MOVE,    STAYS,   STAYS,   STAYS),
    "GoAway stale": (lambda n, t: GoAway(t, 0.0, 0.0),                              STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnStarted": (lambda n, t: TurnStarted(7, 0.0),                               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnAudible": (lambda n, t: TurnAudible(7, 0.0),                               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnGenerated": (lambda n, t: TurnGenerated(7, audible=True, at_s=0.0),        STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnCompleted": (lambda n, t: TurnCompleted(7, True, "", 0.0),                 STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnCompleted silent": (lambda n, t: TurnCompleted(0, False, "", 0.0),         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnWorking": (lambda n, t: TurnWorking(7, 0.0),                               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ModelInterrupted": (lambda n, t: ModelInterrupted(7, 0.0),                     STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ModelUsage": (lambda n, t: ModelUsage(1, 1),                                   STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "AnswerGrounded": (lambda n, t: AnswerGrounded(("q",)),                         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "Transcribed": (lambda n, t: Transcribed(Role.CALLER, "hello", 0),                 STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ToolCalled": (lambda n, t: ToolCalled(n, "f1", "look_up", {}, 0.0),            STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ToolsCancelled": (lambda n, t: ToolsCancelled(n, ("f1",)),                     STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ToolFinished": (lambda n, t: ToolFinished(n, "f1", "end_call", {}, True, 0.0), STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnSpeaking": (lambda n, t: TurnSpeaking(7, 0.0),                             STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnFirstHeard": (lambda n, t: TurnFirstHeard(7, 0.0),                         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TurnPlayed": (lambda n, t: TurnPlayed(7, 20, 20, False, 0.0),                  STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "PlayoutEmpty": (lambda n, t: PlayoutEmpty(0.0),                                STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "PlayoutResumed": (lambda n, t: PlayoutResumed(7, 0.0),                         STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "CallerSpoke": (lambda n, t: CallerSpoke(0.0),                                  STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "CallerPaused": (lambda n, t: CallerPaused(0.0, 900, 0.5),                      STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "CallerGone": (lambda n, t: CallerGone("stop", 0.0),                            END,     END,     END,     STAYS,   STAYS),
    "CallerGone closed": (lambda n, t: CallerGone("closed", 0.0),                   END,     END,     END,     STAYS,   STAYS),
    "KeyPressed": (lambda n, t: KeyPressed("5", 0.0),                               STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "StreamFault": (lambda n, t: StreamFault("not_json"),                           STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "StreamSilent": (lambda n, t: StreamSilent(10.0, 0.0),                          END,     END,     END,     STAYS,   STAYS),
    "ModelSilent": (lambda n, t: ModelSilent(n, 60.0, 0.0),                         STAYS,   LOST,    STAYS,   STAYS,   STAYS),
    "ModelSilent stale": (lambda n, t: ModelSilent(t, 60.0, 0.0),                   STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "Beat": (lambda n, t: Beat(0.0),                                                STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "DrainRequested": (lambda n, t: DrainRequested(0.0),                            END,     END,     END,     STAYS,   STAYS),
    "TimerFired max_call": (None,                                                   END,     END,     END,     STAYS,   STAYS),
    "TimerFired idle": (None,                                                       END,     STAYS,   END,     STAYS,   STAYS),
    "TimerFired goodbye": (None,                                                    STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired keys": (None,                                                       STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired unreachable": (None,                                                GIVE_UP, STAYS,   GIVE_UP, STAYS,   STAYS),
    "TimerFired trouble": (None,                                                    STAYS,   STAYS,   GIVE_UP, STAYS,   STAYS),
    "TimerFired comfort": (None,                                                    STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired first_audio": (None,                                                STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired turn_gap": (None,                                                   STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired turn_complete": (None,                                              STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired work": (None,                                                       STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired speech": (None,                                                     STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired move": (None,                                                       STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired rotate": (None,                                                     STAYS,   MOVE,    STAYS,   STAYS,   STAYS),
    "TimerFired farewell": (None,                                                   STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "TimerFired drain": (None,                                                      STAYS,   STAYS,   STAYS,   DRAINED, STAYS),
    "ChildExited twilio_io": (lambda n, t: _exit(Child.TWILIO_IO),                  END,     END,     END,     STAYS,   STAYS),
    "ChildExited twilio_io crash": (lambda n, t: _crash(Child.TWILIO_IO),           END,     END,     END,     STAYS,   STAYS),
    "ChildExited transcoder": (lambda n, t: _crash(Child.TRANSCODER),               END,     END,     END,     STAYS,   STAYS),
    "ChildExited heartbeat": (lambda n, t: _crash(Child.HEARTBEAT),                 STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
    "ChildExited session": (lambda n, t: _crash(Child.GEMINI_SESSION, n),           STAYS,   LOST,    STAYS,   STAYS,   STAYS),
    "ChildExited session stale": (lambda n, t: _exit(Child.GEMINI_SESSION, t),      STAYS,   STAYS,   STAYS,   STAYS,   STAYS),
}
# fmt: on


def _lost(session_no: int, decision: Decision) -> SessionLost:
    return SessionLost(session_no, decision, "close_1011_internal", 1011, "", 0.0)


def _exit(child: Child, session_no: int = 0) -> ChildExited:
    return ChildExited(child, session_no, None, 0.0)


def _crash(child: Child, session_no: int = 0) -> ChildExited:
    return ChildExited(child, session_no, "ValueError: x", 0.0)


def _draining() -> Call:
    """The process stops while the model's last words play."""
    call = streaming()
    call.tell(TurnSpeaking(1, 1.0), DrainRequested(1.0))
    return call


def _closed() -> Call:
    call = streaming()
    call.tell(CallerGone("stop", 1.0))
    call.fire("drain")
    return call


CALLS: dict[State, Callable[[], Call]] = {
    State.CONNECTING: connecting,
    State.STREAMING: streaming,
    State.RECONNECTING: reconnecting,
    State.DRAINING: _draining,
    State.CLOSED: _closed,
}


def _event(call: Call, name: str) -> CallMessage:
    """The row's event for this call."""
    make = GRID[name][0]
    if make is not None:
        return make(call.record.session_no, call.record.session_no - 1)
    timer = Timer(name.split()[1])
    due_s = call.machine.timers.get(timer, -1.0)
    return TimerFired(timer, due_s, max(due_s, call.record.now_s))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", list(GRID))
def test_every_state_answers_every_event_as_the_grid_says(state: State, name: str) -> None:
    expected = dict(zip(State, GRID[name][1:], strict=True))[state]
    call = CALLS[state]()
    assert call.state is state
    before, event = call.record, _event(call, name)
    if expected == "illegal":
        with pytest.raises(IllegalEventError):
            call.tell(event)
        assert (call.state, call.record) == (state, before)
        return
    path = [(effect.origin, effect.dest) for effect in call.tell(event) if isinstance(effect, Moved)]

    # One event may lead through a state that is over as it begins: Draining when no child is left.
    assert path[:1] == [(row.source.value, row.dest.value) for row in TABLE if (row.source, row.trigger) == (state, expected)]
    assert set(path) <= {(row.source.value, row.dest.value) for row in TABLE}
    assert [origin for origin, _ in path[1:]] == [dest for _, dest in path[:-1]]
    assert call.state.value == (path[-1][1] if path else state.value)


def test_the_grid_knows_every_event_class() -> None:
    assert isinstance(CallMessage, UnionType)
    assert {name.split()[0] for name in GRID} == {event.__name__ for event in get_args(CallMessage)}


@pytest.mark.parametrize("name", list(GRID))
def test_each_row_is_about_the_event_it_is_named_for(name: str) -> None:
    make = GRID[name][0]
    assert make is None or type(make(2, 1)).__name__ == name.split(maxsplit=1)[0]


def test_the_grid_knows_every_timer() -> None:
    assert set(Timer) == {name.split()[1] for name in GRID if name.startswith("TimerFired")}


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
    machine = connecting().machine
    with pytest.raises(IllegalEventError, match="StreamStarted has no meaning in state connecting") as caught:
        machine.handle(replace(STARTED, stream_no=2))
    assert (caught.value.state, caught.value.event) == (State.CONNECTING, replace(STARTED, stream_no=2))


def test_something_that_is_no_event_of_a_call_is_illegal() -> None:
    machine = connecting().machine
    before = machine.record
    with pytest.raises(IllegalEventError, match="str has no meaning"):
        machine.handle("hello")  # type: ignore[arg-type]
    assert (machine.state, machine.record) == (State.CONNECTING, before)


def test_the_start_event_is_a_message_of_the_call() -> None:
    assert StreamStarted in get_args(CallMessage)
