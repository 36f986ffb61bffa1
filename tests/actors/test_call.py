"""CallActor from `start` to its summary, between a Twilio that plays and a model that is scripted."""

import asyncio
import gc
import weakref

import pytest

from callbot.actors.call import CallActor, call_factory
from callbot.messages.call import StreamStarted
from callbot.messages.terms import Ending
from callbot.states import State
from callbot.wire.gemini import AudioPart, ModelMessage, Transcription
from tests.actors.network_edges import Model, ModelSocket, closed
from tests.actors.whole_call import (
    COMPLETE,
    GENERATED,
    INTERRUPTED,
    TAIL_MS,
    WholeCall,
    assert_in_order,
    on_the_line,
    on_the_phone,
    spoken,
    tone,
)

# A call.


async def test_a_whole_call_is_carried_and_told_in_order() -> None:
    async with on_the_line(greeting="Say hello.") as call:
        assert call.link.sent[0] == ("text", "Say hello.")
        call.link.give(*spoken(1000), GENERATED)
        await call.quiet(1500)
        call.link.give(COMPLETE)
        await call.hear_caller(1000)
        await call.quiet(700)
        call.link.give(*spoken(800), GENERATED)
        await call.quiet(1500)
        call.link.give(COMPLETE)
        await call.quiet(500)
        assert call.heard_by_model() == call.spoken_frames * 20
        assert call.twilio.audio == on_the_phone(tone(1000)) + on_the_phone(tone(800))

    assert call.log.moves() == [
        ("connecting", "streaming", "session_ready"),
        ("streaming", "draining", "caller_hung_up"),
        ("draining", "closed", "all_ended"),
    ]
    (started,) = call.log.of("call.started")
    assert (started["caller"], started["model"], started["backend"]) == ("***5310", "gemini-3.8-live", "gemini")
    assert [line["turn"] for line in call.log.of("turn.heard")] == [1, 2]
    assert call.log.of("turn.heard")[0]["latency_ms"] is None
    assert 0 < call.log.of("turn.heard")[1]["latency_ms"] < 1000
    assert [(line["turn"], line["audio_ms"], line["heard_ms"], line["interrupted"]) for line in call.log.of("turn.ended")] == [
        (1, 1000 + TAIL_MS, 1000 + TAIL_MS, False),
        (2, 800 + TAIL_MS, 800 + TAIL_MS, False),
    ]
    summary = call.summary
    assert (summary["outcome"], summary["reason"]) == ("completed", "caller_hung_up")
    assert (summary["turns"], summary["barge_ins"], summary["reconnects"]) == (2, 0, 0)
    assert summary["frames_in"] == call.spoken_frames
    assert summary["frames_out"] == (1000 + 800 + 2 * TAIL_MS) // 20
    assert sum(summary["states"].values()) == pytest.approx(summary["duration_ms"], abs=5)
    assert call.endings == [("CA1", Ending.CONTINUE, False)]
    assert call.twilio.closed == (1000, "caller_hung_up")


async def test_what_the_caller_says_while_the_session_opens_is_sent_when_it_is_open() -> None:
    async with on_the_line(Model(setup_s=2.0), ready=False) as call:
        await call.hear_caller(1500)
        assert call.model.links == []
        await call.quiet(1000)
        assert call.heard_by_model() == 2500


async def test_a_hang_up_while_connecting_ends_the_call_at_once() -> None:
    async with on_the_line(Model(setup_s=5.0), ready=False) as call:
        await call.quiet(500)
        call.twilio.stop()
        await asyncio.sleep(0.5)
        assert call.model.links == []
        assert call.twilio.closed == (1000, "caller_hung_up")
    assert call.log.moves()[0] == ("connecting", "draining", "caller_hung_up")
    assert call.summary["duration_ms"] < 1000


async def test_a_call_that_has_ended_is_gone_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        async with on_the_line(greeting="Say hello.") as call:
            call.link.give(*spoken(1000), GENERATED, COMPLETE)
            await call.quiet(1500)
        ended = weakref.ref(call.actor)
        del call.actor
        assert ended() is None
    finally:
        gc.enable()


async def test_a_stream_that_breaks_is_not_taken_for_a_hang_up_by_its_name() -> None:
    async with on_the_line() as call:
        call.twilio.drop()
        await asyncio.sleep(3)
    assert call.summary["reason"] == "stream_closed"


async def test_keys_reach_the_model() -> None:
    async with on_the_line() as call:
        for digit in "12":
            call.twilio.say(f'{{"event":"dtmf","dtmf":{{"digit":"{digit}"}}}}')
        await call.quiet(4500)
        assert call.link.sent[-1] == ("audio", call.link.sent[-1][1])
        assert ("text", "(The caller pressed these keys on the telephone: 1 2)") in call.link.sent
    assert [line["digit"] for line in call.log.of("caller.dtmf")] == ["*", "*"]


async def test_what_the_caller_did_not_hear_of_a_sentence_is_not_told_to_a_fresh_session() -> None:
    async with on_the_line() as call:
        words = Transcription("one two three four five six")
        call.link.give(ModelMessage(output_transcription=words), *spoken(6000), GENERATED)
        await call.quiet(500)
        await call.hear_caller(1500)
        call.link.give(INTERRUPTED, COMPLETE)
        await call.quiet(100)
        call.link.give(closed(1008, "BidiGenerateContent session not found"))
        await call.quiet(1000)
        assert [(line.role, line.text) for line in call.model.orders[-1].history] == [("bot", "one two")]


class Prewarmed:
    """One link for one call, opened before."""

    def __init__(self, link: ModelSocket | None) -> None:
        self.link = link
        self.asked: list[str] = []

    async def take(self, call_sid: str) -> ModelSocket | None:
        self.asked.append(call_sid)
        return self.link


async def test_only_the_first_session_of_a_call_may_be_one_that_was_opened_early() -> None:
    async with on_the_line() as call:
        call.link.give(closed(1006))
        await call.quiet(1000)
        assert [(order.call_sid, order.is_first) for order in call.model.orders] == [("CA1", True), ("CA1", False)]


async def test_the_periodic_line_counts_what_has_passed() -> None:
    async with on_the_line(progress_s=1.0) as call:
        await call.quiet(3000)
    progress = call.log.of("call.progress")
    assert len(progress) >= 3
    assert [line["frames_in"] for line in progress] == sorted(line["frames_in"] for line in progress)
    assert progress[-1]["backlog_ms"] == 0


# Many.


async def test_calls_side_by_side_leave_nothing_behind() -> None:
    calls = [WholeCall() for _ in range(10)]
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call.actor.run())
        async with asyncio.TaskGroup() as talk:
            for call in calls:
                talk.create_task(call.hear_caller(1000))
        for call in calls:
            call.twilio.stop()
    for call in calls:
        assert_in_order(call)
        assert call.heard_by_model() == 1000


async def test_the_factory_makes_calls_of_one_process() -> None:
    call = WholeCall()
    made = call_factory(call.services)(StreamStarted("CA9", "MZ1", "AC1", 0.0), call.twilio)
    assert isinstance(made, CallActor)
    assert made.state is State.CONNECTING


async def test_audio_in_odd_pieces_is_heard_as_if_it_had_come_whole() -> None:
    pcm = tone(777)
    async with on_the_line() as call:
        call.link.give(
            *[ModelMessage(audio=(AudioPart(pcm[at : at + 333], 24_000),)) for at in range(0, len(pcm), 333)], GENERATED
        )
        await call.quiet(1500)
        assert call.twilio.audio == on_the_phone(pcm)
