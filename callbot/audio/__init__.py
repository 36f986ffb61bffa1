"""Sound, as pure code: mu-law, resampling, framing, levels.

Bytes in, bytes out. Nothing here knows a clock, a task or a socket: time is counted in samples. Every object
belongs to one direction of one call and is not to be shared; all of them are cheap enough to run on the event
loop. Three formats exist: mu-law 8 kHz mono (Twilio), signed 16-bit little-endian mono ("s16") at 16 kHz (to the
model) and s16 at the model's own rate, usually 24 kHz (from it).
"""

from callbot.audio.framing import FrameAssembler
from callbot.audio.g711 import FRAME_BYTES, FRAME_MS, SAMPLE_RATE_HZ, SILENCE, SILENT_FRAME, duration_ms
from callbot.audio.levels import (
    AUDIBLE_DBM0,
    is_audible_mulaw,
    is_audible_pcm,
    mulaw_level_dbm0,
    pcm_level_dbfs,
)
from callbot.audio.resample import CallerUpsampler, Converter, ModelDownsampler
from callbot.audio.speech import SpeechDetector, SpeechEnded, SpeechStarted

__all__ = [
    "AUDIBLE_DBM0",
    "FRAME_BYTES",
    "FRAME_MS",
    "SAMPLE_RATE_HZ",
    "SILENCE",
    "SILENT_FRAME",
    "CallerUpsampler",
    "Converter",
    "FrameAssembler",
    "ModelDownsampler",
    "SpeechDetector",
    "SpeechEnded",
    "SpeechStarted",
    "duration_ms",
    "is_audible_mulaw",
    "is_audible_pcm",
    "mulaw_level_dbm0",
    "pcm_level_dbfs",
]
