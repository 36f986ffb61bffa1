"""The caller's telephone: a 20 ms beat on which one frame leaves the mouth and one reaches the ear.

Frame k belongs to the span from k*20 ms to (k+1)*20 ms after the start. Both recordings are written on this
beat, so they are aligned by construction. A beat that comes late catches up; nothing drifts.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import audioop

from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.line import Microphone
from callbot.simulators.twilio.playout import FRAME_BYTES, FRAME_MS, SILENCE

FRAME_S = FRAME_MS / 1000
# Root mean square of a frame, of 32768, above which it counts as heard: -44 dBFS, above any idle line's
# dither (about 30) and below quiet speech (several hundred).
AUDIBLE_RMS = 200
# A pause of the bot's shorter than this belongs to its speech: gaps between words reach 250 ms.
BOT_PAUSE_FRAMES = 15


class LineError(Exception):
    """What a caller's script can run into."""


class CallEndedError(LineError):
    """The call is over; there is nobody to talk to."""


class WaitTimeoutError(LineError):
    """What the caller waited for did not happen in time."""


class Listener(Protocol):
    """The stream at the other end of the handset."""

    def beat(self, voice: bytes, at_s: float) -> bytes:
        """Take the caller's frame for the moment `at_s` and return the frame to be heard."""
        ...


@dataclass(slots=True)
class Spoken:
    """An utterance on its way: frames still to be said, and where it lies in the recording."""

    name: str
    frames: deque[bytes]
    audible_frames: int  # up to and including the last audible one
    finished: asyncio.Future[None]
    start_frame: int = -1
    bot_was_audible: bool = False


@dataclass(slots=True)
class _Waiter:
    ready: Callable[[], bool]
    deadline_frame: int
    what: str
    done: asyncio.Future[None]


def is_audible(frame: bytes) -> bool:
    """Whether a mu-law frame would be heard as sound."""
    return frame != SILENCE and audioop.rms(audioop.ulaw2lin(frame, 2), 2) >= AUDIBLE_RMS


def split_frames(audio: bytes) -> list[bytes]:
    """Cut mu-law bytes into 160-byte frames, the last one filled up with silence."""
    return [audio[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff") for at in range(0, len(audio), FRAME_BYTES)]


class Voice:
    """Somebody, or a machine, at the other end who says this (8 kHz mu-law) once, and listens."""

    def __init__(self, says: bytes) -> None:
        self._frames = iter(split_frames(says))

    def beat(self, _voice: bytes, _at_s: float) -> bytes:
        """Return the next frame, silence behind the last; see `Listener`."""
        return next(self._frames, SILENCE)


class Handset:
    """Mouth, ear and recorder of one caller. `note` receives (clock time, kind, detail) of what happens."""

    def __init__(self, clock: Clock, microphone: Microphone, note: Callable[[float, str, str], None]) -> None:
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self.audible: list[bool] = []
        self.utterances: list[Spoken] = []
        self.zero_s: float | None = None
        self.ended = False
        self._clock = clock
        self._microphone = microphone
        self._note = note
        self._listener: Listener | None = None
        self._queue: deque[Spoken] = deque()
        self._waiters: list[_Waiter] = []
        self._bot_speech_start: int | None = None
        self._last_audible = -1
        self._audible_frames = 0

    @property
    def frames(self) -> int:
        """Beats so far."""
        return len(self.sent)

    @property
    def bot_is_audible(self) -> bool:
        """Whether the bot is speaking, short pauses included."""
        return self._bot_speech_start is not None

    @property
    def bot_speech_ms(self) -> int:
        """How long the bot has been speaking without a longer pause."""
        return 0 if self._bot_speech_start is None else (self.frames - self._bot_speech_start) * FRAME_MS

    @property
    def heard_ms(self) -> int:
        """How much sound has been heard since the start."""
        return self._audible_frames * FRAME_MS

    @property
    def quiet_ms(self) -> int:
        """How long nothing has been heard."""
        return (self.frames - 1 - self._last_audible) * FRAME_MS

    def start(self) -> None:
        """Begin the beat and the recordings."""
        if self.zero_s is None:
            self.zero_s = self._clock.now()

    def attach(self, listener: Listener | None) -> None:
        """Connect the handset with a stream, or with nothing: the caller then hears silence."""
        self.catch_up()
        self._listener = listener

    async def run(self) -> None:
        """Keep the beat until the call is over."""
        self.start()
        assert self.zero_s is not None
        while not self.ended:
            self.catch_up()
            await self._clock.sleep(self.zero_s + self.frames * FRAME_S - self._clock.now())

    def catch_up(self) -> None:
        """Carry out every beat that is due. Call it before anything that depends on the present moment."""
        while self.zero_s is not None and not self.ended:
            at_s = self.zero_s + self.frames * FRAME_S
            # Half a millisecond of tolerance: a sleep may end a rounding error early.
            if at_s > self._clock.now() + 0.0005:
                return
            self._beat(at_s)

    def end(self) -> None:
        """The call is over: waiting scripts get CallEndedError."""
        if self.ended:
            return
        self.ended = True
        self._bot_falls_silent()
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_exception(CallEndedError("the call ended"))
        for spoken in self._queue:
            if not spoken.finished.done():
                spoken.finished.set_exception(CallEndedError("the call ended while the caller was speaking"))
        self._waiters.clear()
        self._queue.clear()

    async def speak(self, audio: bytes, name: str) -> None:
        """Say mu-law audio, after whatever is still being said; returns when the last frame is out."""
        self._require_line()
        frames = split_frames(audio)
        if not frames:
            return
        audible = max((at + 1 for at, frame in enumerate(frames) if is_audible(frame)), default=len(frames))
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(Spoken(name, deque(frames), audible, finished))
        await finished

    async def until(self, ready: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until `ready()` holds after some beat. Raises WaitTimeoutError, CallEndedError."""
        self._require_line()
        if ready():
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(_Waiter(ready, self.frames + round(timeout_s / FRAME_S), what, done))
        await done

    def _require_line(self) -> None:
        if self.ended:
            raise CallEndedError("the call has ended")

    def _beat(self, at_s: float) -> None:
        k = self.frames
        voice = self._microphone.frame(self._next_word(k, at_s), self.heard)
        heard = SILENCE if self._listener is None else self._listener.beat(voice, at_s)
        audible = is_audible(heard)
        self.sent.append(voice)
        self.heard.append(heard)
        self.audible.append(audible)
        if audible:
            self._audible_frames += 1
            if self._last_audible < 0:
                self._note(at_s, "first_bot_audio", "")
            if self._bot_speech_start is None:
                self._bot_speech_start = k
                self._note(at_s, "bot_speech_start", "")
            self._last_audible = k
        elif self._bot_speech_start is not None and k - self._last_audible >= BOT_PAUSE_FRAMES:
            self._bot_falls_silent()
        self._finish_word(k, at_s + FRAME_S)
        self._wake()

    def _next_word(self, k: int, at_s: float) -> bytes | None:
        if not self._queue:
            return None
        spoken = self._queue[0]
        if spoken.start_frame < 0:
            spoken.start_frame = k
            spoken.bot_was_audible = self.bot_is_audible
            self.utterances.append(spoken)
            self._note(at_s, "caller_speech_start", spoken.name)
        return spoken.frames.popleft()

    def _finish_word(self, k: int, end_s: float) -> None:
        if not self._queue:
            return
        spoken = self._queue[0]
        if k + 1 - spoken.start_frame == spoken.audible_frames:
            self._note(end_s, "caller_speech_end", spoken.name)
        if not spoken.frames:
            self._queue.popleft()
            if not spoken.finished.done():
                spoken.finished.set_result(None)

    def _bot_falls_silent(self) -> None:
        if self._bot_speech_start is None or self.zero_s is None:
            return
        length_ms = (self._last_audible + 1 - self._bot_speech_start) * FRAME_MS
        self._note(self.zero_s + (self._last_audible + 1) * FRAME_S, "bot_speech_end", f"after {length_ms} ms")
        self._bot_speech_start = None

    def _wake(self) -> None:
        waiting: list[_Waiter] = []
        for waiter in self._waiters:
            if waiter.done.done():
                continue  # its script was cancelled
            if waiter.ready():
                waiter.done.set_result(None)
            elif self.frames >= waiter.deadline_frame:
                waiter.done.set_exception(WaitTimeoutError(f"gave up waiting for {waiter.what}"))
            else:
                waiting.append(waiter)
        self._waiters = waiting
