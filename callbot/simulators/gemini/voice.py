"""Sounds of the stand-in: a synthetic voice, and the caller's voice brought to the model's rate.

The caller is 16 kHz, the model 24 kHz; both are 16-bit little-endian mono.
"""

from functools import lru_cache

import numpy as np
import samplerate

CALLER_RATE_HZ = 16_000
MODEL_RATE_HZ = 24_000


def to_model_rate(pcm_16k: bytes, *, gain: float = 1.0) -> bytes:
    """Return 16 kHz PCM at 24 kHz, times `gain`, saturating at the limits of 16 bits."""
    if not pcm_16k:
        return b""
    samples = np.frombuffer(pcm_16k, dtype="<i2", count=len(pcm_16k) // 2).astype(np.float32) * gain
    # sinc_fastest: 97 dB is more than a telephone can carry, and an answer must not stall the loop.
    raised = samplerate.resample(samples, MODEL_RATE_HZ / CALLER_RATE_HZ, "sinc_fastest")
    return bytes(np.clip(np.rint(raised), -32768, 32767).astype("<i2").tobytes())


def repeat_to(pcm: bytes, length_s: float, *, gap_s: float = 0.25) -> bytes:
    """Return 24 kHz PCM said over and over, with pauses, until it lasts at least `length_s`."""
    wanted = int(length_s * MODEL_RATE_HZ) * 2
    if not pcm or len(pcm) >= wanted:
        return pcm
    unit = pcm + bytes(int(gap_s * MODEL_RATE_HZ) * 2)
    return unit * (wanted // len(unit)) + pcm


@lru_cache(maxsize=32)
def tone(frequency_hz: float, length_s: float, *, level: float = 0.25, rate_hz: int = MODEL_RATE_HZ) -> bytes:
    """Return a sine with 10 ms ramps, so that it neither begins nor ends with a click."""
    return _pcm(_ramped(np.sin(2 * np.pi * frequency_hz * _times(length_s, rate_hz)), rate_hz) * level)


@lru_cache(maxsize=32)
def murmur(syllables: int = 6, *, pitch_hz: float = 150.0, level: float = 0.3, rate_hz: int = MODEL_RATE_HZ) -> bytes:
    """Return a voice-like murmur: one gliding harmonic tone of 180 ms a syllable, with short pauses.

    It has the pitch, the formants and the rhythm of speech, so detectors take it for speech; it says nothing.
    """
    pause = np.zeros(int(0.06 * rate_hz))
    vowels = ((700, 1200), (400, 2000), (300, 900), (550, 1800))  # first two formants of a, e, u, ae in Hz
    parts = []
    for index in range(syllables):
        t = _times(0.18, rate_hz)
        glide = pitch_hz * (1.1 - 0.04 * (index % 4)) * (1 - 0.3 * t)
        phase = 2 * np.pi * np.cumsum(glide) / rate_hz
        voice = np.zeros_like(t)
        for harmonic in range(1, 16):
            strength = sum(np.exp(-(((harmonic * pitch_hz - f) / 250.0) ** 2)) for f in vowels[index % 4])
            voice += (0.15 + strength) / harmonic**0.5 * np.sin(harmonic * phase)
        parts += [_ramped(voice / np.max(np.abs(voice)), rate_hz), pause]
    return _pcm(np.concatenate(parts) * level)


def _times(length_s: float, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.arange(int(length_s * rate_hz)) / rate_hz


def _ramped(wave: np.ndarray[tuple[int], np.dtype[np.float64]], rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    ramp = min(int(0.01 * rate_hz), len(wave) // 2)
    envelope = np.ones(len(wave))
    if ramp:
        envelope[:ramp] = np.linspace(0, 1, ramp)
        envelope[-ramp:] = np.linspace(1, 0, ramp)
    return wave * envelope


def _pcm(wave: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bytes:
    return (wave * 32767).astype("<i2").tobytes()
