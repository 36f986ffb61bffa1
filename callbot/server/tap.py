"""Twilio's frames taken straight from the transport, before Hypercorn and wsproto spend 60 us on each of them.

Once a WebSocket is accepted its transport is given this protocol in place of Hypercorn's. A plain text frame goes to the
call in a step or two; any other byte goes to Hypercorn as it came, and pings and pongs are no more than a detour. At a
close, or anything unusual, the connection is given back for good: Hypercorn answers, and its word that the peer is gone
comes here as before. Every message before it is delivered first. HTTP/2, and servers that are not Hypercorn, stay as they are.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import ASGIReceiveEvent

from callbot.wire import websocket

# 1.3 s of frames, or as much as two of the largest messages: then the peer waits in its socket, as at Hypercorn's ten.
_MOST_WAITING: Final = 64
_FEW_WAITING: Final = 16
_MOST_WAITING_CHARACTERS: Final = 2**17
# Twilio's messages have under 1 KiB; what is larger is cut off by Hypercorn at its limit.
_LARGEST: Final = 2**16
# Frames in a row before others have their turn: 8 x 0.05 ms of conversion.
_MOST_IN_A_ROW: Final = 8
# Of one read, given to the taker in the transport's own turn; Twilio sends one at a time.
_MOST_AT_ONCE: Final = 4
# Beyond this the peer does not read; the slow way waits for it, and gives up on it.
_MOST_UNSENT_BYTES: Final = 2**16


class Tap(asyncio.Protocol):
    """What one accepted WebSocket brings, in order; `None` in the queue is the end.

    Three objects of Hypercorn 0.18 are touched: the stream's `app_put`, its protocol's and its server's `send`. The
    reader's own buffer says whether bytes came too early to be taken. `tests/server/test_tap.py` holds each sentence.
    """

    def __init__(self, stream: WSStream, writer: asyncio.StreamWriter) -> None:
        self._transport = cast("asyncio.Transport", writer.transport)
        self._hypercorns: Any = self._transport.get_protocol()
        self._frames = websocket.PlainFrames(masked=True, decode=True, largest=_LARGEST)
        self._waiting: deque[str | bytes | None] = deque()
        self._take: Callable[[str | bytes], bool] | None = None
        self._receiver: asyncio.Future[bool] | None = None
        self._room: asyncio.Future[None] | None = None
        self._waiting_characters = 0
        self._in_a_row = 0
        self._paused = False
        self._on_transport = True
        self._let_go = False
        stream.app_put = self._put
        self._transport.set_protocol(self)

    @classmethod
    def of(cls, stream: WSStream) -> "Tap | None":
        """Take a WebSocket that has just been accepted; None when it is not Hypercorn's HTTP/1.1, or is ending already."""
        protocol = getattr(stream.send, "__self__", None)
        server = getattr(protocol.send, "__self__", None) if isinstance(protocol, H11Protocol) else None
        if not isinstance(server, TCPServer) or stream.closed or server.writer.transport.is_closing():
            return None
        unread: bytearray | None = getattr(server.reader, "_buffer", None)
        if unread is None or unread or server.reader.at_eof():
            return None
        return cls(stream, server.writer)

    @property
    def over(self) -> bool:
        """Whether the peer is gone, as far as `get` has come."""
        return bool(self._waiting) and self._waiting[0] is None

    # What the route does.

    async def get(self) -> str | bytes | None:
        """The next message, or None once the peer is gone; then for ever."""
        if not self._waiting:
            self._in_a_row = 0
            self._receiver = asyncio.get_running_loop().create_future()
            if not await self._receiver:
                return None
        elif self._in_a_row >= _MOST_IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)
        self._in_a_row += 1
        message = self._waiting[0]
        if message is None:
            return None
        del self._waiting[0]
        self._waiting_characters -= len(message)
        if (self._paused or self._room is not None) and len(self._waiting) <= _FEW_WAITING:
            self._go_on()
        return message

    def hand_to(self, take: Callable[[str | bytes], bool]) -> None:
        """Give messages to `take` in the turn of the loop in which they come, before tasks have theirs, as long as none waits
        for `get`. What it answers with False, and what follows that, is `get`'s.
        """
        self._take = take

    def cut(self) -> None:
        """Whoever waits in `get` is told that there is no more; what comes is still taken, for those who ask again."""
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(False)

    def send(self, text: str) -> bool:
        """Write one text message now; False when it has to go the slow way, which waits, or drops it."""
        transport = self._transport
        if not self._on_transport or transport.is_closing() or transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            return False
        transport.write(websocket.text_frame(text.encode()))
        return True

    def end(self) -> None:
        """Take nothing more and wait for nothing: whoever waits in `get` gets the end, Hypercorn gets its connection."""
        self._give_back()
        self._take = None
        self._let_go = True
        self._waiting.clear()
        self._waiting.append(None)
        self._wake()
        self._go_on()

    # What the transport does.

    def data_received(self, data: bytes) -> None:
        """Take the plain frames; hand the rest on."""
        at_once = _MOST_AT_ONCE if self._take is not None and not self._waiting else 0
        for opcode, payload in self._frames.feed(data):
            if opcode <= websocket.BINARY:
                if at_once and self._take is not None and self._take(payload):
                    at_once -= 1
                    continue
                at_once = 0
                self._waiting.append(payload)
                self._waiting_characters += len(payload)
            else:
                self._hypercorns.data_received(payload)
        if self._frames.stopped:
            self._give_back()
        self._wake()
        if self._full and not self._paused:
            self._paused = True
            if self._on_transport:
                self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        """The peer sends no more: Hypercorn's to judge."""
        self._give_back()
        kept: bool | None = self._hypercorns.eof_received()
        return kept

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: Hypercorn's to tell."""
        self._on_transport = False
        self._hypercorns.connection_lost(exc)

    def pause_writing(self) -> None:
        """For those who wait in Hypercorn's `drain`."""
        self._hypercorns.pause_writing()

    def resume_writing(self) -> None:
        """For those who wait in Hypercorn's `drain`."""
        self._hypercorns.resume_writing()

    # What Hypercorn's stream does.

    async def _put(self, event: ASGIReceiveEvent) -> None:
        """In place of its queue: what came the slow way, and the end."""
        if event["type"] != "websocket.receive":
            self._waiting.append(None)
            self._wake()
            return
        while self._full and not self._let_go:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        if not self._let_go:
            text = event.get("text")
            message = (event.get("bytes") or b"") if text is None else text
            self._waiting.append(message)
            self._waiting_characters += len(message)
            self._wake()

    # Within.

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= _MOST_WAITING or self._waiting_characters >= _MOST_WAITING_CHARACTERS

    def _give_back(self) -> None:
        if not self._on_transport:
            return
        self._on_transport = False
        self._transport.set_protocol(self._hypercorns)
        if self._paused:
            self._transport.resume_reading()
        rest, self._frames.rest = self._frames.rest, b""
        if rest:
            self._hypercorns.data_received(rest)

    def _wake(self) -> None:
        if self._waiting and self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(True)

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            if self._on_transport:
                self._transport.resume_reading()
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None
