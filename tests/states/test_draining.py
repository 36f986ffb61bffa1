"""Draining and Closed: the last words play, children stop, two timers end it; one summary, and nothing after."""

from typing import Any

import pytest
from call_machine import (
    ALL_BUT_SESSION,
    CLOSE_SESSION,
    HANDLE,
    STARTED,
    Call,
    asked,
    connecting,
    lost,
    moves,
    ready,
    reconnecting,
    streaming,
    talking,
)

from callbot.effects import CancelChildren, Moved, RecordEnding, Report, StopChildren, Tell
from callbot.messages.call import (
    CallerGone,
    CallerSpoke,
    CallMessage,
    ChildExited,
    DrainRequested,
    PlayoutEmpty,
    StreamSilent,
    TurnPlayed,
    TurnSpeaking,
)
from callbot.messages.children import ClearPlayback, CloseStream, DropTurns
from callbot.messages.session import ModelInterrupted, Transcribed, TurnCompleted
from callbot.messages.terms import Child, Ending, Outcome, Role
from callbot.states import State

CRASH = "ValueError: x"
MOVED = Report(Outcome.MOVED, "instance_stopping")


def ended(child: Child, session_no: int = 0, error: str | None = None) -> ChildExited:
    return ChildExited(child, session_no, error, 30.0)


def draining() -> Call:
    """The process stops; the caller still hears the model."""
    call = talking()
    call.tell(DrainRequested(2.0))
    return call


def close_stream(code: int, reason: str) -> Tell:
    return Tell(CloseStream(code, reason))


CLOSING = (close_stream(1001, "instance_stopping"), StopChildren())


def test_a_hang_up_ends_everything_at_once_and_plays_nothing_out() -> None:
    call = talking()
    assert call.tell(CallerGone("stop", 2.0)) == (
        Moved("streaming", "draining", "caller_hung_up"),
        RecordEnding(Ending.CONTINUE),  # whether the call is over, CallStatus says
        CLOSE_SESSION,
        close_stream(1000, "caller_hung_up"),
        StopChildren(),
    )
    assert call.timers == {"drain": 13.0}
    assert call.record.children == ALL_BUT_SESSION | {Child.GEMINI_SESSION}


def test_a_drain_lets_the_last_words_be_heard() -> None:
    call = talking()
    assert call.tell(DrainRequested(2.0)) == (
        Moved("streaming", "draining", "instance_stopping"),
        RecordEnding(Ending.CONTINUE),
        CLOSE_SESSION,
    )
    assert call.timers == {"drain": 13.0, "farewell": 10.0}
    assert call.tell(PlayoutEmpty(4.0)) == CLOSING
    assert set(call.timers) == {"drain"}


@pytest.mark.parametrize("event", [CallerGone("closed", 4.0), StreamSilent(10.0, 4.0), ended(Child.TWILIO_IO)])
def test_last_words_end_with_the_caller(event: CallMessage) -> None:
    assert draining().tell(event) == CLOSING


def test_last_words_end_with_their_time() -> None:
    assert draining().fire("farewell") == CLOSING


@pytest.mark.parametrize("event", [PlayoutEmpty(5.0), CallerGone("closed", 5.0), StreamSilent(10.0, 5.0)])
def test_the_stream_is_closed_once(event: CallMessage) -> None:
    call = draining()
    call.tell(PlayoutEmpty(4.0))
    assert call.tell(event) == ()


def test_the_call_is_closed_when_the_last_child_has_ended() -> None:
    call = draining()
    call.tell(PlayoutEmpty(4.0))
    for child in (Child.TRANSCODER, Child.HEARTBEAT, Child.TWILIO_IO):
        assert call.tell(ended(child)) == ()
    assert call.tell(ended(Child.GEMINI_SESSION, 1)) == (Moved("draining", "closed", "all_ended"), MOVED)
    assert (call.state, call.timers) == (State.CLOSED, {})


def test_a_child_that_crashes_now_has_ended_like_any_other() -> None:
    call = draining()
    call.tell(PlayoutEmpty(4.0))
    call.tell(*(ended(child, error=CRASH) for child in (Child.TRANSCODER, Child.HEARTBEAT, Child.TWILIO_IO)))
    assert Child.GEMINI_SESSION in call.record.children
    call.tell(ended(Child.GEMINI_SESSION, 1, CRASH))
    assert call.state is State.CLOSED


def test_an_earlier_sessions_end_is_not_waited_for() -> None:
    call = reconnecting()
    call.tell(CallerGone("stop", 12.0))
    assert call.tell(ended(Child.GEMINI_SESSION, 1)) == ()
    assert Child.GEMINI_SESSION in call.record.children


def test_children_that_do_not_end_are_cancelled_by_the_drain_timer() -> None:
    assert draining().fire("drain") == (CancelChildren(), Moved("draining", "closed", "drain_time_out"), MOVED)


def test_barge_in_over_the_last_words_still_clears() -> None:
    assert draining().tell(ModelInterrupted(1, 3.0)) == (Tell(DropTurns(1)), Tell(ClearPlayback(1)))


def test_a_session_that_becomes_ready_now_is_closed() -> None:
    call = connecting()
    call.tell(CallerGone("stop", 1.0))
    assert call.tell(ready(1)) == (CLOSE_SESSION,)


def test_a_drain_before_the_call_has_begun_closes_it() -> None:
    effects = Call().tell(DrainRequested(0.0))
    assert moves(effects) == [("connecting", "draining", "instance_stopping"), ("draining", "closed", "all_ended")]
    assert MOVED in effects


def test_the_handle_is_kept_for_the_next_stream_and_forgotten_with_the_call() -> None:
    goes_on, over = streaming(), streaming()
    goes_on.tell(DrainRequested(2.0))
    over.fire("max_call")
    assert goes_on.record.conversation.handle is not None
    assert goes_on.record.conversation.handle.value == HANDLE
    assert over.record.conversation.handle is None


def test_what_was_owed_is_left_with_the_conversation() -> None:
    owed, quiet = asked(), streaming()
    for call in (owed, quiet):
        call.tell(DrainRequested(3.0))
    assert (owed.record.conversation.answer_due, quiet.record.conversation.answer_due) == (True, False)


def test_whoever_spoke_when_the_stream_broke_is_owed_the_rest() -> None:
    caller, bot, heard_out = streaming(), talking(), talking()
    caller.tell(CallerSpoke(1.0), CallerGone("closed", 1.5))
    bot.tell(TurnCompleted(1, True, "", 2.0), CallerGone("closed", 2.5))
    heard_out.tell(TurnCompleted(1, True, "", 2.0), DrainRequested(2.5))  # plays out before the stream is closed
    assert [call.record.conversation.answer_due for call in (caller, bot, heard_out)] == [True, True, False]


def test_the_last_words_are_cut_to_what_was_heard_of_them() -> None:
    call = draining()
    call.tell(Transcribed(Role.BOT, "one two three four", 1), TurnPlayed(1, 1000, 500, True, 3.0))
    assert [line.text for line in call.record.conversation.lines] == ["one two"]


def test_a_loss_of_the_session_is_no_matter_any_more() -> None:
    assert draining().tell(lost(1)) == ()


@pytest.mark.parametrize(
    ("event", "reason", "outcome", "ending", "code"),
    [
        (CallerGone("stop", 12.0), "caller_hung_up", "completed", Ending.CONTINUE, 1000),
        (CallerGone("closed", 12.0), "stream_closed", "broken", Ending.CONTINUE, 1001),
        (DrainRequested(12.0), "instance_stopping", "moved", Ending.CONTINUE, 1001),
        ("max_call", "call_limit", "completed", Ending.HANG_UP, 1000),
        (StreamSilent(10.0, 12.0), "stream_silent", "failed", Ending.CONTINUE, 1001),
        (ended(Child.TWILIO_IO), "stream_closed", "broken", Ending.CONTINUE, 1001),
        (ended(Child.TWILIO_IO, error=CRASH), "twilio_io_crashed", "failed", Ending.CONTINUE, 1001),
        (ended(Child.TRANSCODER, error=CRASH), "transcoder_crashed", "failed", Ending.CONTINUE, 1001),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@pytest.mark.parametrize("make", [connecting, streaming, reconnecting])
def test_every_way_to_end_is_recorded_before_the_stream_closes_and_reported_once(
    make: Any, event: CallMessage | str, reason: str, outcome: str, ending: Ending, code: int
) -> None:
    call: Call = make()
    effects = call.fire(event) if isinstance(event, str) else call.tell(event)
    assert effects.index(RecordEnding(ending)) < effects.index(close_stream(code, reason))
    assert moves(effects) == [(make.__name__, "draining", reason)]
    assert call.fire("drain")[-1] == Report(Outcome(outcome), reason)


def test_a_heartbeat_that_crashed_too_often_is_not_waited_for() -> None:
    call = streaming().change(restarts=3)
    call.tell(ended(Child.HEARTBEAT, error=CRASH))
    assert call.record.children == {Child.TWILIO_IO, Child.TRANSCODER, Child.GEMINI_SESSION}
    assert call.record.conversation.ending is Ending.CONTINUE


@pytest.mark.parametrize(
    "event",
    [
        STARTED,
        CallerGone("closed", 3.0),
        DrainRequested(3.0),
        ChildExited(Child.TWILIO_IO, 0, CRASH, 3.0),
        lost(1, at_s=3.0),
        ready(1, at_s=3.0),
        TurnSpeaking(1, 3.0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_that_comes_after_the_end_has_an_effect(event: CallMessage) -> None:
    call = streaming()
    call.tell(CallerGone("stop", 3.0))
    assert call.fire("drain").count(Report(Outcome.COMPLETED, "caller_hung_up")) == 1
    before = call.record
    assert call.tell(event) == ()
    assert (call.state, call.record) == (State.CLOSED, before)
