"""Closed: one summary, and nothing after it."""

import pytest
from call_machine import STARTED, fired, lost, ready, streaming

from callbot.effects import Report
from callbot.messages import CallerGone, CallMessage, Child, ChildExited, DrainRequested, Timer, TurnSpeaking
from callbot.states import CallMachine, State


def closed() -> CallMachine:
    machine = streaming()
    machine.handle(CallerGone("stop", 2.0))
    effects = machine.handle(fired(Timer.DRAIN))
    assert effects.count(Report("completed", "caller_hung_up")) == 1
    return machine


@pytest.mark.parametrize(
    "event",
    [
        STARTED,
        CallerGone("closed", 3.0),
        DrainRequested(3.0),
        ChildExited(Child.TWILIO_IO, 0, "ValueError: x", 3.0),
        fired(Timer.DRAIN),
        fired(Timer.MAX_CALL),
        lost(1),
        ready(1),
        TurnSpeaking(1, 3.0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_that_comes_after_the_end_has_an_effect(event: CallMessage) -> None:
    machine = closed()
    before = machine.record
    assert machine.handle(event) == ()
    assert (machine.state, machine.record) == (State.CLOSED, before)
