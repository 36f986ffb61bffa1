"""goAway: the session is moved in time, whatever the notice is worth, and the caller does not notice."""

import asyncio
from math import inf

import pytest

from callbot.simulators.gemini import LiveSession, StandInOptions
from callbot.simulators.gemini.voice import tone
from tests.live.exchange import Exchange, exchange
from tests.live.test_link_loss import FRAME, as_the_model_hears, noise

pytestmark = pytest.mark.live

OPTIONS = StandInOptions(listening="scripted", burst=inf, handle_at_setup=True)
HOLE_MS = 300


async def moved_call(
    line_up: Exchange, time_left: str | None, everybody: asyncio.Barrier, *, busy: bool
) -> tuple[float, bool, LiveSession, LiveSession]:
    """One call that is told to go: after how many s it went, whether the caller was still speaking, and its sessions."""
    async with line_up.driven_call() as (call, first):
        await everybody.wait()
        if busy:
            # Within the bot's 2 s, so that no answer is due to it; where a settled moment may not come, all of it.
            words = noise(f"moved {time_left}")
            call.to_say.extend(words if time_left in {"3s", "0s"} else words[:60])
            first.say(tone(440.0, 2.0))
            await call.until(lambda: sum(map(len, call.media())) >= 1600)
        told_s = first.server.clock.now()
        await first.go_away(time_left)
        second = await line_up.successor(first)
        speaking, after_s = bool(call.to_say), second.opened_s - told_s
        length = len(second.pcm) + 20 * FRAME
        await line_up.standin.wait_for(lambda: len(second.pcm) >= length, 20)
        heard = call.count("media")
        second.say(tone(700.0, 0.2))
        await call.until(lambda: call.count("media") > heard)
        sent, received = as_the_model_hears(bytes(call.sent)), bytes(first.pcm + second.pcm)
    assert not second.overlapped, "the resume was tried while the old socket was open"
    assert second.resumed
    assert second.handle_offered == first.handles[-1]
    assert received == sent[: len(received)], "a frame is missing or doubled"
    return after_s, speaking, first, second


async def told_to_go() -> None:
    cases = [(notice, busy) for notice in ("50s", "3s", "0s", "soon", None) for busy in (False, True)]
    everybody = asyncio.Barrier(len(cases))
    async with exchange(OPTIONS, greeting="") as line_up:
        done = await asyncio.gather(*(moved_call(line_up, notice, everybody, busy=busy) for notice, busy in cases))
        assert [line["reason"] for line in line_up.log("call.state") if line["to"] == "reconnecting"].count("go_away") >= 8
    holes_ms = []
    for (notice, busy), (after_s, speaking, first, second) in zip(cases, done, strict=True):
        assert first.closed_s is not None
        holes_ms.append(round((second.opened_s - first.closed_s) * 1000))
        print(f"\n{notice} {'busy' if busy else 'settled'}: moved after {after_s:.2f} s", end="")
        if notice != "0s":
            assert first.closed_by == "client", "moved before the service closed"
        if busy and notice in {"50s", "soon", None}:
            assert not speaking, "there was time to wait for a settled moment"
        if notice in {"3s", "0s"}:
            assert after_s < 3.0
        if busy and notice == "3s":
            assert speaking, "no settled moment came before the margin"
    print(f"\nholes, ms: {sorted(holes_ms)}")
    assert max(holes_ms) < HOLE_MS


async def grown_old() -> None:
    async with exchange(OPTIONS, greeting="", max_session_s=0.5) as line_up:
        async with line_up.driven_call() as (_, first):
            second = await line_up.successor(first)
            await line_up.successor(second)
        assert [line["reason"] for line in line_up.log("call.state") if line["to"] == "reconnecting"][:2] == ["rotation"] * 2
    assert [session.overlapped for session in line_up.standin.sessions] == [False] * len(line_up.standin.sessions)


async def test_a_session_that_is_told_to_go_or_grows_old_is_moved_in_time() -> None:
    await asyncio.gather(told_to_go(), grown_old())
