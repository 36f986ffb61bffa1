"""What Hypercorn's connections lack: a limit on their number, a door before them, and a word about those that are too slow.

A peer that never finishes its request reaches no route, so nothing else would tell of it. Hypercorn 0.18 makes its
connections from the name `TCPServer` in its own module and takes no other class; the name is set here, once, and
connections of a configuration without a guard behave as before.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.events import Event, RawData

from callbot.messages import StreamStarted
from callbot.server.limits import TokenBucket
from callbot.server.tap import Tap


class NoteRefused(Protocol):
    """Hears why a connection was refused."""

    def __call__(self, reason: str, /) -> None:
        """`reason` is one of our own words."""


class Doorkeeper(Protocol):
    """Judges a connection before Hypercorn does; see `door.Door`."""

    async def lets_in(self, connection: "GuardedConnection", /) -> bool:
        """Whether Hypercorn is to serve it."""
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A WebSocket whose handshake the door has answered, and which has shown its token there. `bucket` is what it may send."""

    tap: Tap
    started: StreamStarted
    bucket: TokenBucket


class GuardedConfig(Config):
    """Hypercorn's settings, how many connections may be open at once, and who stands at the door."""

    def __init__(self, max_connections: int, note_refused: NoteRefused) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.note_refused: Callable[[str], None] = note_refused
        self.open_connections = 0
        self.door: Doorkeeper | None = None
        self._headers: dict[str, tuple[int, list[tuple[bytes, bytes]]]] = {}

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The headers of every answer. One of them is the date, in whole seconds: made once in each."""
        now_s = int(time.time())
        known = self._headers.get(protocol)
        if known is None or known[0] != now_s:
            known = self._headers[protocol] = (now_s, super().response_headers(protocol))
        return list(known[1])


class GuardedConnection(TCPServer):
    """One TCP connection. `head` and `arrival` are the door's."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.head = b""
        self.arrival: Arrival | None = None
        self._swallows_acceptance = False

    async def run(self) -> None:
        """Serve it to its end, or drop it at once when there are too many."""
        config = self.config
        if not isinstance(config, GuardedConfig):
            await super().run()
            return
        if config.open_connections >= config.max_connections:
            config.note_refused("too_many_connections")
            self.writer.transport.abort()
            return
        config.open_connections += 1
        try:
            if config.door is None or await config.door.lets_in(self):
                self._swallows_acceptance = self.arrival is not None
                await super().run()
        finally:
            config.open_connections -= 1
            vars(self).pop("protocol", None)  # it knows this connection: a circle that only the collector would clear away

    async def protocol_send(self, event: Event) -> None:
        """Send what Hypercorn says, but not its answer to a handshake that the door has answered."""
        if not (self._swallows_acceptance and isinstance(event, RawData)):
            await super().protocol_send(event)
            return
        self._swallows_acceptance = False
        if not event.data.startswith(b"HTTP/1.1 101 "):
            self.writer.transport.abort()  # a refusal would be HTTP in the middle of a WebSocket

    async def _read_data(self) -> None:
        """Give Hypercorn what the door has read, then what comes."""
        if self.head:
            head, self.head = self.head, b""
            await self.protocol.handle(RawData(head))
        await super()._read_data()

    async def _initiate_server_close(self) -> None:
        """The connection has idled for too long. With half a request in hand that is no idling."""
        if isinstance(self.config, GuardedConfig) and not self.context.terminated.is_set() and self._holds_half_a_request():
            self.config.note_refused("request_slow")
        await super()._initiate_server_close()

    def _holds_half_a_request(self) -> bool:
        # h11's buffer; an HTTP/2 connection has none, and its requests come in whole frames.
        connection = getattr(self.protocol.protocol, "connection", None)
        unread: bytes = getattr(connection, "trailing_data", (b"", False))[0]
        return bool(unread)


hypercorn.asyncio.run.TCPServer = GuardedConnection  # type: ignore[attr-defined,assignment]
