"""Each sentence about the lean connection, on both event loops, over real sockets."""

import asyncio
import contextlib
import socket
import struct
from typing import Any

import pytest
from hypercorn.protocol.ws_stream import FrameTooLargeError
from socket_server import HANDSHAKE, close_of, connections, flood_deafly, serving
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from wsproto.events import TextMessage

from callbot.server.transport.websocket import CutOffBuffer, MediaDisconnected, MediaWebsocket


def test_every_message_before_the_close_is_delivered_then_receive_raises(run: Any) -> None:
    async def scenario() -> None:
        heard: list[str | bytes] = []
        ended = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            try:
                while True:
                    heard.append(await peer.receive())
            except MediaDisconnected:
                with pytest.raises(MediaDisconnected):
                    await peer.receive()
                await peer.send("to nobody: dropped silently")
                ended.set()

        async with serving(route) as (opened, _):
            async with opened() as peer:
                for number in range(200):
                    await peer.send(str(number))
            await ended.wait()
            assert heard == [str(number) for number in range(200)]

    run(scenario())


def test_a_reset_is_a_disconnect(run: Any) -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            try:
                while True:
                    await peer.receive()
            except MediaDisconnected:
                ended.set()

        async with serving(route) as (opened, _), opened() as peer:
            await peer.send("x")
            raw: socket.socket = peer.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.transport.abort()
            await ended.wait()

    run(scenario())


def test_what_is_awaited_after_close_runs_to_its_end(run: Any) -> None:
    async def scenario() -> None:
        cleaned_up = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            await peer.close(1000, "bye")
            with contextlib.suppress(MediaDisconnected):
                while True:
                    await peer.receive()
            await asyncio.sleep(0)
            cleaned_up.set()

        async with serving(route) as (opened, _), opened() as peer:
            assert await close_of(peer) == 1000
            await cleaned_up.wait()

    run(scenario())


def test_a_route_cancelled_by_its_own_code_closes_with_1011(run: Any) -> None:
    async def scenario() -> None:
        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await peer.receive()

        async with serving(route) as (opened, _), opened() as peer:
            assert await close_of(peer) == 1011

    run(scenario())


def test_a_route_that_returns_before_accepting_gives_500(run: Any) -> None:
    async def scenario() -> None:
        async def route(peer: MediaWebsocket) -> None:
            return

        async with serving(route) as (opened, _):
            with pytest.raises(InvalidStatus) as refused:
                async with opened():
                    pass
            assert refused.value.response.status_code == 500

    run(scenario())


def test_a_flood_waits_in_the_kernel_and_not_in_the_process(run: Any) -> None:
    async def scenario() -> None:
        go_on, ended = asyncio.Event(), asyncio.Event()
        heard = 0

        async def route(peer: MediaWebsocket) -> None:
            nonlocal heard
            await peer.accept()
            await go_on.wait()
            with contextlib.suppress(MediaDisconnected):
                while True:
                    await peer.receive()
                    heard += 1
            ended.set()

        async with serving(route) as (opened, _):
            async with opened() as peer:
                message = "x" * 60_000
                sent = 0
                # The sender stalls once ten messages and the buffers of both kernels and transports are full.
                with contextlib.suppress(TimeoutError):
                    while sent < 2000:
                        async with asyncio.timeout(0.2):
                            await peer.send(message)
                        sent += 1
                assert sent < 2000
                go_on.set()
            await ended.wait()
            assert heard >= sent

    run(scenario())


def test_a_route_that_stops_reading_and_ends_lets_its_peer_go(run: Any) -> None:
    async def scenario() -> None:
        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            await peer.receive()
            await peer.close(1000, "goodbye")

        async with serving(route) as (opened, _), opened() as peer:
            for _ in range(100):
                await peer.send("x" * 300)
            assert await close_of(peer) == 1000

    run(scenario())


def test_a_route_that_ends_while_its_peer_floods_leaks_nothing(run: Any) -> None:
    """Hypercorn would wait for ever to put the disconnect into a full queue, and its shutdown with it."""

    async def scenario() -> None:
        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            await peer.receive()
            await peer.close(1008, "flood")

        async with serving(route) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            served = connections()
            assert len(served) == 1
            await flood_deafly(writer)
            _, leaked = await asyncio.wait(served, timeout=5)
            assert not leaked

    run(scenario())


def test_an_empty_binary_message_is_empty_bytes(run: Any) -> None:
    async def scenario() -> None:
        heard: asyncio.Queue[str | bytes] = asyncio.Queue()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            with contextlib.suppress(MediaDisconnected):
                while True:
                    heard.put_nowait(await peer.receive())

        async with serving(route) as (opened, _), opened() as peer:
            await peer.send(b"")
            await peer.send("")
            await peer.send(b"x")
            assert [await heard.get() for _ in range(3)] == [b"", "", b"x"]

    run(scenario())


def test_rubbish_after_the_close_is_no_fault_of_ours(run: Any) -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            try:
                while True:
                    await peer.receive()
            except MediaDisconnected:
                ended.set()

        async with serving(route) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x88\x80\x00\x00\x00\x00" + b"\xff" * 1000)
            await reader.read()
            await ended.wait()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    run(scenario())


def test_of_a_message_that_never_ends_nothing_is_kept_after_its_limit() -> None:
    """Hypercorn's own buffer goes on growing after the server has closed with 1009."""
    told: list[str] = []
    half = CutOffBuffer(100, lambda: told.append("cut off"))
    half.extend(TextMessage("x" * 60))
    for _ in range(3):
        with pytest.raises(FrameTooLargeError):
            half.extend(TextMessage("x" * 60))
        assert half.value is None
    assert told == ["cut off"]


def test_compression_is_not_accepted_when_it_is_offered(run: Any) -> None:
    """Hypercorn would inflate a whole read before it looks at the size."""

    async def scenario() -> None:
        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            with contextlib.suppress(MediaDisconnected):
                await peer.send(str(await peer.receive()))

        async with (
            serving(route) as (_, port),
            connect(f"ws://127.0.0.1:{port}/ws", compression="deflate", ping_interval=None, close_timeout=2) as peer,
        ):
            assert peer.request is not None
            assert "permessage-deflate" in peer.request.headers["Sec-WebSocket-Extensions"]
            assert peer.protocol.extensions == []
            await peer.send("plain")
            assert await peer.recv() == "plain"

    run(scenario())
