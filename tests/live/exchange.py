"""A telephone exchange for tests: the real server on Hypercorn, the model's stand-in behind it, the caller's in front.

Nothing of callbot is replaced: the real google-genai client goes over TLS to the stand-in, and calls come in over a real
WebSocket with real signatures and tokens.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from callbot.assembly import serve_calls
from callbot.server.serve import Shutdown
from callbot.settings import Settings, load
from callbot.simulators.gemini import GeminiStandIn, StandInOptions
from callbot.simulators.twilio import Carrier, CarrierOptions

AUTH_TOKEN = "0123456789abcdef" * 2
PUBLIC_URL = "https://bot.example"


@dataclass
class Exchange:
    """What a test works with."""

    standin: GeminiStandIn
    carrier: Carrier
    settings: Settings
    port: int
    shutdown: Shutdown
    lines: list[dict[str, Any]] = field(default_factory=list)

    def log(self, event: str, call_sid: str | None = None) -> list[dict[str, Any]]:
        """The log lines of one kind, of one call or of all."""
        return [
            line for line in self.lines if line["event"] == event and (call_sid is None or line.get("call_sid") == call_sid)
        ]

    def moves(self, call_sid: str | None = None) -> list[tuple[str, str]]:
        """The call's transitions, in order."""
        return [(line["from"], line["to"]) for line in self.log("call.state", call_sid)]


@asynccontextmanager
async def exchange(
    options: StandInOptions | None = None, *, carrier: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Exchange]:
    """A running exchange; ends with the server stopped in order."""
    lines: list[dict[str, Any]] = []

    def keep(_logger: Any, level: str, event: dict[str, Any]) -> str:
        lines.append(json.loads(json.dumps(event | {"level": level}, default=str)))
        raise structlog.DropEvent

    structlog.configure(processors=[keep], cache_logger_on_first_use=False)
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
        structlog.reset_defaults()
