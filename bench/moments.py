"""Moments of a call that a person notices: the barge-in, the first sound, the reconnect. Measured at N calls."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.exceptions import ConnectionClosed

from bench.measure import Quantiles, server
from bench.model_peer import CHUNK_MS, ModelCall, ModelPeer
from bench.phone_peer import PhoneCall, place_call
from bench.sound import model_loop

STABLE_S = 5.5  # over `Limits.stable_s`: the loss of a younger session is paced
_INTERRUPTED = b'{"serverContent":{"interrupted":true}}'
_TURN_COMPLETE = b'{"serverContent":{"turnComplete":true}}'


@asynccontextmanager
async def _calling(system: str, calls: int, *, talk: bool) -> AsyncIterator[tuple[ModelPeer, list[PhoneCall]]]:
    """So many callers who speak, on a server; `talk`: the model, too. They hang up at the end."""
    async with server(system, talk=talk) as under_test:
        phones = [PhoneCall(number) for number in range(calls)]
        async with asyncio.TaskGroup() as group:
            for phone in phones:
                group.create_task(place_call(phone, under_test.port, under_test.http))
                await asyncio.sleep(0.03)
            await asyncio.sleep(2.0)
            yield under_test.model, phones
            for phone in phones:
                phone.stop.set()


async def barge_in(calls: int, rounds: int) -> Quantiles:
    """From `interrupted` on the model's wire to `clear` on Twilio's, with all calls talking."""
    delays: list[float] = []
    async with _calling("callbot", calls, talk=True) as (model, phones):
        for _ in range(rounds):
            for session in model.calls:
                delays += await _interrupt(session, phones)
                await asyncio.sleep(0.01)
    return Quantiles.of(delays)


async def _interrupt(session: ModelCall, phones: list[PhoneCall]) -> list[float]:
    if session.socket is None:
        return []
    before = [len(phone.clear_s) for phone in phones]
    sent_s = time.perf_counter()
    try:
        await session.socket.send(_INTERRUPTED)
        await session.socket.send(_TURN_COMPLETE)
    except ConnectionClosed:  # a session that is over is interrupted no more
        return []
    await asyncio.sleep(0.06)
    cleared = [phone.clear_s[count] for phone, count in zip(phones, before, strict=True) if len(phone.clear_s) > count]
    return [min(cleared) - sent_s] if cleared else []


async def turn_audio(system: str, calls: int, rounds: int) -> Quantiles:
    """From a turn's first chunk on the model's wire to its first audio on Twilio's, callers speaking all the while."""
    delays: list[float] = []
    turn, _ = model_loop(1, CHUNK_MS)
    async with _calling(system, calls, talk=False) as (model, phones):
        for _ in range(rounds):
            for session in model.calls:
                delays += await _speak_a_turn(session, turn[:5], phones)
    return Quantiles.of(delays)


async def _speak_a_turn(session: ModelCall, turn: list[bytes], phones: list[PhoneCall]) -> list[float]:
    """A turn of five chunks, in real time; the call that hears something now is its caller's."""
    if session.socket is None:
        return []
    before = [len(phone.arrived.at_s) for phone in phones]
    sent_s = time.perf_counter()
    for chunk in turn:
        await session.socket.send(chunk)
        await asyncio.sleep(CHUNK_MS / 1000)
    await session.socket.send(_TURN_COMPLETE)
    heard = [phone.arrived.at_s[count] for phone, count in zip(phones, before, strict=True) if len(phone.arrived.at_s) > count]
    return [min(heard) - sent_s] if heard else []


async def first_sound(calls: int, *, prewarm: bool) -> Quantiles:
    """From Twilio's `start` to the first audio on its wire, calls one after another, the model answering at once."""
    delays: list[float] = []
    async with server("callbot", CALLBOT_PREWARM="1" if prewarm else "0") as under_test:
        for number in range(calls):
            phone = PhoneCall(number)
            task = asyncio.ensure_future(place_call(phone, under_test.port, under_test.http))
            for _ in range(200):
                await asyncio.sleep(0.01)
                if phone.first_audio_s:
                    break
            phone.stop.set()
            await task
            if phone.first_audio_s:
                delays.append(phone.first_audio_s - phone.started_s)
    return Quantiles.of(delays)


async def reconnect(times: int) -> Quantiles:
    """From the model's socket being cut to the next session's first audio of the caller."""
    delays: list[float] = []
    async with server("callbot") as under_test:
        phone = PhoneCall(0)
        task = asyncio.ensure_future(place_call(phone, under_test.port, under_test.http))
        for _ in range(times):
            await asyncio.sleep(STABLE_S / 2)
            session = under_test.model.calls[-1]
            known = len(under_test.model.calls)
            if session.socket is None:
                break
            # An answer that is heard to its end: three that only begin are taken for a model that cannot go on.
            await session.socket.send(_TURN_COMPLETE)
            await asyncio.sleep(STABLE_S / 2)
            cut_s = time.perf_counter()
            session.socket.transport.abort()
            for _ in range(500):
                await asyncio.sleep(0.002)
                if len(under_test.model.calls) > known and under_test.model.calls[-1].first_audio_s:
                    break
            if len(under_test.model.calls) > known:
                delays.append(under_test.model.calls[-1].first_audio_s - cut_s)
        phone.stop.set()
        await task
    return Quantiles.of(delays)
