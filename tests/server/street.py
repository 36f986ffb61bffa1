"""A live server with an honest call on it, and what an attacker may have got hold of."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from phone_line import (
    CALL,
    METRICS_TOKEN,
    EchoCall,
    Line,
    media,
    open_line,
)
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

HONEST = "CA" + "f" * 32
VICTIM = CALL
OTHER = "CA" + "3" * 32


@dataclass
class Street:
    """The server, an honest call on it, and what an attacker may have got hold of."""

    line: Line
    honest: EchoCall
    honest_socket: ClientConnection
    tokens: list[str]

    async def steal_token(self, call_sid: str = VICTIM) -> str:
        self.tokens.append(await self.line.token(call_sid))
        return self.tokens[-1]

    def opened(self) -> int:
        """Calls opened beside the honest one."""
        return len(self.line.calls) - 1


async def closed_with(websocket: ClientConnection) -> tuple[int, str]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await websocket.recv()
    assert websocket.close_code is not None
    return websocket.close_code, websocket.close_reason or ""


@contextlib.asynccontextmanager
async def open_street(**overrides: Any) -> AsyncIterator[Street]:
    async with open_line(metrics_token=METRICS_TOKEN, **overrides) as line:
        token = await line.token(HONEST)
        async with line.stream(token, HONEST) as socket:
            street = Street(line, await line.call(), socket, [token])
            yield street
            for chunk in range(1, 6):
                await socket.send(media(chunk))
            async with asyncio.timeout(5):
                assert [await socket.recv() for _ in range(5)] == [media(chunk) for chunk in range(1, 6)]
            assert not street.honest.ended.is_set()
    assert not line.events("server.crashed")
    assert not [entry for entry in line.events("server.hypercorn") if entry["log_level"] != "debug"]
    assert not line.events("call.crashed")
