"""The caller's 8 kHz up to the model's 16 kHz, the model's 24 kHz down to the caller's 8 kHz.

Rules, each paid for by a fault that was measured:

- One converter per direction per call, alive through a turn: converting each chunk on its own costs half the
  speech quality (PESQ 4.0 -> 1.9).
- Never `end_of_input`: it flushes nothing on a full frame and latches the converter into silence on a short one.
  A turn is flushed by pushing zeros and cutting to length.
- The model's audio goes in by slices of one constant size. The binding drops a sample or two where uneven pushes
  meet the wrap of libsamplerate's ring buffer; with constant slices it never does.
- Samples stay in s16 units as float32 (the converter is linear, scaling would only cost), then: round, clip, cast.
  A full-scale square leaves the filter at up to +8 dBFS, and a cast without the clip turns that into a crack.
- The ratio is the same float every time; 0.3333 for a third would drift by 62 ms in ten minutes.

However the bytes are split over the pushes, the output is the same to the bit.
"""

import functools
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import samplerate

from callbot.audio import g711
from callbot.audio.g711 import SAMPLE_RATE_HZ

MODEL_INPUT_RATE_HZ: Final = 16_000
MODEL_OUTPUT_RATE_HZ: Final = 24_000
SLICES_PER_SECOND: Final = 50
"""A slice is 20 ms: fine enough for the first audio of a turn to leave at once; larger ones save 4 % of CPU."""

_SAMPLE_BYTES: Final = 2
_S16_MIN: Final = -32768.0
_S16_MAX: Final = 32767.0

type _Samples = npt.NDArray[np.float32]


class Converter(StrEnum):
    """Which of libsamplerate's filters runs, by the name that libsamplerate gives it.

    Figures are for 8 -> 16 kHz: delay, and the response at 3.4 kHz, the edge of the telephone band.
    """

    SINC_FASTEST = "sinc_fastest"
    """2.5 ms, -8.8 dB: half the CPU, for capacity; fricatives suffer."""
    SINC_MEDIUM = "sinc_medium"
    """5.9 ms, -0.01 dB: the shortest that keeps the band. The default."""
    SINC_BEST = "sinc_best"
    """18 ms, 0 dB: three times the CPU for a gain that mu-law swallows."""


_LOOK_AHEAD_SAMPLES: Final = {
    # Input samples that the 8 -> 16 kHz filter keeps back before its first output, counted on libsamplerate 0.2.2.
    Converter.SINC_FASTEST: 20,
    Converter.SINC_MEDIUM: 47,
    Converter.SINC_BEST: 144,
}


@functools.cache
def _held_back(converter: Converter, source_rate_hz: int) -> int:
    """What one slice lacks of its 20 ms at 8 kHz, in samples, as libsamplerate itself gives it."""
    slice_samples = np.zeros(source_rate_hz // SLICES_PER_SECOND, dtype=np.float32)
    given = samplerate.Resampler(converter.value, 1).process(slice_samples, SAMPLE_RATE_HZ / source_rate_hz)
    return SAMPLE_RATE_HZ // SLICES_PER_SECOND - len(given)


def _to_s16(samples: _Samples) -> npt.NDArray[np.int16]:
    """Round to nearest, saturate, cast. Works in place on its argument."""
    np.rint(samples, out=samples)
    np.maximum(samples, _S16_MIN, out=samples)
    np.minimum(samples, _S16_MAX, out=samples)
    return samples.astype("<i2")


class CallerUpsampler:
    """Mu-law 8 kHz from the caller to s16 16 kHz for the model.

    The filter looks ahead (5.9 ms with `sinc_medium`), a delay that no trick removes. It is primed with just that
    much silence, so the delay lies once at the stream's start instead of in a short first frame: every mu-law byte
    gives exactly two samples from the first push on, a 160-byte frame gives 640 bytes, and nobody downstream needs a
    remainder.
    """

    __slots__ = ("_look_ahead", "_resampler")

    _RATIO: Final = MODEL_INPUT_RATE_HZ / SAMPLE_RATE_HZ

    def __init__(self, converter: Converter | str = Converter.SINC_MEDIUM) -> None:
        converter = Converter(converter)
        self._look_ahead = np.zeros(_LOOK_AHEAD_SAMPLES[converter], dtype=np.float32)
        self._resampler = samplerate.Resampler(converter.value, 1)
        self._prime()

    @property
    def delay_ms(self) -> float:
        """How far the output lies behind the input, in milliseconds: the silence it was primed with."""
        return self._look_ahead.size * 1000 / SAMPLE_RATE_HZ

    def push(self, mulaw: bytes) -> bytes:
        """Take mu-law bytes (8 kHz, any number), give s16 little-endian bytes (16 kHz), four for each."""
        samples = np.frombuffer(g711.decode(mulaw), dtype=np.int16).astype(np.float32)
        return _to_s16(self._resampler.process(samples, self._RATIO)).tobytes()

    def flush(self) -> bytes:
        """At the caller's end: give what the filter still holds (s16, 16 kHz, `delay_ms` of it), then start afresh."""
        tail = _to_s16(self._resampler.process(self._look_ahead, self._RATIO)).tobytes()
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget all audio: as good as a new object."""
        self._resampler.reset()
        self._prime()

    def _prime(self) -> None:
        self._resampler.process(self._look_ahead, self._RATIO)


class ModelDownsampler:
    """S16 from the model (24 kHz unless told otherwise) to mu-law 8 kHz for the caller.

    Output sample 0 is input sample 0, and the first slice already gives audio (114 of 160 samples). What the filter holds
    back, `look_ahead_bytes`, comes with `flush` at the turn's end.

    Raises ValueError for a rate that cannot be cut into 20 ms slices or lies below 8 kHz.
    """

    __slots__ = (
        "_arrived_bytes",
        "_ratio",
        "_resampler",
        "_rest",
        "_returned",
        "_slice_bytes",
        "look_ahead_bytes",
        "source_rate_hz",
    )

    def __init__(self, converter: Converter | str = Converter.SINC_MEDIUM, source_rate_hz: int = MODEL_OUTPUT_RATE_HZ) -> None:
        if source_rate_hz < SAMPLE_RATE_HZ or source_rate_hz % SLICES_PER_SECOND:
            raise ValueError(
                f"source_rate_hz is {source_rate_hz}; give a multiple of {SLICES_PER_SECOND} Hz from "
                f"{SAMPLE_RATE_HZ} Hz up, the model's own rate is {MODEL_OUTPUT_RATE_HZ}"
            )
        self.source_rate_hz = source_rate_hz
        self._ratio = SAMPLE_RATE_HZ / source_rate_hz
        self._slice_bytes = source_rate_hz // SLICES_PER_SECOND * _SAMPLE_BYTES
        # At 8 kHz there is nothing to convert, and a filter would only cost the top of the band.
        self._resampler = samplerate.Resampler(Converter(converter).value, 1) if source_rate_hz != SAMPLE_RATE_HZ else None
        self._rest = b""
        self._arrived_bytes = 0
        self._returned = 0
        self.look_ahead_bytes = _held_back(Converter(converter), source_rate_hz) if self._resampler else 0
        """How many mu-law bytes the output lies behind the input: 46, or 5.75 ms, with `sinc_medium`."""

    def push(self, pcm: bytes) -> bytes:
        """Take s16 little-endian bytes, cut anywhere (half a sample waits for its other half); give mu-law bytes."""
        self._arrived_bytes += len(pcm)
        waiting = self._rest + pcm if self._rest else bytes(pcm)
        step = self._slice_bytes if self._resampler else _SAMPLE_BYTES
        whole = len(waiting) - len(waiting) % step
        self._rest = waiting[whole:]
        if not whole:
            return b""
        mulaw = self._convert(waiting[:whole])
        self._returned += len(mulaw)
        return mulaw

    def flush(self) -> bytes:
        """At the turn's end: give the tail, then start afresh.

        All pushes of the turn and this together give exactly `ceil(samples * 8000 / source_rate_hz)` mu-law bytes.
        Half a sample that never found its other half is dropped.
        """
        arrived = self._arrived_bytes // _SAMPLE_BYTES
        missing = -(-arrived * SAMPLE_RATE_HZ // self.source_rate_hz) - self._returned
        tail = b""
        if missing and self._resampler:
            rest = self._rest[: len(self._rest) - len(self._rest) % _SAMPLE_BYTES]
            # Fill the last slice, then one more: no filter holds back as much as 20 ms (`sinc_best`: 18).
            tail = self._convert(rest.ljust(self._slice_bytes, b"\0") + bytes(self._slice_bytes))[:missing]
        self.reset()
        return tail

    def reset(self) -> None:
        """At a barge-in: forget all audio, the odd byte too. As good as a new object."""
        if self._resampler:
            self._resampler.reset()
        self._rest = b""
        self._arrived_bytes = 0
        self._returned = 0

    def _convert(self, slices: bytes) -> bytes:
        if not self._resampler:
            return g711.encode(slices)
        samples = np.frombuffer(slices, dtype="<i2").astype(np.float32)
        step = self._slice_bytes // _SAMPLE_BYTES
        process, ratio = self._resampler.process, self._ratio
        if samples.size == step:
            converted = process(samples, ratio)
        else:
            converted = np.concatenate(
                [process(samples[start : start + step], ratio) for start in range(0, samples.size, step)]
            )
        return g711.encode(_to_s16(converted).tobytes())
