"""What Hypercorn's connections lack: a limit on their number, and a word about those that are cut off for being slow.

A peer that never finishes its request reaches no route, so nothing else would tell of it. Hypercorn 0.18 makes its
connections from the name `TCPServer` in its own module and takes no other class; the name is set here, once, and
connections of a configuration without a guard behave as before.
"""

from collections.abc import Callable
from typing import Protocol

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config


class NoteRefused(Protocol):
    """Hears why a connection was refused."""

    def __call__(self, reason: str, /) -> None:
        """`reason` is one of our own words."""


class GuardedConfig(Config):
    """Hypercorn's settings, and how many connections may be open at once."""

    def __init__(self, max_connections: int, note_refused: NoteRefused) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.note_refused: Callable[[str], None] = note_refused
        self.open_connections = 0


class GuardedConnection(TCPServer):
    """One TCP connection."""

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
            await super().run()
        finally:
            config.open_connections -= 1

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


hypercorn.asyncio.run.TCPServer = GuardedConnection  # type: ignore[attr-defined]
