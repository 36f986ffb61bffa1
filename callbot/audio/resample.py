"""The caller's 8 kHz up to the model's 16 kHz, the model's 24 kHz down to the caller's 8 kHz.

Rules, each paid for by a fault that was measured:

- One converter per direction per call, alive through a turn: converting each chunk on its own costs half the
  speech quality (PESQ 4.0 -> 1.9).
- The filters are libsamplerate's, applied by `polyphase`. Its own converter is not used on a stream: it drops a sample or
  two where uneven pushes meet the wrap of its ring buffer, and `end_of_input` flushes nothing, or latches it into silence.
- A turn is flushed by pushing zeros and cutting to length.
- Samples stay in s16 units (the filter is linear, scaling would only cost), then: round, clip, cast. A full-scale
  square leaves the filter at up to +8 dBFS, and a cast without the clip turns that into a crack.

However the bytes are split over the pushes, the output is the same to the bit.
"""

from enum import StrEnum
from typing import Final

import numpy as np

from callbot.audio import g711
from callbot.audio.g711 import SAMPLE_RATE_HZ
from callbot.audio.polyphase import SLICES_PER_SECOND, Exact, Polyphase, read_filter

MODEL_INPUT_RATE_HZ: Final = 16_000
MODEL_OUTPUT_RATE_HZ: Final = 24_000

_SAMPLE_BYTES: Final = 2
_CHUNK_SLICES: Final = 2  # the model's audio comes in chunks of 40 ms
# As arrays: a Python number costs numpy 0.6 us more, each time.
_S16_MIN: Final = np.array(-32768.0)
_S16_MAX: Final = np.array(32767.0)
_S16: Final = np.dtype("<i2")


class Converter(StrEnum):
    """Which of libsamplerate's filters runs, by the name that libsamplerate gives it.

    Figures are for 8 -> 16 kHz: delay, and the response at 3.4 kHz, the edge of the telephone band.
    """

    SINC_FASTEST = "sinc_fastest"
    """2.5 ms, -8.8 dB: 3.4 ms less delay; fricatives suffer."""
    SINC_MEDIUM = "sinc_medium"
    """5.9 ms, -0.01 dB: the shortest that keeps the band. The default."""
    SINC_BEST = "sinc_best"
    """18 ms, 0 dB: a gain that mu-law swallows."""


def _to_s16(samples: Exact) -> bytes:
    """Round to nearest, saturate, cast: s16 little-endian. Works in place on its argument."""
    np.rint(samples, out=samples)
    np.maximum(samples, _S16_MIN, out=samples)
    np.minimum(samples, _S16_MAX, out=samples)
    return samples.astype(_S16).tobytes()


class CallerUpsampler:
    """Mu-law 8 kHz from the caller to s16 16 kHz for the model.

    The filter looks ahead (5.9 ms with `sinc_medium`), a delay that no trick removes. It lies once at the stream's start, as
    silence, instead of in a short first frame: every mu-law byte gives exactly two samples from the first push on, a
    160-byte frame gives 640 bytes, and nobody downstream needs a remainder.
    """

    __slots__ = ("_delay_samples", "_polyphase")

    def __init__(self, converter: Converter | str = Converter.SINC_MEDIUM) -> None:
        kernel = read_filter(Converter(converter).value, SAMPLE_RATE_HZ, MODEL_INPUT_RATE_HZ)
        self._delay_samples = kernel.delay
        self._polyphase = Polyphase(kernel)

    @property
    def delay_ms(self) -> float:
        """How far the output lies behind the input, in milliseconds."""
        return self._delay_samples * 1000 / MODEL_INPUT_RATE_HZ

    def push(self, mulaw: bytes) -> bytes:
        """Take mu-law bytes (8 kHz, any number), give s16 little-endian bytes (16 kHz), four for each."""
        return _to_s16(self._polyphase.process(np.frombuffer(g711.decode(mulaw), np.int16)))

    def flush(self) -> bytes:
        """At the caller's end: give what the filter still holds (s16, 16 kHz, `delay_ms` of it), then start afresh."""
        silence = np.zeros(self._delay_samples * SAMPLE_RATE_HZ // MODEL_INPUT_RATE_HZ, np.int16)
        tail = _to_s16(self._polyphase.process(silence))
        self.reset()
        return tail

    def reset(self) -> None:
        """Forget all audio: as good as a new object."""
        self._polyphase.reset()


class ModelDownsampler:
    """S16 from the model (24 kHz unless told otherwise) to mu-law 8 kHz for the caller.

    Output sample 0 is input sample 0, and the first slice already gives audio (114 of 160 samples). What the filter holds
    back, `look_ahead_bytes`, comes with `flush` at the turn's end.

    Raises ValueError for a rate that cannot be cut into 20 ms slices or lies below 8 kHz.
    """

    __slots__ = (
        "_arrived_bytes",
        "_fresh",
        "_polyphase",
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
        self._slice_bytes = source_rate_hz // SLICES_PER_SECOND * _SAMPLE_BYTES
        # At 8 kHz there is nothing to convert, and a filter would only cost the top of the band.
        self._polyphase: Polyphase | None = None
        self.look_ahead_bytes = 0
        """How many mu-law bytes the output lies behind the input: 46, or 5.75 ms, with `sinc_medium`."""
        converter = Converter(converter)
        if source_rate_hz != SAMPLE_RATE_HZ:
            kernel = read_filter(converter.value, source_rate_hz, SAMPLE_RATE_HZ)
            self._polyphase = Polyphase(kernel, slices=_CHUNK_SLICES)
            self.look_ahead_bytes = kernel.delay
        self._rest = b""
        self._arrived_bytes = 0
        self._returned = 0
        self._fresh = True

    def push(self, pcm: bytes) -> bytes:
        """Take s16 little-endian bytes, cut anywhere (half a sample waits for its other half); give mu-law bytes."""
        self._arrived_bytes += len(pcm)
        waiting = self._rest + pcm if self._rest else bytes(pcm)
        step = self._slice_bytes if self._polyphase else _SAMPLE_BYTES
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
        if missing and self._polyphase:
            rest = self._rest[: len(self._rest) - len(self._rest) % _SAMPLE_BYTES]
            # Fill the last slice, then one more: no filter holds back as much as 20 ms (`sinc_best`: 18).
            tail = self._convert(rest.ljust(self._slice_bytes, b"\0") + bytes(self._slice_bytes))[:missing]
        self.reset()
        return tail

    def reset(self) -> None:
        """At a barge-in: forget all audio, the odd byte too. As good as a new object."""
        if self._polyphase:
            self._polyphase.reset()
        self._fresh = True
        self._rest = b""
        self._arrived_bytes = 0
        self._returned = 0

    def _convert(self, slices: bytes) -> bytes:
        if not self._polyphase:
            return g711.encode(slices)
        converted = self._polyphase.process(np.frombuffer(slices, _S16))
        if self._fresh:  # the silence before the turn
            self._fresh = False
            converted = converted[self.look_ahead_bytes :]
        return g711.encode(_to_s16(converted))
