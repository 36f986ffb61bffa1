"""Each sentence about the lean connection to the model, against the websockets library's own server."""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest
from google.genai.live import AsyncSession
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from callbot.gemini.capabilities import Opening
from callbot.gemini.connection import LeanConnection
from callbot.gemini.link import DirectLink

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
Handler = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def connected(handler: Handler, **options: int) -> AsyncIterator[LeanConnection]:
    """A lean connection to a server that runs `handler` once it has been spoken to, as the model's does."""

    async def spoken_to(peer: ServerConnection) -> None:
        assert await peer.recv() == "set up"
        await handler(peer)

    async with (
        serve(spoken_to, "127.0.0.1", 0, compression=None, ping_interval=None, max_size=None) as server,
        connect(
            f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            create_connection=LeanConnection,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            **options,
        ) as connection,
    ):
        assert isinstance(connection, LeanConnection)
        await connection.send("set up")
        yield connection


async def test_messages_of_every_size_come_in_order_and_pings_are_answered_between_them() -> None:
    messages: list[str | bytes] = ["", b"", "é" * 100, b"x" * 125, b"x" * 126, b"x" * 65_535, b"x" * 65_536, "last"]
    answered: list[float] = []

    async def handler(peer: ServerConnection) -> None:
        for message in messages:
            await peer.send(message)
            answered.append(await (await peer.ping()))
        await peer.wait_closed()

    async with connected(handler) as connection:
        assert [await connection.recv() for _ in messages] == messages
        assert connection._lean
    assert len(answered) >= len(messages) - 1  # the last may be under way


async def test_messages_are_handed_over_as_they_come_until_one_is_not_taken() -> None:
    taken: list[bytes] = []
    go_on, third = asyncio.Event(), asyncio.Event()

    def take(message: bytes) -> bool:
        if message == b"no":
            return False
        taken.append(message)
        if message == b"three":
            third.set()
        return True

    async def handler(peer: ServerConnection) -> None:
        await peer.send("one")
        frames = [Frame(Opcode.TEXT, word).serialize(mask=False) for word in (b"two", b"no", b"behind it")]
        peer.transport.write(b"".join(frames))
        await go_on.wait()
        await peer.send("three")
        await third.wait()
        peer.transport.write(b"".join(Frame(Opcode.TEXT, b"%d" % n).serialize(mask=False) for n in range(6)))
        await peer.close(1000, "done")

    async with connected(handler) as connection:
        connection.taker = take
        assert [await connection.recv(), await connection.recv()] == ["no", "behind it"]
        go_on.set()
        left = [message async for message in connection]
    assert taken == [b"one", b"two", b"three", b"0", b"1", b"2", b"3"]  # at most four of one read
    assert left == ["4", "5"]


async def test_a_message_in_parts_and_all_that_follow_are_the_librarys() -> None:
    async def handler(peer: ServerConnection) -> None:
        await peer.send("before")
        await peer.send(["a mess", "age"])
        await peer.send("after")

    async with connected(handler) as connection:
        assert [await connection.recv() for _ in range(3)] == ["before", "a message", "after"]
        assert not connection._lean


async def test_a_close_says_its_code_and_reason_after_every_message() -> None:
    async def handler(peer: ServerConnection) -> None:
        await peer.send("goodbye")
        await peer.close(1011, "quota")

    async with connected(handler) as connection:
        assert await connection.recv() == "goodbye"
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "quota")
        assert not connection.send_now(b"late")
        with pytest.raises(ConnectionClosed):
            await connection.send("late")


async def test_a_message_over_the_limit_ends_the_connection_with_1009() -> None:
    codes: list[int | None] = []

    async def handler(peer: ServerConnection) -> None:
        await peer.send(b"x" * (2**21 + 1))
        with contextlib.suppress(ConnectionClosed):
            await peer.recv()
        codes.append(peer.close_code)

    async with connected(handler, max_size=2**21) as connection:
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        await connection.wait_closed()
    assert codes == [1009]


async def test_what_is_sent_at_once_is_heard_as_it_was_and_before_what_is_sent_later() -> None:
    heard: list[str | bytes] = []

    async def handler(peer: ServerConnection) -> None:
        heard.extend([message async for message in peer])

    messages = ["", "one", "é" * 300, "x" * 70_000]
    async with connected(handler) as connection:
        for message in messages:
            assert connection.send_now(message.encode())
        await connection.send("last")
        assert connection._lean
    assert heard == [*messages, "last"]


async def test_a_peer_that_reads_nothing_is_waited_for_by_send_and_nothing_is_lost() -> None:
    go_on = asyncio.Event()
    heard = 0

    async def handler(peer: ServerConnection) -> None:
        nonlocal heard
        peer.transport.pause_reading()
        await go_on.wait()
        peer.transport.resume_reading()
        async for message in peer:
            heard += len(message)

    async with connected(handler) as connection:
        message, sent = b"x" * 60_000, 0
        while connection.send_now(message):
            sent += 1
            assert sent < 2000
        waiting = asyncio.ensure_future(connection.send(message.decode()))
        await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        await waiting
    assert heard == (sent + 1) * len(message)


@pytest.mark.parametrize("apart", [False, True], ids=["with the handshake", "after it"])
async def test_a_server_that_speaks_first_is_heard(apart: bool) -> None:
    """A message in the segment of the handshake's answer leaves the parsing to the library; cut anywhere, nothing is lost."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")).split()[1]
        accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        response = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )
        first = Frame(Opcode.TEXT, b"first").serialize(mask=False)
        pieces = [response[:20], response[20:], first] if apart else [response + first[:3], first[3:]]
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)  # segments of their own
        writer.write(
            Frame(Opcode.TEXT, b"second").serialize(mask=False) + Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False)
        )
        await reader.readexactly(8)  # the client's close: a mask and a code
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with connect(url, create_connection=LeanConnection, ping_interval=None) as connection:
        assert [message async for message in connection] == ["first", "second"]
    server.close()


async def test_an_answer_that_comes_at_once_leaves_others_their_turn() -> None:
    async def handler(peer: ServerConnection) -> None:
        peer.transport.write(Frame(Opcode.BINARY, b'{"serverContent":{}}').serialize(mask=False) * 60)
        await peer.wait_closed()

    async with connected(handler) as connection:
        link = DirectLink(
            contextlib.nullcontext(), cast("AsyncSession", SimpleNamespace(_ws=connection)), Opening.REALTIME_TEXT
        )
        turns, at_turn = 0, list[int]()

        async def listen() -> None:
            while len(at_turn) < 60:
                await link.receive()
                at_turn.append(turns)

        listening = asyncio.ensure_future(listen())
        while not listening.done():
            await asyncio.sleep(0)
            turns += 1
        await listening
    assert max(at_turn.count(turn) for turn in at_turn) <= 5
