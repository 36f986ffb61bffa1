"""G.711 mu-law as Twilio's Media Streams carry it: the numbers, and the two conversions.

One byte is one sample at 8 kHz. `audioop.ulaw2lin` equals the table of ITU-T G.711; `lin2ulaw` saturates by
itself but takes int16 only, so whoever makes the int16 has to clip (see `resample`).
"""

from typing import Final

import audioop

SAMPLE_RATE_HZ: Final = 8000
"""G.711's rate; Twilio's `mediaFormat.sampleRate` on every bidirectional stream."""

FRAME_MS: Final = 20
"""What one Twilio media message carries."""

FRAME_BYTES: Final = SAMPLE_RATE_HZ * FRAME_MS // 1000
"""160: one frame, one byte a sample."""

BYTES_PER_MS: Final = SAMPLE_RATE_HZ // 1000

SILENCE: Final = 0xFF
"""The code of plus zero. 0x00 is the loudest negative sample, so never pad with that."""

SILENT_FRAME: Final = bytes([SILENCE]) * FRAME_BYTES


def decode(mulaw: bytes) -> bytes:
    """Give the s16 samples (native order, in steps up to +-32124) of mu-law bytes, two bytes for each."""
    return audioop.ulaw2lin(mulaw, 2)


def encode(pcm: bytes) -> bytes:
    """Give the mu-law bytes of s16 samples. Raises `audioop.error` if the length is odd."""
    return audioop.lin2ulaw(pcm, 2)


def duration_ms(mulaw_bytes: int) -> float:
    """Tell how long so many mu-law bytes play, in milliseconds."""
    return mulaw_bytes / BYTES_PER_MS
