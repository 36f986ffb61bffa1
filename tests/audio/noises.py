"""Noises as lines have them, at a level: for tests of what hears speech."""

import numpy as np

from tests.audio.tone_analysis import Signal

S16_RMS_AT_0_DBM0 = 16016  # of the digital milliwatt


def at_level(signal: Signal, level_dbm0: float) -> Signal:
    return signal * (S16_RMS_AT_0_DBM0 * 10 ** (level_dbm0 / 20) / np.sqrt(np.mean(signal**2)))


def fan(seconds: float, level_dbm0: float) -> Signal:
    """Noise that falls with frequency, with the hum of a motor, swaying by 1.5 dB."""
    times = np.arange(round(8000 * seconds)) / 8000
    noise = np.convolve(np.random.default_rng(5).normal(0, S16_RMS_AT_0_DBM0, times.size), np.full(6, 1 / 6), "same")
    hum = 4000 * np.sin(2 * np.pi * 147 * times) + 2000 * np.sin(2 * np.pi * 294 * times)
    return at_level((noise + hum) * 10 ** (0.75 * np.sin(2 * np.pi * 0.4 * times) / 20), level_dbm0)


def music(seconds: float, level_dbm0: float) -> Signal:
    """Chords of a few harmonics, a new one each 0.4 s, that fade by 6 dB and have vibrato: no gap anywhere."""
    rng = np.random.default_rng(11)
    pieces = []
    for _ in range(round(seconds / 0.4) + 1):
        times = np.arange(3200) / 8000
        chord = sum(
            (
                np.sin(2 * np.pi * note * n * times + np.sin(2 * np.pi * 5 * times)) / n
                for note in rng.choice([196, 220, 262, 294, 330, 392, 440], 3, replace=False)
                for n in (1, 2, 3)
            ),
            start=np.zeros(3200),
        )
        pieces.append(chord * 10 ** (-6 * times / 0.4 / 20))
    return at_level(np.concatenate(pieces)[: round(8000 * seconds)], level_dbm0)
