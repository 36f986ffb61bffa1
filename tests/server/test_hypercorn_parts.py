"""Each private part of Hypercorn, Quart and asyncio that is used, looked at alone: a change says which one it was."""

import asyncio
import inspect
from typing import Any

import h11
import hypercorn.asyncio.run
import pytest
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import FrameTooLargeError, Handshake, WebsocketBuffer, WSStream
from phone_line import open_line
from quart.asgi import ASGIWebsocketConnection, _convert_os_error
from test_strangers import handshake, talk

from callbot.server.transport.connections import BoundedConnection
from callbot.server.transport.frames import connection_of, has_unread


def test_hypercorn_makes_its_connections_from_the_name_that_is_set() -> None:
    assert hypercorn.asyncio.run.TCPServer is BoundedConnection  # type: ignore[attr-defined]
    assert "TCPServer(" in inspect.getsource(hypercorn.asyncio.run.worker_serve)


@pytest.mark.parametrize("name", ["run", "_read_data", "_initiate_server_close", "protocol_send", "_close"])
def test_a_connection_has_the_methods_that_are_built_upon(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(TCPServer, name))


def test_a_connection_reads_in_a_loop_of_its_own_and_hands_on_raw_data() -> None:
    source = inspect.getsource(TCPServer._read_data)
    assert "self.protocol.handle(RawData(data))" in source
    assert "self.protocol.handle(Closed())" in source
    assert MAX_RECV == 2**16
    assert "await self._read_data()" in inspect.getsource(TCPServer.run)


def a_protocol() -> H11Protocol:
    async def nothing(*_: Any) -> None:
        return

    wrapper = ProtocolWrapper(nothing, Config(), WorkerContext(None), None, {}, False, None, None, nothing, "http/1.1")  # type: ignore[arg-type]
    assert isinstance(wrapper.protocol, H11Protocol)
    return wrapper.protocol


async def test_h11s_protocol_asks_which_protocol_it_is_and_answers_errors_itself() -> None:
    protocol, asked, answered = a_protocol(), list[bytes](), list[int]()

    async def check(request: h11.Request) -> None:
        asked.append(request.method)

    async def answer(status: int) -> None:
        answered.append(status)

    protocol._check_protocol = check  # type: ignore[method-assign]
    protocol._send_error_response = answer  # type: ignore[method-assign]
    assert protocol.stream is None
    await protocol.handle(RawData(b"PRI * HTTP/2.0\r\n\r\n"[:9]))
    assert protocol.connection.trailing_data == (b"PRI * HTT", False)
    await protocol.handle(RawData(b"no request\r\n\r\n"))
    assert (asked, answered) == ([], [400])


async def test_half_a_request_is_told_from_none() -> None:
    """The buffer of h11 is what says that a peer is slow and not idle."""
    async with open_line(request_timeout_s=0.1) as line:
        idle = await asyncio.open_connection("127.0.0.1", line.port)
        slow = await asyncio.open_connection("127.0.0.1", line.port)
        slow[1].write(b"GET /heal")
        await slow[0].read()
        await idle[0].read()
        assert line.reasons("connection.refused") == ["request_slow"]
        for _, writer in (idle, slow):
            writer.close()


@pytest.mark.parametrize("name", ["app_put", "buffer", "closed", "send"])
def test_a_websockets_stream_has_the_attributes_that_are_set_and_read(name: str) -> None:
    assert f"self.{name}" in inspect.getsource(WSStream.__init__)


def test_a_handshakes_extensions_can_be_taken_out() -> None:
    accepted = Handshake([(b"sec-websocket-extensions", b"permessage-deflate")], "1.1")
    assert accepted.extensions == ["permessage-deflate"]
    assert "self.extensions" in inspect.getsource(Handshake.accept)


def test_a_buffer_has_a_limit_of_its_own_and_knows_it() -> None:
    assert WebsocketBuffer(7).max_length == 7
    assert issubclass(FrameTooLargeError, Exception)


def test_quart_has_the_two_helpers() -> None:
    assert callable(_convert_os_error)
    assert inspect.isfunction(ASGIWebsocketConnection._create_websocket_from_scope)


async def test_a_readers_unread_bytes_can_be_seen() -> None:
    reader = asyncio.StreamReader()
    assert not has_unread(reader)
    reader.feed_data(b"x")
    assert has_unread(reader)


async def test_the_connection_is_found_from_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    original = WSStream.app_send

    async def look(stream: WSStream, message: Any) -> None:
        found.append(connection_of(stream))
        await original(stream, message)

    monkeypatch.setattr(WSStream, "app_send", look)
    async with open_line() as line, line.socket():
        pass
    assert found
    assert all(isinstance(one, BoundedConnection) for one in found)


async def test_a_peer_that_has_gone_keeps_no_place() -> None:
    """Hypercorn alone waits for the idle time's end."""
    async with open_line(request_timeout_s=60) as line:
        _, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.close()
        async with asyncio.timeout(30):
            while serving_tasks():  # noqa: ASYNC110 - what ends announces nothing
                await asyncio.sleep(0.01)


def serving_tasks() -> list[Any]:
    """Hypercorn's tasks that serve a connection each."""
    return [task for task in asyncio.all_tasks() if "_server_callback" in repr(task.get_coro())]


# What a connection does with a fault.


@pytest.mark.real_time
async def test_a_fault_in_a_connection_before_its_request_leaves_nothing_but_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It once left Hypercorn's callback, and at SIGTERM the process exited with 1 and an ExceptionGroup."""

    async def fail(_connection: TCPServer) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async with open_line() as line:
        with monkeypatch.context() as broken:
            broken.setattr(TCPServer, "_close", fail)
            _, writer = await asyncio.open_connection("127.0.0.1", line.port)
            writer.write_eof()
            failed = await line.said("connection.failed")
            assert failed["error"].startswith("RuntimeError: unable to perform")
            writer.close()
        assert (await talk(line, handshake())).startswith(b"HTTP/1.1 101 ")
    assert not line.events("server.crashed")
