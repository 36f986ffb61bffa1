"""A WebSocket that is read at its transport, in place of Quart's second task and queue.

Stock Quart cancels a handler as soon as the peer's close has been read, so Twilio's `stop` is lost when the close follows
at once, and its own queue has no limit. Here every message before the close is delivered in order, then `receive` raises
`MediaDisconnected`; nobody is cancelled, so clean-up runs to its end; a flood stops at a few messages and then at TCP. Two
duties follow: some task should always be in `receive` (a disconnect is noticed only there), and the route must catch
`MediaDisconnected`. Two private helpers of Quart 0.23 are used, and of Hypercorn 0.18 the stream's `handshake` and `buffer`;
`tests/server/test_hypercorn_parts.py` fails when one of them changes.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, cast

from hypercorn.protocol.ws_stream import FrameTooLargeError, WebsocketBuffer, WSStream
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart.asgi import ASGIWebsocketConnection, _convert_os_error
from quart.wrappers import Websocket
from quart.wrappers.base import ClientDisconnectedError
from wsproto.events import Message

from callbot.server.transport.connections import BoundedConnection
from callbot.server.transport.frames import Life, StreamFrames, connection_of

_FAULTS: Final = {Life.DROPPED: "flood", Life.BROKEN: "bad_frame", Life.TOO_BIG: "oversize"}
READ_OUT_S = 0.5  # a peer that is well answers a close within a round trip


class MediaDisconnected(ClientDisconnectedError):
    """The peer is gone; raised by `receive`, after every message it had sent."""


class EarlyData(Exception):
    """Something came before the handshake was answered; a client has to wait (RFC 6455, 4.1)."""


class CutOffBuffer(WebsocketBuffer):
    """Hypercorn's half-received message. Its own goes on growing after it has found the message too large and said so."""

    def __init__(self, max_length: int, on_cut_off: Callable[[], None]) -> None:
        super().__init__(max_length)
        self.on_cut_off = on_cut_off
        self._cut_off = False

    def extend(self, event: Message[Any]) -> None:
        """Add what came; raises `FrameTooLargeError` for what is too much, and keeps none of it."""
        if self._cut_off:
            raise FrameTooLargeError
        try:
            super().extend(event)
        except FrameTooLargeError:
            self._cut_off = True
            self.value = None
            self.on_cut_off()
            raise


def _nobody() -> None:
    """Hears that a message was cut off after its WebSocket has ended."""


class MediaWebsocket(Websocket):
    """Quart's WebSocket without what it does for each message: a yield, new headers, another accept, a signal."""

    stream: WSStream
    frames: StreamFrames | None = None
    on_cut_off: Callable[[], None] | None = None

    async def accept(self, *arguments: Any, **options: Any) -> None:
        """Accept the handshake; from its answer on the transport is read here. Raises `EarlyData`."""
        self.frames = StreamFrames.of(self.stream)
        if self.frames is None:
            raise EarlyData
        await super().accept(*arguments, **options)

    def admitted(self) -> None:
        """It has shown its token: what it brings is no newcomer's any more."""
        connection = connection_of(self.stream)
        if isinstance(connection, BoundedConnection):
            connection.is_newcomer = False

    async def receive(self) -> str | bytes:
        """The next message. The route has accepted before."""
        message = None if self.frames is None else await self.frames.get()
        if message is None:
            raise MediaDisconnected
        return message

    @property
    def fault(self) -> str | None:
        """Why the connection was ended below the call, in one of our own words; None when it was not."""
        return None if self.frames is None else _FAULTS.get(self.frames.life)

    def waiting(self, most: int) -> int:
        """How many messages are known to have come without having been received, counted up to `most` and a few."""
        return 0 if self.frames is None else self.frames.waiting(most)

    def hand_to(self, take: Callable[[str | bytes], bool]) -> None:
        """Give messages to `take` as they come; see `StreamFrames.hand_to`."""
        if self.frames is not None:
            self.frames.hand_to(take)

    def cut(self) -> None:
        """End a `receive` that waits now, as if the peer had gone."""
        if self.frames is not None:
            self.frames.cut()

    def send_now(self, message: str) -> bool:
        """Send one message without waiting; False when it has to be awaited, by `send`."""
        return self.frames is not None and self.frames.send(message)

    async def send(self, message: str | bytes) -> None:
        """Send one message. To a peer that is gone Hypercorn drops it silently."""
        await self._send(message)

    def tell_cut_off(self) -> None:
        """A message was too large to be received to its end; nothing comes after it."""
        if self.on_cut_off is not None:
            self.on_cut_off()


class DirectConnection(ASGIWebsocketConnection):
    """One WebSocket connection, in one task."""

    read_out_s = READ_OUT_S

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:  # noqa: ARG002 - read otherwise
        """Run the route, then read what the peer still sends. Raises TypeError under a server that is not Hypercorn."""
        stream = getattr(send, "__self__", None)
        if not isinstance(stream, WSStream):
            raise TypeError("callbot reads WebSockets at Hypercorn's transport: serve it with `callbot serve`")
        send = _convert_os_error(send)
        websocket = cast("MediaWebsocket", self._create_websocket_from_scope(send))
        # permessage-deflate is accepted whenever it is offered (pgjones/hypercorn#307), and a whole read is inflated before
        # its size is looked at: 64 KiB become 66 MiB. Twilio does not offer it.
        stream.handshake.extensions = None
        stream.buffer = buffer = CutOffBuffer(stream.buffer.max_length, websocket.tell_cut_off)
        websocket.stream = stream
        try:
            await self.handle_websocket(websocket, send)
        finally:
            if websocket.frames is not None:
                await self._read_out(websocket.frames)
            buffer.on_cut_off = _nobody  # nothing here is part of a circle any more
            del websocket.stream

    async def send_data(self, send: ASGISendCallable, data: str | bytes) -> None:
        """Send without Quart's signal for each message."""
        text, binary = (data, None) if isinstance(data, str) else (None, data)
        await send({"type": "websocket.send", "bytes": binary, "text": text})

    async def _read_out(self, frames: StreamFrames) -> None:
        """Give the peer time to answer the close; then nothing is waited for."""
        frames.drop()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.read_out_s):
                    while await frames.get() is not None:
                        pass
        finally:
            frames.end()
