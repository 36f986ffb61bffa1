"""Tones to feed to the audio room, and what to read from its output. Samples are float64 in s16 units."""

import math

import audioop
import numpy as np
import numpy.typing as npt

type Signal = npt.NDArray[np.float64]

FULL_SCALE = 32767.0
DBM0_FULL_SINE = 3.17  # a sine that reaches mu-law's overload point, 32636 in s16 units


def tone(freq_hz: float, rate_hz: int, seconds: float, level_dbfs: float) -> Signal:
    """A sine whose peak lies `level_dbfs` under full scale."""
    time_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return FULL_SCALE * 10 ** (level_dbfs / 20) * np.sin(2 * math.pi * freq_hz * time_s)


def tone_dbm0(freq_hz: float, rate_hz: int, seconds: float, level_dbm0: float) -> Signal:
    peak = 32636 * 10 ** ((level_dbm0 - DBM0_FULL_SINE) / 20)
    return tone(freq_hz, rate_hz, seconds, 20 * math.log10(peak / FULL_SCALE))


def to_pcm(signal: Signal) -> bytes:
    return np.clip(np.rint(signal), -32768, 32767).astype("<i2").tobytes()


def from_pcm(pcm: bytes) -> Signal:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def to_mulaw(signal: Signal) -> bytes:
    return audioop.lin2ulaw(to_pcm(signal), 2)


def from_mulaw(mulaw: bytes) -> Signal:
    return from_pcm(audioop.ulaw2lin(mulaw, 2))


def rms(signal: Signal) -> float:
    return float(np.sqrt(np.mean(signal**2)))


def decibels(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-12))


def middle(signal: Signal, edge: int = 2000) -> Signal:
    """Without the ends, where a tone that is switched on and off is no tone."""
    return signal[edge:-edge]


def fit(signal: Signal, freq_hz: float, rate_hz: int) -> tuple[float, Signal]:
    """The amplitude of the sine of this frequency that fits best, and what is left without it and without DC."""
    phase = 2 * math.pi * freq_hz * np.arange(signal.size) / rate_hz
    basis = np.stack([np.sin(phase), np.cos(phase), np.ones_like(phase)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, signal)
    return float(np.hypot(weights[0], weights[1])), signal - basis @ weights


def snr_db(signal: Signal, freq_hz: float, rate_hz: int) -> float:
    amplitude, rest = fit(signal, freq_hz, rate_hz)
    return decibels(amplitude / math.sqrt(2) / rms(rest))


def band_rms(signal: Signal, rate_hz: int, low_hz: float, high_hz: float) -> float:
    """RMS of what lies between two frequencies; the window keeps a strong tone 120 dB out of other bands."""
    window = np.blackman(signal.size) ** 2
    spectrum = np.fft.rfft(signal * window)
    freqs_hz = np.fft.rfftfreq(signal.size, 1 / rate_hz)
    inside = (freqs_hz >= low_hz) & (freqs_hz < high_hz)
    return float(np.sqrt(2 * np.sum(np.abs(spectrum[inside]) ** 2) / signal.size / np.sum(window**2)))
