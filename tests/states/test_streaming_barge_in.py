"""Streaming: the model is interrupted, and what nobody has heard of its turn goes."""

import pytest
from call_machine import QUIET, TOOL, WAITS, WAITS_ON, feed, fired, say, stops, streaming, talking, told

from callbot.effects import StopTimer, Tell
from callbot.messages import (
    CallerPaused,
    CallerSpoke,
    ClearPlayback,
    DropTurns,
    ModelInterrupted,
    PlayoutEmpty,
    Timer,
    ToolFinished,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import State


def test_barge_in_drops_the_converters_state_first_then_all_that_is_unheard() -> None:
    machine = talking()
    machine.handle(CallerSpoke(2.0))
    assert machine.handle(ModelInterrupted(1, 2.1)) == (
        Tell(DropTurns(1)),
        Tell(ClearPlayback(1)),
        StopTimer(Timer.TURN_GAP),
        StopTimer(Timer.TURN_COMPLETE),
    )
    assert not machine.record.generating
    assert machine.state is State.STREAMING


def test_barge_in_after_generation_is_complete_drops_as_well() -> None:
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), CallerSpoke(2.0))
    assert told(machine.handle(ModelInterrupted(1, 2.1))) == [DropTurns(1), ClearPlayback(1)]


def test_an_interruption_that_nobody_here_has_heard_expects_the_model_to_say_something() -> None:
    machine = talking()
    assert machine.handle(ModelInterrupted(1, 2.1)) == (
        Tell(DropTurns(1)),
        Tell(ClearPlayback(1)),
        StopTimer(Timer.TURN_GAP),
        StopTimer(Timer.TURN_COMPLETE),
        *WAITS,
    )
    machine.handle(PlayoutEmpty(2.2))
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (say(QUIET.nudge), WAITS_ON)


def test_an_interruption_takes_back_a_goodbye() -> None:
    """The goodbye's timer once ran on, and hung up on a caller who had found something more to say."""
    machine = talking()
    feed(machine, TOOL, ToolFinished(1, "f1", "end_call", {}, ends_call=True, at_s=2.0), CallerSpoke(2.0))
    assert machine.handle(ModelInterrupted(1, 2.1)) == (
        Tell(DropTurns(1)),
        Tell(ClearPlayback(1)),
        *stops(Timer.TURN_GAP, Timer.TURN_COMPLETE, Timer.GOODBYE),
    )
    machine.handle(PlayoutEmpty(2.2))
    assert (machine.state, machine.record.hang_up_due) == (State.STREAMING, False)


@pytest.mark.parametrize("speech_ms", [40, 900])
def test_an_answer_that_was_dropped_is_due_again_when_the_caller_pauses(speech_ms: int) -> None:
    """A phantom between the answer's first sound and our hearing of the pause before it once left a call to its silence."""
    machine = streaming()
    feed(machine, CallerSpoke(1.0), TurnStarted(1, 2.4), TurnAudible(1, 2.4), TurnSpeaking(1, 2.4))
    assert told(machine.handle(ModelInterrupted(1, 2.45))) == [DropTurns(1), ClearPlayback(1)]
    assert machine.handle(CallerPaused(2.0, speech_ms, 2.5)) == WAITS
    feed(machine, PlayoutEmpty(2.5), TurnCompleted(1, True, "interrupted", 2.5))
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (say(QUIET.nudge), WAITS_ON)


def test_a_cough_that_stops_the_model_does_not_leave_the_call_to_its_silence() -> None:
    machine = talking()
    feed(machine, CallerSpoke(2.0), ModelInterrupted(1, 2.1))
    assert machine.handle(CallerPaused(2.1, 100, 2.6)) == WAITS
