"""Reconnecting: there is no session; the caller is kept company and the next session is on its way."""

import pytest
from call_machine import (
    CLOSE_SESSION,
    HANDLE,
    feed,
    fired,
    lost,
    moves,
    openings,
    ready,
    reconnecting,
    streaming,
    talking,
    timers,
    told,
)

from callbot.effects import Moved, OpenSession, StartTimer, StopTimer, Tell
from callbot.messages import (
    CallerPaused,
    CallerSpoke,
    Child,
    ChildExited,
    Decision,
    GoAway,
    KeyPressed,
    ModelSilent,
    Plan,
    PlayComfort,
    PlayoutEmpty,
    PlayoutResumed,
    Role,
    SayText,
    Timer,
    ToolCalled,
    ToolFinished,
    Transcribed,
    TurnCompleted,
    TurnGenerated,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import CallMachine, Limits, Session, State


def closing() -> CallMachine:
    """Session 1 was told to close because its time is up; it has not gone yet."""
    machine = streaming()
    machine.handle(GoAway(1, 0.0, 5.0))
    return machine


def test_a_ready_session_carries_the_call_on() -> None:
    machine = reconnecting()
    assert machine.handle(ready(2)) == (
        Moved("reconnecting", "streaming", "session_ready"),
        StopTimer(Timer.UNREACHABLE),
        StartTimer(Timer.IDLE, 120.0),
        StartTimer(Timer.ROTATE, 540.0),
        StopTimer(Timer.COMFORT),
    )
    assert machine.record.session is Session.OPEN


def test_a_ready_of_the_session_that_is_being_closed_is_late() -> None:
    machine = closing()
    assert machine.handle(ready(1)) == ()
    assert machine.state is State.RECONNECTING


def test_a_ready_of_another_session_is_late() -> None:
    machine = reconnecting()
    assert machine.handle(ready(1)) == ()
    assert machine.state is State.RECONNECTING


def test_the_next_session_opens_when_the_closed_one_is_gone_and_not_before() -> None:
    machine = closing()
    before = machine.record
    assert machine.handle(lost(7)) == ()
    assert machine.record == before
    assert machine.handle(lost(1, Decision.FRESH, "closed_by_us")) == (
        OpenSession(session_no=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
    )
    assert machine.record.tries == 0


def test_a_session_that_crashes_while_it_closes_is_gone_too() -> None:
    machine = closing()
    (opening,) = openings(machine.handle(ChildExited(Child.GEMINI_SESSION, 1, "KeyError: 'x'", 6.0)))
    assert (opening.session_no, opening.plan, machine.record.restarts) == (2, Plan.RESUME, 1)


def test_a_session_that_crashes_once_too_often_while_it_closes_is_given_up() -> None:
    """Crashes were once counted here and never judged: a session that crashed at every close was opened again for ever."""
    machine = streaming(Limits(max_restarts=1))
    for session_no in (1, 2):
        machine.handle(GoAway(session_no, 0.0, 5.0))
        assert machine.record.session is Session.CLOSING
        effects = machine.handle(ChildExited(Child.GEMINI_SESSION, session_no, "KeyError: 'x'", 6.0))
        if session_no == 1:
            machine.handle(ready(2))
    assert moves(effects) == [("reconnecting", "draining", "session_crashed")]
    assert openings(effects) == []
    assert CLOSE_SESSION not in effects, "there is none any more"
    assert (machine.record.outcome, machine.record.ending.value) == ("model_unreachable", "apologise")


def test_a_session_that_crashes_once_too_often_while_it_opens_is_given_up_whatever_other_model_there_is() -> None:
    machine = streaming(Limits(max_restarts=0, models=2))
    machine.handle(lost(1))
    effects = machine.handle(ChildExited(Child.GEMINI_SESSION, 2, "KeyError: 'x'", 6.0))
    assert moves(effects) == [("reconnecting", "draining", "session_crashed")]


def test_a_move_after_which_a_fresh_session_is_wanted_forgets_the_handle() -> None:
    machine = streaming()
    machine.record = machine.record.but(talked=True, silent_moves=1, nudged=True, answer_due=True)
    machine.handle(fired(Timer.FIRST_AUDIO))
    (opening,) = openings(machine.handle(lost(1, cause="closed_by_us")))
    assert (opening.plan, opening.handle) == (Plan.HISTORY, None)
    assert machine.record.handle is None


def test_a_session_that_cannot_be_opened_goes_down_the_ladder_with_backoff() -> None:
    machine = reconnecting()
    (opening,) = openings(machine.handle(lost(2)))
    assert (opening.session_no, opening.plan, opening.after_s) == (3, Plan.RESUME, 0.25)


def test_a_session_that_crashes_while_it_opens_is_tried_again() -> None:
    machine = reconnecting()
    (opening,) = openings(machine.handle(ChildExited(Child.GEMINI_SESSION, 2, "KeyError: 'x'", 6.0)))
    assert (opening.session_no, machine.record.restarts) == (3, 1)


def test_the_end_of_a_session_whose_loss_was_told_is_no_crash() -> None:
    machine = reconnecting()
    assert machine.handle(ChildExited(Child.GEMINI_SESSION, 1, None, 6.0)) == ()


def test_a_loss_that_nothing_can_mend_apologises() -> None:
    machine = reconnecting()
    effects = machine.handle(lost(2, Decision.GIVE_UP, "close_1008_model"))
    assert moves(effects) == [("reconnecting", "draining", "close_1008_model")]
    assert CLOSE_SESSION not in effects
    assert (machine.record.outcome, machine.record.ending.value) == ("model_unreachable", "apologise")


def test_a_streaming_call_whose_model_refuses_for_good_is_given_up_in_one_step() -> None:
    machine = streaming()
    effects = machine.handle(lost(1, Decision.GIVE_UP, "close_1007_key"))
    assert moves(effects) == [
        ("streaming", "reconnecting", "close_1007_key"),
        ("reconnecting", "draining", "close_1007_key"),
    ]
    assert set(timers(effects)) == {"drain"}


def test_no_model_within_the_time_apologises() -> None:
    machine = reconnecting()
    effects = machine.handle(fired(Timer.UNREACHABLE))
    assert moves(effects) == [("reconnecting", "draining", "model_unreachable")]
    assert machine.record.ending.value == "apologise"
    assert CLOSE_SESSION in effects


def test_a_caller_who_hears_nothing_gets_a_sound_and_one_who_hears_words_does_not() -> None:
    again = StartTimer(Timer.COMFORT, 3.0)
    machine = talking()
    machine.handle(lost(1))
    assert machine.handle(fired(Timer.COMFORT)) == (again,)
    machine.handle(PlayoutEmpty(12.0))
    assert machine.handle(fired(Timer.COMFORT)) == (Tell(PlayComfort()), again)
    machine.handle(PlayoutResumed(1, 13.0))
    assert machine.handle(fired(Timer.COMFORT)) == (again,)
    machine.handle(PlayoutEmpty(13.5))
    machine.handle(TurnSpeaking(1, 14.0))
    assert machine.handle(fired(Timer.COMFORT)) == (again,)


def test_tools_of_the_lost_session_are_forgotten_and_their_answers_dropped() -> None:
    machine = streaming()
    machine.handle(ToolCalled(1, "f1", "look_up", {}, 5.0))
    machine.handle(lost(1))
    assert machine.record.tools == frozenset()
    assert machine.handle(ToolFinished(1, "f1", "look_up", {}, ends_call=True, at_s=6.0)) == ()
    assert machine.handle(ToolCalled(1, "f2", "look_up", {}, 6.0)) == ()


def test_what_a_closing_session_still_says_is_followed_but_watched_no_more() -> None:
    machine = closing()
    assert feed(machine, TurnStarted(1, 6.0)) == ()
    assert (machine.record.turn, machine.record.generating) == (1, True)
    assert feed(machine, TurnGenerated(1, audible=True, at_s=6.5)) == ()
    assert feed(machine, TurnStarted(2, 6.0), TurnCompleted(2, True, "", 7.0)) == ()
    assert not machine.record.generating
    (opening,) = openings(machine.handle(lost(1)))
    assert opening.first_turn == 3


def test_a_silent_socket_and_a_go_away_are_no_news_here() -> None:
    machine = reconnecting()
    before = machine.record
    assert feed(machine, GoAway(2, 0.0, 6.0), ModelSilent(2, 60.0, 6.0)) == ()
    assert machine.record == before


def test_words_make_the_call_one_that_has_a_history() -> None:
    machine = reconnecting()
    machine.handle(Transcribed(Role.CALLER, "hello", 0))
    machine.record = machine.record.but(handle=None)
    (opening,) = openings(machine.handle(lost(2)))
    assert opening.plan is Plan.HISTORY


def test_the_caller_is_followed_so_that_the_next_session_is_not_talked_over() -> None:
    machine = reconnecting()
    assert machine.handle(CallerSpoke(5.0)) == (StartTimer(Timer.IDLE, 120.0),)
    assert machine.record.caller_speaking
    machine.handle(CallerPaused(6.0, 900, 6.5))
    assert not machine.record.caller_speaking


def test_words_spoken_while_there_is_no_session_are_the_next_ones_to_answer() -> None:
    """The next session hears them from the backlog; to ask at once made two answers of one question."""
    machine = reconnecting()
    assert not machine.record.answer_due
    feed(machine, CallerSpoke(15.0), CallerPaused(16.0, 240, 16.5))
    assert (machine.record.answer_due, machine.record.spoke_in_gap) == (True, True)
    assert timers(machine.handle(ready(2))) == {"idle": 120.0, "rotate": 540.0, "first_audio": 7.0}


def test_a_cough_while_there_is_no_session_is_nothing_to_answer() -> None:
    machine = reconnecting()
    feed(machine, CallerSpoke(15.0), CallerPaused(15.2, 239, 15.7))
    assert (machine.record.answer_due, machine.record.spoke_in_gap) == (False, False)
    assert "first_audio" not in timers(machine.handle(ready(2)))


def test_an_answer_that_was_cut_off_is_not_asked_for_when_the_caller_has_spoken_since() -> None:
    machine = talking()
    feed(machine, lost(1), CallerSpoke(15.0), CallerPaused(16.0, 900, 16.5))
    assert timers(machine.handle(ready(2)))["first_audio"] == 7.0


@pytest.mark.parametrize(("ended_s", "asked_after_s"), [(9.9, 1.5), (10.0, 1.5), (10.23, 1.5), (10.24, 7.0), (12.0, 7.0)])
def test_words_that_went_to_the_lost_session_are_asked_for_unless_the_next_one_hears_their_end(
    ended_s: float, asked_after_s: float
) -> None:
    """The caller's pause is heard half a second after the last word: a session lost just then left seven silent seconds."""
    machine = streaming()
    feed(machine, CallerSpoke(9.0), lost(1), CallerPaused(ended_s, round((ended_s - 9.0) * 1000), ended_s + 0.5))
    assert machine.record.answer_due
    assert timers(machine.handle(ready(2)))["first_audio"] == asked_after_s


def test_a_pause_within_words_spoken_in_the_gap_does_not_unsay_them() -> None:
    machine = reconnecting()
    feed(machine, CallerSpoke(15.0), CallerPaused(16.0, 900, 16.5), CallerSpoke(16.6), CallerPaused(16.7, 100, 17.2))
    assert machine.record.spoke_in_gap


def test_what_was_said_in_an_earlier_gap_does_not_put_off_asking_for_an_answer_cut_off_now() -> None:
    machine = reconnecting()
    feed(machine, CallerSpoke(15.0), CallerPaused(16.0, 900, 16.5), ready(2))
    machine.handle(lost(2))
    assert (machine.record.answer_due, machine.record.spoke_in_gap) == (True, False)
    assert timers(machine.handle(ready(3)))["first_audio"] == 1.5


def test_keys_are_kept_and_told_to_the_next_session() -> None:
    machine = reconnecting()
    feed(machine, KeyPressed("9", 5.0), fired(Timer.KEYS), ready(2))
    assert told(machine.handle(fired(Timer.KEYS))) == [SayText("(The caller pressed these keys on the telephone: 9)")]


def test_nothing_of_a_watchdog_of_streaming_is_left_running() -> None:
    machine = streaming(Limits())
    running: dict[str, float] = {"max_call": 3300.0}
    for event in (CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5), lost(1)):
        effects = machine.handle(event)
        for effect in effects:
            if isinstance(effect, StartTimer):
                running[effect.name] = effect.delay_s
            elif isinstance(effect, StopTimer):
                running.pop(effect.name, None)
    assert running == {"max_call": 3300.0, "idle": 120.0, "unreachable": 12.0, "comfort": 3.0}
