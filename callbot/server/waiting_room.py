"""The waiting room: a WebSocket that the door has accepted, until it has shown its token or gone too far.

It is read at the transport (`tap`), message by message and within everybody's limits, with no library in between: what is
not plain ends it. Twilio's messages are whole.
"""

from collections.abc import Iterable
from typing import Final

from wsproto.utilities import generate_accept_token

from callbot.actors.ports import StreamClosed
from callbot.messages import StreamStarted
from callbot.server.admission import StreamRefused, admit
from callbot.server.limits import MessageLimits, TokenBucket
from callbot.server.services import ServerServices
from callbot.server.tap import Tap
from callbot.wire import websocket

_REASONS: Final = {websocket.TOO_BIG: "oversize", websocket.UNSUPPORTED: "in_parts"}


async def hear(services: ServerServices, tap: Tap, bucket: TokenBucket) -> StreamStarted:
    """The stream that an accepted WebSocket has proved to be; `bucket` is what it may send. Raises like `admit`."""
    started = await admit(services, _Shown(tap, services))
    most = int(bucket.left)
    if tap.waiting(most + 1) > most:  # a flood that has come with its `start`: Hypercorn and Quart need not hear of it
        raise StreamRefused("flood", call_sid=started.call_sid)
    return started


class _Shown:
    """What an accepted WebSocket shows at the door, message by message, within everybody's limits."""

    def __init__(self, tap: Tap, services: ServerServices) -> None:
        self._tap = tap
        self._turnstile = services.turnstile
        self._limits = MessageLimits(services.settings.max_message_bytes, services.settings.max_json_depth)

    async def receive(self) -> str | bytes:
        """The next message; raises `StreamClosed` or `StreamRefused`."""
        message = await self._tap.get()
        if message is None:
            if self._tap.is_flooded:
                raise StreamRefused("flood")
            if not self._tap.not_plain or self._tap.has_closed:
                raise StreamClosed
            code = self._tap.close_code()
            raise StreamRefused(_REASONS.get(code, "bad_frame"), code)
        await self._turnstile.next_turn()
        fault = self._limits.fault_of(message)
        if fault is not None:
            raise StreamRefused(fault, websocket.TOO_BIG if fault == "oversize" else websocket.POLICY_VIOLATION)
        return message


def acceptance(key: bytes, server_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer that accepts a handshake (RFC 6455, 4.2.2), without an extension or a protocol: Twilio asks for none."""
    upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    accepted = b"Sec-WebSocket-Accept: " + generate_accept_token(key) + b"\r\n"
    return upgraded + accepted + header_lines(server_headers) + b"\r\n"


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they stand in an answer."""
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)
