"""A server on loopback, the way production runs it, and a Twilio that signs; the call is an echo that keeps a record."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlencode

import aiohttp
import orjson
import structlog
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import ClientConnection, connect

from callbot.actors.ports import CallHandle, StreamClosed, StreamSocket
from callbot.messages.call import StreamStarted
from callbot.server.http.app import create_app
from callbot.server.process.serve import Shutdown, open_listener, serve_app
from callbot.server.services import ServerServices
from callbot.settings import Settings

ORIGIN = "https://bot.example"
SOCKET_URL = "wss://bot.example/ws/twilio"
AUTH_TOKEN = "planted-auth-token-5f1c"
OTHER_TOKEN = "planted-second-token-77aa"
GEMINI_KEY = "planted-gemini-key-93bd"
METRICS_TOKEN = "planted-metrics-token-11ee"
ACCOUNT = "AC" + "a" * 32
CALL = "CA" + "1" * 32
STREAM = "MZ" + "2" * 32
CALLER = "+14158675310"


def make_settings(**overrides: Any) -> Settings:
    """Settings of a whole deployment, every secret planted; nothing from the environment's `.env`."""
    values: dict[str, Any] = {
        "service_url": ORIGIN,
        "twilio_account_sid": ACCOUNT,
        "twilio_auth_token": f"{AUTH_TOKEN},{OTHER_TOKEN}",
        "gemini_api_key": GEMINI_KEY,
        "drain_s": 0.2,
        "start_timeout_s": 2.0,
        **overrides,
    }
    return Settings(_env_file=None, **values)  # type: ignore[call-arg]


class StoppedClock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class EchoCall:
    """A call that sends back what it hears and notes everything; a request to drain closes its socket."""

    def __init__(self, started: StreamStarted, socket: StreamSocket) -> None:
        self.started = started
        self.socket = socket
        self.heard: list[str | bytes] = []
        self.asked_to_drain = asyncio.Event()
        self.ended = asyncio.Event()
        self.how = ""

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                goodbye = tasks.create_task(self._say_goodbye())
                await self._echo()
                goodbye.cancel()
        except asyncio.CancelledError:
            self.how = "cancelled"
            raise
        finally:
            self.ended.set()

    def request_drain(self) -> None:
        self.asked_to_drain.set()

    async def _echo(self) -> None:
        try:
            while True:
                message = await self.socket.receive()
                self.heard.append(message)
                if isinstance(message, str):
                    await self.socket.send(message)
        except StreamClosed:
            self.how = "stream closed"

    async def _say_goodbye(self) -> None:
        await self.asked_to_drain.wait()
        await self.socket.close(1001, "goodbye")


class StubbornCall(EchoCall):
    """A call that does not end when it is asked to."""

    async def _say_goodbye(self) -> None:
        return


class CrashingCall(EchoCall):
    """A call with a bug."""

    async def _echo(self) -> None:
        await self.socket.receive()
        raise RuntimeError("a bug in the call")


class Capture(structlog.testing.LogCapture):
    """Every log line, and an event for whoever waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def __call__(self, *line: Any) -> NoReturn:
        self.written.set()
        super().__call__(*line)


@dataclass
class Line:
    """One end of the telephone line: the running server, and how to reach it as Twilio does."""

    settings: Settings
    services: ServerServices
    port: int
    http: aiohttp.ClientSession
    calls: list[EchoCall]
    prepared: list[str]
    shutdown: Shutdown
    opened: asyncio.Queue[EchoCall]
    capture: "Capture"

    @property
    def lines(self) -> list[MutableMapping[str, Any]]:
        return self.capture.entries

    def events(self, name: str) -> list[MutableMapping[str, Any]]:
        return [line for line in self.lines if line["event"] == name]

    def reasons(self, name: str = "stream.refused") -> list[str]:
        return [line["reason"] for line in self.events(name)]

    def form(self, **fields: str) -> dict[str, str]:
        return {
            "CallSid": CALL,
            "AccountSid": ACCOUNT,
            "From": CALLER,
            "To": "+4930123456",
            "CallStatus": "ringing",
            "FromCity": "",
            "CallerName": "Zoë",
            **fields,
        }

    async def post(
        self, target: str, fields: dict[str, str], *, signature: str | None = None, token: str = AUTH_TOKEN, **headers: str
    ) -> tuple[int, str]:
        """A signed form; `signature` replaces the right one."""
        if signature is None:
            signature = RequestValidator(token).compute_signature(ORIGIN + target, fields)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature, **headers}
        async with self.http.post(f"http://127.0.0.1:{self.port}{target}", data=urlencode(fields), headers=headers) as answer:
            return answer.status, await answer.text()

    async def token(self, call_sid: str = CALL) -> str:
        """Ring, and read the token out of the answer."""
        status, document = await self.post("/twiml", self.form(CallSid=call_sid))
        assert status == 200, document
        return token_in(document)

    @contextlib.asynccontextmanager
    async def socket(self, signature: str | None = "right", path: str = "/ws/twilio") -> AsyncIterator[ClientConnection]:
        headers = {}
        if signature == "right":
            headers["x-twilio-signature"] = RequestValidator(AUTH_TOKEN).compute_signature(SOCKET_URL, {})
        elif signature is not None:
            headers["x-twilio-signature"] = signature
        async with connect(
            f"ws://127.0.0.1:{self.port}{path}",
            additional_headers=headers,
            compression=None,
            user_agent_header="Twilio.TmeWs/1.0",
            ping_interval=None,
            close_timeout=2,
            max_queue=None,
        ) as websocket:
            yield websocket

    @contextlib.asynccontextmanager
    async def stream(self, token: str, call_sid: str = CALL, *, stream_no: str = "1") -> AsyncIterator[ClientConnection]:
        async with self.socket() as websocket:
            await websocket.send(connected())
            await websocket.send(start(token, call_sid, stream_no=stream_no))
            yield websocket

    async def call(self, number: int = 0) -> EchoCall:
        """The call that was opened as `number`, once it has been."""
        async with asyncio.timeout(5):
            while len(self.calls) <= number:
                await self.opened.get()
        return self.calls[number]

    async def said(self, name: str, times: int = 1) -> MutableMapping[str, Any]:
        """The log line of that event, once it has been written so many times."""
        async with asyncio.timeout(5):
            while len(self.events(name)) < times:
                self.capture.written.clear()
                await self.capture.written.wait()
        return self.events(name)[times - 1]

    def everything_said(self) -> str:
        """All output: log lines with their tracebacks, as JSON."""
        return orjson.dumps(self.lines, default=repr).decode()


def token_in(document: str) -> str:
    """The token in a `<Connect>` answer."""
    return document.partition('name="token" value="')[2].partition('"')[0]


def connected() -> str:
    return '{"event":"connected","protocol":"Call","version":"1.0.0"}'


def start(token: str, call_sid: str = CALL, *, account: str = ACCOUNT, stream_no: str = "1", **parameters: str) -> str:
    return orjson.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": STREAM,
            "start": {
                "accountSid": account,
                "streamSid": STREAM,
                "callSid": call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"token": token, "stream_no": stream_no, **parameters},
            },
        }
    ).decode()


def media(chunk: int) -> str:
    return (
        f'{{"event":"media","sequenceNumber":"{chunk + 1}","streamSid":"{STREAM}",'
        f'"media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{20 * chunk}","payload":"{"/" * 213}w=="}}}}'
    )


@contextlib.asynccontextmanager
async def open_line(
    call_class: Callable[[StreamStarted, StreamSocket], CallHandle] = EchoCall,
    *,
    clock: Callable[[], float] = time.monotonic,
    **overrides: Any,
) -> AsyncIterator[Line]:
    """A server in this loop, from its port to its drain."""
    settings = make_settings(**overrides)
    capture = Capture()
    log = structlog.wrap_logger(
        None,
        processors=[structlog.processors.format_exc_info, capture],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    calls: list[Any] = []
    opened: asyncio.Queue[Any] = asyncio.Queue()
    prepared: list[str] = []

    def factory(started: StreamStarted, socket: StreamSocket) -> CallHandle:
        call = call_class(started, socket)
        calls.append(call)
        opened.put_nowait(call)
        return call

    services = ServerServices.from_settings(settings, call_factory=factory, log=log, on_webhook=prepared.append, clock=clock)
    shutdown = Shutdown()
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(
            serve_app(
                create_app(services),
                services,
                listener=open_listener("127.0.0.1", 0),
                shutdown=shutdown,
                on_started=ready.set_result,
            )
        )
        try:
            async with aiohttp.ClientSession() as http:
                yield Line(settings, services, await ready, http, calls, prepared, shutdown, opened, capture)
        finally:
            shutdown.request()
        async with asyncio.timeout(10):
            await serving
