"""Twilio's frames taken straight from the transport, before Hypercorn and wsproto spend 60 us on each of them.

As a WebSocket is accepted, its transport is given this protocol in place of Hypercorn's. A plain text frame goes to the call
in a step or two, and a ping is answered here; a peer that sends more control frames than anybody needs is dropped. At a
close, or a message that is large, the connection is given back for good: Hypercorn answers, and
what it makes of it comes here as before. Every message before the end is delivered first.

Of Hypercorn 0.18 are used: the stream's `app_put`, `send` and `closed`, its protocol's and its server's `send`; of asyncio
the reader's `_buffer`. `tests/server/test_hypercorn_parts.py` fails when one of them changes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, cast

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import ASGIReceiveEvent

from callbot.server.limits.buckets import CONTROL_FRAMES_AT_ONCE, CONTROL_FRAMES_PER_S, TokenBucket
from callbot.wire import websocket

# 1.3 s of frames, or as much as two of the largest messages: then the peer waits in its socket.
_MOST_WAITING: Final = 64
_FEW_WAITING: Final = 16
_MOST_WAITING_CHARACTERS: Final = 2**17
# Of one read, which brings up to 900 frames: the next are cut when these have been taken, or never.
_MOST_CUT: Final = 16
# When the end has come there is no time to cut a few: more than a stream may send at once, not the 40,000 of a hostile read.
_MOST_AT_THE_END: Final = 1024
# Twilio's messages have under 1 KiB; what is larger is cut off by Hypercorn at its limit.
_LARGEST: Final = 2**16
# Beyond this the peer does not read; the slow way waits for it, and gives up on it.
_MOST_UNSENT_BYTES: Final = 2**16


def connection_of(stream: WSStream) -> TCPServer | None:
    """The connection that a WebSocket of Hypercorn's is on; None when it is not one over HTTP/1.1."""
    protocol = getattr(stream.send, "__self__", None)
    server = getattr(protocol.send, "__self__", None) if isinstance(protocol, H11Protocol) else None
    return server if isinstance(server, TCPServer) else None


def has_unread(reader: asyncio.StreamReader) -> bool:
    """Whether bytes wait in the reader: they came too early to be taken at the transport. True when that can't be told."""
    unread: bytearray | None = getattr(reader, "_buffer", None)
    return unread is None or bool(unread)


class Life(Enum):
    """Where the connection stands, as far as its frames are concerned."""

    READING = "reading"  # the transport is ours
    PAUSED = "paused"  # ours too, and the peer waits: enough has come that nobody has taken
    GIVEN_BACK = "given back"  # Hypercorn's again, or gone
    DROPPED = "dropped"  # cut for a flood of control frames
    BROKEN = "broken"  # closed by us for a frame that nobody may send
    TOO_BIG = "too big"  # likewise for one that is larger than any message may be
    OVER = "over"  # the route has ended: what still comes goes nowhere


_WORDS: Final = {Life.DROPPED: "flood", Life.BROKEN: "bad frame", Life.TOO_BIG: "oversize"}
_ON_TRANSPORT: Final = frozenset({Life.READING, Life.PAUSED})


class StreamFrames(asyncio.Protocol):
    """What one accepted WebSocket brings, in order; `None` in the queue is the end."""

    def __init__(self, stream: WSStream, server: TCPServer) -> None:
        self._transport = cast("asyncio.Transport", server.writer.transport)
        self._hypercorns: Any = self._transport.get_protocol()
        self._frames = websocket.PlainFrames(masked=True, decode=True, largest=_LARGEST, joins=True)
        self._waiting: deque[str | bytes | None] = deque()
        self._take: Callable[[str | bytes], bool] | None = None
        self._receiver: asyncio.Future[bool] | None = None
        self._room: asyncio.Future[None] | None = None
        self._waiting_characters = 0
        self._uncut: int | None = None  # messages that have come and are not cut yet, where somebody has asked
        self._largest_of_all = server.config.websocket_max_message_size
        self._controls = TokenBucket(CONTROL_FRAMES_PER_S, CONTROL_FRAMES_AT_ONCE)
        self.life = Life.READING
        self._transport.set_protocol(self)
        stream.app_put = self._put

    @classmethod
    def of(cls, stream: WSStream) -> "StreamFrames | None":
        """Take a WebSocket that is about to be accepted; None when it is ending already, or something has come too early."""
        server = connection_of(stream)
        if server is None or stream.closed or server.writer.transport.is_closing():
            return None
        if has_unread(server.reader) or server.reader.at_eof():
            return None
        return cls(stream, server)

    @property
    def over(self) -> bool:
        """Whether the peer is gone, as far as `get` has come."""
        return bool(self._waiting) and self._waiting[0] is None

    # What the route does.

    async def get(self) -> str | bytes | None:
        """The next message, or None once the peer is gone; then for ever."""
        if self._waiting:
            await asyncio.sleep(0)  # others have their turn: a message is up to 0.4 ms of a call's work
        while not self._waiting:
            if self.life in _ON_TRANSPORT and self._frames.has_more:  # what has been cut were control frames
                await asyncio.sleep(0)
                self._cut(b"", self._most)
                continue
            self._go_on()
            self._receiver = asyncio.get_running_loop().create_future()
            if not await self._receiver:
                return None
        message = self._waiting[0]
        if message is None:
            return None
        del self._waiting[0]
        self._waiting_characters -= len(message)
        if self._frames.has_more and not self._waiting:
            self._cut(b"", _MOST_CUT)
        if len(self._waiting) <= _FEW_WAITING and not self._frames.has_more:
            self._go_on()
        return message

    def waiting(self, most: int) -> int:
        """How many messages have come and have not been taken, counted up to `most` and a few."""
        if self._frames.has_more and self._uncut is None:
            self._uncut = self._frames.count(most)
        has_end = bool(self._waiting) and self._waiting[-1] is None
        return len(self._waiting) - has_end + (self._uncut or 0)

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
        if self.life not in _ON_TRANSPORT or transport.is_closing() or transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            return False
        transport.write(websocket.text_frame(text.encode()))
        return True

    def drop(self) -> None:
        """Nobody wants messages any more, those that wait and those that come: they are passed over unread."""
        self._take = None
        self._frames.skips = True
        ended = None in self._waiting
        self._waiting.clear()
        self._waiting_characters = 0
        self._cut(b"", _MOST_AT_THE_END)
        if ended:
            self._end()
        self._go_on()

    def end(self) -> None:
        """Take nothing more and wait for nothing: whoever waits in `get` gets the end, Hypercorn gets its connection."""
        self.drop()
        self._give_back()
        self.life = Life.OVER
        self._waiting.clear()
        self._end()
        self._go_on()

    # What the transport does.

    def data_received(self, data: bytes) -> None:
        """Take the plain frames; hand the rest on."""
        self._cut(data, self._most, at_once=self._take is not None and not self._waiting)
        if self._full and self.life is Life.READING:
            self.life = Life.PAUSED
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        """The peer sends no more: Hypercorn's to judge."""
        self._cut(b"", _MOST_AT_THE_END)
        self._give_back()
        kept: bool | None = self._hypercorns.eof_received()
        return kept

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: Hypercorn's to tell."""
        self._cut(b"", _MOST_AT_THE_END)
        if self.life in _ON_TRANSPORT:
            self.life = Life.GIVEN_BACK
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
            self._end()
            return
        while self._full and self.life is not Life.OVER:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        if self.life is not Life.OVER:
            text = event.get("text")
            self._add((event.get("bytes") or b"") if text is None else text)
            self._wake()

    # Within.

    @property
    def _full(self) -> bool:
        waiting = len(self._waiting)
        return waiting >= _MOST_WAITING or self._waiting_characters >= _MOST_WAITING_CHARACTERS or self._frames.has_more

    @property
    def _most(self) -> int:
        return _MOST_AT_THE_END if self._frames.skips else _MOST_CUT

    def _add(self, message: str | bytes) -> None:
        self._waiting.append(message)
        self._waiting_characters += len(message)

    def _cut(self, data: bytes, most: int, *, at_once: bool = False) -> None:
        """Cut frames from what has come, the first of them for whoever takes it `at_once`: Twilio sends one at a time."""
        if self.life not in _ON_TRANSPORT:
            return
        self._uncut = None
        for opcode, payload in self._frames.feed(data, most):
            if opcode > websocket.BINARY:
                self._control(opcode, cast("bytes", payload))
            elif not (at_once and self._take is not None and self._take(payload)):
                self._add(payload)
            at_once = False
        if self._frames.stopped:
            self._judge()
        self._wake()

    def _judge(self) -> None:
        """What is not plain: Hypercorn's, if it is sound; else the end, with the code that says why."""
        if self.life not in _ON_TRANSPORT or not self._frames.rest:
            self._give_back()
            return
        code = websocket.close_code_for(self._frames.rest, self._largest_of_all)
        within = websocket.close_code_for(self._frames.rest, _LARGEST) == websocket.TOO_BIG and code != websocket.TOO_BIG
        if within and not self._frames.is_in_parts:  # a large message within the limits
            self._give_back()
            return
        if code == websocket.UNSUPPORTED:  # in more parts than anybody needs
            code, self.life = websocket.POLICY_VIOLATION, Life.DROPPED
        else:
            self.life = Life.TOO_BIG if code == websocket.TOO_BIG else Life.BROKEN
        self._transport.write(websocket.close_frame(code, _WORDS[self.life]))
        self._transport.close()

    def _control(self, opcode: int, frame: bytes) -> None:
        if self.life is Life.DROPPED:
            return
        if opcode == websocket.CLOSE:
            self._hypercorns.data_received(frame)
        elif not self._controls.take():
            # Dropped, not closed: to hear its answer would be to read on, and each of these is cheaper to send than to read.
            self.life = Life.DROPPED
            self._transport.abort()
        elif opcode == websocket.PING and self._transport.get_write_buffer_size() <= _MOST_UNSENT_BYTES:
            self._transport.write(websocket.pong_frame(frame))

    def _give_back(self) -> None:
        if self.life not in _ON_TRANSPORT:
            return
        was, self.life = self.life, Life.GIVEN_BACK
        self._transport.set_protocol(self._hypercorns)
        if was is Life.PAUSED:
            self._transport.resume_reading()
        rest, self._frames.rest, self._frames.has_more = self._frames.rest, b"", False
        if rest:
            self._hypercorns.data_received(rest)

    def _end(self) -> None:
        self._waiting.append(None)
        self._wake()

    def _wake(self) -> None:
        if (self._waiting or self._frames.has_more) and self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(True)

    def _go_on(self) -> None:
        if self.life is Life.PAUSED:
            self.life = Life.READING
            self._transport.resume_reading()
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None
