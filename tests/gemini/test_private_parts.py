"""Canaries: each private part of google-genai and websockets that callbot uses is there, and does what callbot takes it for.

The session is the real google-genai client's, over TLS, with the Gemini stand-in. A failure after an upgrade says which
part has changed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import google.genai.live
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from callbot.gemini import connection as private
from callbot.gemini.client import make_client, tls_context
from callbot.gemini.connection import LeanConnection
from callbot.gemini.dialling import ModelConnect
from callbot.settings_loading import load
from callbot.simulators.gemini import GeminiStandIn, StandInOptions
from tests.gemini.test_lean_connection import connected


@dataclass
class Opened:
    """A session of the SDK, and its connection."""

    session: google.genai.live.AsyncSession
    connection: ClientConnection


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    async with GeminiStandIn(StandInOptions()) as standin:
        settings = load(
            _env_file=None, gemini_api_key="k", gemini_base_url=standin.base_url, ssl_cert_file=str(standin.ca_pem_path)
        )
        client = make_client(settings, "", tls_context(settings))
        async with client.aio.live.connect(model="gemini-3.8-live", config={"response_modalities": ["AUDIO"]}) as session:
            yield Opened(session, private.connection_of(session))
        client.close()


async def test_the_sdk_dials_with_our_class_and_its_session_keeps_our_connection() -> None:
    assert google.genai.live.ws_connect is ModelConnect  # type: ignore[attr-defined]
    async with opened() as model:
        assert type(model.connection) is LeanConnection, "socket_options names create_connection, and the SDK hands it on"
        assert model.connection._lean, "after the handshake the library's parser rests"
        assert await asyncio.wait_for(await model.connection.ping(), 10) >= 0


async def test_the_connections_tcp_socket_tells_that_the_peer_has_gone_before_the_loop_does() -> None:
    async def handler(peer: ServerConnection) -> None:
        await peer.recv()
        peer.transport.abort()

    async with connected(handler) as connection:
        assert private.is_established(connection)
        await connection.send("go")
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert not private.is_established(connection)


async def test_what_comes_behind_a_message_that_waits_is_not_handed_over_before_it() -> None:
    taken: list[bytes] = []

    def take(message: bytes) -> bool:
        if message == b"first":
            return False
        taken.append(message)
        return True

    first, second, sent = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        await peer.send("first")
        first.set()
        await second.wait()
        await peer.send("second")
        sent.set()
        await peer.wait_closed()

    async with connected(handler) as connection:
        connection.taker = take
        await first.wait()
        await (await connection.ping())  # its pong comes behind the message
        assert private.has_messages(connection)
        second.set()
        await sent.wait()
        await (await connection.ping())  # its pong comes behind the second message
        assert taken == []
        assert [await connection.recv(), await connection.recv()] == ["first", "second"]


async def test_nothing_is_written_into_a_message_that_is_sent_in_parts() -> None:
    heard: list[str | bytes] = []
    half, rest = asyncio.Event(), asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        heard.extend([message async for message in peer])

    async def parts() -> AsyncIterator[str]:
        yield "a mess"
        half.set()
        await rest.wait()
        yield "age"

    async with connected(handler) as connection:
        sending = asyncio.ensure_future(connection.send(parts()))
        await half.wait()
        assert not connection.send_now(b"between")
        rest.set()
        await sending
        assert connection.send_now(b"behind")
        await connection.close()
    assert heard == ["a message", "behind"]


async def test_nothing_is_written_to_a_connection_that_was_aborted() -> None:
    async def handler(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async with connected(handler) as connection:
        assert connection.send_now(b"before")
        private.abort(connection)
        assert not connection.send_now(b"after"), "the library calls it open until the loop has told it"
        with pytest.raises(ConnectionClosed):
            await connection.recv()


async def test_an_abort_does_not_wait_for_a_peer_that_takes_nothing() -> None:
    gone = asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        peer.transport.pause_reading()
        await gone.wait()

    async with connected(handler) as connection:
        sent = 0
        while connection.send_now(b"x" * 60_000):
            sent += 1
            assert sent < 2000
        assert connection.paused
        private.abort(connection)
        await connection.wait_closed()
        gone.set()


async def test_a_whole_frame_put_among_the_received_is_a_message() -> None:
    async def handler(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async with connected(handler) as connection:
        connection.recv_messages.put(Frame(Opcode.TEXT, b"words"))
        connection.recv_messages.put(Frame(Opcode.BINARY, b"octets"))
        assert [await connection.recv(decode=False), await connection.recv()] == [b"words", b"octets"]
        await connection.close()
