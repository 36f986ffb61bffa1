"""Draining: the last words play, children stop, two timers see to it that it ends."""

from typing import Any

import pytest
from call_machine import (
    ALL_BUT_SESSION,
    CLOSE_SESSION,
    HANDLE,
    TIMERS_BEFORE_DRAINING,
    change,
    connecting,
    feed,
    fired,
    lost,
    moves,
    ready,
    reconnecting,
    stops,
    streaming,
    talking,
)

from callbot.effects import (
    CancelChildren,
    Moved,
    RecordEnding,
    Report,
    StartTimer,
    StopChildren,
    StopTimer,
    Tell,
)
from callbot.messages import (
    CallerGone,
    CallMessage,
    Child,
    ChildExited,
    ClearPlayback,
    CloseStream,
    DrainRequested,
    DropTurns,
    Ending,
    ModelInterrupted,
    PlayoutEmpty,
    StreamSilent,
    Timer,
)
from callbot.states import CallMachine, Limits, State


def ended(child: Child, session_no: int = 0, error: str | None = None) -> ChildExited:
    return ChildExited(child, session_no, error, 30.0)


def draining() -> CallMachine:
    """The process stops; the caller still hears the model."""
    machine = talking()
    machine.handle(DrainRequested(2.0))
    return machine


def close_stream(code: int, reason: str) -> Tell:
    return Tell(CloseStream(code, reason))


def test_a_hang_up_ends_everything_at_once_and_plays_nothing_out() -> None:
    machine = talking()
    assert machine.handle(CallerGone("stop", 2.0)) == (
        Moved("streaming", "draining", "caller_hung_up"),
        *stops(*TIMERS_BEFORE_DRAINING),
        RecordEnding(Ending.HANG_UP),
        StartTimer(Timer.DRAIN, 13.0),
        CLOSE_SESSION,
        StopTimer(Timer.FAREWELL),
        close_stream(1000, "caller_hung_up"),
        StopChildren(),
    )
    assert machine.record.children == ALL_BUT_SESSION | {Child.GEMINI_SESSION}


def test_a_drain_lets_the_last_words_be_heard() -> None:
    machine = talking()
    assert machine.handle(DrainRequested(2.0)) == (
        Moved("streaming", "draining", "instance_stopping"),
        *stops(*TIMERS_BEFORE_DRAINING),
        RecordEnding(Ending.CONTINUE),
        StartTimer(Timer.DRAIN, 13.0),
        CLOSE_SESSION,
        StartTimer(Timer.FAREWELL, 10.0),
    )
    assert machine.handle(PlayoutEmpty(4.0)) == (
        StopTimer(Timer.FAREWELL),
        close_stream(1001, "instance_stopping"),
        StopChildren(),
    )


@pytest.mark.parametrize("event", [fired(Timer.FAREWELL), CallerGone("closed", 4.0), StreamSilent(10.0, 4.0)])
def test_last_words_end_with_their_time_or_with_the_caller(event: CallMessage) -> None:
    machine = draining()
    assert machine.handle(event) == (
        StopTimer(Timer.FAREWELL),
        close_stream(1001, "instance_stopping"),
        StopChildren(),
    )


@pytest.mark.parametrize(
    "event", [PlayoutEmpty(5.0), fired(Timer.FAREWELL), CallerGone("closed", 5.0), StreamSilent(10.0, 5.0)]
)
def test_the_stream_is_closed_once(event: CallMessage) -> None:
    machine = draining()
    machine.handle(PlayoutEmpty(4.0))
    assert machine.handle(event) == ()


def test_a_stream_whose_other_end_is_gone_needs_no_last_words() -> None:
    machine = draining()
    assert machine.handle(ended(Child.TWILIO_IO)) == (
        StopTimer(Timer.FAREWELL),
        close_stream(1001, "instance_stopping"),
        StopChildren(),
    )


def test_the_call_is_closed_when_the_last_child_has_ended() -> None:
    machine = draining()
    machine.handle(PlayoutEmpty(4.0))
    for child in (Child.TRANSCODER, Child.HEARTBEAT, Child.TWILIO_IO):
        assert machine.handle(ended(child)) == ()
    assert machine.handle(ended(Child.GEMINI_SESSION, 1)) == (
        Moved("draining", "closed", "all_ended"),
        StopTimer(Timer.DRAIN),
        StopTimer(Timer.FAREWELL),
        Report("moved", "instance_stopping"),
    )
    assert machine.state is State.CLOSED


def test_a_child_that_crashes_now_has_ended_like_any_other() -> None:
    machine = draining()
    machine.handle(PlayoutEmpty(4.0))
    feed(machine, ended(Child.TRANSCODER, error="x"), ended(Child.HEARTBEAT, error="x"), ended(Child.TWILIO_IO, error="x"))
    assert Child.GEMINI_SESSION in machine.record.children
    machine.handle(ended(Child.GEMINI_SESSION, 1, "x"))
    assert machine.state is State.CLOSED


def test_an_earlier_sessions_end_is_not_waited_for() -> None:
    machine = reconnecting()
    machine.handle(CallerGone("stop", 12.0))
    assert machine.handle(ended(Child.GEMINI_SESSION, 1)) == ()
    assert Child.GEMINI_SESSION in machine.record.children


def test_children_that_do_not_end_are_cancelled_by_the_drain_timer() -> None:
    machine = draining()
    assert machine.handle(fired(Timer.DRAIN)) == (
        CancelChildren(),
        Moved("draining", "closed", "drain_time_out"),
        StopTimer(Timer.DRAIN),
        StopTimer(Timer.FAREWELL),
        Report("moved", "instance_stopping"),
    )


def test_barge_in_over_the_last_words_still_clears() -> None:
    machine = draining()
    assert machine.handle(ModelInterrupted(1, 3.0)) == (
        Tell(DropTurns(1)),
        Tell(ClearPlayback(1)),
        *stops(Timer.TURN_GAP, Timer.TURN_COMPLETE),
    )


def test_a_session_that_becomes_ready_now_is_closed() -> None:
    machine = connecting()
    machine.handle(CallerGone("stop", 1.0))
    assert machine.handle(ready(1)) == (CLOSE_SESSION,)


def test_a_hang_up_while_connecting_closes_the_session_that_is_opening() -> None:
    machine = connecting()
    effects = machine.handle(CallerGone("closed", 1.0))
    assert moves(effects) == [("connecting", "draining", "stream_closed")]
    assert CLOSE_SESSION in effects
    assert Child.GEMINI_SESSION in machine.record.children


def test_a_drain_while_nothing_plays_closes_the_stream_at_once() -> None:
    machine = streaming()
    assert machine.handle(DrainRequested(2.0))[-2:] == (close_stream(1001, "instance_stopping"), StopChildren())


def test_a_drain_before_the_call_has_begun_closes_it() -> None:
    machine = CallMachine(Limits())
    effects = machine.handle(DrainRequested(0.0))
    assert moves(effects) == [
        ("connecting", "draining", "instance_stopping"),
        ("draining", "closed", "all_ended"),
    ]
    assert Report("moved", "instance_stopping") in effects


def test_the_handle_is_forgotten() -> None:
    machine = streaming()
    assert machine.record.handle == HANDLE
    machine.handle(CallerGone("stop", 2.0))
    assert machine.record.handle is None


def test_a_loss_of_the_session_is_no_matter_any_more() -> None:
    machine = draining()
    before = machine.record
    assert machine.handle(lost(1)) == ()
    assert machine.record == before


@pytest.mark.parametrize(
    ("event", "reason", "outcome", "ending", "code"),
    [
        (CallerGone("stop", 2.0), "caller_hung_up", "completed", Ending.HANG_UP, 1000),
        (CallerGone("closed", 2.0), "stream_closed", "completed", Ending.HANG_UP, 1000),
        (DrainRequested(2.0), "instance_stopping", "moved", Ending.CONTINUE, 1001),
        (fired(Timer.MAX_CALL), "call_limit", "completed", Ending.HANG_UP, 1000),
        (fired(Timer.IDLE), "nobody_spoke", "completed", Ending.HANG_UP, 1000),
        (fired(Timer.GOODBYE), "bot_said_goodbye", "completed", Ending.HANG_UP, 1000),
        (StreamSilent(10.0, 2.0), "stream_silent", "failed", Ending.CONTINUE, 1001),
        (ended(Child.TWILIO_IO), "stream_closed", "completed", Ending.HANG_UP, 1000),
        (ended(Child.TWILIO_IO, error="ValueError: x"), "twilio_io_crashed", "failed", Ending.CONTINUE, 1001),
        (ended(Child.TRANSCODER, error="ValueError: x"), "transcoder_crashed", "failed", Ending.CONTINUE, 1001),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@pytest.mark.parametrize("make", [connecting, streaming, reconnecting])
def test_every_way_to_end_is_recorded_before_the_stream_closes_and_reported_once(
    make: Any, event: CallMessage, reason: str, outcome: str, ending: Ending, code: int
) -> None:
    machine: CallMachine = make()
    effects = machine.handle(event)
    assert effects.index(RecordEnding(ending)) < effects.index(close_stream(code, reason))
    assert moves(effects) == [(make.__name__, "draining", reason)]
    effects = machine.handle(fired(Timer.DRAIN))
    assert effects[-1] == Report(outcome, reason)


def test_a_heartbeat_that_crashed_too_often_is_not_waited_for() -> None:
    machine = change(streaming(), restarts=3)
    machine.handle(ended(Child.HEARTBEAT, error="ValueError: x"))
    assert machine.record.children == {Child.TWILIO_IO, Child.TRANSCODER, Child.GEMINI_SESSION}
    assert (machine.record.outcome, machine.record.ending) == ("failed", Ending.CONTINUE)
