"""Sessions that are lost, moved, refused or silent, and the call that goes on."""

import pytest

from callbot.audio.comfort import COMFORT_SOUND
from callbot.messages.terms import Ending
from callbot.wire.gemini import ModelMessage, ResumptionUpdate, Transcription
from tests.actors.network_edges import Model, closed
from tests.actors.whole_call import COMPLETE, GENERATED, TAIL_MS, on_the_line, on_the_phone, spoken, tone

HANDLE = ModelMessage(resumption=ResumptionUpdate("secret-handle-1", resumable=True))


@pytest.mark.parametrize("code", [1000, 1006, 1008, 1011, 1012])
async def test_a_lost_link_costs_the_caller_not_one_frame(code: int) -> None:
    async with on_the_line() as call:
        call.link.give(HANDLE)
        await call.hear_caller(400)
        call.link.give(closed(code))
        await call.hear_caller(2000)
        await call.quiet(700)
        assert call.heard_by_model() == call.spoken_frames * 20
        assert call.model.orders[-1].handle == "secret-handle-1"
    assert call.summary["reconnects"] == 1
    assert [line["decision"] for line in call.log.of("session.lost")] == ["resume"]
    assert "secret-handle-1" not in repr(call.log.lines)


async def test_audio_that_the_service_objected_to_is_not_sent_again() -> None:
    async with on_the_line() as call:
        call.link.give(HANDLE)
        call.link.fails = closed(1007)
        call.link.give(closed(1007, "Request contains an invalid argument."))
        await call.hear_caller(1000)
        assert 0 < call.heard_by_model() < call.spoken_frames * 20
    assert call.summary["caller_dropped_ms"] > 0


async def test_a_go_away_moves_the_session_between_two_sentences() -> None:
    async with on_the_line(Model(setup_s=0.1)) as call:
        call.link.give(HANDLE, *spoken(1000), ModelMessage(go_away=True, go_away_time_left_s=50.0))
        await call.quiet(500)
        assert len(call.model.links) == 1
        call.link.give(GENERATED)
        await call.quiet(1500)
        assert len(call.model.links) == 2
        assert call.model.orders[-1].handle == "secret-handle-1"
        assert call.heard_by_model() == call.spoken_frames * 20
    assert ("streaming", "reconnecting", "go_away") in call.log.moves()
    (recovered,) = [line["after_ms"] for line in call.log.of("call.state") if line["from"] == "reconnecting"]
    assert recovered < 300


async def test_a_turn_that_a_loss_broke_off_is_heard_to_its_last_sample_and_ended() -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(1000), closed(1011, "Internal error encountered."))
        await call.quiet(2000)
        assert call.twilio.audio == on_the_phone(tone(1000))
    assert [(line["turn"], line["heard_ms"]) for line in call.log.of("turn.ended")] == [(1, 1000 + TAIL_MS)]


async def test_a_refused_handle_leads_to_a_session_that_is_told_the_conversation() -> None:
    async with on_the_line() as call:
        call.link.give(
            HANDLE,
            ModelMessage(input_transcription=Transcription("My name is Ada.")),
            ModelMessage(audio=spoken(500)[0].audio, output_transcription=Transcription("Hello Ada.")),
            COMPLETE,
        )
        await call.quiet(1000)
        call.model.refusals = [closed(1008, "BidiGenerateContent session not found")]
        call.link.give(closed(1006))
        await call.quiet(3000)
        order = call.model.orders[-1]
        assert (order.handle, [(line.role, line.text) for line in order.history]) == (
            None,
            [("caller", "My name is Ada."), ("bot", "Hello Ada.")],
        )
        call.link.give(*spoken(300), COMPLETE)
        await call.quiet(1000)
    assert [line["plan"] for line in call.log.of("session.opening")] == ["new", "resume", "history"]
    assert call.log.of("turn.heard")[-1]["turn"] == 2


async def test_a_model_that_cannot_be_reached_is_apologised_for_in_time_and_the_line_is_never_dead() -> None:
    refusals: list[Exception] = [closed(1011, "The service is currently unavailable.") for _ in range(50)]
    async with on_the_line(Model(refusals=refusals), ready=False) as call:
        await call.quiet(14_000)
        assert call.twilio.closed is not None
    assert call.endings == [("CA1", Ending.APOLOGISE, False)]
    assert call.summary["outcome"] == "model_unreachable"
    assert call.summary["duration_ms"] <= 12_600
    sounds_s = [sent.at_s - call.began_s for sent in call.twilio.sent if sent.event == "media"]
    assert COMFORT_SOUND in call.twilio.audio
    assert all(later - earlier <= 4.0 for earlier, later in zip([0.0, *sounds_s], [*sounds_s, 12.0], strict=True))


async def test_a_model_that_comes_back_after_five_seconds_carries_the_call_on() -> None:
    refusals: list[Exception] = [closed(1013, "try again later") for _ in range(4)]
    async with on_the_line(Model(refusals=refusals), ready=False) as call:
        await call.hear_caller(8000)
        await call.quiet(600)
        assert len(call.model.links) == 1
        assert call.heard_by_model() == call.spoken_frames * 20
    assert call.summary["reason"] == "caller_hung_up"


async def test_a_frozen_session_is_asked_once_then_left() -> None:
    async with on_the_line(first_audio_s=5.0) as call:
        call.link.give(HANDLE)
        await call.hear_caller(1000)
        await call.quiet(12_000)
        assert len(call.model.links) == 2
        assert [what for kind, what in call.model.links[0].sent if kind == "text"] == [call.services.brief.words.nudge]
        await call.quiet(2000)
        call.link.give(*spoken(300), GENERATED, COMPLETE)
        await call.quiet(1000)
    assert ("streaming", "reconnecting", "no_answer") in call.log.moves()
    assert COMFORT_SOUND in call.twilio.audio
