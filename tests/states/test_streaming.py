"""Streaming: audio flows both ways; watchdogs, barge-in, moves, tools, keys."""

import pytest
from call_machine import (
    CLOSE_SESSION,
    GREETS,
    HANDLE,
    QUIET,
    STREAMING_TIMERS,
    change,
    feed,
    fired,
    lost,
    moves,
    openings,
    ready,
    say,
    stops,
    streaming,
    talking,
    timers,
    told,
)

from callbot.effects import CancelTools, Moved, OpenSession, RunTool, StartTimer, StopTimer, Tell
from callbot.messages import (
    AnswerTool,
    Beat,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    Child,
    ChildExited,
    ClearPlayback,
    CloseSession,
    Decision,
    DropTurns,
    GoAway,
    HandleRenewed,
    KeyPressed,
    ModelInterrupted,
    ModelSilent,
    Plan,
    PlayComfort,
    PlayoutEmpty,
    PlayoutResumed,
    SayText,
    ToolCalled,
    ToolFinished,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import CallMachine, Limits, Session, State

WAITS = (StartTimer("first_audio", 7.0), StartTimer("comfort", 3.0))
WAITS_ON = StartTimer("first_audio", 4.0)  # the caller waited before: the comfort sound's timer runs already
TOOL = ToolCalled(1, "f1", "look_up", {"q": "x"}, 5.0)
ENDS_CALL = ToolFinished(1, "f1", "end_call", {"status": "ok"}, ends_call=True, at_s=6.0)
GOODBYE_ANSWERED = Tell(Child.GEMINI_SESSION, AnswerTool("f1", "end_call", {"status": "ok"}))
MOVE_TIMERS = (*stops(*STREAMING_TIMERS), StartTimer("unreachable", 12.0), StartTimer("comfort", 3.0))


def asked(limits: Limits = QUIET) -> CallMachine:
    """The caller has spoken and the model owes an answer."""
    machine = streaming(limits)
    feed(machine, CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5))
    return machine


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
        StopTimer("first_audio"),
        StartTimer("idle", 120.0),
    )
    assert machine.handle(CallerPaused(2.0, 900, 2.5)) == WAITS
    assert machine.handle(CallerSpoke(3.0)) == (
        StopTimer("first_audio"),
        StopTimer("comfort"),
        StartTimer("idle", 120.0),
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
    assert machine.handle(TurnStarted(1, 3.0)) == (StopTimer("turn_complete"),)
    assert machine.handle(TurnAudible(1, 3.0)) == (StopTimer("first_audio"), StopTimer("comfort"))
    assert (machine.record.answer_due, machine.record.greeted, machine.record.talked) == (False, True, True)
    assert machine.handle(TurnSpeaking(1, 3.1)) == (StartTimer("idle", 120.0),)
    assert machine.record.unheard


def test_a_turn_is_followed_to_its_end() -> None:
    machine = talking()
    assert machine.handle(TurnGenerated(1, audible=True, at_s=2.0)) == (
        StopTimer("turn_gap"),
        StartTimer("turn_complete", 30.0),
    )
    assert not machine.record.generating
    assert machine.handle(PlayoutEmpty(3.0)) == ()
    assert machine.record.settled
    done = (StopTimer("turn_gap"), StopTimer("turn_complete"))
    assert machine.handle(TurnCompleted(1, True, "", 3.0)) == done


def test_a_turn_that_is_never_said_to_be_over_moves_the_session_at_a_settled_moment() -> None:
    """The call once went on in a session that took no further turn: every answer after that was missing."""
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(3.0))
    assert machine.handle(fired("turn_complete")) == (
        StartTimer("move", 30.0),
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "no_turn_complete"),
        *MOVE_TIMERS,
    )
    assert machine.record.after_close is Decision.RESUME


def test_a_session_that_never_ended_its_turn_is_not_moved_while_somebody_speaks() -> None:
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), CallerSpoke(3.0))
    assert machine.handle(fired("turn_complete")) == (StartTimer("move", 30.0),)
    assert (machine.state, machine.record.moving) == (State.STREAMING, "no_turn_complete")
    machine.handle(PlayoutEmpty(4.0))
    assert machine.state is State.STREAMING, "the caller speaks"
    machine.handle(CallerPaused(5.0, 900, 5.5))
    assert machine.state is State.STREAMING, "an answer is due"
    assert moves(machine.handle(fired("move"))) == [("streaming", "reconnecting", "no_turn_complete")]


def test_a_move_that_is_wanted_already_is_not_put_off_by_a_turn_that_never_ended() -> None:
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), GoAway(1, 5.0, 5.0))
    assert machine.handle(fired("turn_complete")) == ()
    assert (machine.state, machine.record.moving) == (State.STREAMING, "go_away")


def test_a_turn_that_is_complete_without_having_been_generated_is_over_too() -> None:
    machine = talking()
    machine.handle(TurnCompleted(1, True, "", 3.0))
    assert not machine.record.generating


def test_a_completed_turn_without_sound_is_nothing_when_nobody_waits() -> None:
    machine = streaming()
    done = (StopTimer("turn_gap"), StopTimer("turn_complete"))
    assert machine.handle(TurnCompleted(0, False, "", 3.0)) == done


@pytest.mark.parametrize("busy", [CallerSpoke(3.0), TOOL])
def test_a_completed_turn_without_sound_is_nothing_while_the_caller_or_a_tool_is_busy(busy: CallMessage) -> None:
    machine = asked()
    machine.handle(busy)
    done = (StopTimer("turn_gap"), StopTimer("turn_complete"))
    assert machine.handle(TurnCompleted(0, False, "", 3.0)) == done


def test_comfort_sounds_while_an_answer_is_due_and_not_over_speech() -> None:
    machine = asked()
    again = StartTimer("comfort", 3.0)
    assert machine.handle(fired("comfort")) == (Tell(Child.TWILIO_IO, PlayComfort()), again)
    machine.handle(TurnSpeaking(1, 6.0))
    assert machine.handle(fired("comfort")) == (again,)
    machine.handle(TurnAudible(1, 6.0))
    assert machine.handle(fired("comfort")) == ()


# Barge-in.


def test_barge_in_drops_the_converters_state_first_then_all_that_is_unheard() -> None:
    machine = talking()
    machine.handle(CallerSpoke(2.0))
    assert machine.handle(ModelInterrupted(1, 2.1)) == (
        Tell(Child.TRANSCODER, DropTurns(1)),
        Tell(Child.TWILIO_IO, ClearPlayback(1)),
        StopTimer("turn_gap"),
        StopTimer("turn_complete"),
    )
    assert not machine.record.generating
    assert machine.state is State.STREAMING


def test_barge_in_after_generation_is_complete_drops_as_well() -> None:
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), CallerSpoke(2.0))
    assert told(machine.handle(ModelInterrupted(1, 2.1))) == [DropTurns(1), ClearPlayback(1)]


def test_an_interruption_that_nobody_here_has_heard_expects_the_model_to_say_something() -> None:
    machine = talking()
    assert machine.handle(ModelInterrupted(1, 2.1)) == (
        Tell(Child.TRANSCODER, DropTurns(1)),
        Tell(Child.TWILIO_IO, ClearPlayback(1)),
        StopTimer("turn_gap"),
        StopTimer("turn_complete"),
        *WAITS,
    )
    machine.handle(PlayoutEmpty(2.2))
    assert machine.handle(fired("first_audio")) == (say(QUIET.nudge), WAITS_ON)


def test_an_interruption_takes_back_a_goodbye() -> None:
    """The goodbye's timer once ran on, and hung up on a caller who had found something more to say."""
    machine = talking()
    feed(machine, TOOL, ToolFinished(1, "f1", "end_call", {}, ends_call=True, at_s=2.0), CallerSpoke(2.0))
    assert machine.handle(ModelInterrupted(1, 2.1)) == (
        Tell(Child.TRANSCODER, DropTurns(1)),
        Tell(Child.TWILIO_IO, ClearPlayback(1)),
        *stops("turn_gap", "turn_complete", "goodbye"),
    )
    machine.handle(PlayoutEmpty(2.2))
    assert (machine.state, machine.record.hang_up_due) == (State.STREAMING, False)


# Watchdogs.


def test_no_answer_is_asked_for_once_then_moved_then_begun_afresh_then_given_up() -> None:
    machine = asked()
    assert machine.handle(fired("first_audio")) == (say(QUIET.nudge), WAITS_ON)

    assert machine.handle(fired("first_audio")) == (
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "no_answer"),
        *MOVE_TIMERS[:-1],
    )
    (resumed,) = openings(machine.handle(lost(1, cause="closed_by_us")))
    assert (resumed.plan, resumed.handle, resumed.after_s) == (Plan.RESUME, HANDLE, 0.0)
    assert timers(machine.handle(ready(2)))["first_audio"] == 1.5
    assert machine.handle(fired("first_audio")) == (say(QUIET.resume_nudge), WAITS_ON)

    assert moves(machine.handle(fired("first_audio"))) == [("streaming", "reconnecting", "no_answer")]
    machine.record = change(machine, talked=True).record
    (fresh,) = openings(machine.handle(lost(2, cause="closed_by_us")))
    assert (fresh.plan, fresh.handle) == (Plan.HISTORY, None)
    machine.handle(ready(3, Plan.HISTORY))
    assert machine.handle(fired("first_audio")) == (say(QUIET.resume_nudge), WAITS_ON)

    assert moves(machine.handle(fired("first_audio"))) == [("streaming", "draining", "no_answer")]
    assert machine.record.ending.value == "apologise"


def test_a_turn_without_sound_that_was_due_is_asked_for_again() -> None:
    machine = asked()
    machine.handle(TurnStarted(1, 3.0))
    assert machine.handle(TurnCompleted(1, False, "", 4.0)) == (
        StopTimer("turn_gap"),
        StopTimer("turn_complete"),
        say(QUIET.nudge),
        WAITS_ON,
    )
    assert machine.handle(TurnCompleted(0, False, "", 5.0)) == (
        StopTimer("turn_gap"),
        StopTimer("turn_complete"),
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "silent_turn"),
        *MOVE_TIMERS[:-1],
    )


def test_silent_turns_without_end_are_given_up_with_the_effects_of_the_turns_end() -> None:
    machine = change(asked(), nudged=True, silent_moves=2)
    effects = machine.handle(TurnCompleted(0, False, "", 5.0))
    assert effects[:2] == (StopTimer("turn_gap"), StopTimer("turn_complete"))
    assert moves(effects) == [("streaming", "draining", "silent_turn")]


def test_a_gap_inside_a_turn_is_watched_from_the_moment_the_caller_hears_nothing() -> None:
    machine = talking()
    waits = (StartTimer("turn_gap", 4.0), StartTimer("comfort", 3.0))
    assert machine.handle(PlayoutEmpty(2.0)) == waits
    assert machine.handle(PlayoutResumed(1, 3.0)) == (StopTimer("turn_gap"), StopTimer("first_audio"), StopTimer("comfort"))
    assert machine.handle(PlayoutEmpty(4.0)) == waits
    assert machine.handle(fired("comfort")) == (Tell(Child.TWILIO_IO, PlayComfort()), StartTimer("comfort", 3.0))
    assert machine.handle(PlayoutEmpty(7.4)) == (), "the comfort sound's end begins no new gap"
    assert machine.handle(fired("turn_gap")) == (say(QUIET.nudge), WAITS_ON)
    assert (machine.record.generating, machine.record.answer_due) == (False, True)
    machine.handle(PlayoutResumed(1, 9.0))
    assert not machine.record.answer_due, "the turn goes on: that is the answer"


def test_a_gap_that_the_caller_fills_is_none() -> None:
    machine = talking()
    feed(machine, PlayoutEmpty(2.0), CallerSpoke(3.0))
    assert machine.handle(fired("turn_gap")) == ()
    assert machine.handle(CallerPaused(4.0, 900, 4.5)) == WAITS


def test_a_gap_is_none_while_the_caller_hears_something() -> None:
    machine = talking()
    assert machine.handle(fired("turn_gap")) == ()


def test_an_answer_that_came_forgets_all_that_failed_before_it() -> None:
    machine = change(asked(), nudged=True, silent_moves=2, tries=5, opening_failures=2, bad_audio=1)
    machine.handle(TurnAudible(1, 3.0))
    record = machine.record
    assert (record.nudged, record.silent_moves, record.tries, record.opening_failures, record.bad_audio) == (False, 0, 0, 0, 0)


def test_the_wait_for_an_answer_is_prolonged_while_a_tool_runs() -> None:
    machine = asked()
    machine.handle(TOOL)
    assert machine.handle(fired("first_audio")) == (StartTimer("first_audio", 7.0),)


def test_the_wait_for_an_answer_is_prolonged_while_the_caller_hears_something() -> None:
    machine = asked()
    machine.handle(TurnSpeaking(1, 3.0))
    assert machine.handle(fired("first_audio")) == (StartTimer("first_audio", 7.0),)


def test_nobody_is_asked_for_an_answer_while_the_caller_speaks() -> None:
    machine = asked()
    machine.handle(CallerSpoke(3.0))
    assert machine.handle(fired("first_audio")) == ()


# Losing and moving the session.


def test_a_lost_session_is_resumed_at_once_with_its_handle() -> None:
    machine = streaming()
    assert machine.handle(lost(1)) == (
        Moved("streaming", "reconnecting", "close_1006_link_lost"),
        *MOVE_TIMERS,
        OpenSession(attempt=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
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
    for attempt in (1, 2, 3):
        effects = machine.handle(ChildExited(Child.GEMINI_SESSION, attempt, "KeyError: 'x'", 5.0))
        assert moves(effects) == [("streaming", "reconnecting", "session_crashed")]
        assert [opening.attempt for opening in openings(effects)] == [attempt + 1]
        machine.handle(ready(attempt + 1))
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
    assert machine.handle(GoAway(1, time_left_s, 5.0)) == (StartTimer("move", deadline_s),)
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
        StartTimer("move", 48.0),
        CLOSE_SESSION,
        Moved("streaming", "reconnecting", "go_away"),
        *MOVE_TIMERS,
    )


def test_go_away_at_its_deadline_moves_whatever_is_said() -> None:
    machine = talking()
    machine.handle(GoAway(1, 50.0, 5.0))
    assert moves(machine.handle(fired("move"))) == [("streaming", "reconnecting", "go_away")]


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
    assert machine.handle(GoAway(1, 50.0, 5.0)) == (StartTimer("move", 48.0),)
    assert machine.state is State.STREAMING


def test_the_moved_session_is_resumed_only_when_the_old_one_is_gone() -> None:
    machine = streaming()
    assert openings(machine.handle(GoAway(1, 0.0, 5.0))) == []
    assert machine.handle(lost(1, cause="closed_by_us")) == (
        OpenSession(attempt=2, plan=Plan.RESUME, model_index=0, first_turn=1, after_s=0.0, handle=HANDLE),
    )


def test_a_planned_rotation_waits_for_a_settled_moment() -> None:
    machine = talking()
    assert machine.handle(fired("rotate")) == (StartTimer("move", 30.0),)
    machine.handle(TurnGenerated(1, audible=True, at_s=6.0))
    effects = machine.handle(PlayoutEmpty(7.0))
    assert moves(effects) == [("streaming", "reconnecting", "rotation")]


def test_a_planned_rotation_does_not_put_off_the_deadline_of_a_go_away() -> None:
    """A rotation that came due after a goAway once started the `move` timer anew, past the service's deadline."""
    machine = talking()
    machine.handle(GoAway(1, 5.0, 5.0))
    assert machine.handle(fired("rotate")) == ()
    assert machine.record.moving == "go_away"


def test_a_go_away_takes_over_a_planned_rotation() -> None:
    machine = talking()
    machine.handle(fired("rotate"))
    assert machine.handle(GoAway(1, 5.0, 5.0)) == (StartTimer("move", 3.0),)
    assert machine.record.moving == "go_away"


def test_a_move_timer_without_a_move_is_late() -> None:
    machine = streaming()
    assert machine.handle(fired("move")) == ()


def test_an_answer_that_a_lost_session_owed_is_asked_of_the_next_one_soon() -> None:
    machine = asked()
    machine.handle(lost(1))
    effects = machine.handle(ready(2))
    assert timers(effects) == {"idle": 120.0, "rotate": 540.0, "first_audio": 1.5}
    assert machine.handle(fired("first_audio"))[0] == say(QUIET.resume_nudge)


def test_a_sentence_that_a_lost_session_broke_off_is_owed() -> None:
    machine = talking()
    machine.handle(lost(1))
    assert machine.record.answer_due
    assert timers(machine.handle(ready(2)))["first_audio"] == 1.5


def test_a_caller_who_speaks_while_the_session_becomes_ready_is_not_talked_over() -> None:
    machine = asked()
    feed(machine, lost(1), CallerSpoke(3.0))
    assert "first_audio" not in timers(machine.handle(ready(2)))


# Tools.


def test_a_tool_is_run_and_its_answer_given_to_the_session_that_asked() -> None:
    machine = streaming()
    assert machine.handle(TOOL) == (RunTool(TOOL),)
    assert machine.record.tools == {"f1"}
    finished = ToolFinished(1, "f1", "look_up", {"status": "ok"}, ends_call=False, at_s=6.0)
    assert machine.handle(finished) == (Tell(Child.GEMINI_SESSION, AnswerTool("f1", "look_up", {"status": "ok"})),)
    assert machine.record.tools == frozenset()


def test_a_tool_that_the_model_no_longer_wants_is_stopped_and_its_answer_dropped() -> None:
    machine = streaming()
    machine.handle(TOOL)
    assert machine.handle(ToolsCancelled(1, ("f1", "f2"))) == (CancelTools(("f1", "f2")),)
    assert machine.handle(ToolFinished(1, "f1", "look_up", {}, ends_call=False, at_s=6.0)) == ()


def test_tools_of_another_session_are_not_run_nor_answered() -> None:
    machine = streaming()
    assert machine.handle(ToolCalled(7, "f1", "look_up", {}, 5.0)) == ()
    assert machine.handle(ToolsCancelled(7, ("f1",))) == ()
    machine.handle(TOOL)
    feed(machine, lost(1), ready(2))
    assert machine.handle(ToolFinished(1, "f1", "look_up", {}, ends_call=True, at_s=6.0)) == ()


def test_end_call_while_the_goodbye_plays_hangs_up_at_its_end() -> None:
    machine = talking()
    machine.handle(TOOL)
    assert machine.handle(ENDS_CALL) == (GOODBYE_ANSWERED, StartTimer("goodbye", 10.0))
    machine.handle(TurnGenerated(1, audible=True, at_s=7.0))
    assert machine.state is State.STREAMING
    effects = machine.handle(PlayoutEmpty(9.0))
    assert moves(effects)[0] == ("streaming", "draining", "bot_said_goodbye")
    assert (machine.record.outcome, machine.record.ending.value) == ("completed", "hang_up")


def test_end_call_after_the_goodbye_was_heard_waits_three_seconds_for_another_word() -> None:
    """It may be said before the function or after it, and nothing tells which; the call was once hung up on the first word."""
    machine = talking()
    feed(machine, TurnGenerated(1, audible=True, at_s=2.0), PlayoutEmpty(3.0), TOOL)
    assert machine.handle(ENDS_CALL) == (GOODBYE_ANSWERED, StartTimer("goodbye", 3.0))
    assert machine.state is State.STREAMING
    assert moves(machine.handle(fired("goodbye"))) == [("streaming", "draining", "bot_said_goodbye")]


def test_a_goodbye_that_comes_after_end_call_is_heard_to_its_end() -> None:
    machine = streaming()
    machine.handle(TOOL)
    assert timers(machine.handle(ENDS_CALL)) == {"goodbye": 3.0}
    feed(machine, TurnStarted(1, 7.0), TurnAudible(1, 7.0))
    assert timers(machine.handle(TurnSpeaking(1, 7.0))) == {"idle": 120.0, "goodbye": 10.0}
    for event in (TurnGenerated(1, True, 7.2), TurnCompleted(1, True, "", 7.3)):
        machine.handle(event)
        assert machine.state is State.STREAMING, "all of it is generated, not all of it heard"
    assert moves(machine.handle(PlayoutEmpty(9.0)))[0] == ("streaming", "draining", "bot_said_goodbye")


def test_a_goodbye_with_a_pause_in_it_is_heard_to_its_end() -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, TurnStarted(1, 7.0), TurnAudible(1, 7.0), TurnSpeaking(1, 7.0), PlayoutEmpty(7.5))
    assert machine.state is State.STREAMING, "the model has more to say"
    feed(machine, PlayoutResumed(1, 8.0), PlayoutEmpty(8.5))
    assert machine.state is State.STREAMING
    assert moves(machine.handle(TurnGenerated(1, True, 8.6)))[0] == ("streaming", "draining", "bot_said_goodbye")


def test_a_goodbye_that_is_generated_before_its_first_frame_is_sent_is_heard_to_its_end() -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, TurnStarted(1, 7.0), TurnAudible(1, 7.0), TurnGenerated(1, True, 7.0), TurnSpeaking(1, 7.1))
    assert machine.state is State.STREAMING
    assert moves(machine.handle(PlayoutEmpty(9.0)))[0] == ("streaming", "draining", "bot_said_goodbye")


def test_the_end_of_a_comfort_sound_is_no_goodbyes_end() -> None:
    machine = asked()
    feed(machine, TOOL, ENDS_CALL, fired("comfort"), PlayoutEmpty(6.5))
    assert machine.state is State.STREAMING


def test_the_end_of_the_turn_that_only_called_the_function_is_no_goodbyes_end() -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, TurnGenerated(1, False, 6.1), TurnCompleted(1, False, "", 6.1))
    assert machine.state is State.STREAMING


@pytest.mark.parametrize("event", [CallerSpoke(6.1), CallerPaused(6.2, 100, 6.3), Beat(6.1), Transcribed("caller", "bye", 0)])
def test_nothing_but_the_goodbyes_own_end_hangs_up(event: CallMessage) -> None:
    machine = streaming()
    feed(machine, TOOL, ENDS_CALL, event)
    assert machine.state is State.STREAMING


def test_end_call_while_the_model_speaks_or_is_heard_gives_the_goodbye_its_whole_time() -> None:
    unheard = talking()
    feed(unheard, TurnGenerated(1, True, 2.0), TOOL)
    assert timers(unheard.handle(ENDS_CALL)) == {"goodbye": 10.0}
    generating = talking()
    feed(generating, PlayoutEmpty(2.0), TOOL)
    assert timers(generating.handle(ENDS_CALL)) == {"goodbye": 10.0}


def test_a_goodbye_whose_end_never_comes_is_cut_by_its_timer() -> None:
    machine = talking()
    feed(machine, TOOL, ENDS_CALL)
    assert moves(machine.handle(fired("goodbye"))) == [("streaming", "draining", "bot_said_goodbye")]


def test_the_call_does_not_end_while_another_tool_runs() -> None:
    machine = talking()
    feed(machine, TOOL, ToolCalled(1, "f2", "book", {}, 5.0), ENDS_CALL, TurnGenerated(1, True, 6.0), PlayoutEmpty(7.0))
    assert machine.state is State.STREAMING
    machine.handle(ToolFinished(1, "f2", "book", {}, ends_call=False, at_s=8.0))
    assert machine.state is State.STREAMING, "the model has its answer now, and may say something of it"
    feed(machine, TurnStarted(2, 8.5), TurnAudible(2, 8.5), TurnSpeaking(2, 8.5), TurnGenerated(2, True, 8.6))
    assert moves(machine.handle(PlayoutEmpty(9.0)))[0] == ("streaming", "draining", "bot_said_goodbye")


# Keys.


def test_keys_pressed_within_a_second_reach_the_model_as_one_entry() -> None:
    machine = streaming()
    for digit in "42#":
        assert machine.handle(KeyPressed(digit, 1.0)) == (StartTimer("keys", 1.0),)
    assert machine.handle(fired("keys")) == (
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
    [("max_call", "call_limit"), ("idle", "nobody_spoke"), ("goodbye", "bot_said_goodbye")],
)
def test_time_limits_end_the_call_in_order(timer: str, reason: str) -> None:
    machine = streaming()
    effects = machine.handle(fired(timer))
    assert moves(effects)[0] == ("streaming", "draining", reason)
    assert (machine.record.outcome, machine.record.ending.value) == ("completed", "hang_up")


def test_every_word_of_either_side_puts_off_the_idle_limit() -> None:
    machine = streaming()
    assert StartTimer("idle", 120.0) in machine.handle(CallerSpoke(1.0))
    assert StartTimer("idle", 120.0) in machine.handle(TurnSpeaking(1, 1.0))


def test_a_session_told_to_close_gets_no_text() -> None:
    machine = asked()
    effects = machine.handle(ModelSilent(1, 60.0, 60.0))
    assert [type(message) for message in told(effects)] == [CloseSession]
    assert not any(isinstance(message, SayText) for message in told(machine.handle(fired("first_audio"))))
