"""Streaming: a session that is lost, falls silent, or is to be moved at a settled moment."""

import pytest
from call_machine import CLOSE_SESSION, HANDLE, TOOL, lost, moves, openings, ready, streaming, talking, told

from callbot.effects import Moved, OpenSession
from callbot.messages.call import (
    CallerPaused,
    CallerSpoke,
    CallMessage,
    ChildExited,
    KeyPressed,
    ModelSilent,
    PlayoutEmpty,
    TurnSpeaking,
)
from callbot.messages.session import GoAway, TurnGenerated, TurnStarted
from callbot.messages.terms import Child, Decision, Ending, Plan
from callbot.states import State
from callbot.states.regions.playback import Playing
from callbot.states.regions.session import Closing, Open

MOVED = (CLOSE_SESSION, Moved("streaming", "reconnecting", "go_away"))


def crash(session_no: int, error: str | None = "KeyError: 'x'") -> ChildExited:
    return ChildExited(Child.GEMINI_SESSION, session_no, error, 5.0)


def test_a_lost_session_is_resumed_at_once_with_its_handle() -> None:
    assert streaming().tell(lost(1)) == (
        Moved("streaming", "reconnecting", "close_1006_link_lost"),
        OpenSession(session_no=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
    )


def test_what_the_caller_has_not_heard_plays_on_when_the_session_is_lost() -> None:
    call = talking()
    assert told(call.tell(lost(1))) == []
    assert call.record.playback == Playing(1)


def test_the_loss_of_another_session_changes_nothing() -> None:
    call = streaming()
    assert call.tell(lost(7), ready(7)) == ()
    assert (call.state, call.record.session) == (State.STREAMING, Open(1, Plan.NEW, 0.3))


def test_a_session_that_crashes_is_opened_again_three_times_then_given_up() -> None:
    call = streaming()
    for session_no in (1, 2, 3):
        effects = call.tell(crash(session_no))
        assert moves(effects) == [("streaming", "reconnecting", "session_crashed")]
        assert [opening.session_no for opening in openings(effects)] == [session_no + 1]
        call.tell(ready(session_no + 1, at_s=5.0))
    effects = call.tell(crash(4))
    assert moves(effects)[0] == ("streaming", "draining", "session_crashed")
    assert CLOSE_SESSION not in effects
    assert call.record.conversation.ending is Ending.APOLOGISE


def test_the_end_of_a_session_of_before_is_no_crash() -> None:
    call = streaming()
    call.tell(lost(1), ready(2))
    assert call.tell(crash(1, None)) == ()
    assert call.state is State.STREAMING


def test_a_model_whose_socket_is_silent_is_left() -> None:
    call = streaming()
    assert call.tell(ModelSilent(7, 60.0, 60.0)) == ()
    assert call.tell(ModelSilent(1, 60.0, 60.0)) == (CLOSE_SESSION, Moved("streaming", "reconnecting", "model_socket_silent"))
    assert call.record.session == Closing(1, 0.3, Decision.RESUME)


@pytest.mark.parametrize(("time_left_s", "deadline_s"), [(50.0, 48.0), (3.0, 1.0), (None, 3.0)])
def test_go_away_in_a_conversation_waits_for_a_settled_moment_but_not_past_its_deadline(
    time_left_s: float | None, deadline_s: float
) -> None:
    call = talking()
    assert call.tell(GoAway(1, time_left_s, 5.0)) == ()
    assert call.timers["move"] == deadline_s
    call.tell(TurnGenerated(1, audible=True, at_s=5.1))
    assert call.state is State.STREAMING
    assert call.tell(PlayoutEmpty(5.2)) == MOVED


@pytest.mark.parametrize("time_left_s", [0.0, 1.0, 2.0])
def test_go_away_without_time_left_moves_at_once_in_mid_word(time_left_s: float) -> None:
    assert talking().tell(GoAway(1, time_left_s, 5.0)) == MOVED


def test_go_away_in_a_settled_moment_moves_at_once() -> None:
    assert streaming().tell(GoAway(1, 50.0, 5.0)) == MOVED


def test_go_away_at_its_deadline_moves_whatever_is_said() -> None:
    call = talking()
    call.tell(GoAway(1, 50.0, 5.0))
    assert moves(call.fire("move")) == [("streaming", "reconnecting", "go_away")]


def test_go_away_of_another_session_is_nothing() -> None:
    assert streaming().tell(GoAway(7, 0.0, 5.0)) == ()


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
    call = streaming()
    call.tell(*busy)
    assert call.tell(GoAway(1, 50.0, 5.0)) == ()
    assert call.state is State.STREAMING


def test_the_moved_session_is_resumed_only_when_the_old_one_is_gone() -> None:
    call = streaming()
    assert openings(call.tell(GoAway(1, 0.0, 9.0))) == []
    assert call.tell(lost(1, cause="closed_by_us")) == (
        OpenSession(session_no=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
    )


def test_a_planned_rotation_waits_for_a_settled_moment() -> None:
    call = talking(max_session_s=60.0)
    assert call.fire("rotate") == ()
    assert call.timers["move"] == 30.0
    call.tell(TurnGenerated(1, audible=True, at_s=61.0))
    assert moves(call.tell(PlayoutEmpty(62.0))) == [("streaming", "reconnecting", "rotation")]


def test_a_go_away_takes_over_a_planned_rotation_and_a_rotation_does_not_put_it_off() -> None:
    call = talking(max_session_s=60.0)
    call.fire("rotate")
    call.tell(GoAway(1, 5.0, 61.0))
    assert call.timers["move"] == 3.0
    assert "rotate" not in call.timers
