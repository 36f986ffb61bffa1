"""Streaming: an answer that does not come, a turn without sound, a gap inside one, work that takes long."""

from dataclasses import replace

import pytest
from call_machine import (
    CLOSE_SESSION,
    HANDLE,
    TOOL,
    WORDS,
    Call,
    asked,
    lost,
    moves,
    nudge,
    openings,
    ready,
    streaming,
    talking,
)

from callbot.effects import Moved, Tell
from callbot.messages.call import (
    CallerPaused,
    CallerSpoke,
    CallMessage,
    PlayoutEmpty,
    PlayoutResumed,
    ToolFinished,
    TurnSpeaking,
)
from callbot.messages.children import PlayComfort
from callbot.messages.session import (
    GoAway,
    ModelInterrupted,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnStarted,
    TurnWorking,
)
from callbot.messages.terms import Ending, Plan
from callbot.states import State
from callbot.states.regions.floor import AnswerDue, Nobody
from callbot.states.regions.session import Move, Open
from callbot.states.regions.turn import Quiet


def test_no_answer_is_asked_for_once_then_moved_then_begun_afresh_then_given_up() -> None:
    call = asked(trouble_s=1000.0, unreachable_s=1000.0)
    call.change(conversation=replace(call.record.conversation, greeted=True))
    assert call.fire("first_audio") == (nudge(),)
    assert call.timers["first_audio"] == 4.0

    assert call.fire("first_audio") == (CLOSE_SESSION, Moved("streaming", "reconnecting", "no_answer"))
    (resumed,) = openings(call.tell(lost(1, cause="closed_by_us", at_s=14.0)))
    assert (resumed.plan, resumed.handle, resumed.after_s) == (Plan.RESUME, HANDLE, 0.0)
    call.tell(ready(2, at_s=14.5))
    assert call.timers["first_audio"] == 1.5
    assert call.fire("first_audio") == (nudge(WORDS.resume_nudge),)

    assert moves(call.fire("first_audio")) == [("streaming", "reconnecting", "no_answer")]
    (fresh,) = openings(call.tell(lost(2, cause="closed_by_us", at_s=21.0)))
    assert (fresh.plan, fresh.handle) == (Plan.HISTORY, None)
    call.tell(ready(3, Plan.HISTORY, at_s=21.5))
    assert call.fire("first_audio") == (nudge(WORDS.resume_nudge),)

    assert moves(call.fire("first_audio"))[0] == ("streaming", "draining", "no_answer")
    assert call.record.conversation.ending is Ending.APOLOGISE


def test_a_turn_without_sound_that_was_due_is_asked_for_again() -> None:
    call = asked()
    call.tell(TurnStarted(1, 3.0))
    assert call.tell(TurnCompleted(1, False, "", 4.0)) == (nudge(),)
    assert call.tell(TurnCompleted(0, False, "", 5.0)) == (CLOSE_SESSION, Moved("streaming", "reconnecting", "silent_turn"))


def test_silent_turns_without_end_are_given_up() -> None:
    call = asked()
    call.change(outage=replace(call.record.outage, asked=True, silent_moves=2))
    assert moves(call.tell(TurnCompleted(0, False, "", 5.0)))[0] == ("streaming", "draining", "silent_turn")


@pytest.mark.parametrize("busy", [CallerSpoke(3.0), TOOL])
def test_a_completed_turn_without_sound_is_nothing_while_the_caller_or_a_tool_is_busy(busy: CallMessage) -> None:
    call = asked()
    call.tell(busy)
    assert call.tell(TurnCompleted(0, False, "", 5.0)) == ()


def test_a_completed_turn_without_sound_is_nothing_when_nobody_waits() -> None:
    assert streaming().tell(TurnCompleted(0, False, "", 3.0)) == ()


def test_a_gap_inside_a_turn_is_watched_from_the_moment_the_caller_hears_nothing() -> None:
    call = talking()
    assert "turn_gap" not in call.timers
    call.tell(PlayoutEmpty(2.0))
    assert (call.timers["turn_gap"], call.timers["comfort"]) == (4.0, 3.0)
    call.tell(PlayoutResumed(1, 3.0))
    assert {"turn_gap", "comfort"}.isdisjoint(call.timers)
    call.tell(PlayoutEmpty(4.0))
    assert call.fire("comfort") == (Tell(PlayComfort()),)
    call.tell(PlayoutEmpty(7.4))
    assert call.timers["turn_gap"] == 0.6, "the comfort sound's end begins no new gap"
    assert call.fire("turn_gap") == (nudge(),)
    assert (call.record.turn, call.record.floor) == (Quiet(1.0), AnswerDue(12.0))
    call.tell(PlayoutResumed(1, 9.0))
    assert call.record.floor == Nobody(), "the turn goes on: that is the answer"


def test_a_gap_that_the_caller_fills_is_none() -> None:
    call = talking()
    call.tell(PlayoutEmpty(2.0), CallerSpoke(3.0))
    assert call.fire("turn_gap") == ()
    call.tell(CallerPaused(7.0, 900, 7.5))
    assert isinstance(call.record.floor, AnswerDue)


def test_a_turn_of_which_nothing_was_heard_has_no_gap() -> None:
    call = asked()
    call.tell(TurnStarted(1, 3.0))
    assert "turn_gap" not in call.timers
    assert "first_audio" in call.timers


def test_the_wait_for_an_answer_stands_still_while_a_tool_runs_and_begins_anew_behind_it() -> None:
    call = asked()
    call.tell(TOOL)
    assert "first_audio" not in call.timers
    call.tell(ToolFinished(1, "f1", "look_up", {}, ends_call=False, at_s=20.0))
    assert call.timers["first_audio"] == 7.0


def test_the_wait_for_an_answer_stands_still_while_the_caller_hears_something() -> None:
    call = asked()
    call.tell(TurnSpeaking(1, 3.0))
    assert "first_audio" not in call.timers
    call.tell(PlayoutEmpty(9.0))
    assert call.timers["first_audio"] == 7.0


def test_nobody_is_asked_for_an_answer_while_the_caller_speaks() -> None:
    call = asked()
    call.tell(CallerSpoke(3.0))
    assert "first_audio" not in call.timers


def test_comfort_sounds_while_an_answer_is_due_and_not_over_speech() -> None:
    call = asked()
    assert call.fire("comfort") == (Tell(PlayComfort()),)
    assert call.timers["comfort"] == 3.0
    call.tell(TurnSpeaking(1, 6.0))
    assert "comfort" not in call.timers


# A turn that the service never ends.


def test_a_turn_that_is_never_said_to_be_over_moves_the_session_at_a_settled_moment() -> None:
    """The call once went on in a session that took no further turn: every answer after that was missing."""
    call = talking()
    call.tell(TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(3.0))
    call.tell(CallerSpoke(3.5), CallerPaused(3.6, 100, 3.7))
    assert call.fire("turn_complete") == (CLOSE_SESSION, Moved("streaming", "reconnecting", "no_turn_complete"))


def test_a_session_that_never_ended_its_turn_is_not_moved_while_somebody_speaks() -> None:
    call = talking(idle_ask_s=0.0)
    call.tell(TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(4.0), CallerSpoke(31.0))
    assert call.fire("turn_complete") == ()
    assert call.record.session == Open(1, Plan.NEW, 0.3, Move("no_turn_complete", 62.0))
    call.tell(CallerPaused(33.0, 900, 33.5))
    assert call.state is State.STREAMING, "an answer is due"
    call.tell(CallerSpoke(61.0))
    assert moves(call.fire("move")) == [("streaming", "reconnecting", "no_turn_complete")]


@pytest.mark.parametrize("over", [TurnCompleted(1, True, "", 3.5), TurnStarted(2, 3.5), ModelInterrupted(1, 3.5)])
def test_a_turn_that_has_ended_since_moves_nothing(over: CallMessage) -> None:
    call = talking()
    call.tell(TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(3.0), over)
    assert "turn_complete" not in call.timers


def test_a_move_that_is_wanted_already_is_not_put_off_by_a_turn_that_never_ended() -> None:
    call = talking()
    call.tell(TurnGenerated(1, audible=True, at_s=2.0), GoAway(1, 100.0, 5.0))
    call.fire("turn_complete")
    assert call.record.session == Open(1, Plan.NEW, 0.3, Move("go_away", 103.0))


# Work that takes longer than a turn.


def working() -> Call:
    """A filler was said; the service works on the answer, and says so."""
    call = asked()
    call.tell(TurnStarted(1, 3.0), TurnAudible(1, 3.0), TurnSpeaking(1, 3.0), TurnGenerated(1, True, 4.0), TurnWorking(1, 4.0))
    call.tell(PlayoutEmpty(5.0))
    return call


def test_an_answer_that_is_worked_on_is_owed_and_waited_for() -> None:
    """After 36 seconds of work the session had been moved, and the answer was lost."""
    call = working()
    assert isinstance(call.record.floor, AnswerDue)
    assert {"first_audio", "turn_gap", "turn_complete"}.isdisjoint(call.timers)
    assert (call.timers["work"], call.timers["comfort"]) == (59.0, 3.0)
    assert call.fire("comfort") == (Tell(PlayComfort()),)
    call.tell(TurnStarted(2, 40.0), TurnAudible(2, 40.0))
    assert call.record.floor == Nobody()


def test_work_that_takes_too_long_is_asked_about_once_then_the_session_is_moved() -> None:
    call = working()
    assert call.fire("work") == (nudge(),)
    assert call.timers["work"] == 4.0
    assert moves(call.fire("work")) == [("streaming", "reconnecting", "work_time_out")]


def test_a_sign_of_work_does_not_begin_its_time_anew() -> None:
    call = working()
    call.tell(TurnWorking(1, 30.0))
    assert call.timers["work"] == 34.0
