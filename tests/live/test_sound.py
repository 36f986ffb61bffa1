"""Sound through the whole path: Twilio's wire, both converters, the model's wire. Tones in, figures out."""

import asyncio
from math import inf

import numpy as np
import pytest

from callbot.simulators.gemini import LiveSession, StandInOptions
from tests.audio.tone_analysis import (
    decibels,
    from_mulaw,
    from_pcm,
    middle,
    rms,
    snr_db,
    to_mulaw,
    to_pcm,
    tone,
    tone_dbm0,
)
from tests.live.exchange import Exchange, exchange
from tests.live.plain_caller import PlainCall

pytestmark = pytest.mark.live

SECONDS = 1.2
TONE_HZ = 1004.0  # the telephone's test tone, at -10 dBm0
AT_CALLER = to_mulaw(tone_dbm0(TONE_HZ, 8_000, SECONDS, -10))
# What mu-law itself leaves of the tone: nothing behind a codec can be better.
BEST_DB = snr_db(middle(from_mulaw(AT_CALLER)), TONE_HZ, 8_000)
AT_MODEL = to_pcm(tone_dbm0(TONE_HZ, 24_000, SECONDS, -10))
TOO_HIGH = to_pcm(tone(5_000, 24_000, SECONDS, -6))


async def heard_at_caller(call: PlainCall, session: LiveSession, pcm24k: bytes) -> np.ndarray:
    session.say(pcm24k)
    await call.until(lambda: sum(map(len, call.media())) >= len(pcm24k) // 6)
    return from_mulaw(b"".join(call.media()))


async def heard_at_model(session: LiveSession) -> np.ndarray:
    await session.server.changes.wait_for(lambda: session.samples >= (SECONDS + 0.2) * 16_000, 20)
    samples = from_pcm(bytes(session.pcm))
    loud = np.flatnonzero(np.abs(samples) > 1000)
    return middle(samples[loud[0] : loud[-1]])


async def one_call(line_up: Exchange, say: bytes, hear: bytes = b"") -> tuple[np.ndarray, np.ndarray | None]:
    frames = [hear[at : at + 160] for at in range(0, len(hear), 160)]
    async with line_up.driven_call(frames) as (call, session):
        return await heard_at_caller(call, session, say), await heard_at_model(session) if hear else None


async def test_the_path_adds_at_most_one_decibel_of_noise_and_lets_nothing_above_4_khz_through() -> None:
    async with exchange(StandInOptions(listening="scripted", burst=inf), greeting="") as line_up:
        (down, up), (too_high, _) = await asyncio.gather(one_call(line_up, AT_MODEL, AT_CALLER), one_call(line_up, TOO_HIGH))
    assert up is not None
    down_db = snr_db(middle(down), TONE_HZ, 8_000)
    up_db = snr_db(up, TONE_HZ, 16_000)
    level_db = decibels(rms(middle(down)) / rms(tone_dbm0(TONE_HZ, 8_000, SECONDS, -10)))
    blocked_db = decibels(rms(middle(too_high)) / rms(from_pcm(TOO_HIGH)))
    print(f"\nSNR of 1004 Hz at -10 dBm0: mu-law {BEST_DB:.2f} dB, to the caller {down_db:.2f}, to the model {up_db:.2f}")
    print(f"level at the caller {level_db:+.2f} dB; 5 kHz at the caller {blocked_db:.1f} dB")
    assert down_db > BEST_DB - 1
    assert up_db > BEST_DB - 1
    assert abs(level_db) < 0.2
    assert blocked_db < -60
