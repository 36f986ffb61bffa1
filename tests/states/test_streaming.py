"""Streaming: audio flows both ways; the conversation, keys, handles and limits."""

import pytest
from call_machine import (
    CLOSE_SESSION,
    GREETS,
    HANDLE,
    MOVE_TIMERS,
    QUIET,
    TOOL,
    WAITS,
    asked,
    change,
    feed,
    fired,
    lost,
    moves,
    ready,
    say,
    streaming,
    talking,
    timers,
    told,
)

from callbot.effects import Moved, StartTimer, StopTimer, Tell
from callbot.messages import (
    CallerPaused,
    CallerSpoke,
    CallMessage,
    CloseSession,
    Decision,
    GoAway,
    HandleRenewed,
    KeyPressed,
    ModelInterrupted,
    ModelSilent,
    Plan,
    PlayComfort,
    PlayoutEmpty,
    SayText,
    Timer,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import State

# The conversation.


def test_the_call_is_greeted_once_however_many_sessions_it_takes() -> None:
    machine = streaming(GREETS)
    feed(machine, TurnStarted(1, 1.0), TurnAudible(1, 1.0), TurnGenerated(1, audible=True, at_s=2.0))
    machine.handle(lost(1))
    assert say("Say hello.") not in machine.handle(ready(2))
    machine.handle(lost(2, Decision.FRESH))
    assert say("Say hello.") not in machine.handle(ready(3, Plan.HISTORY))


def test_a_greeting_that_nobody_heard_is_asked_for_again_of_a_new_session() -> None:
    machine = streaming(GREETS, handle=False)
    machine.handle(lost(1))
    assert say("Say hello.") in machine.handle(ready(2, Plan.NEW))


def test_a_session_lost_before_its_greeting_was_heard_leaves_it_to_the_next_one() -> None:
    machine = streaming(GREETS)
    machine.handle(lost(1))
    effects = machine.handle(ready(2))
    assert told(effects) == [SayText("Say hello.")]
    assert timers(effects)["first_audio"] == 7.0


def test_a_resumed_session_is_not_asked_to_greet_again() -> None:
    machine = streaming(GREETS)
    feed(machine, TurnStarted(1, 1.0), TurnAudible(1, 1.0), TurnCompleted(1, True, "", 2.0))
    machine.handle(lost(1))
    assert told(machine.handle(ready(2))) == []


def test_the_callers_pause_begins_the_wait_for_an_answer() -> None:
    machine = streaming()
    assert machine.handle(CallerSpoke(1.0)) == (
        StopTimer(Timer.FIRST_AUDIO),
        StartTimer(Timer.IDLE, 120.0),
    )
    assert machine.handle(CallerPaused(2.0, 900, 2.5)) == WAITS
    assert machine.handle(CallerSpoke(3.0)) == (
        StopTimer(Timer.FIRST_AUDIO),
        StopTimer(Timer.COMFORT),
        StartTimer(Timer.IDLE, 120.0),
    )
    assert machine.handle(CallerPaused(4.0, 900, 4.5)) == WAITS
    assert machine.record.answer_due


def test_a_cough_calls_for_no_answer() -> None:
    machine = streaming()
    machine.handle(CallerSpoke(1.0))
    assert machine.handle(CallerPaused(1.1, 200, 1.6)) == ()
    assert not machine.record.answer_due


def test_a_cough_while_an_answer_is_due_begins_the_wait_anew() -> None:
    machine = asked()
    machine.handle(CallerSpoke(3.0))
    assert machine.handle(CallerPaused(3.1, 100, 3.6)) == WAITS


def test_words_under_the_models_own_call_for_no_answer() -> None:
    machine = talking()
    machine.handle(CallerSpoke(1.0))
    assert machine.handle(CallerPaused(2.0, 900, 2.5)) == ()
    feed(machine, TurnGenerated(1, True, 3.0), CallerSpoke(3.1))  # and while the rest is heard
    assert machine.handle(CallerPaused(4.0, 900, 4.5)) == ()


def test_an_answer_that_begins_before_our_own_detector_is_certain_of_the_pause_is_one() -> None:
    machine = streaming()
    feed(machine, CallerSpoke(1.0), TurnStarted(1, 2.4), TurnAudible(1, 2.4), TurnGenerated(1, True, 2.4))
    assert machine.handle(CallerPaused(2.0, 900, 2.5)) == ()
    assert not machine.record.answer_due


def test_a_turn_in_which_nothing_is_heard_yet_is_no_answer() -> None:
    machine = streaming()
    feed(machine, CallerSpoke(1.0), TurnStarted(1, 2.4), TurnSpeaking(1, 2.4))
    assert machine.handle(CallerPaused(2.0, 900, 2.5)) == WAITS
    assert machine.handle(TurnCompleted(1, False, "", 3.0))[2] == say(QUIET.nudge)


def test_the_first_audible_sound_of_the_answer_ends_the_wait() -> None:
    machine = asked()
    assert machine.handle(TurnStarted(1, 3.0)) == (StopTimer(Timer.TURN_COMPLETE),)
    assert machine.handle(TurnAudible(1, 3.0)) == (StopTimer(Timer.FIRST_AUDIO), StopTimer(Timer.COMFORT))
    assert (machine.record.answer_due, machine.record.greeted, machine.record.talked) == (False, True, True)
    assert machine.handle(TurnSpeaking(1, 3.1)) == (StartTimer(Timer.IDLE, 120.0),)
    assert machine.record.unheard


def test_a_turn_is_followed_to_its_end() -> None:
    machine = talking()
    assert machine.handle(TurnGenerated(1, audible=True, at_s=2.0)) == (
        StopTimer(Timer.TURN_GAP),
        StartTimer(Timer.TURN_COMPLETE, 30.0),
    )
    assert not machine.record.generating
    assert machine.handle(PlayoutEmpty(3.0)) == ()
    assert machine.record.settled
    done = (StopTimer(Timer.TURN_GAP), StopTimer(Timer.TURN_COMPLETE))
    assert machine.handle(TurnCompleted(1, True, "", 3.0)) == done


def test_a_turn_that_is_never_said_to_be_over_moves_the_session_at_a_settled_moment() -> None:
    """The call once went on in a session that took no further turn: every answer after that was missing."""
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(3.0))
    assert machine.handle(fired(Timer.TURN_COMPLETE)) == (
        StartTimer(Timer.MOVE, 30.0),
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "no_turn_complete"),
        *MOVE_TIMERS,
    )
    assert machine.record.after_close is Decision.RESUME


def test_a_session_that_never_ended_its_turn_is_not_moved_while_somebody_speaks() -> None:
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), CallerSpoke(3.0))
    assert machine.handle(fired(Timer.TURN_COMPLETE)) == (StartTimer(Timer.MOVE, 30.0),)
    assert (machine.state, machine.record.moving) == (State.STREAMING, "no_turn_complete")
    machine.handle(PlayoutEmpty(4.0))
    assert machine.state is State.STREAMING, "the caller speaks"
    machine.handle(CallerPaused(5.0, 900, 5.5))
    assert machine.state is State.STREAMING, "an answer is due"
    assert moves(machine.handle(fired(Timer.MOVE))) == [("streaming", "reconnecting", "no_turn_complete")]


@pytest.mark.parametrize(
    "over",
    [TurnCompleted(1, True, "", 3.5), TurnStarted(2, 3.5), ModelInterrupted(1, 3.5)],
    ids=lambda event: type(event).__name__,
)
def test_the_timer_of_a_turn_that_has_ended_since_moves_nothing(over: CallMessage) -> None:
    """A timer that is stopped in the moment in which it fires is still told."""
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(3.0), over)
    assert machine.handle(fired(Timer.TURN_COMPLETE)) == ()
    assert (machine.state, machine.record.moving) == (State.STREAMING, "")


def test_a_move_that_is_wanted_already_is_not_put_off_by_a_turn_that_never_ended() -> None:
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), GoAway(1, 5.0, 5.0))
    assert machine.handle(fired(Timer.TURN_COMPLETE)) == ()
    assert (machine.state, machine.record.moving) == (State.STREAMING, "go_away")


def test_a_turn_that_is_complete_without_having_been_generated_is_over_too() -> None:
    machine = talking()
    machine.handle(TurnCompleted(1, True, "", 3.0))
    assert not machine.record.generating


def test_a_completed_turn_without_sound_is_nothing_when_nobody_waits() -> None:
    machine = streaming()
    done = (StopTimer(Timer.TURN_GAP), StopTimer(Timer.TURN_COMPLETE))
    assert machine.handle(TurnCompleted(0, False, "", 3.0)) == done


@pytest.mark.parametrize("busy", [CallerSpoke(3.0), TOOL])
def test_a_completed_turn_without_sound_is_nothing_while_the_caller_or_a_tool_is_busy(busy: CallMessage) -> None:
    machine = asked()
    machine.handle(busy)
    done = (StopTimer(Timer.TURN_GAP), StopTimer(Timer.TURN_COMPLETE))
    assert machine.handle(TurnCompleted(0, False, "", 3.0)) == done


def test_comfort_sounds_while_an_answer_is_due_and_not_over_speech() -> None:
    machine = asked()
    again = StartTimer(Timer.COMFORT, 3.0)
    assert machine.handle(fired(Timer.COMFORT)) == (Tell(PlayComfort()), again)
    machine.handle(TurnSpeaking(1, 6.0))
    assert machine.handle(fired(Timer.COMFORT)) == (again,)
    machine.handle(TurnAudible(1, 6.0))
    assert machine.handle(fired(Timer.COMFORT)) == ()


# Keys.


def test_keys_pressed_within_a_second_reach_the_model_as_one_entry() -> None:
    machine = streaming()
    for digit in "42#":
        assert machine.handle(KeyPressed(digit, 1.0)) == (StartTimer(Timer.KEYS, 1.0),)
    assert machine.handle(fired(Timer.KEYS)) == (
        say("(The caller pressed these keys on the telephone: 4 2 #)"),
        *WAITS,
    )
    assert (machine.record.keys, machine.record.answer_due) == ("", True)


def test_an_entry_has_at_most_32_keys() -> None:
    machine = streaming()
    for _ in range(40):
        machine.handle(KeyPressed("7", 1.0))
    assert machine.record.keys == "7" * 32


# Bookkeeping and limits.


def test_handles_of_the_session_in_force_replace_each_other() -> None:
    machine = streaming()
    machine.handle(HandleRenewed(1, "newer", 20.0))
    assert machine.record.handle == "newer"
    machine.handle(HandleRenewed(9, "other", 20.0))
    assert machine.record.handle == "newer"


@pytest.mark.parametrize(("at_s", "counts"), [(4.0, (3, 1, 1)), (6.0, (0, 0, 0))])
def test_a_handle_forgets_what_failed_before_only_when_its_session_has_lived_five_seconds(
    at_s: float, counts: tuple[int, int, int]
) -> None:
    machine = change(streaming(), tries=3, opening_failures=1, bad_audio=1)
    machine.handle(HandleRenewed(1, "newer", at_s))
    record = machine.record
    assert (record.handle, (record.tries, record.opening_failures, record.bad_audio)) == ("newer", counts)


@pytest.mark.parametrize("busy", [{"generating": True}, {"tools": frozenset({"f1"})}])
def test_a_handle_of_mid_answer_is_not_resumed_from_but_is_a_sign_of_life(busy: dict[str, object]) -> None:
    machine = change(streaming(), tries=3, **busy)
    machine.handle(HandleRenewed(1, "mid-answer", 20.0))
    assert (machine.record.handle, machine.record.tries) == (HANDLE, 0)


@pytest.mark.parametrize(
    ("timer", "reason"),
    [(Timer.MAX_CALL, "call_limit"), (Timer.IDLE, "nobody_spoke"), (Timer.GOODBYE, "bot_said_goodbye")],
)
def test_time_limits_end_the_call_in_order(timer: Timer, reason: str) -> None:
    machine = streaming()
    effects = machine.handle(fired(timer))
    assert moves(effects)[0] == ("streaming", "draining", reason)
    assert (machine.record.outcome, machine.record.ending.value) == ("completed", "hang_up")


def test_every_word_of_either_side_puts_off_the_idle_limit() -> None:
    machine = streaming()
    assert StartTimer(Timer.IDLE, 120.0) in machine.handle(CallerSpoke(1.0))
    assert StartTimer(Timer.IDLE, 120.0) in machine.handle(TurnSpeaking(1, 1.0))


def test_a_session_told_to_close_gets_no_text() -> None:
    machine = asked()
    effects = machine.handle(ModelSilent(1, 60.0, 60.0))
    assert [type(message) for message in told(effects)] == [CloseSession]
    assert not any(isinstance(message, SayText) for message in told(machine.handle(fired(Timer.FIRST_AUDIO))))
