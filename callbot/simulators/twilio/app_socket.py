"""The WebSocket to the app, as Twilio opens and treats it, with the rough handling a real network adds.

The handshake is the captured one: lower-case header names in Twilio's order, no origin, no subprotocol, no
extensions. TCP goes to another address than the one in the URL, so that a local app can be called by its
public name.
"""

import asyncio
import select
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import override
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.uri import WebSocketURI

USER_AGENT = "Twilio.TmeWs/1.0"
CONNECT_TIMEOUT_S = 5.0  # Twilio's limit for a TCP connection
ANSWER_TIMEOUT_S = 15.0  # the hard limit Twilio sets to webhooks; none is published for the handshake
MAX_MESSAGE_BYTES = 1 << 20
QUEUED_MESSAGES = 8  # kept small, so that not reading soon closes the TCP window


@dataclass(frozen=True, slots=True)
class HandshakeFailure:
    """Why there is no socket. `code` is Twilio's, `http_status` 0 when nothing was answered."""

    code: int
    http_status: int
    text: str


class _TwilioProtocol(ClientProtocol):
    """A client protocol whose request carries exactly the captured headers."""

    def __init__(self, uri: WebSocketURI, host: str, signature: str | None) -> None:
        super().__init__(uri, max_size=MAX_MESSAGE_BYTES)
        self._host = host
        self._signature = signature

    @override
    def connect(self) -> Request:
        headers = Headers()
        headers["host"] = self._host
        headers["user-agent"] = USER_AGENT
        headers["connection"] = "Upgrade"
        headers["upgrade"] = "websocket"
        headers["accept-encoding"] = "gzip"
        headers["sec-websocket-key"] = self.key
        headers["sec-websocket-version"] = "13"
        if self._signature is not None:
            headers["x-twilio-signature"] = self._signature
        return Request(self.uri.resource_name, headers)


class AppSocket:
    """One open socket. `closed_code` and `closed_reason` are set once it has ended."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(
        cls, url: str, connect_to: str, signature: str | None, tls: ssl.SSLContext | None = None
    ) -> "AppSocket | HandshakeFailure":
        """Connect to `connect_to` (http://HOST:PORT) and ask for the path of `url` (wss://PUBLIC/PATH)."""
        public, target = urlsplit(url), urlsplit(connect_to)
        secure = target.scheme == "https"
        uri = WebSocketURI(secure, public.hostname or "", public.port or 443, public.path or "/", public.query)
        protocol = _TwilioProtocol(uri, public.netloc, signature)
        loop = asyncio.get_running_loop()
        port = target.port or (443 if secure else 80)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, connection = await loop.create_connection(
                    lambda: ClientConnection(protocol, ping_interval=None, max_queue=QUEUED_MESSAGES),
                    target.hostname or "",
                    port,
                    ssl=(tls or ssl.create_default_context()) if secure else None,
                    server_hostname=public.hostname if secure else None,
                )
        except TimeoutError:
            return HandshakeFailure(31901, 0, f"no answer within {CONNECT_TIMEOUT_S:.0f} s")
        except ssl.SSLError as error:
            return HandshakeFailure(31910, 0, f"TLS failed: {error}")
        except OSError as error:
            return HandshakeFailure(31902, 0, f"connection refused: {error}")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await connection.handshake(user_agent_header=None)
        except TimeoutError:
            transport.abort()
            return HandshakeFailure(31901, 0, f"no answer to the handshake within {ANSWER_TIMEOUT_S:.0f} s")
        except InvalidStatus as error:
            transport.abort()
            status = error.response.status_code
            return HandshakeFailure(31920, status, f"the app answered HTTP {status} instead of 101")
        except (InvalidHandshake, OSError, EOFError) as error:
            transport.abort()
            return HandshakeFailure(31920, 0, f"the handshake failed: {error}")
        return cls(connection)

    @property
    def is_open(self) -> bool:
        """Whether messages can still be exchanged."""
        return self._connection.protocol.state is State.OPEN

    @property
    def close_received(self) -> tuple[int, str] | None:
        """Code and reason of the app's close frame; None when it never sent one. 1005: a frame without code."""
        close = self._connection.protocol.close_rcvd
        return None if close is None else (int(close.code), close.reason)

    async def receive(self) -> str | bytes | None:
        """Return the next message, None once the socket has ended."""
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            return None

    async def send(self, text: str) -> bool:
        """Send a text message, waiting while the app does not read. False: the socket has ended."""
        try:
            await self._connection.send(text)
        except ConnectionClosed:
            return False
        return True

    def send_raw(self, payload: bytes, *, binary: bool) -> None:
        """Send `payload` as a text or binary message whatever it holds."""
        if self.is_open:
            self._connection.protocol.send_frame(Frame(Opcode.BINARY if binary else Opcode.TEXT, payload))
            self._flush()

    def send_close(self, code: int, last_text: str | None = None) -> None:
        """Send a close frame; `last_text` goes before it in the very same write. 1005: no code."""
        if not self.is_open:
            return
        protocol = self._connection.protocol
        if last_text is not None:
            protocol.send_text(last_text.encode())
        if code == 1005:
            protocol.send_close()
        else:
            protocol.send_close(code)
        self._flush()

    def reset(self) -> None:
        """End the connection with a TCP reset: no close frame, no FIN."""
        raw: socket.socket | None = self._connection.transport.get_extra_info("socket")
        if raw is not None:
            # Linger switched on with no time to linger makes the kernel send RST.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.transport.abort()

    def abandon(self) -> None:
        """Stop reading at the lowest level: nothing is answered any more, not even a close or a ping."""
        if not self._connection.transport.is_closing():
            self._connection.transport.pause_reading()

    def peer_gave_up(self) -> bool:
        """Whether the app has ended an abandoned connection (its FIN or RST lies in the kernel)."""
        raw: socket.socket | None = self._connection.transport.get_extra_info("socket")
        if raw is None or raw.fileno() < 0:
            return True
        if not hasattr(select, "POLLRDHUP"):
            return False  # only Linux tells without reading; elsewhere the linger time decides
        poll = select.poll()
        poll.register(raw.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended, TCP included."""
        return self._connection.connection_lost_waiter.done()

    async def wait_closed(self, timeout_s: float) -> bool:
        """Wait for the connection's end; False when the time ran out first."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._connection.wait_closed()
        except TimeoutError:
            return False
        return True

    def _flush(self) -> None:
        pending = b"".join(self._connection.protocol.data_to_send())
        if pending and not self._connection.transport.is_closing():
            self._connection.transport.write(pending)
