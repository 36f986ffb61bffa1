"""Turns of the model: where they begin and end, and what belongs to which."""

import math
import struct
from typing import Any

import pytest

from callbot.gemini.turns import TurnBook, TurnEvent
from callbot.messages.children import ModelAudio, ModelAudioEnded
from callbot.messages.session import (
    AnswerGrounded,
    ModelInterrupted,
    ModelUsage,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnStarted,
    TurnWorking,
)
from callbot.messages.terms import Role
from callbot.wire.gemini import AudioPart, Grounding, ModelMessage, ToolCall, Transcription, Usage

VOICE = struct.pack("<480h", *(round(8000 * math.sin(n / 9)) for n in range(480)))
SILENCE = bytes(960)
INTERRUPTED = ModelMessage(interrupted=True)
COMPLETE = ModelMessage(turn_complete=True)
GENERATED = ModelMessage(generation_complete=True)


def voice(pcm: bytes = VOICE, rate_hz: int = 24_000, **more: Any) -> ModelMessage:
    return ModelMessage(audio=(AudioPart(pcm, rate_hz),), **more)


def feed(book: TurnBook, *messages: ModelMessage, now_s: float = 1.0) -> list[TurnEvent]:
    return [event for message in messages for event in book.feed(message, now_s)]


def test_a_whole_turn_is_told_in_order() -> None:
    assert feed(TurnBook(1), voice(), GENERATED, COMPLETE) == [
        TurnStarted(1, 1.0),
        TurnAudible(1, 1.0),
        ModelAudio(1, VOICE, 24_000),
        ModelAudioEnded(1),
        TurnGenerated(1, audible=True, at_s=1.0),
        TurnCompleted(1, audible=True, reason="", at_s=1.0),
    ]


def test_everything_in_one_message_is_told_as_if_it_had_come_one_by_one() -> None:
    everything = voice(
        input_transcription=Transcription("hello"),
        output_transcription=Transcription("good day"),
        usage=Usage(prompt_tokens=5, response_tokens=7),
        generation_complete=True,
        turn_complete=True,
        turn_complete_reason="STOP",
    )
    assert feed(TurnBook(1), everything) == [
        Transcribed("caller", "hello", 0),
        TurnStarted(1, 1.0),
        TurnAudible(1, 1.0),
        ModelAudio(1, VOICE, 24_000),
        Transcribed("bot", "good day", 1),
        ModelUsage(5, 7),
        ModelAudioEnded(1),
        TurnGenerated(1, audible=True, at_s=1.0),
        TurnCompleted(1, audible=True, reason="STOP", at_s=1.0),
    ]


def test_a_session_counts_on_from_where_the_last_one_was() -> None:
    book = TurnBook(8)
    events = feed(book, voice(), COMPLETE) + feed(book, voice(), COMPLETE, now_s=3.0)
    assert [event.turn for event in events if isinstance(event, TurnStarted)] == [8, 9]


def test_a_tool_call_belongs_to_the_open_turn_or_to_the_next() -> None:
    book = TurnBook(1)
    assert book.turn_of_a_call == 1
    feed(book, voice())
    assert [book.turn_of_a_call, *(feed(book, message) and book.turn_of_a_call for message in (GENERATED, COMPLETE))] == [
        1,
        1,
        2,
    ]


def test_a_turn_that_completes_without_being_generated_ends_its_audio_all_the_same() -> None:
    assert ModelAudioEnded(1) in feed(TurnBook(1), voice(), COMPLETE)


def test_silence_is_played_but_is_not_audible() -> None:
    events = feed(TurnBook(1), voice(SILENCE), COMPLETE)
    assert not any(isinstance(event, TurnAudible) for event in events)
    assert events[-1] == TurnCompleted(1, audible=False, reason="", at_s=1.0)


def test_a_turn_becomes_audible_once_with_its_first_sound() -> None:
    events = feed(TurnBook(1), voice(SILENCE), voice(), voice())
    assert [event for event in events if isinstance(event, TurnAudible)] == [TurnAudible(1, 1.0)]
    assert events.index(TurnAudible(1, 1.0)) == 2


def test_a_turn_in_which_nothing_was_said_has_no_number() -> None:
    assert feed(TurnBook(1), ModelMessage(turn_complete=True, turn_complete_reason="NEED_MORE_INPUT")) == [
        TurnCompleted(0, audible=False, reason="NEED_MORE_INPUT", at_s=1.0)
    ]


def test_audio_after_generation_complete_is_the_turns_and_ends_it_again() -> None:
    events = feed(TurnBook(1), voice(), GENERATED, voice(), COMPLETE)
    assert [type(event) for event in events if isinstance(event, TurnStarted | ModelAudioEnded | ModelAudio)] == [
        TurnStarted,
        ModelAudio,
        ModelAudioEnded,
        ModelAudio,
        ModelAudioEnded,
    ]


def test_empty_audio_begins_no_turn() -> None:
    assert feed(TurnBook(1), voice(b"")) == []


def test_a_rate_that_the_converter_does_not_know_is_not_believed() -> None:
    rates = [
        event.rate_hz
        for event in feed(TurnBook(1), voice(rate_hz=16_000), voice(rate_hz=22_050))
        if isinstance(event, ModelAudio)
    ]
    assert rates == [16_000, 24_000]


# Interruptions.


def test_an_interruption_names_the_turn_it_cuts() -> None:
    book = TurnBook(4)
    feed(book, voice())
    assert feed(book, INTERRUPTED) == [ModelInterrupted(4, 1.0)]
    assert book.turn_of_a_call == 5


def test_audio_in_the_interruptions_own_message_goes_nowhere() -> None:
    book = TurnBook(1)
    feed(book, voice())
    assert feed(book, voice(interrupted=True)) == [ModelInterrupted(1, 1.0)]


def test_what_comes_right_after_an_interruption_is_late_until_the_turn_is_complete() -> None:
    book = TurnBook(1)
    feed(book, voice())
    assert feed(book, INTERRUPTED, voice(), voice(output_transcription=Transcription("late"))) == [ModelInterrupted(1, 1.0)]
    assert feed(book, COMPLETE) == []
    assert feed(book, voice())[0] == TurnStarted(2, 1.0)


def test_an_interruption_and_completion_in_one_message_make_room_for_the_next_turn_at_once() -> None:
    book = TurnBook(1)
    feed(book, voice())
    assert feed(book, ModelMessage(interrupted=True, turn_complete=True)) == [ModelInterrupted(1, 1.0)]
    assert feed(book, voice())[0] == TurnStarted(2, 1.0)


def test_a_turn_that_is_never_completed_does_not_swallow_the_next_for_more_than_a_second() -> None:
    book = TurnBook(1)
    book.feed(voice(), 1.0)
    book.feed(INTERRUPTED, 2.0)
    assert book.feed(voice(), 2.99) == []
    assert book.feed(voice(), 3.0)[0] == TurnStarted(2, 3.0)


def test_an_interruption_after_generation_complete_names_the_turn_that_still_plays() -> None:
    book = TurnBook(1)
    feed(book, voice(), GENERATED)
    assert feed(book, INTERRUPTED) == [ModelInterrupted(1, 1.0)]


def test_an_interruption_after_the_turn_was_complete_names_the_newest_and_swallows_nothing() -> None:
    book = TurnBook(1)
    feed(book, voice(), GENERATED, COMPLETE)
    assert feed(book, INTERRUPTED) == [ModelInterrupted(1, 1.0)]
    assert feed(book, voice())[0] == TurnStarted(2, 1.0)


def test_an_interruption_before_any_turn_names_none_of_this_session() -> None:
    assert feed(TurnBook(1), INTERRUPTED) == [ModelInterrupted(0, 1.0)]
    assert feed(TurnBook(5), INTERRUPTED) == [ModelInterrupted(4, 1.0)]


def test_a_generation_that_completes_with_the_interruption_does_not_end_the_turns_audio() -> None:
    book = TurnBook(1)
    feed(book, voice())
    assert feed(book, ModelMessage(interrupted=True, generation_complete=True)) == [ModelInterrupted(1, 1.0)]


def test_a_spoken_filler_ends_its_audio_but_not_the_wait_for_the_answer() -> None:
    book = TurnBook(1)
    events = feed(book, voice(), ModelMessage(turn_complete=True, interaction_status="IN_PROGRESS"))
    assert events[-2:] == [TurnGenerated(1, audible=True, at_s=1.0), TurnWorking(1, 1.0)]
    assert not any(isinstance(event, TurnCompleted) for event in events)
    assert feed(book, voice())[0] == TurnStarted(2, 1.0)


def test_words_of_the_caller_belong_to_the_newest_turn_and_empty_ones_are_none() -> None:
    book = TurnBook(1)
    feed(book, voice())
    assert feed(book, ModelMessage(input_transcription=Transcription("stop"))) == [Transcribed("caller", "stop", 1)]
    assert feed(book, ModelMessage(input_transcription=Transcription(""), output_transcription=Transcription(""))) == []


def test_a_turn_that_the_session_broke_off_has_no_more_audio() -> None:
    book = TurnBook(3)
    assert book.cut_off() == 0
    feed(book, voice())
    assert book.cut_off() == 3
    assert book.cut_off() == 0


@pytest.mark.parametrize("last", [GENERATED, COMPLETE, INTERRUPTED])
def test_a_turn_whose_audio_had_ended_or_was_cut_is_not_ended_again(last: ModelMessage) -> None:
    book = TurnBook(3)
    feed(book, voice(), last)
    assert book.cut_off() == 0


@pytest.mark.parametrize("status", ["IDLE", "REQUIRES_ACTION", "INTERACTION_STATUS_UNSPECIFIED", "SOMETHING_NEW", None])
def test_every_other_status_says_that_nothing_is_still_to_come(status: str | None) -> None:
    events = feed(TurnBook(1), voice(), ModelMessage(turn_complete=True, interaction_status=status))
    assert events[-1] == TurnCompleted(1, audible=True, reason="", at_s=1.0)


def test_audio_within_a_second_of_a_turns_end_is_the_rest_of_that_turn() -> None:
    book = TurnBook(1)
    feed(book, voice(), COMPLETE)
    for now_s in (1.4, 1.9, 2.0):
        assert feed(book, voice(), now_s=now_s) == [ModelAudio(1, VOICE, 24_000), ModelAudioEnded(1)]
    # However little later: a model that goes on for longer has begun another turn, and its chunks have no marks of their own.
    assert feed(book, voice(), now_s=2.1) == [
        TurnStarted(2, 2.1),
        TurnAudible(2, 2.1),
        ModelAudio(2, VOICE, 24_000),
    ]
    assert feed(book, voice(), now_s=2.2) == [ModelAudio(2, VOICE, 24_000)]


@pytest.mark.parametrize(
    "between",
    [
        ModelMessage(input_transcription=Transcription("and then?")),
        ModelMessage(tool_calls=(ToolCall("f1", "look_up", {}),)),
        ModelMessage(interrupted=True),
        None,
    ],
)
def test_audio_behind_something_that_asks_for_an_answer_is_a_turn_of_its_own(between: ModelMessage | None) -> None:
    book = TurnBook(1)
    feed(book, voice(), COMPLETE)
    if between is None:
        book.asked()  # a text or a tool's result has been sent
    else:
        feed(book, between)
    assert feed(book, voice(), now_s=1.2)[0] == TurnStarted(2, 1.2)


def test_a_turn_of_text_alone_is_told_and_one_with_audio_or_a_call_is_not() -> None:
    def only_text(*messages: ModelMessage) -> list[bool]:
        return [event.only_text for event in feed(TurnBook(1), *messages) if isinstance(event, TurnCompleted)]

    thinking, call = ModelMessage(text=("I should look.",)), ModelMessage(tool_calls=(ToolCall("f1", "look_up", {}),))
    assert only_text(thinking, COMPLETE, COMPLETE) == [True, False]
    assert only_text(thinking, voice(), COMPLETE) == [False]
    assert only_text(thinking, call, COMPLETE) == [False]
    assert only_text(thinking, INTERRUPTED, COMPLETE, COMPLETE) == [False]


def test_usage_tells_thoughts_tools_cache_and_text() -> None:
    usage = Usage(
        prompt_tokens=100,
        response_tokens=40,
        thoughts_tokens=7,
        tool_tokens=3,
        cached_tokens=50,
        prompt_by_modality={"TEXT": 20, "AUDIO": 80},
        response_by_modality={"AUDIO": 36, "TEXT": 4},
    )
    assert feed(TurnBook(1), ModelMessage(usage=usage)) == [ModelUsage(100, 40, 7, 3, 50, 20, 4)]


def test_the_language_of_words_and_what_an_answer_rests_on_are_told() -> None:
    said = ModelMessage(
        input_transcription=Transcription("bonjour", "fr-FR"), grounding=Grounding(("weather",), ("https://a",))
    )
    assert feed(TurnBook(1), said) == [
        Transcribed(Role.CALLER, "bonjour", 0, "fr-FR"),
        AnswerGrounded(("weather",), ("https://a",)),
    ]
