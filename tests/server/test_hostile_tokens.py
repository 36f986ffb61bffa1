"""Tokens that were stolen, replayed or shown for the wrong call, against a live server while a real call runs beside."""

import asyncio
import contextlib

import pytest
from phone_line import (
    StoppedClock,
    media,
    start,
    token_in,
)
from street import OTHER, VICTIM, Street, closed_with, open_street


async def test_a_replayed_token_is_refused_while_its_call_runs_and_after_it(street: Street) -> None:
    token = await street.steal_token()
    async with street.line.stream(token) as victim:
        call = await street.line.call(1)
        async with street.line.stream(token) as thief:
            assert await closed_with(thief) == (1008, "token_used")
        await victim.send(media(1))
        assert await victim.recv() == media(1)
    await call.ended.wait()
    async with street.line.stream(token) as thief:
        assert await closed_with(thief) == (1008, "token_used")
    assert street.line.reasons() == ["token_used", "token_used"]
    assert street.opened() == 1


async def test_a_stolen_token_does_not_fit_another_call_and_stays_good_for_its_own(street: Street) -> None:
    token = await street.steal_token()
    await street.steal_token(OTHER)
    async with street.line.stream(token, OTHER) as thief:
        assert await closed_with(thief) == (1008, "token_wrong_call")
    async with street.line.stream(token, stream_no="2") as thief:
        assert await closed_with(thief) == (1008, "token_wrong_call")
    assert street.opened() == 0
    async with street.line.stream(token):
        assert (await street.line.call(1)).started.call_sid == VICTIM


async def test_of_two_sockets_for_one_call_at_once_exactly_one_wins(street: Street) -> None:
    token = await street.steal_token()
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(street.line.socket()) for _ in range(5)]
        await asyncio.gather(*(websocket.send(start(token)) for websocket in sockets))
        await street.line.said("stream.refused", 4)
        await street.line.call(1)
        assert street.line.reasons() == ["token_used"] * 4
        assert street.opened() == 1


async def test_an_older_streams_unused_token_cannot_push_a_live_call_out(street: Street) -> None:
    first = await street.steal_token()
    fields = street.line.form(CallStatus="in-progress")
    _, document = await street.line.post("/twiml/next?stream_no=1", fields)
    second = token_in(document)
    async with street.line.stream(second, stream_no="2") as victim:
        await street.line.call(1)
        async with street.line.stream(first) as thief:
            assert await closed_with(thief) == (1008, "token_used")
        await victim.send(media(1))
        assert await victim.recv() == media(1)
    assert street.line.reasons() == ["token_used"]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"token": ""}, "token_missing"),
        ({"token": "x" * 32}, "token_unknown"),
        ({"token": "'; DROP TABLE calls; --"}, "token_unknown"),
        ({"token": "x", "call_sid": "CA" + "1" * 31}, "bad_sid"),
        ({"token": "x", "call_sid": "../../etc/passwd"}, "bad_sid"),
        ({"token": "x", "account": "AC" + "b" * 32}, "wrong_account"),
        ({"token": "x", "account": "x"}, "bad_sid"),
    ],
)
async def test_a_start_that_proves_nothing_opens_nothing(street: Street, parameters: dict[str, str], reason: str) -> None:
    async with street.line.socket() as websocket:
        await websocket.send(start(**parameters))
        assert await closed_with(websocket) == (1008, reason)
    assert street.line.reasons() == [reason]
    assert street.opened() == 0


async def test_an_expired_token_is_refused() -> None:
    clock = StoppedClock()
    async with open_street(clock=clock) as street:
        token = await street.steal_token()
        clock.now_s += street.line.settings.token_ttl_s
        async with street.line.stream(token) as websocket:
            assert await closed_with(websocket) == (1008, "token_expired")
