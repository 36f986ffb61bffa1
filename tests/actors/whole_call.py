"""A whole CallActor between a Twilio and a model in memory, and everything that it writes down."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

from callbot.actors.call import CallActor
from callbot.actors.call_metrics import CallMetrics
from callbot.actors.services import CallServices
from callbot.audio.framing import FrameAssembler
from callbot.audio.g711 import SILENT_FRAME, encode
from callbot.audio.resample import ModelDownsampler
from callbot.default_brief import brief_of
from callbot.messages.call import StreamStarted
from callbot.messages.terms import Ending
from callbot.settings import Settings
from callbot.store.conversations import MemoryConversations
from callbot.tools import Toolbox, standard_toolbox
from callbot.wire.gemini import AudioPart, ModelMessage
from tests.actors.network_edges import Model, ModelSocket, TwilioSocket, media


def tone(ms: int, *, hz: float = 440.0, rate_hz: int = 24_000, peak: int = 8000) -> bytes:
    samples = rate_hz * ms // 1000
    return struct.pack(f"<{samples}h", *(round(peak * math.sin(2 * math.pi * hz * n / rate_hz)) for n in range(samples)))


SPEECH_FRAME = encode(tone(20, rate_hz=8000))
GENERATED = ModelMessage(generation_complete=True)
COMPLETE = ModelMessage(turn_complete=True)
INTERRUPTED = ModelMessage(interrupted=True)


def spoken(ms: int, *, hz: float = 440.0) -> list[ModelMessage]:
    """A turn's audio as the service sends it: much faster than real time, 100 ms a message."""
    pcm = tone(ms, hz=hz)
    return [ModelMessage(audio=(AudioPart(pcm[at : at + 4800], 24_000),)) for at in range(0, len(pcm), 4800)]


TAIL_MS = 20
"""What a turn of whole frames is longer on the phone: the lead-in's 46 bytes push its end into another frame."""


def on_the_phone(pcm: bytes) -> bytes:
    """What a caller hears of a whole turn."""
    down, frames = ModelDownsampler("sinc_medium"), FrameAssembler()
    frames.reset(lead_in=down.look_ahead_bytes)
    return frames.push(down.push(pcm)) + frames.push(down.flush()) + frames.flush()


@dataclass
class LogLines:
    """A logger that keeps its lines; `breaks_on` names an event that it fails on."""

    bound: dict[str, Any] = field(default_factory=dict)
    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    breaks_on: list[str] = field(default_factory=list)

    def bind(self, **fields: Any) -> Self:
        return type(self)(self.bound | fields, self.lines, self.breaks_on)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if event in self.breaks_on:
            raise RuntimeError(f"the log broke on {event}")
        self.lines.append((level, event, self.bound | fields))

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write("error", event, fields)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for _, name, fields in self.lines if name == event]

    def moves(self) -> list[tuple[str, str, str]]:
        return [(line["from"], line["to"], line["reason"]) for line in self.of("call.state")]


class WholeCall:
    """One call that runs, its edges, its log."""

    def __init__(
        self,
        model: Model | None = None,
        *,
        toolbox: Toolbox | None = None,
        conversations: MemoryConversations | None = None,
        stream_no: int = 1,
        **settings: Any,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.began_s = self.loop.time()
        self.twilio = TwilioSocket()
        self.model = model or Model()
        self.log = LogLines()
        self.endings: list[tuple[str, Ending, bool]] = []  # and whether the socket was closed by then
        self.spoken_frames = 0
        values: dict[str, Any] = {"greeting": "", "gemini_api_key": "k", **settings}
        self.settings = Settings(**{"_env_file": None, **values})
        self.conversations = conversations or MemoryConversations(self.loop.time)
        self.services = CallServices(
            brief=brief_of(self.settings),
            opener=self.model,
            conversations=self.conversations,
            record_ending=lambda call, ending: self.endings.append((call, ending, self.twilio.closed is not None)),
            log=self.log,
            clock=self.loop.time,
            wall_clock=lambda: 1_700_000_000.0 + self.loop.time(),
            log_transcripts=self.settings.log_transcripts,
            toolbox=toolbox or standard_toolbox(),
            redact=lambda text: text,
            metrics=CallMetrics(),
            random=Random(1),
        )
        started = StreamStarted("CA1", "MZ1", "AC1", self.began_s, caller="***5310", stream_no=stream_no)
        self.actor = CallActor(started, self.twilio, self.services)

    @property
    def link(self) -> ModelSocket:
        return self.model.links[-1]

    @property
    def summary(self) -> dict[str, Any]:
        (line,) = self.log.of("call.summary")
        return line

    async def hear_caller(self, ms: int, frame: bytes = SPEECH_FRAME) -> None:
        """The caller's line for so long, a frame every 20 ms."""
        for _ in range(ms // 20):
            self.twilio.say(media(frame))
            self.spoken_frames += 1
            await asyncio.sleep(0.02)

    async def quiet(self, ms: int) -> None:
        await self.hear_caller(ms, SILENT_FRAME)

    def heard_by_model(self) -> int:
        """Caller audio that reached any session, in ms."""
        return sum(len(link.audio) for link in self.model.links) // 32


@asynccontextmanager
async def on_the_line(model: Model | None = None, *, ready: bool = True, **settings: Any) -> AsyncIterator[WholeCall]:
    """A call that has begun; when the block ends the caller hangs up, and the call must end in order."""
    call = WholeCall(model, **settings)
    task = asyncio.ensure_future(call.actor.run())
    if ready:
        await call.quiet(500)
    yield call
    if not task.done():
        call.twilio.stop()
    async with asyncio.timeout(60):
        await task
    assert_in_order(call)


def assert_in_order(call: WholeCall) -> None:
    """What holds after every call, whatever happened in it."""
    moves = call.log.moves()
    assert moves[-1][:2] == ("draining", "closed")
    assert [origin for origin, _, _ in moves] == ["connecting", *(dest for _, dest, _ in moves[:-1])]
    assert len(call.log.of("call.summary")) == 1
    assert call.log.lines[-1][1] == "call.summary"
    assert [closed for _, _, closed in call.endings] == [False]
    assert call.model.open_links == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not any(timer for timer in call.actor._timers.values() if not timer.cancelled())
    for _, event, fields in call.log.lines:
        assert {"call_sid", "stream_sid", "state", "t_ms"} <= set(fields), event
