"""Streaming: tools, and the one that ends the call after its goodbye."""

import pytest
from call_machine import TOOL, asked, feed, fired, lost, moves, ready, streaming, talking, timers

from callbot.effects import CancelTools, RunTool, StartTimer, Tell
from callbot.messages import (
    AnswerTool,
    Beat,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    PlayoutEmpty,
    PlayoutResumed,
    Role,
    Timer,
    ToolCalled,
    ToolFinished,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import State

ENDS_CALL = ToolFinished(1, "f1", "end_call", {"status": "ok"}, ends_call=True, at_s=6.0)
GOODBYE_ANSWERED = Tell(AnswerTool("f1", "end_call", {"status": "ok"}))


def test_a_tool_is_run_and_its_answer_given_to_the_session_that_asked() -> None:
    machine = streaming()
    assert machine.handle(TOOL) == (RunTool(TOOL),)
    assert machine.record.tools == {"f1"}
    finished = ToolFinished(1, "f1", "look_up", {"status": "ok"}, ends_call=False, at_s=6.0)
    assert machine.handle(finished) == (Tell(AnswerTool("f1", "look_up", {"status": "ok"})),)
    assert machine.record.tools == frozenset()


def test_a_tool_that_the_model_no_longer_wants_is_stopped_and_its_answer_dropped() -> None:
    machine = streaming()
    machine.handle(TOOL)
    assert machine.handle(ToolsCancelled(1, ("f1", "f2"))) == (CancelTools(("f1", "f2")),)
    assert machine.handle(ToolFinished(1, "f1", "look_up", {}, ends_call=False, at_s=6.0)) == ()


def test_tools_of_another_session_are_not_run_nor_answered() -> None:
    machine = streaming()
    assert machine.handle(ToolCalled(7, "f1", "look_up", {}, 5.0)) == ()
    assert machine.handle(ToolsCancelled(7, ("f1",))) == ()
    machine.handle(TOOL)
    feed(machine, lost(1), ready(2))
    assert machine.handle(ToolFinished(1, "f1", "look_up", {}, ends_call=True, at_s=6.0)) == ()


def test_end_call_while_the_goodbye_plays_hangs_up_at_its_end() -> None:
    machine = talking()
    machine.handle(TOOL)
    assert machine.handle(ENDS_CALL) == (GOODBYE_ANSWERED, StartTimer(Timer.GOODBYE, 10.0))
    machine.handle(TurnGenerated(1, audible=True, at_s=7.0))
    assert machine.state is State.STREAMING
    effects = machine.handle(PlayoutEmpty(9.0))
    assert moves(effects)[0] == ("streaming", "draining", "bot_said_goodbye")
    assert (machine.record.outcome, machine.record.ending.value) == ("completed", "hang_up")


def test_end_call_after_the_goodbye_was_heard_waits_three_seconds_for_another_word() -> None:
    """It may be said before the function or after it, and nothing tells which; the call was once hung up on the first word."""
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(3.0), TOOL)
    assert machine.handle(ENDS_CALL) == (GOODBYE_ANSWERED, StartTimer(Timer.GOODBYE, 3.0))
    assert machine.state is State.STREAMING
    assert moves(machine.handle(fired(Timer.GOODBYE))) == [("streaming", "draining", "bot_said_goodbye")]


def test_a_goodbye_that_comes_after_end_call_is_heard_to_its_end() -> None:
    machine = streaming()
    machine.handle(TOOL)
    assert timers(machine.handle(ENDS_CALL)) == {"goodbye": 3.0}
    feed(machine, TurnStarted(1, 7.0), TurnAudible(1, 7.0))
    assert timers(machine.handle(TurnSpeaking(1, 7.0))) == {"idle": 120.0, "goodbye": 10.0}
    for event in (TurnGenerated(1, True, 7.2), TurnCompleted(1, True, "", 7.3)):
        machine.handle(event)
        assert machine.state is State.STREAMING, "all of it is generated, not all of it heard"
    assert moves(machine.handle(PlayoutEmpty(9.0)))[0] == ("streaming", "draining", "bot_said_goodbye")


def test_a_goodbye_with_a_pause_in_it_is_heard_to_its_end() -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, TurnStarted(1, 7.0), TurnAudible(1, 7.0), TurnSpeaking(1, 7.0), PlayoutEmpty(7.5))
    assert machine.state is State.STREAMING, "the model has more to say"
    feed(machine, PlayoutResumed(1, 8.0), PlayoutEmpty(8.5))
    assert machine.state is State.STREAMING
    assert moves(machine.handle(TurnGenerated(1, True, 8.6)))[0] == ("streaming", "draining", "bot_said_goodbye")


def test_a_goodbye_that_is_generated_before_its_first_frame_is_sent_is_heard_to_its_end() -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, TurnStarted(1, 7.0), TurnAudible(1, 7.0), TurnGenerated(1, True, 7.0), TurnSpeaking(1, 7.1))
    assert machine.state is State.STREAMING
    assert moves(machine.handle(PlayoutEmpty(9.0)))[0] == ("streaming", "draining", "bot_said_goodbye")


def test_the_end_of_a_comfort_sound_is_no_goodbyes_end() -> None:
    machine = asked()
    feed(machine, TOOL, ENDS_CALL, fired(Timer.COMFORT), PlayoutEmpty(6.5))
    assert machine.state is State.STREAMING


def test_the_end_of_the_turn_that_only_called_the_function_is_no_goodbyes_end() -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, TurnGenerated(1, False, 6.1), TurnCompleted(1, False, "", 6.1))
    assert machine.state is State.STREAMING


@pytest.mark.parametrize(
    "event", [CallerSpoke(6.1), CallerPaused(6.2, 100, 6.3), Beat(6.1), Transcribed(Role.CALLER, "bye", 0)]
)
def test_nothing_but_the_goodbyes_own_end_hangs_up(event: CallMessage) -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, event)
    assert machine.state is State.STREAMING


def test_end_call_while_the_model_speaks_or_is_heard_gives_the_goodbye_its_whole_time() -> None:
    unheard = talking()
    feed(unheard, TurnGenerated(1, True, 2.0), TOOL)
    assert timers(unheard.handle(ENDS_CALL)) == {"goodbye": 10.0}
    generating = talking()
    feed(generating, PlayoutEmpty(2.0), TOOL)
    assert timers(generating.handle(ENDS_CALL)) == {"goodbye": 10.0}


def test_a_goodbye_whose_end_never_comes_is_cut_by_its_timer() -> None:
    machine = talking()
    feed(machine, TOOL, ENDS_CALL)
    assert moves(machine.handle(fired(Timer.GOODBYE))) == [("streaming", "draining", "bot_said_goodbye")]


def test_the_call_does_not_end_while_another_tool_runs() -> None:
    machine = talking()
    feed(machine, TOOL, ToolCalled(1, "f2", "book", {}, 5.0), ENDS_CALL, TurnGenerated(1, True, 6.0), PlayoutEmpty(7.0))
    assert machine.state is State.STREAMING
    machine.handle(ToolFinished(1, "f2", "book", {}, ends_call=False, at_s=8.0))
    assert machine.state is State.STREAMING, "the model has its answer now, and may say something of it"
    feed(machine, TurnStarted(2, 8.5), TurnAudible(2, 8.5), TurnSpeaking(2, 8.5), TurnGenerated(2, True, 8.6))
    assert moves(machine.handle(PlayoutEmpty(9.0)))[0] == ("streaming", "draining", "bot_said_goodbye")
