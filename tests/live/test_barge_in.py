"""The caller speaks over the bot: on Twilio's wire, `clear` comes first, the old turn is gone, the new one is whole.

The stand-in is driven by hand, so each way of being interrupted is exact. The caller is the plain one: it keeps the order
in which messages came.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import numpy as np
import pytest
from scipy import signal

from callbot.simulators.gemini import Fault, LiveSession, StandInOptions
from callbot.simulators.gemini.faults import Withhold
from callbot.simulators.gemini.triggers import OnReady
from tests.audio.tone_analysis import Signal, from_mulaw, rms, to_pcm, tone
from tests.live.exchange import Exchange, exchange

pytestmark = pytest.mark.live

LEAD_IN = b"\xff" * 46  # 5.75 ms
OLD_HZ, NEW_HZ = 600.0, 1900.0
OLD_TURN = to_pcm(tone(OLD_HZ, 24_000, 6.0, -12))
# It begins and ends at full level, so that a missing first or last millisecond shows.
NEW_TURN = to_pcm(tone(NEW_HZ, 24_000, 0.7, -12))

type Due = Callable[[LiveSession], Awaitable[None]]
type Interruption = Callable[[LiveSession], Awaitable[None]]


def content(**fields: Any) -> bytes:
    return json.dumps({"serverContent": fields}).encode()


def audio(pcm: bytes) -> dict[str, Any]:
    inline = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(pcm).decode()}
    return {"role": "model", "parts": [{"inlineData": inline}]}


async def interrupt_then_speak(session: LiveSession) -> None:
    """As the service does it: interrupted, turnComplete, later the next turn."""
    await session.interrupt()
    session.say(NEW_TURN)


async def everything_in_one_read(session: LiveSession) -> None:
    """Late audio of the old turn right behind `interrupted`, then the new turn, without a pause in between."""
    session.freeze()
    await session.send_raw(content(interrupted=True))
    await session.send_raw(content(modelTurn=audio(OLD_TURN[:9600])))
    await session.send_raw(content(modelTurn=audio(OLD_TURN[:15361])))  # an odd byte, too
    await session.send_raw(content(turnComplete=True))
    await session.send_raw(content(modelTurn=audio(NEW_TURN)))
    await session.send_raw(content(generationComplete=True))
    await session.send_raw(content(turnComplete=True))


async def audio_and_interruption_in_one_message(session: LiveSession) -> None:
    session.freeze()
    await session.send_raw(content(interrupted=True, modelTurn=audio(OLD_TURN[:9600])))
    await session.send_raw(content(modelTurn=audio(OLD_TURN[:9600]), turnComplete=True))
    await session.send_raw(content(modelTurn=audio(NEW_TURN), generationComplete=True))
    await session.send_raw(content(turnComplete=True))


def tone_share(payload: bytes, freq_hz: float) -> float:
    """How much of a payload's energy is at one frequency, 0 to 1."""
    samples = from_mulaw(payload)
    if rms(samples) < 50:
        return 0.0
    time_s = np.arange(samples.size) / 8000
    amplitude = abs(np.mean(samples * np.exp(-2j * np.pi * freq_hz * time_s))) * 2
    return float(amplitude**2 / 2 / rms(samples) ** 2)


def lag_of(heard: Signal, said: Signal) -> tuple[int, float]:
    """By how many samples `heard` is late against `said`, and how alike they are there (1 is the same)."""
    correlation = signal.correlate(heard, said, mode="full")
    lags = signal.correlation_lags(heard.size, said.size)
    best = int(np.argmax(correlation))
    return int(lags[best]), float(correlation[best] / np.sqrt(np.sum(heard**2) * np.sum(said**2)))


async def interrupted_call(line_up: Exchange, due: Due, how: Interruption) -> None:
    """One call whose 6 s turn is interrupted `how`, once `due` has come about."""
    async with line_up.driven_call() as (call, session):
        session.say(OLD_TURN)
        await call.until(lambda: len(call.media()) >= 3)
        await due(session)
        before = len(call.received)
        await how(session)
        await call.until(lambda: call.count("clear"))
        cleared = next(at for at, message in enumerate(call.received) if message["event"] == "clear")
        await call.until(lambda: sum(map(len, call.media(cleared))) >= len(NEW_TURN) // 6 + len(LEAD_IN))
        await asyncio.sleep(0.3)  # for what should not come any more

        assert call.count("clear") == 1
        old, new = call.media()[: -len(call.media(cleared))], call.media(cleared)
        # What crossed the interruption on the wire: at most one filling of Twilio's lead, even if the machine stalled there.
        crossed = call.media(before)[: len(call.media(before)) - len(new)]
        assert sum(map(len, crossed)) <= line_up.settings.playout_lead_ms * 8
        for first in (old, new):  # a turn begins with the converter's look-ahead
            assert first[0].startswith(LEAD_IN)
            first[0] = first[0].removeprefix(LEAD_IN)
        assert all(tone_share(payload, OLD_HZ) > 0.9 for payload in old)
        assert all(tone_share(payload, OLD_HZ) < 0.1 for payload in new)
        assert sum(map(len, old)) < 4 * 8000, "most of the 6 s was dropped here, and never sent"
        heard, said = from_mulaw(b"".join(new)), signal.resample_poly(np.frombuffer(NEW_TURN, "<i2").astype(float), 1, 3)
        assert heard.size + len(LEAD_IN) == -(-(said.size + len(LEAD_IN)) // 160) * 160, "whole frames, no frame too many"
        lag, likeness = lag_of(heard, said)
        assert abs(lag) <= 1
        assert likeness > 0.99
        assert rms(heard[:16]) > 0.5 * rms(said[:160]), "the first 2 ms are there"


async def at_once(session: LiveSession) -> None:
    """The 6 s are queued, and the model has not said that they are all."""


async def when_generated(session: LiveSession) -> None:
    """The model has said that they are all; it believes that they are being heard."""
    await session.server.changes.wait_for(lambda: session.turns[-1].generation_complete, 20)


async def test_after_an_interruption_clear_comes_first_and_nothing_of_the_old_turn_follows() -> None:
    ways = (interrupt_then_speak, everything_in_one_read, audio_and_interruption_in_one_message)
    endless = Fault(OnReady(), Withhold("generationComplete"), times=None)
    for due, faults in ((at_once, (endless,)), (when_generated, ())):
        async with exchange(StandInOptions(listening="scripted", burst=inf, faults=faults), greeting="") as line_up:
            await asyncio.gather(*(interrupted_call(line_up, due, how) for how in ways))
