"""One WebSocket route behind a real Hypercorn, for the tests of the connection under it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, cast

import hypercorn.asyncio
import structlog
from phone_line import make_settings
from quart import websocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from callbot.server.http.app import CallbotApp
from callbot.server.limits.newcomers import NewcomerBudget
from callbot.server.process.serve import hypercorn_config, open_listener
from callbot.server.transport.websocket import DirectConnection, MediaWebsocket

Run = Callable[[Coroutine[Any, Any, None]], None]
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
Route = Callable[[MediaWebsocket], Awaitable[None]]
Open = Callable[[], contextlib.AbstractAsyncContextManager[ClientConnection]]


class QuickConnection(DirectConnection):
    read_out_s = 0.05


def app_with(route: Route) -> CallbotApp:
    app = CallbotApp(structlog.get_logger())
    app.asgi_websocket_class = QuickConnection

    @app.websocket("/ws")
    async def serve_socket() -> None:
        await route(cast("MediaWebsocket", websocket._get_current_object()))

    return app


@contextlib.asynccontextmanager
async def serving(route: Route) -> AsyncIterator[tuple[Open, int]]:
    """The route behind Hypercorn; leaving means that Hypercorn has shut down in order."""
    listener = open_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    stop = asyncio.Event()
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    config = hypercorn_config(make_settings(), log, listener.detach(), NewcomerBudget(1.0, lambda: False), log.warning)

    def opened() -> contextlib.AbstractAsyncContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{port}/ws", compression=None, ping_interval=None, max_queue=None, close_timeout=2)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hypercorn.asyncio.serve(app_with(route), config, shutdown_trigger=stop.wait))
        try:
            yield opened, port
        finally:
            stop.set()


def connections() -> list[asyncio.Task[Any]]:
    """Hypercorn's tasks that serve a connection each."""
    return [task for task in asyncio.all_tasks() if "_server_callback" in repr(task.get_coro())]


async def flood_deafly(writer: asyncio.StreamWriter) -> None:
    """Send short text frames, deaf to the close that is sent back, until the connection is gone."""
    frames = (b"\x81\xa8" + b"\x00" * 4 + b"x" * 40) * 500
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(frames)
            await writer.drain()
            await asyncio.sleep(0)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def close_of(peer: ClientConnection) -> int:
    """Read until the server closes; its code."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await peer.recv()
    assert peer.close_code is not None
    return peer.close_code
