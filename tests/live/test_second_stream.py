"""A stream that ends is not the call that ends: the next stream of a call in progress goes on with its conversation."""

import asyncio
from math import inf

import pytest

from callbot.simulators.gemini import LiveSession, StandInOptions
from callbot.simulators.gemini.voice import tone
from tests.live.exchange import AUTH_TOKEN, PUBLIC_URL, Exchange, exchange
from tests.live.plain_caller import PlainCall, call_fields, plain_call, post

pytestmark = pytest.mark.live

OPTIONS = StandInOptions(listening="scripted", burst=inf, handle_at_setup=True)
GREETING = "Greet the caller by name."


def texts_of(session: LiveSession) -> str:
    """Everything but audio that a session was told, set-up included."""
    return str(session.raw_setup) + str([message.body for message in session.received if message.kind != "audio"])


async def spoken(line_up: Exchange, call: PlainCall, session: LiveSession, turns: int) -> None:
    """The session says something, and the caller hears it to its end: so many turns have ended by then."""
    session.say(tone(440.0, 0.4), transcript="It is half past nine.")
    await line_up.logged("turn.ended", turns, call_sid=call.call_sid)


async def next_answer(line_up: Exchange, call_sid: str, status: str) -> str:
    _, document = await asyncio.to_thread(
        post, line_up.port, PUBLIC_URL, AUTH_TOKEN, "/twiml/next?stream_no=1", call_fields(call_sid, status)
    )
    return document


@pytest.mark.parametrize("how", ["reset", "redirected"])
async def test_the_next_stream_of_a_call_goes_on_with_its_conversation(how: str) -> None:
    async with exchange(OPTIONS, greeting=GREETING, prewarm=False) as line_up:
        async with plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN) as call:
            first = await line_up.next_session(0)
            await line_up.standin.wait_for(lambda: GREETING in texts_of(first), 20)
            await spoken(line_up, call, first, 1)
            if how == "reset":
                call.socket.transport.abort()
            else:
                await call.hang_up()
            [summary] = await line_up.logged("call.summary", call_sid=call.call_sid)
        assert summary["outcome"] == ("broken" if how == "reset" else "completed")
        async with plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN, goes_on=(call.call_sid, 1)) as again:
            second = await line_up.next_session(1)
            assert second.handle_offered == first.handles[-1]
            await spoken(line_up, again, second, 2)
            await again.hang_up()
        await line_up.logged("call.summary", 2, call_sid=call.call_sid)
        assert GREETING not in texts_of(second), "the caller was greeted before"
        assert [line["turn"] for line in line_up.log("turn.ended", call.call_sid)] == [1, 2]
        assert [line["stream_no"] for line in line_up.log("call.started", call.call_sid)] == [1, 2]
        # CallStatus ends a call, nothing else does; what is over is forgotten, and a late request gets nothing.
        assert "<Connect" not in await next_answer(line_up, call.call_sid, "completed")


async def test_a_call_whose_streams_break_again_and_again_gets_the_apology() -> None:
    async with exchange(OPTIONS, greeting="", prewarm=False, stream_attempts=2) as line_up:
        call_sid: tuple[str, int] | None = None
        for stream_no in (1, 2):
            async with plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN, goes_on=call_sid) as call:
                await line_up.logged("call.started", stream_no)
                call.socket.transport.abort()
                await line_up.logged("call.summary", stream_no)
            call_sid = (call.call_sid, stream_no)
        _, document = await asyncio.to_thread(
            post, line_up.port, PUBLIC_URL, AUTH_TOKEN, "/twiml/next?stream_no=2", call_fields(call.call_sid, "in-progress")
        )
        assert line_up.settings.apology in document
        assert {line["outcome"] for line in line_up.log("call.summary")} == {"broken"}
