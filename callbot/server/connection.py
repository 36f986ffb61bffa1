"""A WebSocket connection that reads Hypercorn's events directly, in place of Quart's second task and queue.

Stock Quart cancels a handler as soon as the peer's close has been read, so Twilio's `stop` is lost when the close follows
at once, and its own queue has no limit. Here every message before the close is delivered in order, then `receive` raises
`MediaDisconnected`; nobody is cancelled, so clean-up runs to its end; a flood stops at a few messages and then at TCP. Over
HTTP/1.1 an accepted connection is read and written at its transport (`tap`). Two duties follow: some task should always be
in `receive` (a disconnect is noticed only there), and the route must catch `MediaDisconnected`. Two private helpers of
Quart 0.23 are used; the tests hold each sentence of this paragraph.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from hypercorn.protocol.ws_stream import FrameTooLargeError, WebsocketBuffer, WSStream
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart.asgi import ASGIWebsocketConnection, _convert_os_error
from quart.wrappers import Websocket
from quart.wrappers.base import ClientDisconnectedError
from wsproto.events import Message

from callbot.server.guard import Arrival, GuardedConnection
from callbot.server.tap import Tap, connection_of

READ_OUT_S = 0.5  # a peer that is well answers a close within a round trip
DISCARD_S = 1.0  # more than Hypercorn needs to finish the 64 KiB that it is reading when the socket closes
SETTLED_S = 0.1  # after the disconnect only what is left of those 64 KiB can come, without a pause


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


def harden(send: ASGISendCallable, on_cut_off: Callable[[], None]) -> WSStream | None:
    """Close two doors of Hypercorn 0.18 for a connection whose handshake has not been answered.

    permessage-deflate is accepted whenever it is offered (pgjones/hypercorn#307), and a whole read is inflated before its
    size is looked at: 64 KiB become 66 MiB. Twilio does not offer it, so the offer is taken out. And a message that never
    ends is dropped at its limit. `send` is a method of Hypercorn's stream; any other server's is left alone, and
    there is no stream to return.
    """
    stream = getattr(send, "__self__", None)
    if not isinstance(stream, WSStream):
        return None
    stream.handshake.extensions = None
    stream.buffer = CutOffBuffer(stream.buffer.max_length, on_cut_off)
    return stream


def _nobody() -> None:
    """Hears that a message was cut off after its WebSocket has ended."""


class MediaDisconnected(ClientDisconnectedError):
    """The peer is gone; raised by `receive`, after every message it had sent."""


class DirectBuffer:
    """In place of Quart's queue: order and back-pressure are the server's own."""

    def __init__(self, receive: ASGIReceiveCallable, stream: WSStream | None = None) -> None:
        self._receive = receive
        self._stream = stream
        connection = None if stream is None else connection_of(stream)
        self.arrival = connection.arrival if isinstance(connection, GuardedConnection) else None
        self._reading: asyncio.Timeout | None = None
        self.tap: Tap | None = None
        self.gone = False

    def take_over(self) -> None:
        """The WebSocket has been accepted: from here on read its transport, where that can be done."""
        if self._stream is None or self.gone:
            return
        if self.arrival is None:
            self.tap = Tap.of(self._stream)
        else:
            self.tap = self.arrival.tap
            self.tap.join(self._stream)

    async def get(self) -> str | bytes:
        """The next message; raises `MediaDisconnected` once there is no more, or when it is cut."""
        if self.tap is not None:
            message = await self.tap.get()
            if message is None:
                self.gone = self.tap.over
                raise MediaDisconnected
            return message
        if self.gone:
            raise MediaDisconnected
        try:
            async with asyncio.timeout(None) as self._reading:  # without a limit; `cut` sets one
                event = await self._receive()
                while event["type"] == "websocket.connect":
                    event = await self._receive()
        except TimeoutError:
            raise MediaDisconnected from None
        finally:
            self._reading = None
        if event["type"] != "websocket.receive":
            self.gone = True
            raise MediaDisconnected
        text = event.get("text")
        return (event.get("bytes") or b"") if text is None else text

    def cut(self) -> None:
        """End a `get` that waits now."""
        if self.tap is not None:
            self.tap.cut()
        elif self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())

    def let_go(self) -> None:
        """The route has ended. What it would still be told goes nowhere, and nothing here is part of a circle any more."""
        if self._stream is not None and isinstance(self._stream.buffer, CutOffBuffer):
            self._stream.buffer.on_cut_off = _nobody

    async def discard(self) -> None:
        """Read on after the end, so that Hypercorn can put its last events into a queue that was full."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                while True:
                    async with asyncio.timeout(SETTLED_S if self.gone else None):
                        event = await self._receive()
                    self.gone = self.gone or event["type"] == "websocket.disconnect"


class MediaWebsocket(Websocket):
    """Quart's WebSocket without what it does for each message: a yield, new headers, another accept, a signal."""

    buffer: DirectBuffer  # type: ignore[assignment]  # in place of Quart's queue
    on_cut_off: Callable[[], None] | None = None

    @property
    def arrival(self) -> Arrival | None:
        """What the door has made of the handshake, where there is a door."""
        return self.buffer.arrival

    def tell_cut_off(self) -> None:
        """A message was too large to be received to its end; nothing comes after it."""
        if self.on_cut_off is not None:
            self.on_cut_off()

    async def accept(self, *arguments: Any, **options: Any) -> None:
        """Accept the handshake, then read and write without detours where that can be done."""
        await super().accept(*arguments, **options)
        self.buffer.take_over()

    async def receive(self) -> str | bytes:
        """The next message. The route has accepted before."""
        return await self.buffer.get()

    @property
    def is_flooded(self) -> bool:
        """Whether the connection was dropped for the pings and pongs that came."""
        return self.buffer.tap is not None and self.buffer.tap.is_flooded

    def waiting(self, most: int) -> int:
        """How many messages are known to have come without having been received, counted up to `most` and a few."""
        return 0 if self.buffer.tap is None else self.buffer.tap.waiting(most)

    def hand_to(self, take: Callable[[str | bytes], bool]) -> None:
        """Where messages are read at the transport, give them to `take` as they come; see `Tap.hand_to`."""
        if self.buffer.tap is not None:
            self.buffer.tap.hand_to(take)

    def cut(self) -> None:
        """End a `receive` that waits now, as if the peer had gone."""
        self.buffer.cut()

    def send_now(self, message: str) -> bool:
        """Send one message without waiting; False when it has to be awaited, by `send`."""
        tap = self.buffer.tap
        return tap is not None and tap.send(message)

    async def send(self, message: str | bytes) -> None:
        """Send one message. To a peer that is gone Hypercorn drops it silently."""
        await self._send(message)


class DirectConnection(ASGIWebsocketConnection):
    """One WebSocket connection, in one task."""

    read_out_s = READ_OUT_S

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Run the route, then read what the peer still sends."""
        hypercorns, send = send, _convert_os_error(send)
        websocket = cast("MediaWebsocket", self._create_websocket_from_scope(send))
        buffer = DirectBuffer(receive, harden(hypercorns, websocket.tell_cut_off))
        websocket.buffer = buffer
        try:
            await self.handle_websocket(websocket, send)
        finally:
            if self._accepted:
                await self._read_out(buffer)
            buffer.let_go()

    async def send_data(self, send: ASGISendCallable, data: str | bytes) -> None:
        """Send without Quart's signal for each message."""
        text, binary = (data, None) if isinstance(data, str) else (None, data)
        await send({"type": "websocket.send", "bytes": binary, "text": text})

    async def _read_out(self, buffer: DirectBuffer) -> None:
        """Never return with Hypercorn's queue full: it would wait for ever to put the disconnect into it."""
        if buffer.tap is not None:
            buffer.tap.drop()
        try:
            with contextlib.suppress(ClientDisconnectedError, TimeoutError):
                async with asyncio.timeout(self.read_out_s):
                    while True:
                        await buffer.get()
        finally:
            if buffer.tap is not None:
                buffer.tap.end()
            elif not buffer.gone:
                self.app.add_background_task(buffer.discard)
