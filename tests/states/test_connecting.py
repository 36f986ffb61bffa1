"""Connecting: the session is opening, the caller's audio is kept."""

import pytest
from call_machine import (
    HANDLE,
    TOOL,
    Call,
    connecting,
    conversation,
    lost,
    moves,
    nudge,
    openings,
    ready,
    say,
    told,
)

from callbot.conversation import Handle
from callbot.effects import Moved, OpenSession, RestartChild, Tell
from callbot.messages.call import CallerPaused, CallerSpoke, ChildExited, KeyPressed, TurnSpeaking
from callbot.messages.children import ClearPlayback, DropTurns, PlayComfort, SayText
from callbot.messages.session import HandleRenewed, ModelInterrupted, SessionReady, ToolsCancelled, TurnAudible, TurnStarted
from callbot.messages.terms import Child, Decision, Ending, Outcome, Plan, Timer
from callbot.states import State
from callbot.states.regions.floor import AnswerDue, CallerSpeaking, Nobody
from callbot.states.regions.playback import Playing
from callbot.states.regions.session import NoSession, Open, Opening

CRASH = "KeyError: 'x'"


def crash(session_no: int, at_s: float = 1.0) -> ChildExited:
    return ChildExited(Child.GEMINI_SESSION, session_no, CRASH, at_s)


def test_a_call_begins_with_its_limits_and_the_first_session() -> None:
    call = connecting()
    assert call.timers == {"max_call": 3300.0, "unreachable": 12.0, "comfort": 3.0, "idle": 120.0}
    assert call.record.children == {Child.TWILIO_IO, Child.TRANSCODER, Child.HEARTBEAT}
    assert (call.state, call.record.session) == (State.CONNECTING, Opening(1, Plan.NEW))
    assert call.record.conversation.streams == 1


def test_a_ready_session_is_asked_to_greet_and_is_waited_for() -> None:
    call = connecting(greeting="Say hello.")
    assert call.tell(SessionReady(1, Plan.NEW, 300, 0.3)) == (
        Moved("connecting", "streaming", "session_ready"),
        say("Say hello."),
    )
    assert call.timers["first_audio"] == 7.0
    assert call.timers["comfort"] == 2.7, "the caller has been waiting since the call was answered"


def test_without_a_greeting_nothing_is_asked_of_a_ready_session() -> None:
    call = connecting()
    assert call.tell(SessionReady(1, Plan.NEW, 300, 0.3)) == (Moved("connecting", "streaming", "session_ready"),)
    assert call.timers == {"max_call": 3299.7, "idle": 19.7, "rotate": 540.0}


def test_a_second_stream_goes_on_where_the_first_was_left() -> None:
    """It once was a stranger: greeted again, with turn numbers from one."""
    begun = conversation(greeting="Say hello.")
    begun = begun.add_words("caller", "hello")  # type: ignore[arg-type]
    first = connecting(begun)
    first.tell(SessionReady(1, Plan.NEW, 300, 0.3), HandleRenewed(1, HANDLE, 0.4, 1_700_000_000.0))
    first.tell(TurnStarted(1, 1.0), TurnAudible(1, 1.0))
    first.tell(ChildExited(Child.TRANSCODER, 0, CRASH, 5.0))
    left = first.record.conversation
    assert (left.greeted, left.turns, left.sessions, left.ending) == (True, 1, 1, Ending.CONTINUE)
    assert left.answer_due, "the answer was cut off"

    second = Call(left)
    (opening,) = openings(second.machine.handle(_second_start()))
    assert opening == OpenSession(2, Plan.RESUME, 0, first_turn=2, handle=HANDLE)
    assert told(second.tell(SessionReady(2, Plan.RESUME, 300, 1.3))) == []
    assert second.timers["first_audio"] == 1.5
    assert second.fire("first_audio") == (nudge(begun.brief.words.resume_nudge),)
    assert second.record.conversation.streams == 2


def test_a_second_stream_without_a_handle_is_told_the_conversation() -> None:
    begun = conversation().add_words("caller", "hello")  # type: ignore[arg-type]
    (opening,) = openings(Call(begun).machine.handle(_second_start()))
    assert (opening.plan, opening.handle) == (Plan.HISTORY, None)


def _second_start() -> object:
    from dataclasses import replace

    from call_machine import STARTED

    return replace(STARTED, stream_no=2, stream_sid="MZ2")


def test_a_session_without_an_age_limit_is_never_rotated() -> None:
    call = connecting(max_session_s=0.0)
    call.tell(SessionReady(1, Plan.NEW, 300, 0.3))
    assert "rotate" not in call.timers


def test_a_ready_of_another_session_changes_nothing() -> None:
    call = connecting()
    assert call.tell(ready(7)) == ()
    assert (call.state, call.record.session) == (State.CONNECTING, Opening(1, Plan.NEW))


def test_a_first_session_that_cannot_be_opened_is_tried_again_with_backoff() -> None:
    call = connecting()
    assert call.tell(lost(1, Decision.WAIT, "http_503", at_s=1.0)) == (
        OpenSession(session_no=2, plan=Plan.NEW, model_index=0, first_turn=1, after_s=0.25),
    )
    assert call.state is State.CONNECTING


def test_a_loss_of_another_session_changes_nothing() -> None:
    call = connecting()
    assert call.tell(lost(4, Decision.GIVE_UP)) == ()
    assert call.record.session == Opening(1, Plan.NEW)


def test_a_model_that_refuses_is_given_up_and_apologised_for() -> None:
    call = connecting()
    effects = call.tell(lost(1, Decision.GIVE_UP, "close_1007_key", at_s=1.0))
    assert moves(effects) == [("connecting", "draining", "close_1007_key")]
    left = call.record.conversation
    assert (left.outcome, left.ending) == (Outcome.MODEL_UNREACHABLE, Ending.APOLOGISE)


def test_the_greeting_time_out_apologises() -> None:
    call = connecting()
    assert moves(call.fire("unreachable")) == [("connecting", "draining", "greeting_time_out")]
    assert call.record.conversation.ending is Ending.APOLOGISE


def test_a_session_that_crashes_while_it_opens_is_opened_again() -> None:
    call = connecting()
    assert [(opening.session_no, opening.plan) for opening in openings(call.tell(crash(1)))] == [(2, Plan.NEW)]
    assert call.record.restarts == 1


def test_a_crash_too_many_is_no_fault_of_the_model_so_the_next_model_is_not_tried() -> None:
    call = connecting(max_restarts=1, models=3)
    call.tell(crash(1))
    effects = call.tell(crash(2, 2.0))
    assert (openings(effects), moves(effects)) == ([], [("connecting", "draining", "session_crashed")])
    assert (call.record.conversation.ending, call.record.session) == (Ending.APOLOGISE, NoSession())


def test_the_end_of_a_session_that_was_lost_before_is_no_crash() -> None:
    call = connecting()
    call.tell(lost(1, Decision.WAIT, at_s=1.0))
    assert call.tell(ChildExited(Child.GEMINI_SESSION, 1, None, 1.0)) == ()
    assert call.record.restarts == 0


def test_a_waiting_caller_hears_a_sound_every_three_seconds() -> None:
    call = connecting()
    for _ in range(3):
        assert call.timers["comfort"] == 3.0
        assert call.fire("comfort") == (Tell(PlayComfort()),)


def test_a_handle_of_the_session_is_kept_with_its_age_and_model_and_of_another_is_not() -> None:
    call = connecting()
    call.tell(HandleRenewed(9, "other"))
    assert call.record.conversation.handle is None
    call.tell(HandleRenewed(1, HANDLE, 0.5, 1_700_000_000.5))
    assert call.record.conversation.handle == Handle(HANDLE, "model-0", 1_700_000_000.5)


def test_the_caller_is_followed_while_there_is_no_session() -> None:
    call = connecting()
    call.tell(CallerSpoke(1.0))
    assert isinstance(call.record.floor, CallerSpeaking)
    assert "idle" not in call.timers
    call.tell(CallerPaused(2.0, 900, 2.5))
    assert isinstance(call.record.floor, AnswerDue)


def test_words_spoken_before_there_is_a_session_are_waited_for_by_the_first_one() -> None:
    call = connecting()
    call.tell(CallerSpoke(1.0), CallerPaused(2.0, 240, 2.5))
    call.tell(SessionReady(1, Plan.NEW, 300, 3.0))
    assert call.timers["first_audio"] == 7.0
    assert call.fire("first_audio") == (nudge(),)


def test_a_cough_before_there_is_a_session_calls_for_no_answer() -> None:
    call = connecting()
    call.tell(CallerSpoke(1.0), CallerPaused(1.2, 239, 1.7), SessionReady(1, Plan.NEW, 300, 3.0))
    assert call.record.floor == Nobody()
    assert "first_audio" not in call.timers


def test_keys_pressed_early_are_kept_until_a_session_can_be_told() -> None:
    call = connecting()
    assert call.tell(KeyPressed("4", 1.0), KeyPressed("7", 2.0)) == ()
    assert "keys" not in call.timers, "nobody can be told"
    call.tell(SessionReady(1, Plan.NEW, 300, 3.0))
    assert call.timers["keys"] == 3.0
    assert call.fire("keys") == (say("(The caller pressed these keys on the telephone: 4 7)"),)


def test_a_heartbeat_that_crashes_is_started_again_and_after_three_times_ends_the_call() -> None:
    call = connecting()
    for _ in range(3):
        assert call.tell(ChildExited(Child.HEARTBEAT, 0, CRASH, 1.0)) == (RestartChild(Child.HEARTBEAT),)
    assert moves(call.tell(ChildExited(Child.HEARTBEAT, 0, CRASH, 1.0))) == [("connecting", "draining", "heartbeat_crashed")]
    assert call.record.children == {Child.TWILIO_IO, Child.TRANSCODER, Child.GEMINI_SESSION}


def test_what_only_an_open_session_could_mean_is_not_done() -> None:
    call = connecting()
    assert call.tell(TOOL) == ()
    assert call.record.conversation.tools == ()
    assert told(call.tell(ToolsCancelled(1, ("f1",)))) == []
    assert call.tell(ModelInterrupted(3, 1.0)) == (Tell(DropTurns(3)), Tell(ClearPlayback(3)))


def test_a_turn_that_begins_to_play_is_unheard() -> None:
    call = connecting()
    call.tell(TurnSpeaking(1, 1.0))
    assert call.record.playback == Playing(1)
    assert "comfort" not in call.timers, "no comfort sound is played over speech"


@pytest.mark.parametrize("timer", [timer.value for timer in Timer])
def test_a_timer_that_was_stopped_too_late_changes_nothing(timer: str) -> None:
    call = connecting()
    before = call.record
    assert call.fire_late(timer) == ()
    assert (call.state, call.record) == (State.CONNECTING, before)


def test_a_session_that_is_ready_is_open_since_then() -> None:
    call = connecting()
    call.tell(SessionReady(1, Plan.NEW, 300, 0.3))
    assert call.record.session == Open(1, Plan.NEW, 0.3)


def test_a_wait_that_is_longer_than_the_patience_is_told_to_the_caller_at_once() -> None:
    """A Retry-After of thirty seconds was once slept through until the call had ended."""
    call = connecting()
    effects = call.tell(lost(1, Decision.WAIT, "http_429", at_s=1.0, retry_after_s=30.0))
    assert (openings(effects), moves(effects)) == ([], [("connecting", "draining", "http_429")])
    assert call.record.conversation.ending is Ending.APOLOGISE


def test_a_wait_that_is_too_long_for_one_model_is_not_for_the_next() -> None:
    call = connecting(models=2)
    (opening,) = openings(call.tell(lost(1, Decision.WAIT, "http_429", at_s=1.0, retry_after_s=30.0)))
    assert (opening.model_index, opening.after_s) == (1, 0.25)


def test_no_text_is_given_before_a_session_can_take_it() -> None:
    call = connecting(greeting="Say hello.")
    assert not any(isinstance(message, SayText) for message in told(call.tell(CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5))))
