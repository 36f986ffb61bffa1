"""CallActor from `start` to its summary, between a Twilio that plays and a model that is scripted."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from network_edges import Model, ModelSocket
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from whole_call import COMPLETE, GENERATED, WholeCall, assert_in_order, on_the_line, spoken, tone

from callbot.actors.call import CallActor, call_factory
from callbot.audio.comfort import COMFORT_SOUND
from callbot.audio.framing import FrameAssembler
from callbot.audio.resample import ModelDownsampler
from callbot.messages import CallerAudio, Ending, StreamStarted
from callbot.states import State
from callbot.tools import Tool, Toolbox, ToolOutcome
from callbot.wire.gemini import AudioPart, ModelMessage, ResumptionUpdate, ToolCall, Transcription

INTERRUPTED = ModelMessage(interrupted=True)
HANDLE = ModelMessage(resumption=ResumptionUpdate("secret-handle-1", resumable=True))


def closed(code: int, reason: str = "") -> ConnectionClosedError:
    return ConnectionClosedError(Close(code, reason), None)


def on_the_phone(pcm: bytes) -> bytes:
    """What a caller hears of a whole turn."""
    down, frames = ModelDownsampler("sinc_medium"), FrameAssembler()
    return frames.push(down.push(pcm)) + frames.push(down.flush()) + frames.flush()


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
    assert (started["caller"], started["model"], started["backend"]) == ("***5310", "gemini-test", "gemini")
    assert [line["turn"] for line in call.log.of("turn.heard")] == [1, 2]
    assert call.log.of("turn.heard")[0]["latency_ms"] is None
    assert 0 < call.log.of("turn.heard")[1]["latency_ms"] < 1000
    assert [(line["turn"], line["audio_ms"], line["heard_ms"], line["interrupted"]) for line in call.log.of("turn.ended")] == [
        (1, 1000, 1000, False),
        (2, 800, 800, False),
    ]
    summary = call.summary
    assert (summary["outcome"], summary["reason"]) == ("completed", "caller_hung_up")
    assert (summary["turns"], summary["barge_ins"], summary["reconnects"]) == (2, 0, 0)
    assert summary["frames_in"] == call.spoken_frames
    assert summary["frames_out"] == 90
    assert sum(summary["states"].values()) == pytest.approx(summary["duration_ms"], abs=5)
    assert call.endings == [("CA1", Ending.HANG_UP, False)]
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


async def test_a_stream_that_breaks_is_not_taken_for_a_hang_up_by_its_name() -> None:
    async with on_the_line() as call:
        call.twilio.drop()
        await asyncio.sleep(3)
    assert call.summary["reason"] == "stream_closed"


async def test_keys_reach_the_model() -> None:
    async with on_the_line() as call:
        for digit in "12":
            call.twilio.say(f'{{"event":"dtmf","dtmf":{{"digit":"{digit}"}}}}')
        await call.quiet(1500)
        assert call.link.sent[-1] == ("audio", call.link.sent[-1][1])
        assert ("text", "(The caller pressed these keys on the telephone: 1 2)") in call.link.sent
    assert [line["digit"] for line in call.log.of("caller.dtmf")] == ["*", "*"]


async def test_the_model_can_end_the_call_after_its_goodbye() -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(1000), ModelMessage(tool_calls=(ToolCall("f1", "end_call", {}),)), GENERATED)
        await call.quiet(500)
        assert call.log.moves()[-1][1] == "streaming"
        assert call.link.sent[-1][0] == "audio"
        assert any(kind == "tool" for kind, _ in call.link.sent)
        await call.quiet(1500)
        assert call.twilio.audio == on_the_phone(tone(1000))
        assert call.twilio.closed == (1000, "bot_said_goodbye")
    assert call.summary["reason"] == "bot_said_goodbye"
    assert call.endings == [("CA1", Ending.HANG_UP, False)]


END_CALL = ModelMessage(tool_calls=(ToolCall("f1", "end_call", {}),))


@pytest.mark.parametrize("generated_ms", [0, 100])
@pytest.mark.parametrize("after_ms", [0, 2500])
async def test_a_goodbye_that_comes_after_end_call_is_heard_to_its_end(after_ms: int, generated_ms: int) -> None:
    """The function's answer once hung up, before the model could say the goodbye that it had kept for then."""
    async with on_the_line() as call:
        call.link.give(END_CALL, ModelMessage(generation_complete=True), COMPLETE)
        await call.quiet(after_ms)
        call.link.give(*spoken(4000))
        await call.quiet(generated_ms)
        call.link.give(GENERATED, COMPLETE)
        await call.quiet(5000)
        assert call.twilio.audio == on_the_phone(tone(4000))
        assert call.twilio.closed == (1000, "bot_said_goodbye")
    (turn,) = call.log.of("turn.ended")
    assert (turn["heard_ms"], turn["interrupted"]) == (4000, False)


async def test_a_model_that_ends_the_call_without_another_word_is_given_three_seconds() -> None:
    async with on_the_line() as call:
        call.link.give(END_CALL)
        await call.quiet(2800)
        assert call.twilio.closed is None
        await call.quiet(400)
        assert call.twilio.closed == (1000, "bot_said_goodbye")


async def test_a_function_that_does_not_exist_is_answered_with_an_error() -> None:
    async with on_the_line() as call:
        call.link.give(ModelMessage(tool_calls=(ToolCall("f1", "transfer_money", {}),)))
        await call.quiet(500)
        ((_, answer),) = [sent for sent in call.link.sent if sent[0] == "tool"]
        assert answer[:2] == ("f1", "transfer_money")
        assert answer[2]["status"] == "error"


async def _slowly(_arguments: dict[str, Any]) -> ToolOutcome:
    await asyncio.sleep(5)
    return ToolOutcome({"status": "ok"})


SLOW = Toolbox((Tool("look_up", "Takes five seconds.", _slowly),))
LOOK_UP = ModelMessage(tool_calls=(ToolCall("f1", "look_up", {}),))


async def test_a_function_that_the_model_takes_back_is_stopped_and_not_answered() -> None:
    async with on_the_line(toolbox=SLOW) as call:
        call.link.give(LOOK_UP)
        await call.quiet(500)
        call.link.give(ModelMessage(cancelled_tool_ids=("f1", "f9")))
        await call.quiet(6000)
        assert "tool" not in call.link.kinds()


async def test_a_function_that_still_runs_when_the_caller_hangs_up_is_stopped() -> None:
    async with on_the_line(toolbox=SLOW) as call:
        call.link.give(LOOK_UP)
        await call.quiet(500)
    assert call.summary["duration_ms"] < 2000


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


async def test_a_session_that_was_opened_early_is_the_calls_first() -> None:
    link = ModelSocket()
    early = Prewarmed(link)
    async with on_the_line(prewarmed=early) as call:
        await call.hear_caller(500)
        assert len(link.audio) // 32 == call.spoken_frames * 20
        link.give(closed(1006))
        await call.quiet(1000)
        assert len(call.model.links) == 1
    assert early.asked == ["CA1"]
    assert link.closed_s is not None


async def test_without_an_early_session_one_is_opened() -> None:
    async with on_the_line(prewarmed=Prewarmed(None)) as call:
        assert len(call.model.links) == 1


async def test_the_periodic_line_counts_what_has_passed() -> None:
    async with on_the_line(progress_s=1.0) as call:
        await call.quiet(3000)
    progress = call.log.of("call.progress")
    assert len(progress) >= 3
    assert [line["frames_in"] for line in progress] == sorted(line["frames_in"] for line in progress)
    assert progress[-1]["backlog_ms"] == 0


# Barge-in.


async def _while_generating(call: WholeCall) -> None:
    call.link.give(*spoken(6000))
    await call.quiet(500)
    await call.hear_caller(500)
    call.link.give(INTERRUPTED, *spoken(400, hz=900))  # late audio, in the same read


async def _in_one_message(call: WholeCall) -> None:
    call.link.give(*spoken(6000))
    await call.quiet(500)
    await call.hear_caller(500)
    (late, *more) = spoken(400, hz=900)
    call.link.give(ModelMessage(audio=late.audio, interrupted=True), *more)


async def _after_generation_complete(call: WholeCall) -> None:
    call.link.give(*spoken(6000), GENERATED)
    await call.quiet(500)
    await call.hear_caller(500)
    call.link.give(INTERRUPTED)


@pytest.mark.parametrize("barge_in", [_while_generating, _in_one_message, _after_generation_complete])
async def test_barge_in_clears_first_and_the_next_turn_is_heard_from_its_first_sample(
    barge_in: Callable[[WholeCall], Any],
) -> None:
    async with on_the_line() as call:
        await barge_in(call)
        before = len(call.twilio.sent)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [sent.event for sent in call.twilio.sent[before:]] == ["clear"]
        call.link.give(COMPLETE, *spoken(1000, hz=600), GENERATED, COMPLETE)
        await call.quiet(2000)
        after = call.twilio.sent[before:]
        assert b"".join(sent.mulaw for sent in after) == on_the_phone(tone(1000, hz=600))
    (barged,) = call.log.of("barge_in")
    assert barged["turn"] == 1
    assert 4900 <= barged["unheard_ms"] <= 5600
    assert [(line["turn"], line["interrupted"]) for line in call.log.of("turn.ended")] == [(1, True), (2, False)]
    assert call.summary["barge_ins"] == 1


async def test_an_interruption_that_finds_everything_heard_clears_nothing() -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(500), GENERATED)
        await call.quiet(1500)
        call.link.give(INTERRUPTED, COMPLETE)
        await call.quiet(500)
        assert "clear" not in call.twilio.events
    assert call.log.of("barge_in") == []


# Sessions that end.


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
    assert [(line["turn"], line["heard_ms"]) for line in call.log.of("turn.ended")] == [(1, 1000)]


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
        assert [what for kind, what in call.model.links[0].sent if kind == "text"] == [call.actor._machine.record.limits.nudge]
        await call.quiet(2000)
        call.link.give(*spoken(300), GENERATED, COMPLETE)
        await call.quiet(1000)
    assert ("streaming", "reconnecting", "no_answer") in call.log.moves()
    assert COMFORT_SOUND in call.twilio.audio


# Ends.


async def test_a_drain_lets_the_sentence_be_heard_and_asks_for_a_new_stream() -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(2000), GENERATED)
        await call.quiet(300)
        call.actor.request_drain()
        await call.quiet(3000)
        assert call.twilio.audio == on_the_phone(tone(2000))
        assert call.twilio.closed == (1001, "instance_stopping")
    assert call.summary["outcome"] == "moved"
    assert call.endings == [("CA1", Ending.CONTINUE, False)]
    assert [(line["heard_ms"], line["interrupted"]) for line in call.log.of("turn.ended")] == [(2000, False)]


async def test_a_drain_in_the_middle_of_a_turn_plays_what_there_is_to_the_last_sample() -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(1270))
        await call.quiet(300)
        call.actor.request_drain()
        await call.quiet(3000)
        assert call.twilio.audio == on_the_phone(tone(1270))
        closed_ms = call.log.of("call.summary")[0]["t_ms"]
        spoke_ms = call.log.of("turn.speaking")[0]["t_ms"]
        assert closed_ms - spoke_ms >= 1270


async def test_a_drain_ends_in_time_although_nothing_ever_comes_back() -> None:
    async with on_the_line(farewell_s=3.0) as call:
        call.twilio.returns_marks = False
        call.twilio.answers_close = False
        call.link.give(*spoken(12_000))
        await call.quiet(300)
        call.actor.request_drain()
        await call.quiet(8000)
    assert call.summary["reason"] == "instance_stopping"
    assert call.summary["states"]["draining"] <= 6100


async def test_a_silent_stream_ends_the_call_and_asks_for_a_new_one() -> None:
    async with on_the_line(twilio_silence_s=5.0) as call:
        await asyncio.sleep(10)
    assert call.summary["reason"] == "stream_silent"
    assert call.endings == [("CA1", Ending.CONTINUE, False)]


async def test_the_calls_time_limit_ends_it() -> None:
    async with on_the_line(max_call_s=5.0) as call:
        await call.quiet(8000)
    assert call.summary["reason"] == "call_limit"


async def test_a_call_in_which_nobody_speaks_ends() -> None:
    async with on_the_line(caller_silence_s=5.0) as call:
        await call.quiet(8000)
    assert call.summary["reason"] == "nobody_spoke"


async def test_a_silence_limit_of_zero_is_none() -> None:
    """It once ended every call the moment its session was ready."""
    async with on_the_line(caller_silence_s=0.0) as call:
        await call.quiet(3000)
        assert call.log.moves()[-1][1] == "streaming"


# Crashes.


async def test_a_transcoder_that_crashes_ends_the_call_in_order() -> None:
    async with on_the_line() as call:
        call.actor._transcoder.tell(CallerAudio(None, 0.0))  # type: ignore[arg-type]
        await call.quiet(1000)
    assert call.summary["reason"] == "transcoder_crashed"
    assert (call.summary["outcome"], call.endings) == ("failed", [("CA1", Ending.CONTINUE, False)])
    assert [line["child"] for line in call.log.of("child.crashed")] == ["transcoder"]


async def test_a_stream_that_crashes_ends_the_call_in_order() -> None:
    async with on_the_line() as call:
        call.twilio.drop(RuntimeError("bad socket"))
        await asyncio.sleep(2)
    assert call.summary["reason"] == "twilio_io_crashed"


async def test_a_session_that_crashes_is_followed_by_another() -> None:
    def crash() -> None:
        call.model.open_links -= 1
        raise RuntimeError("bad close")

    async with on_the_line() as call:
        call.link._on_close = crash
        call.link.give(closed(1006))
        await call.hear_caller(2000)
        await call.quiet(600)
        assert len(call.model.links) == 2
        assert call.heard_by_model() == call.spoken_frames * 20
    assert ("streaming", "reconnecting", "session_crashed") in call.log.moves()
    assert call.summary["reason"] == "caller_hung_up"


async def test_a_heartbeat_that_crashes_is_started_again_and_goes_on_watching() -> None:
    async with on_the_line(progress_s=1.0) as call:
        signs = call.actor._signs
        keep_s, signs.twilio_s = signs.twilio_s, "soon"  # type: ignore[assignment]
        await asyncio.sleep(1.1)
        signs.twilio_s = keep_s
        before = len(call.log.of("call.progress"))
        await call.quiet(3000)
        assert len(call.log.of("call.progress")) > before
    assert [line["child"] for line in call.log.of("child.crashed")] == ["heartbeat"]
    assert call.summary["outcome"] == "completed"


async def test_a_bug_in_the_call_itself_leaves_as_an_exception_after_one_summary() -> None:
    call = WholeCall()
    call.log.breaks_on.append("caller.dtmf")
    task = asyncio.ensure_future(call.actor.run())
    await call.quiet(1000)
    call.twilio.say('{"event":"dtmf","dtmf":{"digit":"1"}}')
    with pytest.raises(RuntimeError, match="the log broke on"):
        await task
    assert (call.summary["outcome"], call.summary["reason"]) == ("failed", "call_crashed")
    assert call.model.open_links == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_call_that_is_cancelled_from_above_releases_everything_and_is_summed_up() -> None:
    call = WholeCall()
    task = asyncio.ensure_future(call.actor.run())
    await call.quiet(1000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (call.summary["outcome"], call.summary["reason"]) == ("failed", "cancelled")
    assert call.model.open_links == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_drain_before_the_call_runs_ends_it_in_order() -> None:
    """The machine was once closed before it had begun: the summary came before the call's first line."""
    call = WholeCall()
    call.actor.request_drain()
    await call.actor.run()
    assert_in_order(call)
    assert (call.summary["outcome"], call.summary["reason"]) == ("moved", "instance_stopping")
    assert call.log.lines[0][1] == "call.started"
    assert call.model.links == []
    assert call.twilio.closed == (1001, "instance_stopping")


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
