"""Many frames in one read: a few are cut at a time, none is lost, and what nobody wants is passed over unread."""

import asyncio
import contextlib

import pytest
from socket_server import HANDSHAKE, QuickConnection, Run, serving
from websockets.frames import Frame, Opcode

from callbot.server.transport.frames import StreamFrames
from callbot.server.transport.websocket import MediaDisconnected, MediaWebsocket
from callbot.wire.websocket import PlainFrames

MANY = [str(number) for number in range(500)]


def text(content: str) -> bytes:
    return Frame(Opcode.TEXT, content.encode()).serialize(mask=True)


@pytest.fixture
def cut_at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames were cut each time, of every connection."""
    counts: list[int] = []
    feed = PlainFrames.feed

    def count(frames: PlainFrames, chunk: bytes, most: int = 2**31) -> list[tuple[int, str | bytes]]:
        cut = feed(frames, chunk, most)
        counts.append(len(cut))
        return cut

    monkeypatch.setattr(PlainFrames, "feed", count)
    return counts


async def receive_all(peer: MediaWebsocket) -> list[str | bytes]:
    heard: list[str | bytes] = []
    with contextlib.suppress(MediaDisconnected):
        while True:
            heard.append(await peer.receive())
    return heard


@pytest.mark.parametrize("end", ["a close", "the end of the connection", "a reset"])
def test_all_of_a_read_is_heard_in_order_a_few_frames_at_a_time(run: Run, cut_at_once: list[int], end: str) -> None:
    async def scenario() -> None:
        heard: list[str | bytes] = []
        done = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            heard.append(await peer.receive())
            await asyncio.sleep(0.05)  # everything comes meanwhile
            heard.extend(await receive_all(peer))
            done.set()

        async with serving(route) as (opened, _), opened() as peer:
            peer.transport.write(b"".join(map(text, MANY)))
            match end:
                case "a close":
                    await peer.close()
                case "the end of the connection":
                    peer.transport.write_eof()
                case _:
                    await asyncio.sleep(0.1)
                    peer.transport.abort()
            await done.wait()
        if end == "a reset":  # the kernel may drop what was not read
            assert heard == MANY[: len(heard)]
        else:
            assert heard == MANY

    run(scenario())
    if end != "a reset":  # which leaves no time: what has come is cut at once then
        assert max(cut_at_once) <= 16
    assert sum(cut_at_once) > 16


def test_pings_among_many_frames_are_answered(run: Run) -> None:
    async def scenario() -> None:
        heard: list[str | bytes] = []
        done = asyncio.Event()

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            heard.extend(await receive_all(peer))
            done.set()

        async with serving(route) as (opened, _), opened() as peer:
            ping = Frame(Opcode.PING, b"").serialize(mask=True)
            rows = [b"".join(map(text, MANY[at : at + 50])) + ping for at in range(0, len(MANY), 50)]
            peer.transport.write(ping * 8 + b"".join(rows))
            await (await peer.ping(b"last"))
            await peer.close()
            await done.wait()
        assert heard == MANY

    run(scenario())


def test_after_the_route_messages_are_passed_over_unread_up_to_the_close(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        dropping = asyncio.Event()
        drop = StreamFrames.drop

        def note(tap: StreamFrames) -> None:
            drop(tap)
            dropping.set()

        monkeypatch.setattr(StreamFrames, "drop", note)
        monkeypatch.setattr(QuickConnection, "read_out_s", 60.0)  # it is the close that ends it

        async def route(peer: MediaWebsocket) -> None:
            await peer.accept()
            assert await peer.receive() == "0"
            await peer.close(1008, "enough")

        async with serving(route) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"".join(map(text, MANY)))
            assert await reader.readexactly(10) == b"\x88\x08\x03\xf0enough"
            await dropping.wait()
            # Text that is none: whoever reads it says so, and what is passed over does not.
            writer.write(b"\x81\x81" + bytes(4) + b"\xff" + b"".join(map(text, MANY)))
            writer.write(Frame(Opcode.CLOSE, b"\x03\xf0").serialize(mask=True))
            assert await reader.read() == b""
            writer.close()

    run(scenario())


def test_pings_in_one_read_hold_up_neither_a_message_nor_each_other(run: Run, cut_at_once: list[int]) -> None:
    async def scenario() -> None:
        async def echo(peer: MediaWebsocket) -> None:
            await peer.accept()
            with contextlib.suppress(MediaDisconnected):
                while True:
                    await peer.send(await peer.receive())

        async with serving(echo) as (opened, _), opened() as peer:
            peer.transport.write(Frame(Opcode.PING, b"").serialize(mask=True) * 17 + text("behind them"))  # more than one cut
            assert await peer.recv() == "behind them"
            peer.transport.write(text("another"))
            assert await peer.recv() == "another"

    run(scenario())
    assert max(cut_at_once) <= 16
