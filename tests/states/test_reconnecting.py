"""Reconnecting: there is no session; the caller is kept company and the next session is on its way."""

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
    reconnecting,
    say,
    streaming,
    talking,
    told,
)

from callbot.conversation import ToolStatus
from callbot.effects import Moved, OpenSession, Tell
from callbot.messages.call import (
    CallerPaused,
    CallerSpoke,
    ChildExited,
    KeyPressed,
    ModelSilent,
    PlayoutEmpty,
    PlayoutResumed,
    ToolFinished,
    TurnSpeaking,
)
from callbot.messages.children import PlayComfort
from callbot.messages.session import GoAway, ToolCalled, Transcribed, TurnCompleted, TurnGenerated, TurnStarted
from callbot.messages.terms import Child, Decision, Ending, Outcome, Plan, Role
from callbot.states import State
from callbot.states.regions.session import Closing, Open

CRASH = "KeyError: 'x'"


def closing() -> Call:
    """Session 1 was told to close because its time is up; it has not gone yet."""
    call = streaming()
    call.tell(GoAway(1, 0.0, 9.0))
    return call


def crash(session_no: int, at_s: float = 10.0) -> ChildExited:
    return ChildExited(Child.GEMINI_SESSION, session_no, CRASH, at_s)


def test_a_ready_session_carries_the_call_on() -> None:
    call = reconnecting()
    assert call.tell(ready(2)) == (Moved("reconnecting", "streaming", "session_ready"),)
    assert call.record.session == Open(2, Plan.RESUME, 11.0)
    assert set(call.timers) == {"max_call", "idle", "rotate"}


@pytest.mark.parametrize("make", [closing, reconnecting])
def test_a_ready_of_a_session_that_is_over_is_late(make: object) -> None:
    call: Call = make()  # type: ignore[operator]
    assert call.tell(ready(1)) == ()
    assert call.state is State.RECONNECTING


def test_the_next_session_opens_when_the_closed_one_is_gone_and_not_before() -> None:
    call = closing()
    assert call.tell(lost(7)) == ()
    assert isinstance(call.record.session, Closing)
    assert call.tell(lost(1, Decision.FRESH, "closed_by_us")) == (
        OpenSession(session_no=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
    )
    assert call.record.outage.tries == 0


def test_a_session_that_crashes_while_it_closes_is_gone_too() -> None:
    call = closing()
    (opening,) = openings(call.tell(crash(1)))
    assert (opening.session_no, opening.plan, call.record.restarts) == (2, Plan.RESUME, 1)


def test_a_session_that_crashes_once_too_often_while_it_closes_is_given_up() -> None:
    call = streaming(max_restarts=1)
    call.tell(GoAway(1, 0.0, 9.0), crash(1), ready(2), GoAway(2, 0.0, 20.0))
    effects = call.tell(crash(2, 20.5))
    assert moves(effects) == [("reconnecting", "draining", "session_crashed")]
    assert openings(effects) == []
    assert CLOSE_SESSION not in effects, "there is none any more"
    left = call.record.conversation
    assert (left.outcome, left.ending) == (Outcome.MODEL_UNREACHABLE, Ending.APOLOGISE)


def test_a_session_that_crashes_once_too_often_while_it_opens_is_given_up_whatever_other_model_there_is() -> None:
    call = streaming(max_restarts=0, models=2)
    call.tell(lost(1))
    assert moves(call.tell(crash(2, 10.5))) == [("reconnecting", "draining", "session_crashed")]


def test_a_session_that_cannot_be_opened_goes_down_the_ladder_with_backoff() -> None:
    call = reconnecting()
    (opening,) = openings(call.tell(lost(2)))
    assert (opening.session_no, opening.plan, opening.after_s) == (3, Plan.RESUME, 0.25)


def test_the_end_of_a_session_whose_loss_was_told_is_no_crash() -> None:
    assert reconnecting().tell(ChildExited(Child.GEMINI_SESSION, 1, None, 11.0)) == ()


def test_a_loss_that_nothing_can_mend_apologises() -> None:
    call = reconnecting()
    effects = call.tell(lost(2, Decision.GIVE_UP, "close_1008_model"))
    assert moves(effects) == [("reconnecting", "draining", "close_1008_model")]
    assert CLOSE_SESSION not in effects
    assert call.record.conversation.ending is Ending.APOLOGISE


def test_a_streaming_call_whose_model_refuses_for_good_is_given_up_in_one_step() -> None:
    call = streaming()
    assert moves(call.tell(lost(1, Decision.GIVE_UP, "close_1007_key"))) == [
        ("streaming", "reconnecting", "close_1007_key"),
        ("reconnecting", "draining", "close_1007_key"),
    ]
    assert set(call.timers) == {"drain"}


def test_no_model_within_the_time_apologises() -> None:
    call = reconnecting()
    effects = call.fire("unreachable")
    assert moves(effects) == [("reconnecting", "draining", "model_unreachable")]
    assert call.record.conversation.ending is Ending.APOLOGISE
    assert CLOSE_SESSION in effects


def test_a_caller_who_hears_nothing_gets_a_sound_and_one_who_hears_words_does_not() -> None:
    call = talking()
    call.tell(lost(1))
    assert "comfort" not in call.timers
    call.tell(PlayoutEmpty(12.0))
    assert call.fire("comfort") == (Tell(PlayComfort()),)
    call.tell(PlayoutResumed(1, 15.5))
    assert "comfort" not in call.timers
    call.tell(PlayoutEmpty(16.0))
    assert call.timers["comfort"] == 3.0


def test_the_result_of_a_tool_whose_session_was_lost_is_told_to_the_next_one() -> None:
    """The tool ran on, and its answer went nowhere."""
    call = streaming()
    call.tell(TOOL, lost(1))
    assert call.tell(ToolFinished(1, "f1", "look_up", {"order": 4719}, ends_call=False, at_s=10.5)) == ()
    text = '(The result of look_up, which you asked for before the line to you was interrupted: {"order":4719})'
    assert call.tell(ready(2)) == (Moved("reconnecting", "streaming", "session_ready"), say(text))
    entry = call.record.conversation.tool("f1")
    assert entry is not None
    assert entry.status is ToolStatus.ANSWERED


def test_a_tool_that_finishes_in_the_next_session_is_answered_there_in_words() -> None:
    call = streaming()
    call.tell(TOOL, lost(1), ready(2))
    effects = call.tell(ToolFinished(1, "f1", "look_up", {}, ends_call=False, at_s=12.0))
    assert [type(message).__name__ for message in told(effects)] == ["SayText"]
    assert call.timers["first_audio"] == 7.0


def test_a_session_on_its_way_out_has_nothing_run_any_more() -> None:
    call = closing()
    assert call.tell(ToolCalled(1, "f2", "look_up", {}, 9.5)) == ()
    assert call.record.conversation.tools == ()


def test_what_a_closing_session_still_says_is_followed() -> None:
    call = closing()
    call.tell(TurnStarted(1, 9.1), TurnGenerated(1, audible=True, at_s=9.2), TurnStarted(2, 9.3))
    call.tell(TurnCompleted(2, True, "", 9.4))
    (opening,) = openings(call.tell(lost(1)))
    assert opening.first_turn == 3


def test_a_silent_socket_and_a_go_away_are_no_news_here() -> None:
    call = reconnecting()
    before = call.record.session
    assert call.tell(GoAway(2, 0.0, 11.0), ModelSilent(2, 60.0, 11.0)) == ()
    assert call.record.session == before


def test_words_make_the_call_one_that_has_a_history() -> None:
    call = reconnecting()
    call.tell(Transcribed(Role.CALLER, "hello", 0))
    call.change(conversation=replace(call.record.conversation, handle=None))
    (opening,) = openings(call.tell(lost(2)))
    assert opening.plan is Plan.HISTORY


def test_words_spoken_while_there_is_no_session_are_the_next_ones_to_answer() -> None:
    """The next session hears them from the backlog; to ask at once made two answers of one question."""
    call = reconnecting()
    call.tell(CallerSpoke(10.5), CallerPaused(10.9, 240, 11.4), ready(2, at_s=11.5))
    assert call.timers["first_audio"] == 7.0


def test_a_cough_while_there_is_no_session_is_nothing_to_answer() -> None:
    call = reconnecting()
    call.tell(CallerSpoke(10.5), CallerPaused(10.7, 239, 11.2), ready(2, at_s=11.5))
    assert "first_audio" not in call.timers


def test_an_answer_that_was_cut_off_is_not_asked_for_when_the_caller_has_spoken_since() -> None:
    call = talking()
    call.tell(PlayoutEmpty(9.9), lost(1), CallerSpoke(10.1), CallerPaused(11.0, 900, 11.5), ready(2, at_s=12.0))
    assert call.timers["first_audio"] == 7.0


@pytest.mark.parametrize(("ended_s", "asked_after_s"), [(9.9, 1.5), (10.0, 1.5), (10.23, 1.5), (10.24, 7.0), (10.9, 7.0)])
def test_words_that_went_to_the_lost_session_are_asked_for_unless_the_next_one_hears_their_end(
    ended_s: float, asked_after_s: float
) -> None:
    """The caller's pause is heard half a second after the last word: a session lost just then left seven silent seconds."""
    call = streaming()
    call.tell(
        CallerSpoke(9.0), lost(1), CallerPaused(ended_s, round((ended_s - 9.0) * 1000), ended_s + 0.5), ready(2, at_s=11.5)
    )
    assert call.timers["first_audio"] == asked_after_s


def test_a_pause_within_words_spoken_in_the_gap_does_not_unsay_them() -> None:
    call = reconnecting()
    call.tell(CallerSpoke(10.1), CallerPaused(11.0, 900, 11.5), CallerSpoke(11.6), CallerPaused(11.7, 100, 12.2))
    call.tell(ready(2, at_s=12.3))
    assert "first_audio" in call.timers


def test_what_was_said_in_an_earlier_gap_does_not_put_off_asking_for_an_answer_cut_off_now() -> None:
    call = reconnecting()
    call.tell(CallerSpoke(10.1), CallerPaused(11.0, 900, 11.5), ready(2, at_s=11.6), lost(2, at_s=12.0), ready(3, at_s=12.5))
    assert call.timers["first_audio"] == 1.5


def test_an_answer_that_a_lost_session_owed_is_asked_of_the_next_one_soon() -> None:
    call = asked()
    call.tell(lost(1), ready(2))
    assert call.timers["first_audio"] == 1.5
    assert call.fire("first_audio") == (nudge(WORDS.resume_nudge),)


def test_a_sentence_that_a_lost_session_broke_off_is_owed() -> None:
    call = talking()
    call.tell(PlayoutEmpty(9.9), lost(1), ready(2))
    assert call.timers["first_audio"] == 1.5


def test_a_caller_who_speaks_while_the_session_becomes_ready_is_not_talked_over() -> None:
    call = asked()
    call.tell(lost(1), CallerSpoke(10.5), ready(2))
    assert "first_audio" not in call.timers


def test_keys_are_kept_and_told_to_the_next_session() -> None:
    call = reconnecting()
    call.tell(KeyPressed("9", 10.5), ready(2))
    assert call.fire("keys") == (say("(The caller pressed these keys on the telephone: 9)"),)


def test_nothing_of_a_watchdog_of_streaming_is_left_running() -> None:
    call = asked()
    call.tell(lost(1))
    assert set(call.timers) == {"max_call", "idle", "unreachable", "comfort", "trouble"}


def test_a_turn_that_plays_on_is_heard_to_its_end() -> None:
    call = talking()
    assert told(call.tell(lost(1))) == []
    call.tell(TurnSpeaking(1, 10.1))
    assert "comfort" not in call.timers
