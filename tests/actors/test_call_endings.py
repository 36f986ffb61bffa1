"""How a call ends: drains, limits, crashes; always in order and with one summary."""

import asyncio

import pytest

from callbot.messages.children import CallerAudio
from callbot.messages.terms import Ending
from tests.actors.network_edges import closed
from tests.actors.whole_call import GENERATED, TAIL_MS, WholeCall, assert_in_order, on_the_line, on_the_phone, spoken, tone

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
    assert [(line["heard_ms"], line["interrupted"]) for line in call.log.of("turn.ended")] == [(2000 + TAIL_MS, False)]


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
    async with on_the_line(caller_silence_s=5.0, idle_ask_s=0) as call:
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
