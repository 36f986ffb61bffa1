"""A model that may do anything, drawn by seed: how its sessions open, what they say, and how they end.

A session's habit is drawn when it opens; a call's temper says whether all its sessions have the same one. More kinds of
misbehaviour are more fields of `Habit` and more lines in `HostileSession`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import inf
from random import Random
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from bench.chaos_faults import CLOSES
from callbot.wire.gemini import AudioPart, ModelMessage, ResumptionUpdate, ToolCall, Transcription
from callbot.wire.reading import Unreadable
from tests.actors.network_edges import Model, ModelSocket, closed
from tests.actors.whole_call import tone

CHUNK_MS = 100
PAUSE_MS = 500  # so much quiet ends what the caller says
LOUD = 1000
NETWORK_S = 0.03
CONNECT_TIMEOUT_S = 10.0  # the connector's own; this one stands in its place
SILENCE = bytes(CHUNK_MS * 48)


@dataclass(frozen=True, slots=True)
class Habit:
    """What one session does. Times in seconds of its life, lengths in ms of audio; `inf` is never."""

    setup_s: float = 0.3
    refusal: Exception | None = None
    delay_s: float = 0.4  # from a question's end to the answer's beginning
    answer_ms: int = 1500  # 0: the turn has nothing in it
    burst: float = inf  # how much faster than speech the audio comes
    answers: float = 1.0  # the share of questions that it answers
    sound: str = "voice"  # or "zeros" or "text"
    speaks_first: bool = False
    dies_after_ms: float = inf  # of audio that it has sent
    dies_at_s: float = inf
    falls_silent_at_s: float = inf
    deaf_from_s: float = inf  # reads nothing more
    death: Exception = field(default_factory=lambda: closed(1011, "Internal error encountered."))
    gives_handles: bool = True
    interrupts_itself: float = 0.0  # the share of its turns
    obeys_barge_in: bool = True
    says_generated: bool = True
    says_complete: bool = True
    straggles: bool = False  # a little audio behind the turn's end
    repeats: int = 1  # how often it says that a turn is over, or interrupted
    go_away_at_s: float = inf
    go_away_left_s: float | None = 50.0
    garbage: float = 0.0  # the share of turns with something unreadable in them
    tool: str = ""  # called in each answer
    cancels_tools: bool = False


@cache
def _voice_chunk(hz: float) -> bytes:
    return tone(CHUNK_MS, hz=hz)


def draw_death(draw: Random) -> Exception:
    """How a session or its opening ends."""
    return draw.choice(
        (
            closed(*draw.choice(CLOSES)),
            closed(*draw.choice(CLOSES)),
            ConnectionResetError(104, "Connection reset by peer"),
            TimeoutError(),
        )
    )


def _draw_refusal(draw: Random) -> Exception:
    status = draw.choice((401, 403, 404, 429, 429, 500, 503, 503))
    wait = {"Retry-After": str(draw.choice((1, 5, 30)))} if draw.random() < 0.3 else {}
    return draw.choice(
        (
            InvalidStatus(Response(status, "", Headers(wait))),
            closed(*draw.choice(CLOSES)),
            ConnectionRefusedError(111, "Connection refused"),
            TimeoutError(),
        )
    )


def draw_habit(draw: Random) -> Habit:
    """A session with up to a few faults; one in four has none."""
    values: dict[str, Any] = {
        "setup_s": draw.choice((0.05, 0.3, 0.3, 1.5)),
        "delay_s": draw.choice((0.0, 0.3, 0.8, 2.5)),
        "answer_ms": draw.choice((300, 1000, 1500, 4000)),
        "burst": draw.choice((1.0, 4.0, inf)),
        "gives_handles": draw.random() < 0.8,
        "speaks_first": draw.random() < 0.1,
        "death": draw_death(draw),
    }
    faults: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"refusal": _draw_refusal(draw)},
        lambda: {"refusal": _draw_refusal(draw)},
        lambda: {"setup_s": CONNECT_TIMEOUT_S + 1},
        lambda: {"dies_after_ms": draw.choice((100, 1000, 1000, 2000))},
        lambda: {"dies_after_ms": draw.choice((100, 1000, 1000, 2000))},
        lambda: {"dies_at_s": draw.choice((0.0, 0.1, 1.0, 4.0, 6.0))},
        lambda: {"dies_at_s": draw.choice((0.0, 0.1, 1.0, 4.0, 6.0))},
        lambda: {"falls_silent_at_s": draw.choice((0.0, 2.0, 5.0))},
        lambda: {"deaf_from_s": draw.choice((0.5, 3.0))},
        lambda: {"answers": draw.choice((0.0, 0.3, 0.7))},
        lambda: {"answer_ms": 0},
        lambda: {"sound": draw.choice(("zeros", "text"))},
        lambda: {"delay_s": draw.choice((6.0, 9.0, 20.0))},
        lambda: {"interrupts_itself": draw.choice((0.3, 1.0))},
        lambda: {"obeys_barge_in": False},
        lambda: {"says_generated": False},
        lambda: {"says_complete": False},
        lambda: {"straggles": True},
        lambda: {"repeats": draw.randint(2, 20)},
        lambda: {"go_away_at_s": draw.choice((0.0, 1.0, 5.0)), "go_away_left_s": draw.choice((0.0, 1.5, 3.0, 50.0, None))},
        lambda: {"garbage": 0.5},
        lambda: {"tool": draw.choice(("end_call", "end_call", "look_up")), "cancels_tools": draw.random() < 0.3},
    )
    for _ in range(draw.choice((0, 1, 1, 2))):
        values |= draw.choice(faults)()
    return Habit(**values)


@dataclass
class Beginning:
    """An answer that has begun: to which question, by which session, and whether its end has come."""

    question: int
    session: int
    began_s: float
    complete: bool = False


class HostileSession(ModelSocket):
    """One session with its habit. It hears the caller by itself, with a detector of its own."""

    def __init__(self, model: "HostileModel", habit: Habit, number: int) -> None:
        super().__init__(on_close=self._end)
        self._model = model
        self._habit = habit
        self._draw = Random(f"{model.seed}/{number}")
        self._loop = asyncio.get_running_loop()
        self.number = number
        self.opened_s = self._loop.time()
        self._said_ms = 0.0
        self._handles = 0
        self._loud_ms = self._quiet_ms = 0.0
        self._turn: asyncio.Task[None] | None = None
        self._alive = True
        self._timers = [
            self._loop.call_later(after_s, do)
            for after_s, do in (
                (habit.dies_at_s, self.die),
                (habit.deaf_from_s, self.stall),
                (habit.go_away_at_s, self._go_away),
            )
            if after_s < inf
        ]
        if habit.speaks_first:
            self._ask()

    # What callbot sends.

    async def send_text(self, text: str) -> None:
        await super().send_text(text)
        self._ask()

    async def send_content(self, turns: Any, *, turn_complete: bool) -> None:
        await super().send_content(turns, turn_complete=turn_complete)
        if turn_complete:
            self._ask()

    async def send_tool_result(self, *result: Any, **more: Any) -> None:
        await super().send_tool_result(*result, **more)
        self._ask(with_tool=False)

    async def send_audio(self, pcm: bytes) -> None:
        await super().send_audio(pcm)
        self._hear(pcm)

    def send_audio_now(self, pcm: bytes) -> bool:
        taken = super().send_audio_now(pcm)
        if taken:
            self._hear(pcm)
        return taken

    async def ping(self) -> asyncio.Future[float]:
        pong = await super().ping()
        if not self._is_silent:
            self._loop.call_later(0.05, lambda: pong.done() or pong.set_result(0.05))
        return pong

    # What it makes of it.

    @property
    def _is_silent(self) -> bool:
        return self._loop.time() >= self.opened_s + self._habit.falls_silent_at_s

    def _hear(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), 640):
            frame = pcm[at : at + 640]
            loud = any(
                abs(int.from_bytes(frame[n : n + 2], "little", signed=True)) > LOUD for n in range(0, len(frame) - 1, 82)
            )
            if loud:
                self._loud_ms, self._quiet_ms = self._loud_ms + 20, 0.0
                if self._loud_ms == 200 and self._habit.obeys_barge_in and self._turn is not None and not self._turn.done():
                    self._interrupt()
            else:
                self._quiet_ms += 20
                if self._quiet_ms >= PAUSE_MS:
                    if self._loud_ms >= 100:
                        self._ask()
                    self._loud_ms = 0.0

    def _ask(self, *, with_tool: bool = True) -> None:
        if self._draw.random() < self._habit.answers and self._alive:
            if self._turn is not None:
                self._turn.cancel()
            self._turn = self._loop.create_task(self._answer(self._habit.tool if with_tool else ""))

    async def _answer(self, tool: str) -> None:
        habit, model = self._habit, self._model
        await asyncio.sleep(NETWORK_S + habit.delay_s)
        if self._draw.random() < habit.garbage:
            self.say(Unreadable("not_json"))
        beginning = Beginning(model.question(), self.number, self._loop.time())
        if tool:
            call = f"call-{self.number}-{self._draw.random()}"
            self.say(ModelMessage(tool_calls=(ToolCall(call, tool, {}),)))
            if habit.cancels_tools:
                self.say(ModelMessage(cancelled_tool_ids=(call,)))
        itself = self._draw.random() < habit.interrupts_itself
        for _ in range(habit.answer_ms // CHUNK_MS):
            if habit.sound == "text":
                self.say(ModelMessage(text=("well",)))
            else:
                voice = habit.sound == "voice"
                pcm = _voice_chunk(300.0 + 50 * (beginning.question % 8)) if voice else SILENCE
                self.say(ModelMessage(audio=(AudioPart(pcm, 24_000),), output_transcription=Transcription("la ")))
                if voice and beginning not in model.beginnings and self._alive and not self._is_silent:
                    model.beginnings.append(beginning)
            self._said_ms += CHUNK_MS
            if self._said_ms >= habit.dies_after_ms:
                self.die()
                return
            if itself and self._said_ms > 500:
                self._interrupt(beginning)
                return
            if habit.burst < inf:
                await asyncio.sleep(CHUNK_MS / 1000 / habit.burst)
        if habit.says_generated:
            self.say(ModelMessage(generation_complete=True))
        if habit.gives_handles:
            self._handles += 1
            handle = f"handle-{self.number}-{self._handles}"
            self.say(ModelMessage(resumption=ResumptionUpdate(handle, resumable=True)))
        await asyncio.sleep(0.0 if habit.burst == 1.0 else habit.answer_ms / 1000)
        if habit.says_complete:
            for _ in range(habit.repeats):
                self.say(ModelMessage(turn_complete=True))
            beginning.complete = self._alive and not self._is_silent
        if habit.straggles:
            await asyncio.sleep(0.15)
            self.say(ModelMessage(audio=(AudioPart(_voice_chunk(300.0), 24_000),)))

    def _interrupt(self, beginning: Beginning | None = None) -> None:
        if self._turn is not None and self._turn is not asyncio.current_task():
            self._turn.cancel()
        for _ in range(self._habit.repeats):
            self.say(ModelMessage(interrupted=True))
        self.say(ModelMessage(turn_complete=True))
        if beginning is not None:
            beginning.complete = True  # cut off by itself: nothing that callbot could help

    def _go_away(self) -> None:
        self.say(ModelMessage(go_away=True, go_away_time_left_s=self._habit.go_away_left_s))
        left_s = self._habit.go_away_left_s
        if left_s is not None:
            self._timers.append(self._loop.call_later(left_s, self.die))

    def say(self, message: ModelMessage | Unreadable) -> None:
        if self._alive and not self._is_silent:
            self._loop.call_soon(self.give, message)  # never in the turn of the loop in which it was spoken to

    def die(self) -> None:
        """The connection ends in the habit's way."""
        if self._alive:
            self._loop.call_soon(self.give, self._habit.death)
            self.fails = self._habit.death
            self._stop()

    def _end(self) -> None:
        self._stop()
        self._model.session_closed()

    def _stop(self) -> None:
        self._alive = False
        for timer in self._timers:
            timer.cancel()
        if self._turn is not None and self._turn is not asyncio.current_task():
            self._turn.cancel()


class HostileModel(Model):
    """The service of one call. `question` gives the number of what the caller has asked last."""

    def __init__(self, seed: str) -> None:
        super().__init__()
        self.seed = seed
        self._draw = Random(seed)
        self._same = draw_habit(self._draw) if self._draw.random() < 0.5 else None
        self.dialled_s: list[float] = []
        self.beginnings: list[Beginning] = []
        self.question: Callable[[], int] = lambda: 0

    async def open(self, order: Any) -> HostileSession:
        self.orders.append(order)
        self.dialled_s.append(asyncio.get_running_loop().time())
        assert self.open_links == 0, "a session was opened while another one was"
        habit = self._same or draw_habit(self._draw)
        await asyncio.sleep(min(habit.setup_s, CONNECT_TIMEOUT_S))
        if habit.setup_s > CONNECT_TIMEOUT_S:
            raise TimeoutError
        if habit.refusal is not None:
            raise habit.refusal
        self.open_links += 1
        session = HostileSession(self, habit, len(self.dialled_s))
        self.links.append(session)
        return session

    def session_closed(self) -> None:
        self.open_links -= 1

    @property
    def told(self) -> str:
        """The habit of all sessions, as far as it is not the usual one; "drawn" when each has its own."""
        if self._same is None:
            return "drawn for each session"
        usual = Habit()
        names = (name for name in Habit.__slots__ if name != "death" and getattr(self._same, name) != getattr(usual, name))
        return ", ".join(f"{name} {getattr(self._same, name)}" for name in names)
