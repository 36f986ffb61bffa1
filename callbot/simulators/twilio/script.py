"""What a caller does: a list of simple steps, or an async function that is given the `Line`."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, override

import audioop

from callbot.simulators.twilio.faults import EndStream, HangUpStyle, Mute, StopReading, TimedFault
from callbot.simulators.twilio.handset import Handset
from callbot.simulators.twilio.playout import FRAME_MS

type Encoding = Literal["s16le", "mulaw"]

ANSWER_TIMEOUT_S = 15.0  # far beyond what a caller bears, so that running into it means something
TALK_TIMEOUT_S = 120.0


class CallControl(Protocol):
    """What the script may do to its call."""

    def hang_up(self, style: HangUpStyle | None = None) -> None:
        """End the call from the caller's side."""
        ...

    def press(self, digit: str) -> None:
        """Press a key."""
        ...

    def inject(self, fault: TimedFault) -> None:
        """Let a fault strike the running stream."""
        ...

    @property
    def streams_started(self) -> int:
        """How many streams have been opened so far."""
        ...


class Line:
    """The caller's handle on the line. All waits are on the caller's 20 ms beat.

    Every method raises CallEndedError once the call is over; waits raise WaitTimeoutError. A script may let
    both escape: the first ends it quietly, the second is reported as `CallReport.script_failure`.
    """

    def __init__(self, control: CallControl, handset: Handset) -> None:
        self._control = control
        self._handset = handset

    @property
    def bot_is_speaking(self) -> bool:
        """Whether the bot is audible, short pauses included."""
        return self._handset.bot_is_audible

    @property
    def elapsed_ms(self) -> int:
        """Time since the first stream's start."""
        return self._handset.frames * FRAME_MS

    async def speak(self, audio: bytes, *, encoding: Encoding = "s16le", name: str = "speech") -> None:
        """Say 8 kHz mono audio, 16-bit little-endian or mu-law; returns when the last frame has gone out."""
        await self._handset.speak(audio if encoding == "mulaw" else audioop.lin2ulaw(audio, 2), name)

    async def silence(self, for_ms: int) -> None:
        """Say nothing for a while."""
        until = self._handset.frames + max(1, round(for_ms / FRAME_MS))
        await self._handset.until(lambda: self._handset.frames >= until, for_ms / 1000 + 60, "time to pass")

    async def wait_until_bot_speaks(self, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Wait until the bot is audible; at once if it is."""
        await self._handset.until(lambda: self._handset.bot_is_audible, timeout_s, "the bot to speak")

    async def wait_until_bot_quiet(self, quiet_ms: int = 800, timeout_s: float = TALK_TIMEOUT_S) -> None:
        """Wait until nothing has been heard for `quiet_ms`, counted from now at the earliest."""
        began = self._handset.frames
        await self._handset.until(
            lambda: min(self._handset.quiet_ms, (self._handset.frames - began) * FRAME_MS) >= quiet_ms,
            timeout_s,
            f"the bot to be quiet for {quiet_ms} ms",
        )

    async def wait_until_heard(self, total_ms: int, timeout_s: float = TALK_TIMEOUT_S) -> None:
        """Wait until `total_ms` of sound have been heard since the first stream's start."""
        await self._handset.until(lambda: self._handset.heard_ms >= total_ms, timeout_s, f"{total_ms} ms of sound")

    async def barge_in(
        self, audio: bytes, *, after_ms: int = 400, encoding: Encoding = "s16le", name: str = "barge-in"
    ) -> None:
        """Speak as soon as the bot has been speaking for `after_ms` (0: on its first audible frame)."""
        await self._handset.until(
            lambda: self._handset.bot_is_audible and self._handset.bot_speech_ms >= after_ms,
            TALK_TIMEOUT_S,
            f"the bot to have spoken for {after_ms} ms",
        )
        await self.speak(audio, encoding=encoding, name=name)

    async def press(self, digits: str, gap_ms: int = 200) -> None:
        """Press keys one after another."""
        for digit in digits:
            self._control.press(digit)
            await self.silence(gap_ms)

    async def wait_for_stream(self, number: int, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Wait until the call's stream `number` (from 1) has been opened."""
        await self._handset.until(lambda: self._control.streams_started >= number, timeout_s, f"stream number {number}")

    async def stay(self, timeout_s: float = TALK_TIMEOUT_S) -> None:
        """Stay on the line until the other side ends the call (then CallEndedError ends the script)."""
        await self._handset.until(lambda: False, timeout_s, "the other side to end the call")

    async def hang_up(self, style: HangUpStyle | None = None) -> None:
        """Hang up; `style` is what the app sees of it, the carrier's default if None."""
        self._control.hang_up(style)
        await self.stay(60.0)

    def inject(self, fault: TimedFault) -> None:
        """Let a fault strike now."""
        self._control.inject(fault)

    def reset_link(self) -> None:
        """Break the TCP connection with a reset; the call itself goes on."""
        self.inject(EndStream(0, HangUpStyle.RESET))

    def go_half_open(self) -> None:
        """Let the connection fall silent without an end; the call itself goes on."""
        self.inject(EndStream(0, HangUpStyle.SILENCE))

    def mute(self, for_s: float) -> None:
        """Send nothing of the caller's for a while."""
        self.inject(Mute(0, round(for_s * 1000)))

    def stop_reading(self, for_s: float) -> None:
        """Take nothing from the socket for a while."""
        self.inject(StopReading(0, round(for_s * 1000)))


class Step(ABC):
    """One thing a caller does."""

    __slots__ = ()

    @abstractmethod
    async def run(self, line: Line) -> None:
        """Do it."""


type Script = Sequence[Step] | Callable[[Line], Awaitable[None]]


async def run_script(script: Script, line: Line) -> None:
    """Carry out a script of either form."""
    if callable(script):
        await script(line)
        return
    for step in script:
        await step.run(line)


@dataclass(frozen=True, slots=True)
class Speak(Step):
    """Say 8 kHz mono audio."""

    audio: bytes
    encoding: Encoding = "s16le"
    name: str = "speech"

    @override
    async def run(self, line: Line) -> None:
        await line.speak(self.audio, encoding=self.encoding, name=self.name)


@dataclass(frozen=True, slots=True)
class Silence(Step):
    """Say nothing for a while."""

    for_ms: int

    @override
    async def run(self, line: Line) -> None:
        await line.silence(self.for_ms)


@dataclass(frozen=True, slots=True)
class WaitUntilBotSpeaks(Step):
    """Wait for the bot's voice."""

    timeout_s: float = ANSWER_TIMEOUT_S

    @override
    async def run(self, line: Line) -> None:
        await line.wait_until_bot_speaks(self.timeout_s)


@dataclass(frozen=True, slots=True)
class WaitUntilBotQuiet(Step):
    """Wait for the bot's silence."""

    quiet_ms: int = 800
    timeout_s: float = TALK_TIMEOUT_S

    @override
    async def run(self, line: Line) -> None:
        await line.wait_until_bot_quiet(self.quiet_ms, self.timeout_s)


@dataclass(frozen=True, slots=True)
class WaitUntilHeard(Step):
    """Wait until that much sound has been heard in all."""

    total_ms: int
    timeout_s: float = TALK_TIMEOUT_S

    @override
    async def run(self, line: Line) -> None:
        await line.wait_until_heard(self.total_ms, self.timeout_s)


@dataclass(frozen=True, slots=True)
class BargeIn(Step):
    """Interrupt the bot once it has been speaking for `after_ms`."""

    audio: bytes
    after_ms: int = 400
    encoding: Encoding = "s16le"
    name: str = "barge-in"

    @override
    async def run(self, line: Line) -> None:
        await line.barge_in(self.audio, after_ms=self.after_ms, encoding=self.encoding, name=self.name)


@dataclass(frozen=True, slots=True)
class Press(Step):
    """Press keys."""

    digits: str
    gap_ms: int = 200

    @override
    async def run(self, line: Line) -> None:
        await line.press(self.digits, self.gap_ms)


@dataclass(frozen=True, slots=True)
class Inject(Step):
    """Let a fault strike."""

    fault: TimedFault

    @override
    async def run(self, line: Line) -> None:
        line.inject(self.fault)


@dataclass(frozen=True, slots=True)
class WaitForStream(Step):
    """Wait for the call's stream of that number."""

    number: int
    timeout_s: float = ANSWER_TIMEOUT_S

    @override
    async def run(self, line: Line) -> None:
        await line.wait_for_stream(self.number, self.timeout_s)


@dataclass(frozen=True, slots=True)
class StayOnLine(Step):
    """Wait for the other side to end the call."""

    timeout_s: float = TALK_TIMEOUT_S

    @override
    async def run(self, line: Line) -> None:
        await line.stay(self.timeout_s)


@dataclass(frozen=True, slots=True)
class HangUp(Step):
    """Hang up. A script that ends hangs up by itself."""

    style: HangUpStyle | None = None

    @override
    async def run(self, line: Line) -> None:
        await line.hang_up(self.style)
