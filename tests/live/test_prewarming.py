"""A session that is opened with the webhook: taken by its call, closed when nobody comes, replaced when it has died."""

import asyncio
from statistics import median

import pytest

from callbot.simulators.gemini import Fault, Parrot, StandInOptions
from callbot.simulators.gemini.faults import Close
from callbot.simulators.gemini.triggers import OnReady
from callbot.simulators.gemini.voice import tone
from callbot.simulators.twilio import Line, OverrideParameter
from tests.live.exchange import AUTH_TOKEN, PUBLIC_URL, exchange
from tests.live.plain_caller import call_fields, post

pytestmark = pytest.mark.live

# A model that is as far away as a real one: its upgrade takes a third of a second. Twilio's part is set to as much.
FAR = StandInOptions(
    brain=Parrot(greeting=tone(440.0, 0.3)), answer_delay_s=0.05, connect_latency_s=(0.3, 0.3), handle_at_setup=True
)
QUICK_WORDS = {"setup_ms": (200, 200), "say_ms_per_character": 1.0}
TWILIO = {"setup_ms": (350, 350)}


async def hears_a_word(line: Line) -> None:
    await line.wait_until_bot_speaks()
    await line.silence(100)


async def first_words_ms(*, prewarm: bool) -> list[float]:
    """From the stream's start to the first sound of the bot, for four calls at once."""
    async with exchange(FAR, carrier=TWILIO, prewarm=prewarm) as line_up:
        await line_up.carrier.call(hears_a_word)
        reports = await asyncio.gather(*(line_up.carrier.call(hears_a_word) for _ in range(4)))
    for report in reports:
        [opened] = line_up.log("session.ready", report.call_sid)
        assert (opened["setup_ms"] < 290) == prewarm, "a session that is dialled takes as long as the model is far away"
    assert len(line_up.standin.sessions) == 5
    assert line_up.standin.connections_open == 0
    return [report.events("first_bot_audio")[0].t_s * 1000 for report in reports]


async def test_the_first_words_come_sooner_by_the_sessions_opening() -> None:
    without, with_it = await asyncio.gather(first_words_ms(prewarm=False), first_words_ms(prewarm=True))
    print(f"\nfrom the stream's start to the first sound: {median(without):.0f} ms without, {median(with_it):.0f} ms with")
    assert median(with_it) < median(without)


async def test_a_session_that_nobody_takes_is_closed_and_there_are_never_more_than_the_limit() -> None:
    async with exchange(StandInOptions(), prewarm_s=2.0, max_prewarmed=2) as line_up:
        for number in range(4):
            fields = call_fields(f"CA{number:032x}")
            status, _ = await asyncio.to_thread(post, line_up.port, PUBLIC_URL, AUTH_TOKEN, "/twiml", fields)
            assert status == 200
        await line_up.standin.wait_for(lambda: sum(session.closed for session in line_up.standin.sessions) >= 2, 20)
        unused = await line_up.logged("session.prewarm_unused", 2)
    assert len(line_up.standin.sessions) == 2
    assert len(unused) == 2


async def test_sessions_that_wait_are_closed_when_the_server_stops() -> None:
    async with exchange(StandInOptions(), prewarm_s=30.0) as line_up:
        fields = call_fields("CA" + "7" * 32)
        await asyncio.to_thread(post, line_up.port, PUBLIC_URL, AUTH_TOKEN, "/twiml", fields)
        await line_up.standin.wait_for(lambda: line_up.standin.sessions and line_up.standin.sessions[0].ready, 20)
    assert [session.closed_by for session in line_up.standin.sessions] == ["client"]


async def test_a_session_that_died_while_it_waited_is_opened_anew_and_one_that_is_refused_too() -> None:
    dying = Fault(OnReady(), Close(1011, "Internal error encountered."), connection=1)
    options = StandInOptions(brain=Parrot(greeting=tone(440.0, 0.3)), answer_delay_s=0.05, faults=(dying,))
    async with exchange(options, carrier={"setup_ms": (300, 300)}) as line_up:
        died = await line_up.carrier.call(hears_a_word)
        line_up.standin.refuse(503, for_connections=1)
        refused = await line_up.carrier.call(hears_a_word)
    for report in (died, refused):
        assert report.script_failure == ""
        assert line_up.log("session.lost", report.call_sid) == []
        assert line_up.moves(report.call_sid) == [
            ("connecting", "streaming"),
            ("streaming", "draining"),
            ("draining", "closed"),
        ]
    assert [line["cause"] for line in line_up.log("session.prewarm_failed")] == ["http_503"]


async def test_a_stream_without_its_token_gets_no_session_that_waits() -> None:
    async with exchange(StandInOptions(), prewarm_s=1.0, stream_attempts=1, carrier=QUICK_WORDS) as line_up:
        stranger = OverrideParameter("token", "not-the-one-that-was-given")
        report = await line_up.carrier.call(hears_a_word, faults=[stranger])
        await line_up.standin.wait_for(lambda: line_up.standin.sessions[0].closed, 20)
    assert report.heard_ms == 0
    [session] = line_up.standin.sessions
    assert session.received == [], "nothing was ever said to it"
