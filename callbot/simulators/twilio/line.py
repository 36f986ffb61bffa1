"""What a telephone line does to sound and to time: idle noise, echo, level, loss, jitter and stalls.

Audio is 8 kHz mu-law in 160-byte frames of 20 ms. Everything random comes from the generator handed in.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import audioop

from callbot.simulators.twilio.composer import Codec
from callbot.simulators.twilio.playout import FRAME_BYTES, FRAME_MS, SILENCE

# Idle lines seen in captures dither over these codes: at most +-32 of 32768, about -60 dBFS.
_DITHER = bytes((*range(0x7B, 0x80), *range(0xFB, 0x100)))
_TO_DITHER = bytes(_DITHER[byte % len(_DITHER)] for byte in range(256))  # translates random bytes at once


@dataclass(frozen=True, slots=True)
class Echo:
    """The app's own voice coming back, as from a speakerphone. Real lines: 100-500 ms, 10-40 dB down."""

    delay_ms: int = 200
    attenuation_db: float = 20.0


@dataclass(frozen=True, slots=True)
class Jitter:
    """How late messages reach the app. Order is kept: it is one TCP connection.

    `delay_ms` is the ordinary spread. `stall_every_s` is the mean time between stalls (0: none), `stall_ms`
    their length; what was held up then arrives in one clump.
    """

    delay_ms: tuple[float, float] = (5.0, 15.0)
    stall_every_s: float = 0.0
    stall_ms: tuple[float, float] = (200.0, 2000.0)


@dataclass(frozen=True, slots=True)
class LineModel:
    """The properties of one caller's line.

    `idle` is what an open line carries between words: "comfort" dither or "pure" 0xFF; both exist.
    `level_db` makes the caller louder or softer, with clipping. `loss` is the share of the caller's frames
    that never arrive (0 to 1), seen by the app as a gap in `chunk` and `timestamp`. Twilio sends mu-law, 20 ms at a
    time; carriers that speak its protocol announce another `codec`, or send more at once (`payload_ms`).
    """

    idle: Literal["comfort", "pure"] = "comfort"
    level_db: float = 0.0
    loss: float = 0.0
    codec: Codec = "mulaw"
    payload_ms: int = FRAME_MS
    echo: Echo | None = None
    jitter: Jitter | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= 1:
            raise ValueError(f"loss is a share between 0 and 1, not {self.loss}")
        if self.payload_ms < FRAME_MS or self.payload_ms % FRAME_MS:
            raise ValueError(f"payload_ms is a multiple of {FRAME_MS}, not {self.payload_ms}")


class Microphone:
    """Turns what the caller says into what leaves their telephone."""

    def __init__(self, model: LineModel, rng: random.Random) -> None:
        self._model = model
        self._rng = rng
        self._gain = 10 ** (model.level_db / 20)

    def frame(self, voice: bytes | None, heard: Sequence[bytes]) -> bytes:
        """Return the next 160 bytes.

        `voice` is what the caller says in this frame, None for nothing; `heard` is what they have heard so
        far, one entry per frame, for the echo.
        """
        if voice is None:
            comfort = self._model.idle == "comfort"
            spoken = self._rng.randbytes(FRAME_BYTES).translate(_TO_DITHER) if comfort else SILENCE
        elif self._gain == 1.0:
            spoken = voice
        else:
            spoken = audioop.lin2ulaw(audioop.mul(audioop.ulaw2lin(voice, 2), 2, self._gain), 2)
        echo = self._model.echo
        if echo is None:
            return spoken
        back = echo.delay_ms // FRAME_MS
        if back < 1 or back > len(heard) or heard[-back] == SILENCE:
            return spoken
        returned = audioop.mul(audioop.ulaw2lin(heard[-back], 2), 2, 10 ** (-echo.attenuation_db / 20))
        return audioop.lin2ulaw(audioop.add(audioop.ulaw2lin(spoken, 2), returned, 2), 2)


class Delays:
    """Decides when each message that was sent at some moment reaches the app."""

    def __init__(self, jitter: Jitter | None, rng: random.Random) -> None:
        self._jitter = jitter
        self._rng = rng
        self._next_stall_s: float | None = None
        self._held_until_s = 0.0

    def stall(self, from_s: float, for_s: float) -> None:
        """Hold up everything sent from now on until `for_s` seconds have passed."""
        self._held_until_s = max(self._held_until_s, from_s + for_s)

    def due_s(self, sent_s: float) -> float:
        """The moment of arrival for a message sent at `sent_s`; never before an earlier message's."""
        jitter = self._jitter
        if jitter is None:
            self._held_until_s = max(self._held_until_s, sent_s)
            return self._held_until_s
        if jitter.stall_every_s > 0:
            if self._next_stall_s is None:
                self._next_stall_s = sent_s + self._rng.expovariate(1 / jitter.stall_every_s)
            while self._next_stall_s <= sent_s:
                self.stall(self._next_stall_s, self._rng.uniform(*jitter.stall_ms) / 1000)
                self._next_stall_s += self._rng.expovariate(1 / jitter.stall_every_s)
        self._held_until_s = max(self._held_until_s, sent_s + self._rng.uniform(*jitter.delay_ms) / 1000)
        return self._held_until_s
