"""Streaming: tools, and the one that ends the call after its goodbye."""

import pytest
from call_machine import TOOL, Call, asked, lost, moves, ready, streaming, talking, told

from callbot.conversation import ToolStatus
from callbot.effects import CancelTools, RunTool, Tell
from callbot.messages.call import (
    Beat,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    PlayoutEmpty,
    PlayoutResumed,
    ToolFinished,
    TurnSpeaking,
)
from callbot.messages.children import AnswerTool
from callbot.messages.session import (
    ModelInterrupted,
    ToolCalled,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnStarted,
)
from callbot.messages.terms import Ending, Role
from callbot.states import State
from callbot.states.regions.goodbye import Due, NoGoodbye

ENDS_CALL = ToolFinished(1, "f1", "end_call", {"status": "ok"}, ends_call=True, at_s=6.0)
GOODBYE_ANSWERED = Tell(AnswerTool("f1", "end_call", {"status": "ok"}))
OVER = ("streaming", "draining", "bot_said_goodbye")


def finished(call_id: str = "f1", session_no: int = 1) -> ToolFinished:
    return ToolFinished(session_no, call_id, "look_up", {"status": "ok"}, ends_call=False, at_s=6.0)


def speak(turn: int, at_s: float) -> tuple[CallMessage, ...]:
    return (TurnStarted(turn, at_s), TurnAudible(turn, at_s), TurnSpeaking(turn, at_s))


def status_of(call: Call, call_id: str) -> ToolStatus | None:
    entry = call.record.conversation.tool(call_id)
    return None if entry is None else entry.status


def test_a_tool_is_run_and_its_answer_given_to_the_session_that_asked() -> None:
    call = streaming()
    assert call.tell(TOOL) == (RunTool(TOOL),)
    assert status_of(call, "f1") is ToolStatus.RUNNING
    assert call.tell(finished()) == (Tell(AnswerTool("f1", "look_up", {"status": "ok"})),)
    assert status_of(call, "f1") is ToolStatus.ANSWERED


def test_a_call_is_answered_once() -> None:
    call = streaming()
    call.tell(TOOL, finished())
    assert call.tell(finished()) == ()


def test_a_tool_that_the_model_no_longer_wants_is_stopped_and_its_answer_dropped() -> None:
    call = streaming()
    call.tell(TOOL)
    assert call.tell(ToolsCancelled(1, ("f1", "f2"))) == (CancelTools(("f1", "f2")),)
    assert call.tell(finished()) == ()


def test_tools_of_another_session_are_not_run() -> None:
    call = streaming()
    assert call.tell(ToolCalled(7, "f1", "look_up", {}, 5.0)) == ()
    assert call.record.conversation.tools == ()


def test_end_call_while_the_goodbye_plays_hangs_up_at_its_end() -> None:
    call = talking()
    call.tell(TOOL)
    assert call.tell(ENDS_CALL) == (GOODBYE_ANSWERED,)
    assert call.timers["goodbye"] == 10.0
    call.tell(TurnGenerated(1, audible=True, at_s=7.0))
    assert call.state is State.STREAMING
    assert moves(call.tell(PlayoutEmpty(9.0)))[0] == OVER
    assert call.record.conversation.ending is Ending.HANG_UP


def test_end_call_after_the_goodbye_was_heard_waits_three_seconds_for_another_word() -> None:
    """It may be said before the function or after it, and nothing tells which; the call was once hung up on the first word."""
    call = talking()
    call.tell(TurnGenerated(1, audible=True, at_s=2.0), TurnCompleted(1, True, "", 2.0), PlayoutEmpty(3.0), TOOL, ENDS_CALL)
    assert call.timers["goodbye"] == 3.0
    assert moves(call.fire("goodbye"))[0] == OVER


def test_end_call_without_a_word_ends_the_call_and_asks_the_model_for_nothing() -> None:
    call = asked()
    call.tell(TOOL, ENDS_CALL)
    assert {"first_audio", "comfort"}.isdisjoint(call.timers)
    assert call.tell(TurnCompleted(0, False, "", 6.1)) == ()
    assert moves(call.fire("goodbye"))[0] == OVER


def test_a_goodbye_that_comes_after_end_call_is_heard_to_its_end() -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, *speak(1, 7.0))
    assert call.timers["goodbye"] == 10.0
    for event in (TurnGenerated(1, True, 7.2), TurnCompleted(1, True, "", 7.3)):
        call.tell(event)
        assert call.state is State.STREAMING, "all of it is generated, not all of it heard"
    assert moves(call.tell(PlayoutEmpty(9.0)))[0] == OVER


def test_a_goodbye_with_a_pause_in_it_is_heard_to_its_end() -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, *speak(1, 7.0), PlayoutEmpty(7.5))
    assert call.state is State.STREAMING, "the model has more to say"
    call.tell(PlayoutResumed(1, 8.0), PlayoutEmpty(8.5))
    assert call.state is State.STREAMING
    assert moves(call.tell(TurnGenerated(1, True, 8.6)))[0] == OVER


def test_a_goodbye_that_is_generated_before_its_first_frame_is_sent_is_heard_to_its_end() -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, TurnStarted(1, 7.0), TurnAudible(1, 7.0), TurnGenerated(1, True, 7.0), TurnSpeaking(1, 7.1))
    assert call.state is State.STREAMING
    assert moves(call.tell(PlayoutEmpty(9.0)))[0] == OVER


def test_the_end_of_a_comfort_sound_is_no_goodbyes_end() -> None:
    call = asked()
    call.fire("comfort")
    call.tell(TOOL, ENDS_CALL, PlayoutEmpty(6.5))
    assert call.state is State.STREAMING


def test_the_end_of_the_turn_that_only_called_the_function_is_no_goodbyes_end() -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, TurnGenerated(1, False, 6.1), TurnCompleted(1, False, "", 6.1))
    assert call.state is State.STREAMING


@pytest.mark.parametrize(
    "event", [CallerSpoke(6.1), CallerPaused(6.2, 100, 6.3), Beat(6.1), Transcribed(Role.CALLER, "bye", 0)]
)
def test_nothing_but_the_goodbyes_own_end_hangs_up(event: CallMessage) -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, event)
    assert call.state is State.STREAMING


def test_a_goodbye_whose_end_never_comes_is_cut_by_its_timer() -> None:
    call = talking()
    call.tell(TOOL, ENDS_CALL)
    assert moves(call.fire("goodbye"))[0] == OVER


def test_the_call_does_not_end_while_another_tool_runs() -> None:
    call = talking()
    call.tell(TOOL, ToolCalled(1, "f2", "book", {}, 5.0, 1), ENDS_CALL, TurnGenerated(1, True, 6.0), PlayoutEmpty(7.0))
    assert call.state is State.STREAMING
    call.tell(ToolFinished(1, "f2", "book", {}, ends_call=False, at_s=8.0))
    assert call.state is State.STREAMING, "the model has its answer now, and may say something of it"
    call.tell(*speak(2, 8.5), TurnGenerated(2, True, 8.6))
    assert moves(call.tell(PlayoutEmpty(9.0)))[0] == OVER


# A goodbye that is taken back.


def test_an_interruption_takes_back_a_goodbye() -> None:
    """The goodbye's timer once ran on, and hung up on a caller who had found something more to say."""
    call = talking()
    call.tell(TOOL, ENDS_CALL, CallerSpoke(6.1), ModelInterrupted(1, 6.2), PlayoutEmpty(6.3))
    assert (call.state, call.record.goodbye) == (State.STREAMING, NoGoodbye())
    assert "goodbye" not in call.timers


def test_nobody_who_speaks_is_hung_up_on() -> None:
    """ "Wait, one more thing": hung up two seconds into the sentence."""
    call = talking()
    call.tell(TOOL, ENDS_CALL, TurnGenerated(1, True, 6.1), CallerSpoke(6.2), PlayoutEmpty(7.0))
    assert call.state is State.STREAMING
    assert "goodbye" not in call.timers, "its time stands still"
    call.tell(CallerPaused(12.0, 5800, 12.5))
    assert call.record.goodbye == NoGoodbye(), "words take it back"
    assert call.state is State.STREAMING


def test_a_cough_takes_nothing_back() -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, CallerSpoke(6.1), CallerPaused(6.2, 100, 6.7))
    assert call.record.goodbye == Due("f1", 9.7)
    assert moves(call.fire("goodbye"))[0] == OVER


def test_the_models_own_cancellation_takes_it_back() -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, ToolsCancelled(1, ("f1",)))
    assert call.record.goodbye == NoGoodbye()


def test_a_tool_of_an_interrupted_turn_ends_nothing() -> None:
    """`end_call` that finished after its turn was interrupted once set the hang-up again."""
    call = talking()
    call.tell(TOOL, CallerSpoke(5.1), ModelInterrupted(1, 5.2))
    assert told(call.tell(ENDS_CALL)) == [AnswerTool("f1", "end_call", {"status": "ok"})], "it is answered all the same"
    assert call.record.goodbye == NoGoodbye()


def test_a_tool_of_a_turn_that_was_complete_is_not_interrupted_by_the_next_ones_end() -> None:
    call = talking()
    call.tell(TOOL, TurnGenerated(1, True, 5.1), TurnCompleted(1, True, "", 5.2), PlayoutEmpty(5.3))
    call.tell(*speak(2, 5.4), ModelInterrupted(2, 5.5), ENDS_CALL)
    assert isinstance(call.record.goodbye, Due)


def test_a_goodbye_outlives_its_session() -> None:
    call = streaming()
    call.tell(TOOL, ENDS_CALL, lost(1, at_s=6.5))
    assert call.timers["goodbye"] == 2.5
    call.tell(ready(2, at_s=7.0))
    assert moves(call.fire("goodbye"))[0] == OVER
