"""Streaming: an answer that does not come, a turn without sound, a gap inside one."""

from call_machine import (
    CLOSE_SESSION,
    HANDLE,
    MOVE_TIMERS,
    QUIET,
    TOOL,
    WAITS,
    WAITS_ON,
    asked,
    change,
    feed,
    fired,
    lost,
    moves,
    openings,
    ready,
    say,
    talking,
    timers,
)

from callbot.effects import Moved, StartTimer, StopTimer, Tell
from callbot.messages import (
    CallerPaused,
    CallerSpoke,
    Plan,
    PlayComfort,
    PlayoutEmpty,
    PlayoutResumed,
    Timer,
    TurnAudible,
    TurnCompleted,
    TurnSpeaking,
    TurnStarted,
)


def test_no_answer_is_asked_for_once_then_moved_then_begun_afresh_then_given_up() -> None:
    machine = asked()
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (say(QUIET.nudge), WAITS_ON)

    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "no_answer"),
        *MOVE_TIMERS[:-1],
    )
    (resumed,) = openings(machine.handle(lost(1, cause="closed_by_us")))
    assert (resumed.plan, resumed.handle, resumed.after_s) == (Plan.RESUME, HANDLE, 0.0)
    assert timers(machine.handle(ready(2)))["first_audio"] == 1.5
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (say(QUIET.resume_nudge), WAITS_ON)

    assert moves(machine.handle(fired(Timer.FIRST_AUDIO))) == [("streaming", "reconnecting", "no_answer")]
    machine.record = change(machine, talked=True).record
    (fresh,) = openings(machine.handle(lost(2, cause="closed_by_us")))
    assert (fresh.plan, fresh.handle) == (Plan.HISTORY, None)
    machine.handle(ready(3, Plan.HISTORY))
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (say(QUIET.resume_nudge), WAITS_ON)

    assert moves(machine.handle(fired(Timer.FIRST_AUDIO))) == [("streaming", "draining", "no_answer")]
    assert machine.record.ending.value == "apologise"


def test_a_turn_without_sound_that_was_due_is_asked_for_again() -> None:
    machine = asked()
    machine.handle(TurnStarted(1, 3.0))
    assert machine.handle(TurnCompleted(1, False, "", 4.0)) == (
        StopTimer(Timer.TURN_GAP),
        StopTimer(Timer.TURN_COMPLETE),
        say(QUIET.nudge),
        WAITS_ON,
    )
    assert machine.handle(TurnCompleted(0, False, "", 5.0)) == (
        StopTimer(Timer.TURN_GAP),
        StopTimer(Timer.TURN_COMPLETE),
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "silent_turn"),
        *MOVE_TIMERS[:-1],
    )


def test_silent_turns_without_end_are_given_up_with_the_effects_of_the_turns_end() -> None:
    machine = change(asked(), nudged=True, silent_moves=2)
    effects = machine.handle(TurnCompleted(0, False, "", 5.0))
    assert effects[:2] == (StopTimer(Timer.TURN_GAP), StopTimer(Timer.TURN_COMPLETE))
    assert moves(effects) == [("streaming", "draining", "silent_turn")]


def test_a_gap_inside_a_turn_is_watched_from_the_moment_the_caller_hears_nothing() -> None:
    machine = talking()
    waits = (StartTimer(Timer.TURN_GAP, 4.0), StartTimer(Timer.COMFORT, 3.0))
    assert machine.handle(PlayoutEmpty(2.0)) == waits
    assert machine.handle(PlayoutResumed(1, 3.0)) == (
        StopTimer(Timer.TURN_GAP),
        StopTimer(Timer.FIRST_AUDIO),
        StopTimer(Timer.COMFORT),
    )
    assert machine.handle(PlayoutEmpty(4.0)) == waits
    assert machine.handle(fired(Timer.COMFORT)) == (Tell(PlayComfort()), StartTimer(Timer.COMFORT, 3.0))
    assert machine.handle(PlayoutEmpty(7.4)) == (), "the comfort sound's end begins no new gap"
    assert machine.handle(fired(Timer.TURN_GAP)) == (say(QUIET.nudge), WAITS_ON)
    assert (machine.record.generating, machine.record.answer_due) == (False, True)
    machine.handle(PlayoutResumed(1, 9.0))
    assert not machine.record.answer_due, "the turn goes on: that is the answer"


def test_a_gap_that_the_caller_fills_is_none() -> None:
    machine = talking()
    feed(machine, PlayoutEmpty(2.0), CallerSpoke(3.0))
    assert machine.handle(fired(Timer.TURN_GAP)) == ()
    assert machine.handle(CallerPaused(4.0, 900, 4.5)) == WAITS


def test_a_gap_is_none_while_the_caller_hears_something() -> None:
    machine = talking()
    assert machine.handle(fired(Timer.TURN_GAP)) == ()


def test_an_answer_that_came_forgets_all_that_failed_before_it() -> None:
    machine = change(asked(), nudged=True, silent_moves=2, tries=5, opening_failures=2, bad_audio=1)
    machine.handle(TurnAudible(1, 3.0))
    record = machine.record
    assert (record.nudged, record.silent_moves, record.tries, record.opening_failures, record.bad_audio) == (False, 0, 0, 0, 0)


def test_the_wait_for_an_answer_is_prolonged_while_a_tool_runs() -> None:
    machine = asked()
    machine.handle(TOOL)
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (StartTimer(Timer.FIRST_AUDIO, 7.0),)


def test_the_wait_for_an_answer_is_prolonged_while_the_caller_hears_something() -> None:
    machine = asked()
    machine.handle(TurnSpeaking(1, 3.0))
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == (StartTimer(Timer.FIRST_AUDIO, 7.0),)


def test_nobody_is_asked_for_an_answer_while_the_caller_speaks() -> None:
    machine = asked()
    machine.handle(CallerSpoke(3.0))
    assert machine.handle(fired(Timer.FIRST_AUDIO)) == ()
