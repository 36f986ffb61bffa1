"""The model cannot be reached, or does not know the call any more: words for the caller, or the call goes on."""

import asyncio
from math import inf

import pytest

from callbot.simulators import voices
from callbot.simulators.gemini import Fault, Parrot, StandInOptions
from callbot.simulators.gemini.faults import Refuse
from callbot.simulators.gemini.triggers import OnConnect
from callbot.simulators.gemini.voice import tone
from callbot.simulators.twilio import CallEnd, CallReport, Line
from tests.live.exchange import Exchange, exchange
from tests.live.test_link_loss import FRAME, as_the_model_hears, noise

pytestmark = pytest.mark.live

QUICK = StandInOptions(brain=Parrot(greeting=tone(440.0, 0.3)), answer_delay_s=0.05)
# A tenth of what is usual, so that the test does not take a minute.
SHORT = {
    "greeting_timeout_s": 2.0,
    "unreachable_s": 2.0,
    "comfort_after_s": 0.4,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 400,
}
QUICK_WORDS = {"say_ms_per_character": 2.0, "setup_ms": (0, 5)}


def longest_silence_ms(report: CallReport) -> int:
    """The longest time without any sound on the stream."""
    longest = silent = 0
    for sound in report.audible:
        silent = 0 if sound else silent + 20
        longest = max(longest, silent)
    return longest


async def stay(line: Line) -> None:
    await line.stay(30)


def check_apology(line_up: Exchange, report: CallReport) -> None:
    [summary] = line_up.log("call.summary", report.call_sid)
    assert summary["outcome"] == "model_unreachable"
    assert report.said == (line_up.settings.apology,)
    assert report.end is CallEnd.HANGUP_VERB
    # Comfort sounds come every 0.4 s and last 0.3.
    assert longest_silence_ms(report) < 2 * 400


async def answers_503_for_ever() -> None:
    async with exchange(QUICK, carrier=QUICK_WORDS, **SHORT) as line_up:
        line_up.standin.refuse(503)
        never = await line_up.carrier.call(stay)
    check_apology(line_up, never)
    assert line_up.moves() == [("connecting", "draining"), ("draining", "closed")]
    assert line_up.standin.sessions == []


async def goes_away_in_mid_call() -> None:
    async with exchange(QUICK, carrier=QUICK_WORDS, **SHORT) as line_up:

        async def hears_the_end(line: Line) -> None:
            await line.wait_until_bot_speaks()
            line_up.standin.refuse(503)
            line_up.standin.sessions[0].abort()
            await line.stay(30)

        report = await line_up.carrier.call(hears_the_end)
    check_apology(line_up, report)
    assert line_up.moves() == [
        ("connecting", "streaming"),
        ("streaming", "reconnecting"),
        ("reconnecting", "draining"),
        ("draining", "closed"),
    ]


async def a_person_is_there() -> None:
    async with exchange(QUICK, carrier={"dial_talk_s": 0.1, **QUICK_WORDS}, fallback_number="+14155550100", **SHORT) as line_up:
        line_up.standin.refuse(403)  # a key that is refused will be refused again: nothing is waited for
        report = await line_up.carrier.call(stay)
    assert [type(verb).__name__ for verb in report.verbs] == ["Connect", "Say", "Dial", "Hangup"]
    assert report.said == (line_up.settings.fallback_message,)


async def a_person_is_not_there() -> None:
    carrier = {"dial_outcome": "busy", **QUICK_WORDS}
    async with exchange(QUICK, carrier=carrier, fallback_number="+14155550100", **SHORT) as line_up:
        line_up.standin.refuse(403)
        report = await line_up.carrier.call(stay)
    assert [type(verb).__name__ for verb in report.verbs] == ["Connect", "Say", "Dial", "Say", "Hangup"]
    assert report.said == (line_up.settings.fallback_message, line_up.settings.apology)


async def comes_back() -> None:
    options = StandInOptions(listening="scripted", burst=inf)
    async with (
        exchange(options, greeting="", **(SHORT | {"unreachable_s": 30.0})) as line_up,
        line_up.driven_call() as (call, first),
    ):
        call.to_say.extend(noise("comes back"))
        await line_up.standin.wait_for(lambda: len(first.pcm) >= 20 * FRAME)
        for _ in range(4):
            line_up.standin.inject(Fault(OnConnect(), Refuse(503)))
        first_ms = len(first.pcm) // 32
        second = await line_up.replaced(lambda: first.close(1011, "The service is currently unavailable."))
        await line_up.standin.wait_for(lambda: len(first.pcm + second.pcm) >= (len(noise("")) + 10) * FRAME, 20)
        second.say(tone(700.0, 0.2))
        await call.until(lambda: call.count("media"))
        sent, received = as_the_model_hears(bytes(call.sent)), bytes(first.pcm + second.pcm)
    [summary] = line_up.log("call.summary")
    print(f"\ngone after {first_ms} ms, back after {summary['recovery_max_ms']} ms")
    assert received == sent[: len(received)]
    assert len(line_up.standin.upgrades) == 6
    assert summary["outcome"] == "completed"


async def refused_call(model: str, code: int, reason: str) -> None:
    """A call whose link breaks after two turns, and whose handle is refused then."""
    async with exchange(QUICK, model=model, reconnect_backoff_ms=50, vad_silence_ms=300) as line_up:
        line_up.standin.refuse_handles(code, reason)
        words = voices.caller("number")[2_000:11_000]

        async def script(line: Line) -> None:
            await line.wait_until_bot_speaks()
            await line.wait_until_bot_quiet(200)
            await line.speak(words)
            await line.wait_until_bot_speaks()
            [first] = line_up.standin.sessions
            await line_up.standin.wait_for(lambda: len(first.handles) >= 2, 20)  # the answer is over, too
            await line.wait_until_bot_quiet(200)
            first.abort()
            await line_up.standin.wait_for(lambda: line_up.standin.sessions[-1].ready and not first.is_open, 20)
            await line.speak(words)
            await line.wait_until_bot_speaks()
            await line.silence(300)

        report = await line_up.carrier.call(script)
    [summary] = line_up.log("call.summary")
    assert report.script_failure == ""
    refused, fresh = line_up.standin.sessions[1], line_up.standin.sessions[-1]
    assert refused.handle_offered is not None
    assert (refused.close_code, fresh.handle_offered) == (code, None)
    assert summary["outcome"] == "completed"
    assert fresh.turns, "the next turn was said"
    assert report.utterances[-1].latency_ms is not None, "and heard"
    contents = [message.body for message in fresh.received if message.kind == "clientContent"]
    told = str(contents[0]["turns"]) if contents else str(fresh.setup)
    assert bool(contents) == ("3.1" in model)
    assert "I am the parrot" in told
    assert "you spoke for" in told
    assert all(message.body != line_up.settings.greeting for message in fresh.received), "nobody is greeted twice"


async def test_a_model_that_cannot_be_reached_is_apologised_for_and_one_that_comes_back_finds_every_word() -> None:
    await asyncio.gather(
        answers_503_for_ever(), goes_away_in_mid_call(), a_person_is_there(), a_person_is_not_there(), comes_back()
    )


async def test_after_a_refused_handle_a_fresh_session_is_told_what_was_said() -> None:
    await asyncio.gather(
        refused_call("gemini-3.8-live", 1008, "BidiGenerateContent session not found"),
        refused_call("gemini-3.8-live", 1011, "Internal error encountered."),
        refused_call("gemini-3.1-flash-live-preview", 1007, "BidiGenerateContent session expired"),
    )
