"""Streaming: a session that is lost, falls silent, or is to be moved at a settled moment."""

import pytest
from call_machine import (
    CLOSE_SESSION,
    HANDLE,
    MOVE_TIMERS,
    QUIET,
    TOOL,
    asked,
    feed,
    fired,
    lost,
    moves,
    openings,
    ready,
    say,
    streaming,
    talking,
    timers,
    told,
)

from callbot.effects import Moved, OpenSession, StartTimer
from callbot.messages import (
    CallerPaused,
    CallerSpoke,
    CallMessage,
    Child,
    ChildExited,
    Decision,
    GoAway,
    KeyPressed,
    ModelSilent,
    Plan,
    PlayoutEmpty,
    Timer,
    TurnGenerated,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import Session, State


def test_a_lost_session_is_resumed_at_once_with_its_handle() -> None:
    machine = streaming()
    assert machine.handle(lost(1)) == (
        Moved("streaming", "reconnecting", "close_1006_link_lost"),
        *MOVE_TIMERS,
        OpenSession(session_no=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
    )


def test_what_the_caller_has_not_heard_plays_on_when_the_session_is_lost() -> None:
    machine = talking()
    assert told(machine.handle(lost(1))) == []
    assert machine.record.unheard


def test_the_loss_of_another_session_changes_nothing() -> None:
    machine = streaming()
    before = machine.record
    assert machine.handle(lost(7)) == ()
    assert machine.handle(ready(7)) == ()
    assert (machine.state, machine.record) == (State.STREAMING, before)


def test_a_session_that_crashes_is_opened_again_three_times_then_given_up() -> None:
    machine = streaming()
    for session_no in (1, 2, 3):
        effects = machine.handle(ChildExited(Child.GEMINI_SESSION, session_no, "KeyError: 'x'", 5.0))
        assert moves(effects) == [("streaming", "reconnecting", "session_crashed")]
        assert [opening.session_no for opening in openings(effects)] == [session_no + 1]
        machine.handle(ready(session_no + 1))
    effects = machine.handle(ChildExited(Child.GEMINI_SESSION, 4, "KeyError: 'x'", 5.0))
    assert moves(effects) == [("streaming", "draining", "session_crashed")]
    assert CLOSE_SESSION not in effects
    assert machine.record.ending.value == "apologise"


def test_the_end_of_a_session_of_before_is_no_crash() -> None:
    machine = streaming()
    machine.handle(lost(1))
    machine.handle(ready(2))
    assert machine.handle(ChildExited(Child.GEMINI_SESSION, 1, None, 5.0)) == ()
    assert machine.state is State.STREAMING


def test_a_model_whose_socket_is_silent_is_left() -> None:
    machine = streaming()
    assert machine.handle(ModelSilent(7, 60.0, 60.0)) == ()
    assert machine.handle(ModelSilent(1, 60.0, 60.0)) == (
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "model_socket_silent"),
        *MOVE_TIMERS,
    )
    assert (machine.record.session, machine.record.after_close) == (Session.CLOSING, Decision.RESUME)


@pytest.mark.parametrize(("time_left_s", "deadline_s"), [(50.0, 48.0), (3.0, 1.0), (None, 3.0)])
def test_go_away_in_a_conversation_waits_for_a_settled_moment_but_not_past_its_deadline(
    time_left_s: float | None, deadline_s: float
) -> None:
    machine = talking()
    assert machine.handle(GoAway(1, time_left_s, 5.0)) == (StartTimer(Timer.MOVE, deadline_s),)
    assert machine.state is State.STREAMING
    machine.handle(TurnGenerated(1, audible=True, at_s=6.0))
    assert machine.state is State.STREAMING
    assert machine.handle(PlayoutEmpty(7.0)) == (
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "go_away"),
        *MOVE_TIMERS,
    )


@pytest.mark.parametrize("time_left_s", [0.0, 1.0, 2.0])
def test_go_away_without_time_left_moves_at_once_in_mid_word(time_left_s: float) -> None:
    machine = talking()
    assert machine.handle(GoAway(1, time_left_s, 5.0)) == (
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "go_away"),
        *MOVE_TIMERS,
    )


def test_go_away_in_a_settled_moment_moves_at_once() -> None:
    machine = streaming()
    assert machine.handle(GoAway(1, 50.0, 5.0)) == (
        StartTimer(Timer.MOVE, 48.0),
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "go_away"),
        *MOVE_TIMERS,
    )


def test_go_away_at_its_deadline_moves_whatever_is_said() -> None:
    machine = talking()
    machine.handle(GoAway(1, 50.0, 5.0))
    assert moves(machine.handle(fired(Timer.MOVE))) == [("streaming", "reconnecting", "go_away")]


def test_go_away_of_another_session_is_nothing() -> None:
    machine = streaming()
    assert machine.handle(GoAway(7, 0.0, 5.0)) == ()


@pytest.mark.parametrize(
    "busy",
    [
        (CallerSpoke(1.0),),
        (CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5)),
        (TurnStarted(1, 1.0),),
        (TurnSpeaking(1, 1.0),),
        (TOOL,),
        (KeyPressed("1", 1.0),),
    ],
    ids=["caller speaks", "answer due", "model speaks", "caller hears", "tool runs", "keys are pressed"],
)
def test_no_moment_is_settled_in_which_somebody_would_notice(busy: tuple[CallMessage, ...]) -> None:
    machine = streaming()
    feed(machine, *busy)
    assert machine.handle(GoAway(1, 50.0, 5.0)) == (StartTimer(Timer.MOVE, 48.0),)
    assert machine.state is State.STREAMING


def test_the_moved_session_is_resumed_only_when_the_old_one_is_gone() -> None:
    machine = streaming()
    assert openings(machine.handle(GoAway(1, 0.0, 5.0))) == []
    assert machine.handle(lost(1, cause="closed_by_us")) == (
        OpenSession(session_no=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
    )


def test_a_planned_rotation_waits_for_a_settled_moment() -> None:
    machine = talking()
    assert machine.handle(fired(Timer.ROTATE)) == (StartTimer(Timer.MOVE, 30.0),)
    machine.handle(TurnGenerated(1, audible=True, at_s=6.0))
    effects = machine.handle(PlayoutEmpty(7.0))
    assert moves(effects) == [("streaming", "reconnecting", "rotation")]


def test_a_planned_rotation_does_not_put_off_the_deadline_of_a_go_away() -> None:
    """A rotation that came due after a goAway once started the `move` timer anew, past the service's deadline."""
    machine = talking()
    machine.handle(GoAway(1, 5.0, 5.0))
    assert machine.handle(fired(Timer.ROTATE)) == ()
    assert machine.record.moving == "go_away"


def test_a_go_away_takes_over_a_planned_rotation() -> None:
    machine = talking()
    machine.handle(fired(Timer.ROTATE))
    assert machine.handle(GoAway(1, 5.0, 5.0)) == (StartTimer(Timer.MOVE, 3.0),)
    assert machine.record.moving == "go_away"


def test_a_move_timer_without_a_move_is_late() -> None:
    machine = streaming()
    assert machine.handle(fired(Timer.MOVE)) == ()


def test_an_answer_that_a_lost_session_owed_is_asked_of_the_next_one_soon() -> None:
    machine = asked()
    machine.handle(lost(1))
    effects = machine.handle(ready(2))
    assert timers(effects) == {"idle": 120.0, "rotate": 540.0, "first_audio": 1.5}
    assert machine.handle(fired(Timer.FIRST_AUDIO))[0] == say(QUIET.resume_nudge)


def test_a_sentence_that_a_lost_session_broke_off_is_owed() -> None:
    machine = talking()
    machine.handle(lost(1))
    assert machine.record.answer_due
    assert timers(machine.handle(ready(2)))["first_audio"] == 1.5


def test_a_caller_who_speaks_while_the_session_becomes_ready_is_not_talked_over() -> None:
    machine = asked()
    feed(machine, lost(1), CallerSpoke(3.0))
    assert "first_audio" not in timers(machine.handle(ready(2)))
