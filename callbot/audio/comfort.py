"""The comfort sound: two soft notes that tell a waiting caller that the line is alive.

Mu-law, 8 kHz, whole 20 ms frames; made once at import.
"""

from typing import Final

import audioop
import numpy as np

from callbot.audio.g711 import FRAME_BYTES, SAMPLE_RATE_HZ

_NOTES_HZ: Final = (523.25, 659.25)  # C5 and E5: a question, not an alarm; both far from DTMF and call-progress tones
_NOTE_S: Final = 0.16
_PEAK: Final = 1600  # about -30 dBm0: below speech, above a line's noise


def _comfort_sound() -> bytes:
    seconds = np.arange(int(_NOTE_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    envelope = np.sin(np.pi * seconds / _NOTE_S) ** 2  # no click at either end
    notes = np.concatenate([_PEAK * envelope * np.sin(2 * np.pi * note_hz * seconds) for note_hz in _NOTES_HZ])
    mulaw = audioop.lin2ulaw(np.rint(notes).astype("<i2").tobytes(), 2)
    return mulaw + b"\xff" * (-len(mulaw) % FRAME_BYTES)


COMFORT_SOUND: Final = _comfort_sound()
