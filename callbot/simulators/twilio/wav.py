"""Reads WAV files for the caller to speak: 8 or 16 kHz, 16-bit, mono or stereo, to 8 kHz mono."""

import io
import wave
from pathlib import Path

import audioop

TARGET_HZ = 8000
_TAPS = 63  # a windowed-sinc half-band filter: flat to 3.4 kHz, more than 50 dB down above 4.6 kHz


class WavError(ValueError):
    """The file cannot be spoken; the text says why and what to do."""


def read_wav(path: Path) -> bytes:
    """Return the file's audio as 16-bit little-endian mono samples at 8 kHz. Raises WavError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WavError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate_hz, width, channels = file.getframerate(), file.getsampwidth(), file.getnchannels()
            samples = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise WavError(f"{path}: not a WAV file with plain samples ({error or 'it ends early'})") from error
    if width != 2 or channels not in (1, 2) or rate_hz not in (TARGET_HZ, 2 * TARGET_HZ):
        found = f"{rate_hz} Hz, {8 * width} bit, {channels} channel(s)"
        raise WavError(f"{path}: {found}; convert it to 8000 or 16000 Hz, 16 bit, mono")
    samples = samples[: len(samples) // (2 * channels) * (2 * channels)]
    if channels == 2:
        samples = audioop.tomono(samples, 2, 0.5, 0.5)
    if not samples:
        raise WavError(f"{path}: holds no audio")
    return samples if rate_hz == TARGET_HZ else halve_rate(samples)


def halve_rate(samples: bytes) -> bytes:
    """Bring 16-bit mono samples from 16 to 8 kHz, with a low-pass below 4 kHz first."""
    import numpy as np  # late: most calls speak 8 kHz audio, and numpy takes half a second to load

    at = np.arange(_TAPS) - _TAPS // 2
    taps = np.sinc(at * 0.5) * 0.5 * np.hamming(_TAPS)
    wide = np.frombuffer(samples, dtype="<i2").astype(np.float64)
    narrow = np.convolve(wide, taps / taps.sum(), mode="same")[::2]
    return np.clip(np.rint(narrow), -32768, 32767).astype("<i2").tobytes()
