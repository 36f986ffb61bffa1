"""Connecting: the session is opening, the caller's audio is kept."""

import pytest
from call_machine import (
    GREETS,
    HANDLE,
    QUIET,
    STARTED,
    connecting,
    feed,
    fired,
    lost,
    moves,
    openings,
    ready,
    say,
    stops,
    timers,
    told,
)

from callbot.effects import Moved, OpenSession, RestartChild, StartTimer, StopTimer, Tell
from callbot.messages import (
    CallerPaused,
    CallerSpoke,
    Child,
    ChildExited,
    ClearPlayback,
    Decision,
    DropTurns,
    HandleRenewed,
    KeyPressed,
    ModelInterrupted,
    Plan,
    PlayComfort,
    PlayoutEmpty,
    SessionReady,
    Timer,
    ToolCalled,
    ToolsCancelled,
    TurnSpeaking,
)
from callbot.states import CallMachine, Limits, Session, State


def test_a_call_begins_with_its_limits_and_the_first_session() -> None:
    machine = CallMachine(QUIET)
    assert machine.handle(STARTED) == (
        StartTimer(Timer.MAX_CALL, 3300.0),
        StartTimer(Timer.UNREACHABLE, 12.0),
        StartTimer(Timer.COMFORT, 3.0),
        OpenSession(session_no=1, plan=Plan.NEW, model_index=0, first_turn=1),
    )
    assert machine.record.children == {Child.TWILIO_IO, Child.TRANSCODER, Child.HEARTBEAT}
    assert (machine.state, machine.record.session) == (State.CONNECTING, Session.OPENING)


def test_a_ready_session_is_asked_to_greet_and_is_waited_for() -> None:
    machine = connecting(GREETS)
    assert machine.handle(SessionReady(1, Plan.NEW, 300, 0.3)) == (
        Moved("connecting", "streaming", "session_ready"),
        StopTimer(Timer.UNREACHABLE),
        StartTimer(Timer.IDLE, 120.0),
        StartTimer(Timer.ROTATE, 540.0),
        say("Say hello."),
        StartTimer(Timer.FIRST_AUDIO, 7.0),  # the comfort timer runs on: the caller has waited all along
    )


def test_without_a_greeting_nothing_is_asked_of_a_ready_session() -> None:
    machine = connecting(QUIET)
    assert machine.handle(SessionReady(1, Plan.NEW, 300, 0.3)) == (
        Moved("connecting", "streaming", "session_ready"),
        StopTimer(Timer.UNREACHABLE),
        StartTimer(Timer.IDLE, 120.0),
        StartTimer(Timer.ROTATE, 540.0),
        StopTimer(Timer.COMFORT),
    )


def test_a_session_without_an_age_limit_is_never_rotated() -> None:
    machine = connecting(Limits(max_session_s=0.0))
    effects = machine.handle(SessionReady(1, Plan.NEW, 300, 0.3))
    assert [effect for effect in effects if isinstance(effect, StartTimer)] == [StartTimer(Timer.IDLE, 120.0)]


def test_a_ready_of_another_session_changes_nothing() -> None:
    machine = connecting()
    before = machine.record
    assert machine.handle(ready(7)) == ()
    assert (machine.state, machine.record) == (State.CONNECTING, before)


def test_a_first_session_that_cannot_be_opened_is_tried_again_with_backoff() -> None:
    machine = connecting()
    assert machine.handle(lost(1, Decision.WAIT, "http_503")) == (
        OpenSession(session_no=2, plan=Plan.NEW, model_index=0, first_turn=1, after_s=0.25),
    )
    assert machine.state is State.CONNECTING


def test_a_loss_of_another_session_changes_nothing() -> None:
    machine = connecting()
    before = machine.record
    assert machine.handle(lost(4, Decision.GIVE_UP)) == ()
    assert machine.record == before


def test_a_model_that_refuses_is_given_up_and_apologised_for() -> None:
    machine = connecting()
    effects = machine.handle(lost(1, Decision.GIVE_UP, "close_1007_key"))
    assert moves(effects) == [("connecting", "draining", "close_1007_key")]
    assert (machine.record.outcome, machine.record.ending.value) == ("model_unreachable", "apologise")


def test_the_greeting_time_out_apologises() -> None:
    machine = connecting()
    effects = machine.handle(fired(Timer.UNREACHABLE))
    assert moves(effects) == [("connecting", "draining", "greeting_time_out")]
    assert machine.record.ending.value == "apologise"


def test_a_session_that_crashes_while_it_opens_is_opened_again() -> None:
    machine = connecting()
    effects = machine.handle(ChildExited(Child.GEMINI_SESSION, 1, "KeyError: 'x'", 1.0))
    assert [(opening.session_no, opening.plan) for opening in openings(effects)] == [(2, Plan.NEW)]
    assert machine.record.restarts == 1


def test_a_session_that_crashes_once_too_often_is_given_up() -> None:
    machine = connecting(Limits(max_restarts=1))
    machine.handle(ChildExited(Child.GEMINI_SESSION, 1, "KeyError: 'x'", 1.0))
    effects = machine.handle(ChildExited(Child.GEMINI_SESSION, 2, "KeyError: 'x'", 2.0))
    assert moves(effects) == [("connecting", "draining", "session_crashed")]
    assert machine.record.ending.value == "apologise"


def test_a_crash_too_many_is_no_fault_of_the_model_so_the_next_model_is_not_tried() -> None:
    """Streaming and Reconnecting gave up here, Connecting went on to the next model with a session that crashes."""
    machine = connecting(Limits(max_restarts=0, models=3))
    effects = machine.handle(ChildExited(Child.GEMINI_SESSION, 1, "KeyError: 'x'", 1.0))
    assert (openings(effects), moves(effects)) == ([], [("connecting", "draining", "session_crashed")])
    assert (machine.record.ending.value, machine.record.session) == ("apologise", Session.NONE)


def test_the_end_of_a_session_that_was_lost_before_is_no_crash() -> None:
    machine = connecting()
    machine.handle(lost(1, Decision.WAIT))
    assert machine.handle(ChildExited(Child.GEMINI_SESSION, 1, None, 1.0)) == ()
    assert machine.record.restarts == 0


def test_a_waiting_caller_hears_a_sound_every_three_seconds() -> None:
    machine = connecting()
    for _ in range(3):
        assert machine.handle(fired(Timer.COMFORT)) == (
            Tell(PlayComfort()),
            StartTimer(Timer.COMFORT, 3.0),
        )


def test_a_handle_of_the_session_is_kept_and_of_another_is_not() -> None:
    machine = connecting()
    machine.handle(HandleRenewed(9, "other"))
    assert machine.record.handle is None
    machine.handle(HandleRenewed(1, HANDLE))
    assert machine.record.handle == HANDLE


def test_the_caller_is_followed_while_there_is_no_session() -> None:
    machine = connecting()
    assert machine.handle(CallerSpoke(1.0)) == (StartTimer(Timer.IDLE, 120.0),)
    assert machine.record.caller_speaking
    assert machine.handle(CallerPaused(2.0, 900, 2.5)) == ()
    assert not machine.record.caller_speaking


def test_words_spoken_before_there_is_a_session_are_waited_for_by_the_first_one() -> None:
    machine = connecting()
    feed(machine, CallerSpoke(1.0), CallerPaused(2.0, 240, 2.5))
    assert (machine.record.answer_due, machine.record.spoke_in_gap) == (True, True)
    assert machine.handle(SessionReady(1, Plan.NEW, 300, 3.0)) == (
        Moved("connecting", "streaming", "session_ready"),
        StopTimer(Timer.UNREACHABLE),
        StartTimer(Timer.IDLE, 120.0),
        StartTimer(Timer.ROTATE, 540.0),
        StartTimer(Timer.FIRST_AUDIO, 7.0),
    )
    assert machine.handle(fired(Timer.FIRST_AUDIO))[0] == say(QUIET.nudge)


def test_a_cough_before_there_is_a_session_calls_for_no_answer() -> None:
    machine = connecting()
    feed(machine, CallerSpoke(1.0), CallerPaused(1.2, 239, 1.7))
    assert (machine.record.answer_due, machine.record.spoke_in_gap) == (False, False)
    assert Timer.FIRST_AUDIO not in timers(machine.handle(SessionReady(1, Plan.NEW, 300, 3.0)))


def test_keys_pressed_early_are_kept_until_a_session_can_be_told() -> None:
    machine = connecting()
    assert machine.handle(KeyPressed("4", 1.0)) == (StartTimer(Timer.KEYS, 1.0),)
    assert machine.handle(KeyPressed("#", 1.2)) == (StartTimer(Timer.KEYS, 1.0),)
    assert machine.handle(fired(Timer.KEYS)) == (StartTimer(Timer.KEYS, 1.0),)
    machine.handle(SessionReady(1, Plan.NEW, 300, 3.0))
    effects = machine.handle(fired(Timer.KEYS))
    assert effects[0] == say("(The caller pressed these keys on the telephone: 4 #)")


def test_a_heartbeat_that_crashes_is_started_again_and_after_three_times_ends_the_call() -> None:
    machine = connecting()
    for _ in range(3):
        assert machine.handle(ChildExited(Child.HEARTBEAT, 0, "ValueError: x", 1.0)) == (RestartChild(Child.HEARTBEAT),)
    effects = machine.handle(ChildExited(Child.HEARTBEAT, 0, "ValueError: x", 1.0))
    assert moves(effects) == [("connecting", "draining", "heartbeat_crashed")]
    assert machine.record.children == {Child.TWILIO_IO, Child.TRANSCODER, Child.GEMINI_SESSION}


def test_what_only_a_session_in_force_could_mean_is_only_remembered() -> None:
    machine = connecting()
    assert machine.handle(ToolCalled(1, "f1", "look_up", {}, 1.0)) == ()
    assert machine.record.tools == frozenset()
    assert machine.handle(ToolsCancelled(1, ("f1",))) == ()
    assert machine.handle(ModelInterrupted(3, 1.0)) == (
        Tell(DropTurns(3)),
        Tell(ClearPlayback(3)),
        *stops(Timer.TURN_GAP, Timer.TURN_COMPLETE),
    )


def test_a_turn_that_begins_to_play_is_unheard_and_makes_the_call_one_that_talked() -> None:
    """The first TurnSpeaking of a call was once taken for news of talk alone, and the playout for silent."""
    machine = connecting()
    machine.handle(TurnSpeaking(1, 1.0))
    assert (machine.record.talked, machine.record.unheard) == (True, True)
    machine.handle(TurnSpeaking(2, 1.0))
    machine.handle(PlayoutEmpty(2.0))
    assert not machine.record.unheard


def test_no_comfort_sound_is_played_over_speech() -> None:
    machine = connecting()
    machine.handle(TurnSpeaking(1, 1.0))
    assert told(machine.handle(fired(Timer.COMFORT))) == []


@pytest.mark.parametrize(
    "name", ["first_audio", Timer.TURN_GAP, Timer.TURN_COMPLETE, Timer.MOVE, Timer.ROTATE, Timer.FAREWELL, "drain"]
)
def test_a_timer_of_another_state_is_late_and_changes_nothing(name: Timer) -> None:
    machine = connecting()
    before = machine.record
    assert machine.handle(fired(name)) == ()
    assert (machine.state, machine.record) == (State.CONNECTING, before)
