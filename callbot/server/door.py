"""The door: what a stranger is told before Hypercorn and Quart, which spend 2 to 3 ms on every request, have heard of it.

Calls share one loop with whoever comes, so what a refusal costs is what the callers' audio waits. Here a request is read,
judged by the same rules as behind (`admission`, `webhooks`, `app`) and refused with a few bytes; a WebSocket shows its
token here, too. Nothing else is answered: whoever may come in is handed to Hypercorn with every byte that was read, and is
judged again by the route. HTTP/2 is spoken to nobody: Twilio does not, and Cloud Run keeps it outside.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from hypercorn.protocol.ws_stream import Handshake

from callbot.actors.ports import StreamClosed
from callbot.server import twiml
from callbot.server.admission import StreamRefused, check_handshake
from callbot.server.app import SECURITY_HEADERS, STREAM_PATH, headers_too_large, metrics_refusal
from callbot.server.guard import Arrival, GuardedConnection
from callbot.server.limits import stream_bucket
from callbot.server.lingering import linger
from callbot.server.reading import Asked, BadRequest, PeerGone, Reading
from callbot.server.refusals import RefusalKind
from callbot.server.services import ServerServices
from callbot.server.stream import GOING_AWAY, NORMAL
from callbot.server.tap import Tap
from callbot.server.trace import follow_trace
from callbot.server.waiting_room import acceptance, header_lines, hear
from callbot.server.webhooks import WebhookRefused, check_header, signed_fields
from callbot.wire import websocket

SIGNED: Final = {
    twiml.CALL_PATH: frozenset({"POST"}),
    twiml.NEXT_PATH: frozenset({"POST"}),
    twiml.STATUS_PATH: frozenset({"GET", "POST"}),
}
HEADER_NET: Final = 4  # over our own limit, which has a line in the log of its own: what grows beyond is not read on
_LAST_HEADERS: Final = "".join(
    f"{name}: {value}\r\n" for name, value in {**SECURITY_HEADERS, "Content-Length": "0", "Connection": "close"}.items()
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a request is answered here. Without a `reason` it is told to nobody: an unknown path is no attack."""

    status: int
    kind: RefusalKind = "connection"
    reason: str = ""
    context: Mapping[str, str | int] = MappingProxyType({})


class Refused(Exception):
    """Raised where a request is refused.

    Only the `refusal` is kept: an exception that a frame keeps keeps that frame, a circle of all that the connection has
    had, and a flood of those would be cleared away 1 to 13 ms at a time, in everybody's way.
    """

    def __init__(self, status: int, kind: RefusalKind = "connection", reason: str = "", **context: str | int) -> None:
        super().__init__(reason)
        self.refusal = Refusal(status, kind, reason, context)


class Door:
    """One for a server. `paths` are the routes behind it."""

    def __init__(self, services: ServerServices, paths: Iterable[str]) -> None:
        self._services = services
        self._paths = frozenset(paths)
        self._here: set[GuardedConnection] = set()

    async def lets_in(self, connection: GuardedConnection) -> bool:
        """Whether Hypercorn is to serve this connection; if not, it has been answered and is closing.

        What was read is in the connection's `head` then; for a WebSocket that was accepted its `arrival` is set, too.
        """
        self._here.add(connection)
        try:
            await self._services.turnstile.next_turn()  # those who come in one turn are looked at in many
            return await self._judge_or_refuse(connection)
        except (PeerGone, OSError):
            connection.writer.close()
        finally:
            self._here.discard(connection)
        return False

    def close(self) -> None:
        """Drop everybody who has not been let in: the process ends."""
        for connection in self._here:
            connection.writer.transport.abort()

    async def _judge_or_refuse(self, connection: GuardedConnection) -> bool:
        services = self._services
        reading = Reading(connection.reader, services.turnstile, services.settings.max_header_bytes * HEADER_NET)
        try:
            return await self._judge(connection, reading)
        except BadRequest as fault:
            refusal = Refusal(fault.status, "connection", fault.reason)
        except Refused as fault:
            refusal = fault.refusal
        await services.turnstile.next_turn()
        await self._refuse(connection, refusal, whole=reading.is_whole)
        return False

    async def _judge(self, connection: GuardedConnection, reading: Reading) -> bool:
        asked = await self._head(reading)
        handshake = _handshake_of(asked)
        if headers_too_large(self._services, asked.headers):
            raise Refused(431, "stream" if handshake else "webhook", "headers_too_large")
        if asked.route not in self._paths:
            raise Refused(404)
        if handshake is not None:
            return await self._receive_stream(connection, asked, handshake, reading)
        if any(name == b"upgrade" for name, _ in asked.headers):  # Hypercorn would speak another protocol, HTTP/2 over TCP
            raise Refused(400, "connection", "bad_request")
        if asked.method in SIGNED.get(asked.route, ()):
            await self._check_webhook(asked, reading)
        elif asked.route == "/metrics":
            self._check_reader_of_metrics(connection, asked)
        connection.head = bytes(reading.raw)
        return True

    async def _head(self, reading: Reading) -> Asked:
        services = self._services
        try:
            async with asyncio.timeout(services.settings.request_timeout_s):
                asked = await reading.head()
        except TimeoutError:
            if reading.raw:  # else it was a connection in store
                await services.turnstile.next_turn()
                services.note_refusal("connection", "request_slow")
            raise PeerGone from None
        follow_trace(asked.headers, services.settings.google_cloud_project)
        return asked

    async def _check_webhook(self, asked: Asked, reading: Reading) -> None:
        """Raises `Refused` for a request that is not Twilio's. A body that waits to be asked for is not judged here."""
        services = self._services
        path = {"path": asked.route}
        try:
            check_header(services, asked.headers)
            if reading.waits_to_be_asked:
                return
            async with asyncio.timeout(services.settings.request_timeout_s):
                body = await reading.body(services.settings.max_form_bytes)
            await services.turnstile.next_turn()
            signed_fields(services, asked.method, asked.headers, asked.path, asked.query, body)
        except WebhookRefused as refusal:
            raise Refused(refusal.status, "webhook", refusal.reason, **path) from None
        except TimeoutError:
            raise Refused(408, "webhook", "body_too_slow", **path) from None
        except PeerGone:
            await services.turnstile.next_turn()
            services.note_refusal("webhook", "body_cut", status=400, **path)
            raise

    def _check_reader_of_metrics(self, connection: GuardedConnection, asked: Asked) -> None:
        peer: Any = connection.writer.get_extra_info("peername")
        refusal = metrics_refusal(self._services, asked.headers, str(peer[0]) if isinstance(peer, tuple) else "")
        if refusal is not None:
            raise Refused(refusal.status, "webhook", refusal.reason, path=asked.route)

    async def _receive_stream(
        self, connection: GuardedConnection, asked: Asked, handshake: Handshake, reading: Reading
    ) -> bool:
        """Accept the WebSocket and hear what it shows; whether it goes in."""
        services = self._services
        refused = check_handshake(services, asked.headers, asked.path, asked.query)
        if refused is not None:
            raise Refused(refused.status, "stream", refused.reason)
        if asked.route != STREAM_PATH or not handshake.is_valid() or handshake.key is None or reading.has_left_over:
            raise Refused(400, "connection", "bad_request")
        tap = Tap(connection.writer)
        bucket = stream_bucket(services.settings.max_messages_per_s, services.clock)
        connection.writer.write(acceptance(handshake.key, connection.config.response_headers("h11")))
        code, reason = NORMAL, ""
        try:
            with services.registry.waiting():
                started = await hear(services, tap, bucket)
        except StreamRefused as refusal:
            await services.turnstile.next_turn()
            services.note_refusal("stream", refusal.reason, **refusal.context)
            code, reason = refusal.code, refusal.reason
        except StreamClosed:
            services.log.info("stream.closed", reason="before_start")
        except asyncio.CancelledError:
            connection.writer.write(websocket.close_frame(GOING_AWAY, "going away"))
            connection.writer.close()
            raise
        else:
            connection.head, connection.arrival = bytes(reading.raw), Arrival(tap, started, bucket)
            return True
        await linger(connection.writer, websocket.close_frame(code, reason))
        return False

    async def _refuse(self, connection: GuardedConnection, refusal: Refusal, *, whole: bool) -> None:
        if refusal.reason:
            self._services.note_refusal(refusal.kind, refusal.reason, status=refusal.status, **refusal.context)
        answer = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n{_LAST_HEADERS}".encode()
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            answer += b"WWW-Authenticate: Bearer\r\n"
        answer += header_lines(connection.config.response_headers("h11")) + b"\r\n"
        if whole:
            connection.writer.write(answer)
            connection.writer.close()
        else:
            await linger(connection.writer, answer)


def _handshake_of(asked: Asked) -> Handshake | None:
    """The WebSocket's handshake that a request is, told as Hypercorn tells it; None for any other request.

    Raises `Refused` for a list in its headers that is no ASCII, on which wsproto fails.
    """
    if asked.method != "GET":
        return None
    headers = dict(asked.headers)  # of two with one name the last, as in Hypercorn
    if headers.get(b"upgrade", b"").strip().lower() != b"websocket":
        return None
    if b"upgrade" not in [token.strip().lower() for token in headers.get(b"connection", b"").split(b",")]:
        return None
    try:
        return Handshake(asked.headers, asked.http_version)
    except UnicodeDecodeError:
        raise Refused(400, "connection", "bad_request") from None
