"""Streaming: audio flows both ways; the conversation, barge-in, keys, limits, and a caller who says nothing."""

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
    ready,
    say,
    streaming,
    talking,
    told,
)

from callbot.effects import Tell
from callbot.messages.call import CallerPaused, CallerSpoke, CallMessage, KeyPressed, ModelSilent, PlayoutEmpty, TurnSpeaking
from callbot.messages.children import ClearPlayback, DropTurns, SayText
from callbot.messages.session import (
    GoAway,
    HandleRenewed,
    ModelInterrupted,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnStarted,
)
from callbot.messages.terms import Decision, Ending, Outcome, Plan
from callbot.states import State
from callbot.states.regions.floor import AnswerDue, CallerSpeaking, Nobody
from callbot.states.regions.keys import NoKeys
from callbot.states.regions.session import Open
from callbot.states.regions.turn import Quiet

GREETING = "Say hello."

# The greeting.


def test_the_call_is_greeted_once_however_many_sessions_it_takes() -> None:
    call = streaming(greeting=GREETING)
    call.tell(
        TurnStarted(1, 1.0), TurnAudible(1, 1.0), TurnGenerated(1, audible=True, at_s=2.0), TurnCompleted(1, True, "", 2.0)
    )
    call.tell(lost(1))
    assert told(call.tell(ready(2))) == []
    call.tell(lost(2, Decision.FRESH, at_s=20.0))
    assert told(call.tell(ready(3, Plan.HISTORY, at_s=21.0))) == []


@pytest.mark.parametrize("handle", [True, False])
def test_a_greeting_that_nobody_heard_is_asked_for_again_of_a_new_session(handle: bool) -> None:
    call = streaming(greeting=GREETING, handle=handle)
    call.tell(lost(1))
    assert told(call.tell(ready(2))) == [SayText(GREETING)]
    assert call.timers["first_audio"] == 7.0


# Who speaks, and who is owed an answer.


def test_the_callers_pause_begins_the_wait_for_an_answer() -> None:
    call = streaming()
    call.tell(CallerSpoke(1.0))
    assert {"first_audio", "comfort", "idle"}.isdisjoint(call.timers)
    call.tell(CallerPaused(2.0, 900, 2.5))
    assert (call.timers["first_audio"], call.timers["comfort"]) == (7.0, 3.0)
    call.tell(CallerSpoke(3.0))
    assert "first_audio" not in call.timers


def test_a_cough_calls_for_no_answer() -> None:
    call = streaming()
    call.tell(CallerSpoke(1.0), CallerPaused(1.1, 200, 1.6))
    assert call.record.floor == Nobody()


@pytest.mark.parametrize(
    ("began_s", "speech_ms", "is_answer"),
    [(4.2, 160, True), (8.9, 160, True), (9.5, 160, False), (4.2, 80, False), (3.5, 160, False)],
)
def test_a_word_of_160_ms_soon_after_the_bots_words_is_an_answer(began_s: float, speech_ms: int, is_answer: bool) -> None:
    call = talking()
    call.tell(TurnGenerated(1, True, 2.0), TurnCompleted(1, True, "", 4.0), PlayoutEmpty(4.0))
    ended_s = began_s + speech_ms / 1000
    call.tell(CallerSpoke(began_s), CallerPaused(ended_s, speech_ms, ended_s + 0.5))
    assert isinstance(call.record.floor, AnswerDue) is is_answer


def test_a_noise_is_no_words_and_hides_none() -> None:
    call = streaming()
    call.tell(CallerSpoke(1.0), CallerPaused(13.0, 0, 13.5))
    assert call.record.floor == Nobody()
    call = asked()
    call.tell(CallerSpoke(3.0), CallerPaused(5.0, 0, 5.5))
    assert isinstance(call.record.floor, AnswerDue)


@pytest.mark.parametrize("speech_ms", [100, 900])
def test_who_speaks_again_while_an_answer_is_due_does_not_put_its_watch_off(speech_ms: int) -> None:
    call = asked()  # due at 9.5
    call.tell(CallerSpoke(3.0), CallerPaused(3.1, speech_ms, 3.6))
    assert call.timers["first_audio"] == pytest.approx(9.5 - 3.6)
    call.tell(CallerSpoke(7.0), CallerPaused(7.1, speech_ms, 7.6))
    assert call.timers["first_audio"] == pytest.approx(4.0), "the model has a moment for the new words"


def test_a_caller_who_asks_again_and_again_gets_another_session_soon() -> None:
    """Each "hello?" once began the wait anew, and a silent session was noticed after 40 s."""
    call, at_s = asked(), 2.5
    while call.state is State.STREAMING and at_s < 60.0:
        at_s += 5.0
        call.fire_until(at_s)
        call.tell(CallerSpoke(at_s), CallerPaused(at_s + 0.3, 300, at_s + 0.8))
    assert at_s < 25.0
    assert call.record.outage.silent_moves == 1


def test_words_under_the_models_own_call_for_no_answer() -> None:
    call = talking()
    call.tell(CallerSpoke(1.0), CallerPaused(2.0, 900, 2.5))
    assert call.record.floor == Nobody()
    call.tell(TurnGenerated(1, True, 3.0), CallerSpoke(3.1), CallerPaused(4.0, 900, 4.5))
    assert call.record.floor == Nobody(), "the rest is being heard"


def test_an_answer_that_begins_before_our_own_detector_is_certain_of_the_pause_is_one() -> None:
    call = streaming()
    call.tell(
        CallerSpoke(1.0), TurnStarted(1, 2.4), TurnAudible(1, 2.4), TurnGenerated(1, True, 2.4), CallerPaused(2.0, 900, 2.5)
    )
    assert call.record.floor == Nobody()


def test_a_turn_in_which_nothing_is_heard_yet_is_no_answer() -> None:
    call = streaming()
    call.tell(CallerSpoke(1.0), TurnStarted(1, 2.4), CallerPaused(2.0, 900, 2.5))
    assert isinstance(call.record.floor, AnswerDue)
    assert call.tell(TurnCompleted(1, False, "", 3.0)) == (nudge(),)


def test_the_first_audible_sound_of_the_answer_ends_the_wait() -> None:
    call = asked()
    call.tell(TurnStarted(1, 3.0), TurnAudible(1, 3.0))
    assert {"first_audio", "comfort"}.isdisjoint(call.timers)
    assert call.record.conversation.greeted


def test_a_turn_is_followed_to_its_end() -> None:
    call = talking()
    call.tell(TurnGenerated(1, audible=True, at_s=2.0))
    assert call.timers["turn_complete"] == 30.0
    call.tell(PlayoutEmpty(3.0))
    assert call.record.is_settled
    call.tell(TurnCompleted(1, True, "", 3.0))
    assert call.record.turn == Quiet(1.0)
    assert "turn_complete" not in call.timers


def test_a_line_that_never_pauses_loses_the_floor() -> None:
    """Music or a fan on the line was once speech for ever: no watchdog and no move worked, 24 seconds of silence."""
    call = asked()
    call.tell(CallerSpoke(3.0))
    assert call.timers["speech"] == 12.0
    call.fire("speech")
    assert call.record.floor == AnswerDue(22.0)
    assert call.fire("first_audio") == (nudge(),)


def test_a_noise_that_nobody_waits_behind_leaves_the_floor_to_nobody() -> None:
    call = streaming()
    call.tell(CallerSpoke(3.0), GoAway(1, 50.0, 4.0))
    assert call.state is State.STREAMING
    assert moves(call.fire("speech")) == [("streaming", "reconnecting", "go_away")]


# Barge-in.


def test_barge_in_drops_the_converters_state_first_then_all_that_is_unheard() -> None:
    call = talking()
    call.tell(CallerSpoke(2.0))
    assert call.tell(ModelInterrupted(1, 2.1)) == (Tell(DropTurns(1)), Tell(ClearPlayback(1)))
    assert (call.record.turn, call.record.floor) == (Quiet(), CallerSpeaking(2.0, owed=True))


def test_an_interruption_that_nobody_here_has_heard_expects_the_model_to_say_something() -> None:
    call = talking()
    assert told(call.tell(ModelInterrupted(1, 2.1))) == [DropTurns(1), ClearPlayback(1)]
    call.tell(PlayoutEmpty(2.2))
    assert call.fire("first_audio") == (nudge(),)


def test_an_interruption_of_nothing_owes_nothing() -> None:
    """120 ms of audio behind a complete turn, and the bot once said it all again."""
    call = streaming()
    assert told(call.tell(ModelInterrupted(0, 2.1))) == [DropTurns(0), ClearPlayback(0)]
    assert call.record.floor == Nobody()
    assert "first_audio" not in call.timers


@pytest.mark.parametrize("speech_ms", [40, 900])
def test_an_answer_that_was_dropped_is_due_again_when_the_caller_pauses(speech_ms: int) -> None:
    """A phantom between the answer's first sound and our hearing of the pause before it once left a call to its silence."""
    call = streaming()
    call.tell(CallerSpoke(1.0), TurnStarted(1, 2.4), TurnAudible(1, 2.4), TurnSpeaking(1, 2.4), ModelInterrupted(1, 2.45))
    call.tell(CallerPaused(2.0, speech_ms, 2.5), PlayoutEmpty(2.5), TurnCompleted(1, True, "interrupted", 2.5))
    assert call.fire("first_audio") == (nudge(),)


# Keys.


def test_keys_pressed_within_four_seconds_reach_the_model_as_one_entry() -> None:
    call = streaming()
    for number, digit in enumerate("4711"):
        call.tell(KeyPressed(digit, 1.0 + 1.5 * number))
        assert call.timers["keys"] == 4.0
    assert call.fire("keys") == (say("(The caller pressed these keys on the telephone: 4 7 1 1)"),)
    assert (call.record.conversation.keys, call.record.keys) == ("", NoKeys())
    assert call.timers["first_audio"] == 7.0


@pytest.mark.parametrize(("ends", "left_s"), [(True, 0.0), (False, 4.0)])
def test_the_hash_ends_an_entry_at_once_if_it_may(ends: bool, left_s: float) -> None:
    call = streaming(hash_ends_keys=ends)
    call.tell(KeyPressed("4", 1.0), KeyPressed("#", 1.5))
    assert call.timers["keys"] == left_s


def test_an_entry_has_at_most_32_keys() -> None:
    call = streaming()
    call.tell(*[KeyPressed("7", 1.0)] * 40)
    assert call.record.conversation.keys == "7" * 32


# The handle.


def test_handles_of_the_session_in_force_replace_each_other() -> None:
    call = streaming()
    call.tell(HandleRenewed(1, "newer", 20.0), HandleRenewed(9, "other", 20.0))
    assert call.record.conversation.handle is not None
    assert call.record.conversation.handle.value == "newer"


@pytest.mark.parametrize("busy", [(TurnStarted(1, 6.0),), (TOOL,)])
def test_a_handle_of_mid_answer_is_not_resumed_from(busy: tuple[CallMessage, ...]) -> None:
    call = streaming()
    call.tell(*busy, HandleRenewed(1, "mid-answer", 20.0))
    assert call.record.conversation.handle is not None
    assert call.record.conversation.handle.value == HANDLE


# Limits.


def test_a_call_has_a_limit() -> None:
    call = streaming(max_call_s=60.0)
    assert moves(call.fire("max_call"))[0] == ("streaming", "draining", "call_limit")
    left = call.record.conversation
    assert (left.outcome, left.ending) == (Outcome.COMPLETED, Ending.HANG_UP)


def test_a_session_told_to_close_gets_no_text() -> None:
    call = asked()
    assert call.tell(ModelSilent(1, 60.0, 60.0))[0] == CLOSE_SESSION
    assert "first_audio" not in call.timers


# A caller who says nothing.


def hear(call: Call, turn: int, at_s: float) -> None:
    call.tell(TurnStarted(turn, at_s), TurnAudible(turn, at_s), TurnSpeaking(turn, at_s), TurnGenerated(turn, True, at_s))
    call.tell(TurnCompleted(turn, True, "", at_s), PlayoutEmpty(at_s + 2.0))


def test_a_silent_caller_is_asked_twice_and_told_goodbye() -> None:
    """After 120 seconds they were once hung up on without a word."""
    call = streaming()
    hear(call, 1, 1.0)
    for turn in (2, 3):
        assert call.timers["idle"] == 20.0, "from the moment the bot's words were heard"
        assert call.fire("idle") == (nudge(WORDS.idle_ask),)
        hear(call, turn, call.record.now_s + 1.0)
    assert call.fire("idle") == (nudge(WORDS.idle_goodbye),)
    now_s = call.record.now_s
    call.tell(
        TurnStarted(4, now_s + 1), TurnAudible(4, now_s + 1), TurnSpeaking(4, now_s + 1), TurnGenerated(4, True, now_s + 1)
    )
    assert call.state is State.STREAMING, "the goodbye is being heard"
    assert moves(call.tell(PlayoutEmpty(now_s + 3)))[0] == ("streaming", "draining", "nobody_spoke")


def test_a_goodbye_to_a_silent_caller_that_is_not_said_ends_the_call_all_the_same() -> None:
    call = streaming(idle_asks=0)
    call.fire("idle")
    assert moves(call.fire("goodbye"))[0] == ("streaming", "draining", "nobody_spoke")


def test_a_word_begins_the_ladder_anew() -> None:
    call = streaming()
    call.fire("idle")
    hear(call, 1, 21.0)
    call.tell(CallerSpoke(25.0), CallerPaused(26.0, 900, 26.5))
    hear(call, 2, 27.0)
    assert (call.record.idle.asked, call.timers["idle"]) == (0, 20.0)


def test_words_to_a_goodbye_take_it_back() -> None:
    call = streaming(idle_asks=0)
    call.fire("idle")
    now_s = call.record.now_s
    call.tell(CallerSpoke(now_s + 1), CallerPaused(now_s + 2, 900, now_s + 2.5))
    assert "goodbye" not in call.timers
    assert call.timers["first_audio"] == 7.0


def test_without_the_ladder_silence_ends_the_call_after_its_limit() -> None:
    call = streaming(idle_ask_s=0.0)
    assert call.timers["idle"] == 119.6
    assert moves(call.fire("idle"))[0] == ("streaming", "draining", "nobody_spoke")


def test_nobody_is_asked_while_the_session_is_away() -> None:
    call = streaming()
    call.tell(lost(1, at_s=15.0))
    assert call.timers["idle"] == 105.0
    assert not isinstance(call.record.session, Open)
