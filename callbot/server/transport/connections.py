"""Hypercorn's connections with what they lack: a limit on their number, a budget for newcomers, and no fault that leaves them.

Hypercorn 0.18 makes its connections from the name `TCPServer` in its own module and takes no other class; the name is set
here, once, and connections of any other configuration behave as before. Also used of its parts: `_read_data`,
`_initiate_server_close` and `idle_task` of the connection, and of its HTTP/1.1 protocol `_check_protocol`,
`_send_error_response`, `stream` and h11's `trailing_data`. `tests/server/test_hypercorn_parts.py` fails when one changes.
"""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream

from callbot.server.limits.newcomers import NewcomerBudget


class BoundedConfig(Config):
    """Hypercorn's settings, how many connections may be open at once, and what newcomers may take of the loop's time.

    `note_refused` hears in one of our own words why a connection was refused, `note_failed` that one has ended with a fault.
    """

    def __init__(
        self,
        max_connections: int,
        newcomers: NewcomerBudget,
        note_refused: Callable[[str], None],
        note_failed: Callable[[Exception], None],
    ) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.newcomers = newcomers
        self.note_refused: Callable[[str], None] = note_refused
        self.note_failed: Callable[[Exception], None] = note_failed
        self.connections: set[BoundedConnection] = set()
        self._headers: dict[str, tuple[int, list[tuple[bytes, bytes]]]] = {}

    def drop_newcomers(self) -> None:
        """Cut whoever has no call: the process ends, and Hypercorn would wait for them."""
        for connection in self.connections:
            if connection.is_newcomer:
                connection.writer.transport.abort()

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The headers of every answer. One of them is the date, in whole seconds: made once in each."""
        now_s = int(time.time())
        known = self._headers.get(protocol)
        if known is None or known[0] != now_s:
            known = self._headers[protocol] = (now_s, super().response_headers(protocol))
        return list(known[1])


class Http2RefusedError(Exception):
    """The peer speaks HTTP/2, which Twilio does not, and Cloud Run keeps outside."""


class BoundedConnection(TCPServer):
    """One TCP connection; a newcomer until its WebSocket is admitted."""

    is_newcomer = True
    _answer_error: Callable[[int], Awaitable[None]]

    async def run(self) -> None:
        """Serve it to its end, or drop it at once when there are too many. Lets no fault out."""
        config = self.config
        if not isinstance(config, BoundedConfig):
            await super().run()
            return
        if len(config.connections) >= config.max_connections:
            config.note_refused("too_many_connections")
            self.writer.transport.abort()
            return
        config.connections.add(self)
        try:
            await config.newcomers.metered(super().run())
        except Exception as fault:  # noqa: BLE001 - one connection's; Hypercorn would end the process with it at its shutdown
            config.note_failed(fault)
            self.writer.transport.abort()
        finally:
            config.connections.discard(self)
            for known in ("protocol", "_answer_error"):  # they know this connection: circles that only the collector would find
                vars(self).pop(known, None)

    async def _read_data(self) -> None:
        """Give Hypercorn what comes, a newcomer's in its turn."""
        config, protocol = self.config, self.protocol.protocol
        if not isinstance(config, BoundedConfig) or not isinstance(protocol, H11Protocol):
            await super()._read_data()
            return
        protocol._check_protocol = self._refuse_http_2  # type: ignore[assignment,method-assign]  # noqa: SLF001 - named above
        self._answer_error = protocol._send_error_response  # noqa: SLF001 - named above
        protocol._send_error_response = self._refuse_bad_request  # type: ignore[assignment,method-assign]  # noqa: SLF001
        try:
            while not self.reader.at_eof():
                data = await self.reader.read(MAX_RECV)
                if not data:
                    break
                if self.is_newcomer:
                    await config.newcomers.turn()
                await self.protocol.handle(RawData(data))
                if isinstance(protocol.stream, WSStream) and protocol.stream.closed:
                    break  # a handshake that was refused: Hypercorn would wait for the peer to go
        except UnicodeDecodeError:  # a handshake's list that is no ASCII, on which wsproto fails
            await self._refuse_bad_request(HTTPStatus.BAD_REQUEST)
        except OSError:
            pass  # the peer is gone
        except Http2RefusedError:
            config.note_refused("http_2")
        await self.protocol.handle(Closed())
        await self.idle_task.stop()  # or a peer that has gone would keep its place until it counts as idle

    async def _refuse_http_2(self, request: Any) -> None:
        """In place of Hypercorn's change to HTTP/2; a wish to upgrade to it is passed over (RFC 9110, 7.8)."""
        if request.method == b"PRI":
            await self._answer_error(505)
            raise Http2RefusedError

    async def _refuse_bad_request(self, status: int) -> None:
        """What h11 finds to be no request, or one with too large a head, is written down as well."""
        if isinstance(self.config, BoundedConfig):
            self.config.note_refused(
                "headers_too_large" if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE else "bad_request"
            )
        await self._answer_error(status)

    async def _initiate_server_close(self) -> None:
        """The connection has idled for too long. With half a request in hand that is no idling."""
        if isinstance(self.config, BoundedConfig) and not self.context.terminated.is_set() and self._holds_half_a_request():
            self.config.note_refused("request_slow")
        await super()._initiate_server_close()

    def _holds_half_a_request(self) -> bool:
        protocol = self.protocol.protocol
        return isinstance(protocol, H11Protocol) and bool(protocol.connection.trailing_data[0])


hypercorn.asyncio.run.TCPServer = BoundedConnection  # type: ignore[attr-defined]
