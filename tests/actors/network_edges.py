"""What a call meets at its two edges, in memory and in virtual time: a Twilio that plays, and a model that is scripted."""

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from callbot.actors.ports import StreamClosed
from callbot.wire.gemini import HistoryTurn, ModelMessage
from callbot.wire.reading import Unreadable

STREAM = "MZ1"


def closed(code: int, reason: str = "") -> ConnectionClosedError:
    """What reading from a socket raises when the peer has closed it."""
    return ConnectionClosedError(Close(code, reason), None)


def media(mulaw: bytes, *, timestamp_ms: int | None = None, track: str | None = None) -> str:
    body: dict[str, Any] = {"payload": base64.b64encode(mulaw).decode()}
    if track is not None:
        body["track"] = track
    if timestamp_ms is not None:
        body["timestamp"] = str(timestamp_ms)
    return json.dumps({"event": "media", "streamSid": STREAM, "media": body})


def mark(name: str) -> str:
    return json.dumps({"event": "mark", "streamSid": STREAM, "mark": {"name": name}})


STOP = json.dumps({"event": "stop", "streamSid": STREAM, "stop": {"callSid": "CA1", "accountSid": "AC1"}})


@dataclass(frozen=True)
class Sent:
    """One message that reached Twilio."""

    at_s: float
    event: str
    mulaw: bytes = b""
    name: str = ""


class TwilioSocket:
    """A stream socket whose other end plays in real time and gives marks back, as Twilio does."""

    def __init__(self, *, returns_marks: bool = True) -> None:
        self.sent: list[Sent] = []
        self.closed: tuple[int, str] | None = None
        self.returns_marks = returns_marks
        self.answers_close = True
        self.gate = asyncio.Event()  # closed: sends wait, as to a peer that does not read
        self.gate.set()
        self._incoming: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()
        self._taker: Callable[[str | bytes], bool] | None = None
        self._ends_s = 0.0
        self._marks: dict[str, asyncio.TimerHandle] = {}

    # The app's side.

    async def receive(self) -> str | bytes:
        message = await self._incoming.get()
        try:
            if isinstance(message, Exception):
                raise message
            return message
        finally:
            del message  # an exception that its own frame keeps is a circle

    async def send(self, message: str) -> None:
        await self.gate.wait()
        if self.closed is not None:
            raise StreamClosed
        self._take(message)

    def hand_to(self, take: Callable[[str | bytes], bool]) -> None:
        self._taker = take

    def send_now(self, message: str) -> bool:
        if not self.gate.is_set() or self.closed is not None:
            return False
        self._take(message)
        return True

    def _take(self, message: str) -> None:
        tree = json.loads(message)
        assert tree["streamSid"] == STREAM
        now_s = asyncio.get_running_loop().time()
        match tree["event"]:
            case "media":
                mulaw = base64.b64decode(tree["media"]["payload"])
                assert mulaw, "Twilio has no use for empty media"
                assert len(mulaw) % 160 == 0, "not whole frames"
                self._ends_s = max(self._ends_s, now_s) + len(mulaw) / 8000
                self.sent.append(Sent(now_s, "media", mulaw))
            case "mark":
                name = tree["mark"]["name"]
                self.sent.append(Sent(now_s, "mark", name=name))
                if self.returns_marks:
                    loop = asyncio.get_running_loop()
                    self._marks[name] = loop.call_at(max(self._ends_s, now_s), self._return_mark, name)
            case "clear":
                self.sent.append(Sent(now_s, "clear"))
                self._ends_s = now_s
                for name in list(self._marks):
                    self._marks[name].cancel()
                    self._return_mark(name)
            case other:
                raise AssertionError(f"Twilio knows no {other}")

    async def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            if self.answers_close:
                self._incoming.put_nowait(StreamClosed())
            else:
                await asyncio.Event().wait()

    # Twilio's side.

    def say(self, message: str | bytes) -> None:
        if self._taker is None or not self._incoming.empty() or not self._taker(message):
            self._incoming.put_nowait(message)

    def stop(self) -> None:
        self.say(STOP)

    def drop(self, error: Exception | None = None) -> None:
        """The connection is gone, without a word."""
        self._incoming.put_nowait(error or StreamClosed())

    def fall_silent(self) -> None:
        """The connection is gone, and nobody says so."""
        self.returns_marks = False
        for timer in self._marks.values():
            timer.cancel()
        self._marks.clear()

    def _return_mark(self, name: str) -> None:
        del self._marks[name]
        self.say(mark(name))

    @property
    def audio(self) -> bytes:
        return b"".join(message.mulaw for message in self.sent)

    @property
    def events(self) -> list[str]:
        return [message.event for message in self.sent]


class ModelSocket:
    """A model link: what was sent is kept, what comes is scripted."""

    def __init__(self, *, on_close: Callable[[], None] = lambda: None) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.closed_s: float | None = None
        self.fails: Exception | None = None  # every send that is awaited raises it
        self.fails_at_once: Exception | None = None  # the immediate send raises it
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self.pongs: list[asyncio.Future[float]] = []
        self._on_close = on_close
        self._incoming: asyncio.Queue[ModelMessage | Unreadable | BaseException] = asyncio.Queue()
        self._taker: Callable[[ModelMessage | Unreadable], bool] | None = None

    def give(self, *messages: ModelMessage | Unreadable | BaseException) -> None:
        for message in messages:
            direct = self._taker is not None and self._incoming.empty() and not isinstance(message, BaseException)
            if not direct or not self._taker(message):
                self._incoming.put_nowait(message)

    @property
    def is_open(self) -> bool:
        return self.closed_s is None

    def stall(self) -> None:
        """No send returns, as to a peer that does not read."""
        self._goes_on.clear()

    def resume(self) -> None:
        self._goes_on.set()

    @property
    def audio(self) -> bytes:
        return b"".join(what for kind, what in self.sent if kind == "audio")

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.sent]

    async def _send(self, kind: str, what: Any) -> None:
        await self._goes_on.wait()
        if self.fails is not None:
            raise self.fails
        self.sent.append((kind, what))

    async def send_audio(self, pcm: bytes) -> None:
        await self._send("audio", pcm)

    def hand_to(self, take: Callable[[ModelMessage | Unreadable], bool]) -> None:
        self._taker = take

    def send_audio_now(self, pcm: bytes) -> bool:
        if self.fails_at_once is not None:
            raise self.fails_at_once
        if not self._goes_on.is_set() or self.fails is not None:
            return False
        self.sent.append(("audio", pcm))
        return True

    async def ask(self, text: str) -> None:
        await self.send_text(text)

    async def send_text(self, text: str) -> None:
        await self._send("text", text)

    async def send_content(self, turns: Sequence[HistoryTurn], *, turn_complete: bool) -> None:
        await self._send("content", (tuple(turns), turn_complete))

    async def send_tool_result(self, call_id: str, name: str, result: dict[str, Any]) -> None:
        await self._send("tool", (call_id, name, result))

    async def send_audio_stream_end(self) -> None:
        await self._send("stream_end", None)

    async def receive(self) -> ModelMessage | Unreadable:
        message = await self._incoming.get()
        if isinstance(message, BaseException):
            raise message
        return message

    async def ping(self) -> asyncio.Future[float]:
        self.sent.append(("ping", None))
        pong = asyncio.get_running_loop().create_future()
        self.pongs.append(pong)
        return pong

    async def close(self, timeout_s: float) -> None:
        if self.closed_s is None:
            self.closed_s = asyncio.get_running_loop().time()
            self._on_close()


@dataclass
class Model:
    """A service that opens links: one after the other, or not at all. Two open at once are a fault."""

    setup_s: float = 0.3
    refusals: list[Exception] = field(default_factory=list)  # raised by the next openings, in order
    links: list[ModelSocket] = field(default_factory=list)
    orders: list[Any] = field(default_factory=list)
    open_links: int = 0

    async def open(self, order: Any) -> ModelSocket:
        self.orders.append(order)
        assert self.open_links == 0, "a session was opened while another one was"
        await asyncio.sleep(self.setup_s)
        if self.refusals:
            raise self.refusals.pop(0)
        self.open_links += 1
        link = ModelSocket(on_close=self._closed)
        self.links.append(link)
        return link

    def _closed(self) -> None:
        self.open_links -= 1
