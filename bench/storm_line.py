"""A caller and a line that may do anything, drawn by seed. It speaks in loud tones: words are what both detectors hear."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

from callbot.audio.g711 import SILENT_FRAME
from tests.actors.network_edges import TwilioSocket, media
from tests.actors.whole_call import SPEECH_FRAME

FRAME_S = 0.02
WORD_S = 0.24  # shorter is a cough
ENDLESS_S = 12.0  # speech that has not paused for so long is noise

KEY = '{"event":"dtmf","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"?"}}'
GARBAGE = ("", "{", "[]", '{"event":"media"}', '{"event":"media","media":{"payload":"!"}}', '{"event":"what"}', '{"event":7}')


@dataclass(frozen=True, slots=True)
class Mood:
    """How one caller behaves, and what their line does. Times in seconds from the call's beginning; `inf` is never."""

    hangs_up_s: float
    how: str = "stop"  # "stop", "close" without a stop, or "silence"
    speaks_s: tuple[float, ...] = (0.5, 1.2, 2.0)  # lengths of utterances to choose from; none: never speaks
    pauses_s: tuple[float, ...] = (2.0, 4.0)
    noise_from_s: float = inf  # from then on a noise that never ends
    stalls: tuple[tuple[float, float], ...] = ()  # from when, for how long nothing comes; then all of it at once
    gaps: tuple[tuple[float, float], ...] = ()  # what is lost on the way
    deaf: tuple[tuple[float, float], ...] = ()  # Twilio does not read
    drops_s: float = inf  # the stream's socket is reset, and the caller is still there
    keys_s: tuple[float, ...] = ()
    garbage_s: tuple[float, ...] = ()
    returns_marks: bool = True


def draw_mood(draw: Random) -> Mood:
    """A caller of 8 to 80 s with up to two faults of the line."""
    hangs_up_s = draw.choice((8.0, 12.0, 16.0, 20.0, 30.0, 80.0)) + draw.random() * 4
    values: dict[str, Any] = {
        "hangs_up_s": hangs_up_s,
        "how": draw.choice(("stop", "stop", "stop", "close", "silence")),
        "speaks_s": draw.choice(((0.5, 1.2, 2.0), (0.5, 1.2, 2.0), (0.3,), (5.0,), ())),
        "pauses_s": draw.choice(((0.7, 1.5), (2.0, 4.0), (2.0, 4.0), (4.0, 10.0))),
    }

    def moment() -> float:
        return draw.uniform(0.0, min(hangs_up_s, 15.0))

    faults: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"noise_from_s": moment()},
        lambda: {"stalls": ((moment(), draw.choice((0.3, 1.0, 3.0))),)},
        lambda: {"gaps": tuple((moment(), draw.choice((0.02, 0.1, 0.5, 1.5))) for _ in range(4))},
        lambda: {"deaf": ((moment(), draw.choice((0.3, 1.0, 4.0))),)},
        lambda: {"drops_s": moment()},
        lambda: {"keys_s": tuple(sorted(moment() for _ in range(draw.choice((1, 4, 40)))))},
        lambda: {"garbage_s": tuple(sorted(moment() for _ in range(draw.choice((1, 20)))))},
        lambda: {"returns_marks": False},
    )
    for _ in range(draw.choice((0, 0, 1, 2))):
        values |= draw.choice(faults)()
    return Mood(**values)


@dataclass
class Caller:
    """One caller, over all streams of the call."""

    mood: Mood
    draw: Random
    began_s: float
    questions: int = 0  # utterances of a word or more that are over
    spoke_from_s: float = inf  # the beginning of the utterance that goes on; `inf` between two
    spoke_until_s: float = 0.0  # the end of the last frame of speech
    has_hung_up: bool = False
    _next_s: float = 0.0  # when the next utterance begins
    _ends_s: float = 0.0
    _frames: int = 0
    _held: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next_s = 1.0 + self.draw.choice(self.mood.pauses_s)

    async def talk(self, socket: TwilioSocket) -> None:
        """Be on the line of one stream, until the call or this stream is over."""
        loop, mood = asyncio.get_running_loop(), self.mood
        socket.returns_marks = mood.returns_marks
        keys, garbage = list(mood.keys_s), list(mood.garbage_s)
        while socket.closed is None:
            at_s = loop.time() - self.began_s
            if at_s >= mood.hangs_up_s:
                self.has_hung_up = True
                self._hang_up(socket)
                return
            if mood.drops_s <= at_s < mood.drops_s + FRAME_S:
                socket.drop()
                return
            while keys and keys[0] <= at_s:
                socket.say(KEY.replace("?", str(len(keys) % 10)))
                keys.pop(0)
            while garbage and garbage[0] <= at_s:
                socket.say(self.draw.choice(GARBAGE))
                garbage.pop(0)
            if _within(mood.deaf, at_s):
                socket.gate.clear()
            else:
                socket.gate.set()
            self._send(socket, at_s)
            await asyncio.sleep(FRAME_S)

    def _send(self, socket: TwilioSocket, at_s: float) -> None:
        frame = media(SPEECH_FRAME if self._speaks(at_s) else SILENT_FRAME, timestamp_ms=round(at_s * 1000))
        if _within(self.mood.gaps, at_s):
            return
        if _within(self.mood.stalls, at_s):
            self._held.append(frame)
            return
        for late in self._held:
            socket.say(late)
        self._held.clear()
        socket.say(frame)

    def _speaks(self, at_s: float) -> bool:
        mood = self.mood
        if at_s >= mood.noise_from_s:
            speaks = True
        else:
            if mood.speaks_s and at_s >= self._next_s:
                self._ends_s = at_s + self.draw.choice(mood.speaks_s)
                self._next_s = self._ends_s + self.draw.choice(mood.pauses_s)
            speaks = at_s < self._ends_s
        now_s = self.began_s + at_s
        if speaks:
            self.spoke_from_s = min(self.spoke_from_s, now_s)
            self.spoke_until_s = now_s + FRAME_S
        elif self.spoke_from_s < inf:
            self.questions += self.spoke_until_s - self.spoke_from_s >= WORD_S
            self.spoke_from_s = inf
        return speaks

    def is_speaking(self, now_s: float) -> bool:
        """Whether words are being said, which a hang-up would cut: neither a cough nor a noise."""
        return WORD_S + 0.2 <= now_s - self.spoke_from_s <= ENDLESS_S

    def _hang_up(self, socket: TwilioSocket) -> None:
        match self.mood.how:
            case "stop":
                socket.stop()
            case "close":
                socket.drop()
            case _:  # nothing comes any more, marks included, and nobody says so
                socket.fall_silent()


def _within(spans: tuple[tuple[float, float], ...], at_s: float) -> bool:
    return any(from_s <= at_s < from_s + for_s for from_s, for_s in spans)
