"""A telephone exchange for tests: the real server on Hypercorn, the model's stand-in behind it, the caller's in front.

Nothing of callbot is replaced: the real google-genai client goes over TLS to the stand-in, and calls come in over a real
WebSocket with real signatures and tokens.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog

from callbot.assembly import serve_calls
from callbot.server.process.serve import Shutdown
from callbot.settings import Settings
from callbot.settings_loading import load
from callbot.simulators.gemini import GeminiStandIn, LiveSession, StandInOptions
from callbot.simulators.twilio import Carrier, CarrierOptions
from tests.live.plain_caller import PlainCall, plain_call

AUTH_TOKEN = "0123456789abcdef" * 2
PUBLIC_URL = "https://bot.example"

_LINES: ContextVar[list[dict[str, Any]]] = ContextVar("lines")
_running: list[list[dict[str, Any]]] = []


def _keep(_logger: Any, level: str, event: dict[str, Any]) -> str:
    _LINES.get().append(json.loads(json.dumps(event | {"level": level}, default=str)))
    raise structlog.DropEvent


@dataclass
class Exchange:
    """What a test works with."""

    standin: GeminiStandIn
    carrier: Carrier
    settings: Settings
    port: int
    shutdown: Shutdown
    lines: list[dict[str, Any]] = field(default_factory=list)
    _dialling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def log(self, event: str, call_sid: str | None = None) -> list[dict[str, Any]]:
        """The log lines of one kind, of one call or of all."""
        return [
            line for line in self.lines if line["event"] == event and (call_sid is None or line.get("call_sid") == call_sid)
        ]

    async def logged(self, event: str, count: int = 1, call_sid: str | None = None) -> list[dict[str, Any]]:
        """So many log lines of one kind: a caller is gone a moment before his call has ended."""
        async with asyncio.timeout(30):
            while len(self.log(event, call_sid)) < count:  # noqa: ASYNC110 - no line is announced
                await asyncio.sleep(0.02)
        return self.log(event, call_sid)

    def moves(self, call_sid: str | None = None) -> list[tuple[str, str]]:
        """The call's transitions, in order."""
        return [(line["from"], line["to"]) for line in self.log("call.state", call_sid)]

    async def next_session(self, opened: int) -> LiveSession:
        """The session that is ready after the first `opened` ones."""
        sessions = self.standin.sessions
        await self.standin.wait_for(lambda: any(session.ready for session in sessions[opened:]), 30)
        return next(session for session in sessions[opened:] if session.ready)

    async def replaced(self, breaking: Callable[[], Awaitable[object]]) -> LiveSession:
        """Break a session and give the one that takes its place; one at a time, so that it is the same call's."""
        async with self._dialling:
            opened = len(self.standin.sessions)
            await breaking()
            return await self.next_session(opened)

    async def successor(self, session: LiveSession, timeout_s: float = 30.0) -> LiveSession:
        """The session that resumes this one."""

        def found() -> LiveSession | None:
            later = (other for other in self.standin.sessions if other.number > session.number and other.ready)
            return next((other for other in later if other.lineage == session.lineage), None)

        await self.standin.wait_for(found, timeout_s)
        other = found()
        assert other is not None
        return other

    @asynccontextmanager
    async def driven_call(self, frames: Sequence[bytes] = ()) -> AsyncIterator[tuple[PlainCall, LiveSession]]:
        """The plain caller's call, and the session that is its: ready to be driven by hand. Hangs up at the end."""
        async with self._dialling:  # one at a time, so that the newest session is this call's
            opened = len(self.standin.sessions)
            line = plain_call(self.port, PUBLIC_URL, AUTH_TOKEN, frames=frames)
            call = await line.__aenter__()
            session = await self.next_session(opened)
        try:
            yield call, session
            await call.hang_up()
        finally:
            await line.__aexit__(None, None, None)


@asynccontextmanager
async def exchange(
    options: StandInOptions | None = None, *, carrier: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Exchange]:
    """A running exchange; ends with the server stopped in order."""
    lines: list[dict[str, Any]] = []
    _LINES.set(lines)  # inherited by every task and callback of this exchange, and by no other's
    _running.append(lines)
    structlog.configure(processors=[_keep], cache_logger_on_first_use=False)
    try:
        async with GeminiStandIn(options or StandInOptions()) as standin:
            chosen = {
                "port": 0,
                "host": "127.0.0.1",
                "service_url": PUBLIC_URL,
                "twilio_auth_token": AUTH_TOKEN,
                "gemini_api_key": "stand-in",
                "gemini_base_url": standin.base_url,
                "vertex_base_url": standin.base_url,
                "ssl_cert_file": str(standin.ca_pem_path),
                "drain_s": 2.0,
                "max_calls": 200,
                "max_calls_per_caller_per_minute": 10_000,
            } | settings
            loaded = load(_env_file=None, **chosen)
            started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            shutdown = Shutdown()
            async with asyncio.TaskGroup() as group:
                group.create_task(serve_calls(loaded, on_started=started.set_result, shutdown=shutdown))
                port = await started
                phone = Carrier(
                    CarrierOptions(
                        public_url=PUBLIC_URL,
                        connect_to=f"http://127.0.0.1:{port}",
                        auth_token=AUTH_TOKEN,
                        seed=1,
                        **(carrier or {}),
                    )
                )
                try:
                    yield Exchange(standin, phone, loaded, port, shutdown, lines)
                finally:
                    shutdown.request()
    finally:
        _running.pop()
        if not _running:
            structlog.reset_defaults()
