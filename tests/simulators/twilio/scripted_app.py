"""A small app under the stand-in's control: answers webhooks from a list, talks over the socket as a test says."""

import asyncio
import base64
import json
import math
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import audioop
from aiohttp import WSMsgType, web
from multidict import CIMultiDictProxy, MultiDictProxy
from twilio.request_validator import RequestValidator

from callbot.simulators.twilio import Carrier, CarrierOptions, MonotonicClock, StayOnLine, WaitUntilBotSpeaks

TOKEN = "a-token-for-tests"
PUBLIC = "https://bot.example"
# Long limits in the call's faster time are still short ones on the wall.
HEAR = WaitUntilBotSpeaks(timeout_s=300)
STAY = StayOnLine(timeout_s=300)
STREAM = '<Stream url="wss://bot.example/ws"/>'


def tone(length_ms: int, hz: int = 400, level: int = 8000) -> bytes:
    """16-bit samples at 8 kHz."""
    samples = (round(level * math.sin(2 * math.pi * hz * at / 8000)) for at in range(8 * length_ms))
    return b"".join(struct.pack("<h", sample) for sample in samples)


def ulaw_tone(length_ms: int) -> bytes:
    """Mu-law at 8 kHz."""
    return audioop.lin2ulaw(tone(length_ms), 2)


def response(*verbs: str) -> str:
    return f"<Response>{''.join(verbs)}</Response>"


@dataclass
class Received:
    """A webhook as it arrived."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    form: MultiDictProxy[Any]

    def is_signed(self) -> bool:
        fields = self.form if self.method == "POST" else {}
        signature = self.headers.get("X-Twilio-Signature", "")
        return bool(RequestValidator(TOKEN).validate(PUBLIC + self.path, fields, signature))


@dataclass
class AppSide:
    """The app's end of one socket."""

    socket: web.WebSocketResponse
    headers: CIMultiDictProxy[str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    messages: list[Any] = field(default_factory=list)
    raw: list[Any] = field(default_factory=list)
    closed: bool = False

    @property
    def stream_sid(self) -> str:
        return next(str(m["start"]["streamSid"]) for m in self.of("start"))

    def of(self, event: str) -> list[Any]:
        return [m for m in self.messages if isinstance(m, dict) and m.get("event") == event]

    async def receive(self) -> Any:
        """The next message, None at the end."""
        message = await self.socket.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            self.closed = True
            return None
        self.raw.append(message.data)
        try:
            decoded = json.loads(message.data) if message.type is WSMsgType.TEXT else message.data
        except (ValueError, RecursionError):
            decoded = message.data
        self.messages.append(decoded)
        return decoded

    async def until(self, event: str, count: int = 1) -> None:
        while len(self.of(event)) < count:
            if await self.receive() is None:
                raise ConnectionError(f"the socket ended before {event} number {count}")

    async def drain(self) -> None:
        while await self.receive() is not None:
            pass

    async def send(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def say(self, audio: bytes, mark: str = "", chunk_bytes: int = 1 << 20) -> None:
        """Send audio in one message, so that a slow machine puts no hole into it."""
        for at in range(0, len(audio), chunk_bytes):
            payload = base64.b64encode(audio[at : at + chunk_bytes]).decode()
            await self.send(event="media", streamSid=self.stream_sid, media={"payload": payload})
        if mark:
            await self.send(event="mark", streamSid=self.stream_sid, mark={"name": mark})

    async def clear(self) -> None:
        await self.send(event="clear", streamSid=self.stream_sid)


type Talk = Callable[[AppSide], Awaitable[None]]


async def listen(app: AppSide) -> None:
    """Take everything until the socket ends."""
    await app.drain()


@dataclass
class Answer:
    """What a path answers."""

    text: str = ""
    status: int = 200
    content_type: str = "text/xml"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_for: asyncio.Event | None = None


class ScriptedApp:
    """Serves `answers` (path -> answers in turn, the last one for ever) and the socket at /ws."""

    def __init__(self, talk: Talk = listen, refuse_socket: int = 0, **answers: str | Answer | list[str | Answer]) -> None:
        self.received: list[Received] = []
        self.sides: list[AppSide] = []
        self.talk = talk
        self.refuse_socket = refuse_socket
        self.answers = {f"/{name}": value if isinstance(value, list) else [value] for name, value in answers.items()}
        self.url = ""
        app = web.Application()
        app.router.add_get("/ws", self._socket)
        app.router.add_route("*", "/{path:.*}", self._webhook)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def carrier(self, *, speed: float = 10.0, **options: Any) -> Carrier:
        given: dict[str, Any] = {
            "public_url": PUBLIC,
            "connect_to": self.url,
            "auth_token": TOKEN,
            "seed": 7,
            "setup_ms": (0, 0),
            "say_ms_per_character": 0.0,
            "status_path": "/status",
        }
        return Carrier(CarrierOptions(**given | options), MonotonicClock(speed))

    def requests(self, path: str) -> list[Received]:
        return [received for received in self.received if received.path.partition("?")[0] == path]

    async def _webhook(self, request: web.Request) -> web.Response:
        self.received.append(Received(request.method, request.raw_path, request.headers, await request.post()))
        answers = self.answers.get(request.path)
        if answers is None:
            return web.Response(status=204 if request.path == "/status" else 404)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, str):
            answer = Answer(answer)
        if answer.wait_for is not None:
            await answer.wait_for.wait()
        return web.Response(
            text=answer.text, status=answer.status, content_type=answer.content_type, headers=dict(answer.headers)
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_socket:
            return web.Response(status=self.refuse_socket)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        side = AppSide(socket, request.headers, request.raw_headers)
        self.sides.append(side)
        try:
            await self.talk(side)
        except ConnectionError:
            return socket  # the stand-in broke the link, as the test wanted
        await socket.close()
        return socket
