"""Mu-law codes and levels against the numbers of G.711."""

import numpy as np
import pytest
from tone_analysis import FULL_SCALE, to_mulaw, to_pcm, tone, tone_dbm0

from callbot.audio import (
    FRAME_BYTES,
    SILENT_FRAME,
    duration_ms,
    g711,
    is_audible_mulaw,
    is_audible_pcm,
    mulaw_level_dbm0,
    pcm_level_dbfs,
)
from callbot.audio.levels import SILENT_DB

DIGITAL_MILLIWATT = bytes([0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E])  # G.711 table 6: 0 dBm0 at 1 kHz


def test_every_code_survives_decoding_and_encoding_but_minus_zero() -> None:
    codes = bytes(range(256))
    assert g711.encode(g711.decode(codes)) == codes.replace(b"\x7f", b"\xff")


def test_silence_is_the_code_of_zero_and_a_frame_of_it_is_20_ms() -> None:
    assert g711.encode(bytes(2)) == bytes([g711.SILENCE]) == b"\xff"
    assert len(SILENT_FRAME) == FRAME_BYTES == 160
    assert duration_ms(FRAME_BYTES) == 20
    assert set(g711.decode(SILENT_FRAME)) == {0}


def test_the_digital_milliwatt_is_0_dbm0() -> None:
    assert mulaw_level_dbm0(DIGITAL_MILLIWATT * 20) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("level_dbm0", [-3, -10, -20, -30, -40])
def test_a_tone_has_the_level_it_was_made_with(level_dbm0: int) -> None:
    signal = tone_dbm0(1004, 8000, 1, level_dbm0)
    assert mulaw_level_dbm0(to_mulaw(signal)) == pytest.approx(level_dbm0, abs=0.2)
    assert pcm_level_dbfs(to_pcm(signal)) == pytest.approx(level_dbm0 - 6.2, abs=0.1)


def test_a_full_scale_sine_is_3_db_under_a_full_scale_square() -> None:
    assert pcm_level_dbfs(to_pcm(tone(1000, 24_000, 1, 0))) == pytest.approx(-3.01, abs=0.01)
    square = np.where(tone(1000, 24_000, 1, 0) >= 0, FULL_SCALE, -FULL_SCALE)
    assert pcm_level_dbfs(to_pcm(square)) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("silence", [b"", SILENT_FRAME, b"\x7f" * 160])
def test_digital_silence_has_no_level_and_is_not_audible(silence: bytes) -> None:
    assert mulaw_level_dbm0(silence) == SILENT_DB
    assert not is_audible_mulaw(silence)


@pytest.mark.parametrize("silence", [b"", b"\0", bytes(960), bytes(961)])
def test_zero_samples_are_not_audible_whole_or_not(silence: bytes) -> None:
    assert pcm_level_dbfs(silence) == SILENT_DB
    assert not is_audible_pcm(silence)


def test_comfort_noise_is_not_audible_and_a_whisper_is() -> None:
    comfort_codes = np.array([*range(0x7B, 0x80), *range(0xFB, 0x100)], np.uint8)
    comfort_noise = np.random.default_rng(3).choice(comfort_codes, 8000).tobytes()
    assert not is_audible_mulaw(comfort_noise)
    assert not is_audible_pcm(g711.decode(comfort_noise))
    whisper = tone_dbm0(500, 8000, 0.1, -45)
    assert is_audible_mulaw(to_mulaw(whisper))
    assert is_audible_pcm(to_pcm(whisper))
    assert not is_audible_mulaw(to_mulaw(whisper), threshold_dbm0=-40)


def test_mulaw_and_pcm_are_judged_alike() -> None:
    for level_dbm0 in (-54, -47):
        signal = tone_dbm0(500, 8000, 0.5, level_dbm0)
        assert is_audible_mulaw(to_mulaw(signal)) == is_audible_pcm(to_pcm(signal)) == (level_dbm0 > -50)
