"""Voice activity detection on energy, in audio time.

It counts samples and never looks at a clock: the same audio gives the same decisions whether it arrives live or as
a backlog after a gap. Audio is 16-bit little-endian mono at 16 kHz throughout.
"""

from dataclasses import dataclass

import audioop

RATE_HZ = 16_000
BYTES_PER_MS = RATE_HZ * 2 // 1000
FRAME_MS = 20  # one decision a frame, the unit in which telephone speech detectors work
FRAME_BYTES = FRAME_MS * BYTES_PER_MS
PRE_ROLL_MS = 200  # kept before the start of speech, so that an utterance keeps its soft beginning

# RMS of 16-bit samples. Line noise and mu-law idle stay below 50, telephone speech is around 500 to 4000.
START_RMS = {"HIGH": 300, "LOW": 700}
# Speech that has begun may become softer than its start without ending.
CONTINUE_RMS = {"HIGH": 250, "LOW": 150}
# Silence that ends speech when silenceDurationMs is unset. Google publishes no number; LOW waits longer.
SILENCE_MS = {"HIGH": 500, "LOW": 800}


@dataclass(frozen=True, slots=True)
class VadSettings:
    """How speech is told from silence; the fields of `automaticActivityDetection`.

    Sensitivities are "HIGH" or "LOW"; None means the service's default for the mode (HIGH for Gemini, LOW for
    Vertex). `silence_duration_ms` None follows the end sensitivity.
    """

    disabled: bool = False
    prefix_padding_ms: int = 60  # three frames: a click is shorter, a syllable longer
    silence_duration_ms: int | None = None
    start_sensitivity: str | None = None
    end_sensitivity: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech is certain since `at_ms` of the audio stream."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """Speech lasted from `start_ms` to `end_ms`; `pcm` is the utterance with a little of what was before it."""

    start_ms: int
    end_ms: int
    pcm: bytes


type VadEvent = SpeechStarted | SpeechEnded


class EnergyVad:
    """Turns a stream of PCM into starts and ends of speech."""

    def __init__(self, settings: VadSettings, *, default_sensitivity: str = "HIGH") -> None:
        end = settings.end_sensitivity or default_sensitivity
        self._start_rms = START_RMS[settings.start_sensitivity or default_sensitivity]
        self._continue_rms = CONTINUE_RMS[end]
        self._prefix_ms = max(FRAME_MS, settings.prefix_padding_ms)
        silence_ms = settings.silence_duration_ms
        self._silence_ms = max(FRAME_MS, SILENCE_MS[end] if silence_ms is None else silence_ms)
        self.speaking = False
        self._rest = bytearray()  # less than one frame
        self._kept = bytearray()  # pre-roll while silent, the utterance while speaking
        self._position_ms = 0
        self._loud_ms = 0
        self._quiet_ms = 0
        self._start_ms = 0

    def feed(self, pcm: bytes) -> list[VadEvent]:
        """Take any number of bytes; return what became certain, in order."""
        events: list[VadEvent] = []
        self._rest += pcm
        whole = len(self._rest) - len(self._rest) % FRAME_BYTES
        for offset in range(0, whole, FRAME_BYTES):
            event = self._frame(bytes(self._rest[offset : offset + FRAME_BYTES]))
            if event:
                events.append(event)
        del self._rest[:whole]
        return events

    def flush(self) -> list[VadEvent]:
        """End the speech now, as the service does on audioStreamEnd."""
        self._rest.clear()
        self._loud_ms = 0
        return [self._end()] if self.speaking else []

    def _frame(self, frame: bytes) -> VadEvent | None:
        rms = audioop.rms(frame, 2)
        self._position_ms += FRAME_MS
        self._kept += frame
        if self.speaking:
            self._quiet_ms = 0 if rms >= self._continue_rms else self._quiet_ms + FRAME_MS
            return self._end() if self._quiet_ms >= self._silence_ms else None
        if rms >= self._start_rms:
            self._loud_ms += FRAME_MS
        else:
            self._loud_ms = 0
        if self._loud_ms >= self._prefix_ms:
            self.speaking = True
            self._quiet_ms = 0
            self._start_ms = self._position_ms - self._loud_ms
            return SpeechStarted(self._start_ms)
        excess = len(self._kept) - (PRE_ROLL_MS + self._loud_ms) * BYTES_PER_MS
        if excess > 0:
            del self._kept[:excess]
        return None

    def _end(self) -> SpeechEnded:
        # Most of the silence that ended the speech is not part of what was said.
        trailing = max(0, self._quiet_ms - PRE_ROLL_MS) * BYTES_PER_MS
        pcm = bytes(self._kept[: len(self._kept) - trailing])
        event = SpeechEnded(self._start_ms, self._position_ms - self._quiet_ms, pcm)
        self._kept.clear()
        self.speaking = False
        self._loud_ms = self._quiet_ms = 0
        return event
