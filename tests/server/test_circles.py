"""What has ended is gone at once: what the collector has to find, it clears away in the middle of everybody's calls."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypercorn.protocol.ws_stream import WSStream
from phone_line import Line, open_line
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callbot.server.calls.socket import QuartStreamSocket
from callbot.server.transport.connections import BoundedConnection
from callbot.server.transport.frames import StreamFrames
from callbot.server.transport.websocket import MediaWebsocket

OF_CONNECTIONS = (BoundedConnection, StreamFrames, WSStream, MediaWebsocket, QuartStreamSocket)


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def left() -> list[str]:
    return [type(one).__name__ for one in gc.get_objects() if type(one) in OF_CONNECTIONS]


async def nothing_is_left() -> None:
    """Returns when no connection is known to anything any more; else times out."""
    async with asyncio.timeout(5):
        while left():  # noqa: ASYNC110 - what ends announces nothing
            await asyncio.sleep(0.01)


async def forged_webhook(line: Line) -> None:
    assert await line.post("/twiml", line.form(), signature="A" * 27 + "=") == (403, "")


async def large_headers(line: Line) -> None:
    status, _ = await line.post("/twiml", line.form(), **{"X-A": "a" * line.settings.max_header_bytes})
    assert status == 431


async def slow_body(line: Line) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    writer.write(b"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
    writer.write(b"X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def webhook(line: Line) -> None:
    assert await line.token()


async def forged_handshake(line: Line) -> None:
    with pytest.raises(InvalidStatus):
        async with line.socket("A" * 27 + "="):
            pass


async def wrong_token(line: Line) -> None:
    async with line.stream("x" * 43) as stream:
        with pytest.raises(ConnectionClosed):
            await stream.recv()


async def call(line: Line) -> None:
    async with line.stream(await line.token()):
        await line.call()
    await line.calls.pop().ended.wait()


@pytest.mark.parametrize("visit", [forged_webhook, large_headers, slow_body, webhook, forged_handshake, wrong_token, call])
async def test_a_connection_that_has_ended_is_gone_without_the_collector(visit: Callable[[Line], Awaitable[None]]) -> None:
    async with open_line(request_timeout_s=0.1) as line:
        with no_collector():
            await visit(line)
            await nothing_is_left()


async def test_what_is_open_is_seen(line: Line) -> None:
    async with line.stream(await line.token()):
        await line.call()
        assert {"BoundedConnection", "StreamFrames", "MediaWebsocket", "QuartStreamSocket"} <= set(left())
