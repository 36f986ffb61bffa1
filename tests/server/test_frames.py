"""Each sentence about the tap: what it takes, what it hands on, and that nobody can tell the difference."""

import asyncio
import contextlib
from typing import Any

import pytest
from socket_server import HANDSHAKE, Run, close_of, connections, flood_deafly, serving
from websockets.frames import Frame, Opcode

from callbot.actors.ports import StreamClosed
from callbot.server.calls.socket import QuartStreamSocket
from callbot.server.limits.buckets import stream_bucket
from callbot.server.transport.frames import StreamFrames
from callbot.server.transport.websocket import MediaDisconnected, MediaWebsocket


def text(content: str, **flags: Any) -> bytes:
    return Frame(Opcode.TEXT, content.encode(), **flags).serialize(mask=True)


class Listener:
    """A route that notes everything that it hears, and whether the tap was on the transport then."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.at_transport: list[bool] = []
        self.ended = asyncio.Event()
        self._wanted = 0
        self._enough = asyncio.Event()

    async def __call__(self, peer: MediaWebsocket) -> None:
        await peer.accept()
        try:
            while True:
                self.heard.append(await peer.receive())
                if len(self.heard) >= self._wanted:
                    self._enough.set()
                frames = peer.frames
                self.at_transport.append(frames is not None and isinstance(frames._transport.get_protocol(), StreamFrames))
        except MediaDisconnected:
            self.ended.set()

    async def has(self, count: int) -> None:
        """Wait until so many messages have been heard."""
        self._wanted = count
        self._enough.clear()
        if len(self.heard) < count:
            await self._enough.wait()


def test_a_call_is_carried_at_the_transport_and_a_ping_is_only_a_detour(run: Run) -> None:
    async def scenario() -> None:
        listener = Listener()
        async with serving(listener) as (opened, _), opened() as peer:
            await peer.send("one")
            await (await peer.ping(b"are you there"))
            await peer.send(b"two")
            await peer.send("thrée")
            await listener.has(3)
        assert listener.heard == ["one", b"two", "thrée"]
        assert listener.at_transport == [True] * 3

    run(scenario())


def test_a_message_in_parts_is_heard_and_so_is_what_follows(run: Run) -> None:
    async def scenario() -> None:
        listener = Listener()
        async with serving(listener) as (opened, _), opened() as peer:
            peer.transport.write(text("before") + text("a mess", fin=False))
            await listener.has(1)
            peer.transport.write(Frame(Opcode.CONT, b"age").serialize(mask=True) + text("after"))
            await listener.has(3)
            await peer.send("and on")
            await listener.has(4)
        await listener.ended.wait()
        assert listener.heard == ["before", "a message", "after", "and on"]
        assert listener.at_transport[1:] == [True] * 3

    run(scenario())


def test_text_that_is_none_ends_the_connection(run: Run) -> None:
    async def scenario() -> None:
        listener = Listener()
        async with serving(listener) as (opened, _), opened() as peer:
            peer.transport.write(text("good") + Frame(Opcode.TEXT, b"\xff").serialize(mask=True))
            assert await close_of(peer) == 1007
        await listener.ended.wait()
        assert listener.heard == ["good"]

    run(scenario())


def test_a_frame_without_a_mask_ends_the_connection(run: Run) -> None:
    async def scenario() -> None:
        listener = Listener()
        async with serving(listener) as (opened, _), opened() as peer:
            peer.transport.write(text("good") + Frame(Opcode.TEXT, b"x").serialize(mask=False))
            assert await close_of(peer) == 1002
        await listener.ended.wait()
        assert listener.heard == ["good"]

    run(scenario())


def test_what_comes_with_the_handshake_is_refused_as_ever(run: Run) -> None:
    async def scenario() -> None:
        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):  # Hypercorn never tells; a stream's `start` has its time limit
                    await peer.receive()

        async with serving(route) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE + text("too early"))
            assert (await reader.readline()).split()[1] == b"400"
            writer.close()
            await writer.wait_closed()

    run(scenario())


def test_a_deaf_flood_after_a_message_in_parts_leaks_nothing(run: Run) -> None:
    """Given back, the connection floods through Hypercorn: nothing may wait for a route that has ended."""

    async def scenario() -> None:
        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            await peer.receive()
            await peer.receive()
            await peer.close(1008, "flood")

        async with serving(route) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            served = connections()
            writer.write(text("in", fin=False) + Frame(Opcode.CONT, b" parts").serialize(mask=True))
            await flood_deafly(writer)
            _, leaked = await asyncio.wait(served, timeout=5)
            assert not leaked

    run(scenario())


def test_a_route_that_is_behind_holds_little_and_gets_everything_at_last(run: Run) -> None:
    async def scenario() -> None:
        go_on, listener = asyncio.Event(), Listener()

        async def late(peer: MediaWebsocket) -> None:
            await peer.accept()
            await go_on.wait()
            await listener.__call__(_Accepted(peer))

        async with serving(late) as (opened, _):
            async with opened() as peer:
                await peer.send("first")
                # At the transport until it is full, then in parts through Hypercorn, then plain again.
                for number in range(100):
                    await peer.send(str(number))
                peer.transport.write(text("par", fin=False) + Frame(Opcode.CONT, b"ts").serialize(mask=True))
                for number in range(100):
                    await peer.send(str(number))
                go_on.set()
            await listener.ended.wait()
        numbers = [str(number) for number in range(100)]
        assert listener.heard == ["first", *numbers, "parts", *numbers]

    run(scenario())


class _Accepted:
    """A WebSocket whose route has accepted it before it is handed to a listener."""

    def __init__(self, peer: MediaWebsocket) -> None:
        self._peer = peer
        self.frames = peer.frames

    async def accept(self) -> None:
        return

    async def receive(self) -> str | bytes:
        return await self._peer.receive()


def test_many_frames_at_once_leave_others_their_turn(run: Run) -> None:
    async def scenario() -> None:
        turns, at_turn = 0, list[int]()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            with contextlib.suppress(MediaDisconnected):
                while True:
                    await peer.receive()
                    at_turn.append(turns)

        async with serving(route) as (opened, _), opened() as peer:
            peer.transport.write(b"".join(text(str(number)) for number in range(60)))
            while len(at_turn) < 60:
                await asyncio.sleep(0)
                turns += 1
        assert max(at_turn.count(turn) for turn in at_turn) == 1

    run(scenario())


def test_messages_are_handed_over_in_the_transports_turn_until_one_is_not_taken(run: Run) -> None:
    async def scenario() -> None:
        taken: list[str | bytes] = []
        left: list[str | bytes] = []
        moved = asyncio.Event()

        def take(message: str | bytes) -> bool:
            if message == "no":
                return False
            taken.append(message)
            moved.set()
            return True

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            stream_socket(peer).hand_to(take)
            with contextlib.suppress(MediaDisconnected):
                while True:
                    left.append(await peer.receive())
                    moved.set()

        async def until(messages: list[str | bytes], count: int) -> None:
            while len(messages) < count:
                moved.clear()
                await moved.wait()

        async with serving(route) as (opened, _), opened() as peer:
            await peer.send("one")
            await until(taken, 1)
            peer.transport.write(text("two") + text("no") + text("behind it") + text("as well"))
            await until(left, 3)
            await peer.send("three")
            await until(taken, 3)
            peer.transport.write(b"".join(text(str(number)) for number in range(6)))
            await until(left, 8)
        assert taken == ["one", "two", "three", "0"]  # one of a read
        assert left == ["no", "behind it", "as well", "1", "2", "3", "4", "5"]

    run(scenario())


def test_what_a_limit_forbids_is_not_handed_over_but_refused(run: Run) -> None:
    async def scenario() -> None:
        taken: list[str | bytes] = []
        reasons: list[str] = []

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            socket = QuartStreamSocket(
                peer, max_message_bytes=1000, max_json_depth=4, bucket=stream_bucket(1), on_refused=reasons.append
            )
            socket.hand_to(lambda message: taken.append(message) is None)
            with contextlib.suppress(StreamClosed):
                while True:
                    await socket.receive()

        for message, code in (("x" * 1001, 1009), ("[" * 5, 1008)):
            async with serving(route) as (opened, _), opened() as peer:
                peer.transport.write(text("fine") + text(message))
                assert await close_of(peer) == code
        async with serving(route) as (opened, _), opened() as peer:
            for number in range(11):  # ten at the start, at one a second; in reads of their own, each is handed over
                peer.transport.write(text(str(number)))
                await asyncio.sleep(0.01)
            assert await close_of(peer) == 1008
        assert taken[:2] == ["fine", "fine"]
        assert set(taken[2:]) <= {str(number) for number in range(10)}
        assert reasons == ["oversize", "too_deep", "flood"]

    run(scenario())


def stream_socket(peer: MediaWebsocket, **options: Any) -> QuartStreamSocket:
    return QuartStreamSocket(
        peer, max_message_bytes=65_536, max_json_depth=16, bucket=stream_bucket(10_000), on_refused=lambda _: None, **options
    )


def test_a_cut_ends_the_wait_and_the_close_is_still_answered(run: Run) -> None:
    async def scenario() -> None:
        told = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            socket = stream_socket(peer)
            assert await socket.receive() == "x"
            asyncio.get_running_loop().call_later(0.01, socket.cut)
            with pytest.raises(StreamClosed):
                await socket.receive()
            with pytest.raises(StreamClosed):
                await socket.receive()
            told.set()
            await peer.close(1000, "cut")

        async with serving(route) as (opened, _), opened() as peer:
            await peer.send("x")
            assert await close_of(peer) == 1000
            await told.wait()

    run(scenario())


def test_a_peer_that_stops_reading_gets_everything_in_order_when_it_reads_again(run: Run) -> None:
    async def scenario() -> None:
        messages = [f"{number:06} {'x' * 20_000}" for number in range(400)]  # 8 MB: more than the kernels hold
        waited = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            socket = stream_socket(peer)
            for message in messages:
                sending = asyncio.ensure_future(socket.send(message))
                await asyncio.sleep(0)
                if not sending.done():
                    waited.set()
                await sending
            await peer.close(1000, "that was all")

        async with serving(route) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            await waited.wait()
            assert [await frame_of(reader) for _ in messages] == messages
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    run(scenario())


async def frame_of(reader: asyncio.StreamReader) -> str:
    """A server's next text frame; nothing for any other, or at the end."""
    try:
        first, length = await reader.readexactly(2)
        if length > 125:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        content = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return ""
    return content.decode() if first == 0x81 else ""


def test_to_a_peer_that_is_gone_nothing_is_written_and_nothing_raised(run: Run) -> None:
    async def scenario() -> None:
        told = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            with contextlib.suppress(MediaDisconnected):
                while True:
                    await peer.receive()
            assert not peer.send_now("late")
            await peer.send("late")
            told.set()

        async with serving(route) as (opened, _), opened() as peer:
            peer.transport.abort()
            await told.wait()

    run(scenario())
