"""The model's WebSocket as the websockets library makes it, without its way for each plain message.

The library takes connection classes of one's own (`create_connection`), and the SDK hands ours on. Everything stays the
library's, the handshake, pings, closes, limits and the queue of messages; only whole plain frames are read, and audio is
written, without its parser and its context managers: 30 to 50 us less a message. What is not plain it gets byte for byte.

What callbot takes of the private parts of websockets and of the SDK's session stands here (how it dials, in `dialling`);
`tests/gemini/test_private_parts.py` fails when one of them changes, and `pyproject.toml` bounds both libraries' versions.
"""

import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from google.genai.live import AsyncSession
from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from callbot.wire import websocket

# 16 s of audio in one message; the library's way takes what is larger, and has the limit.
_LARGEST: Final = 2**20
# Of one read, given to the taker in the transport's own turn: an answer comes faster than it is spoken.
_MOST_AT_ONCE: Final = 4
_END_OF_HEAD: Final = b"\r\n\r\n"
_CAN_TELL: Final = hasattr(socket, "TCP_INFO") and sys.platform == "linux"
_ESTABLISHED: Final = 1  # the kernel's TCP_ESTABLISHED


class LeanConnection(ClientConnection):
    """A client's connection; raises what its base raises."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._frames = websocket.PlainFrames(masked=False, decode=False, largest=_LARGEST)
        self._head: bytes | None = b""  # the answer to the handshake, until it is whole
        self._lean = False
        # Takes messages in the turn of the loop in which they come, as long as none waits for `recv`; False: it did not.
        self.taker: Callable[[bytes], bool] | None = None

    def data_received(self, data: bytes) -> None:
        """Queue the messages of plain frames; hand everything else to the library's parser."""
        if not self._lean:
            super().data_received(data)
            if self._head is not None:
                self._head += data
                self._after_handshake(self._head)
            return
        at_once = _MOST_AT_ONCE if self.taker is not None and not has_messages(self) else 0
        for opcode, payload in self._frames.feed(data):
            assert isinstance(payload, bytes)  # noqa: S101 - nothing is decoded
            if opcode > websocket.BINARY:
                super().data_received(payload)
            elif at_once and self.taker is not None and self.taker(payload):
                at_once -= 1
            else:
                at_once = 0
                self.recv_messages.put(Frame(_OPCODES[opcode], payload))
        if self._frames.stopped:
            self._lean = False
            rest, self._frames.rest = self._frames.rest, b""
            if rest:
                super().data_received(rest)

    def _after_handshake(self, head: bytes) -> None:
        if self.protocol.state is State.CONNECTING:
            return
        # With bytes behind the answer the library's parser is in the midst of frames already, and stays the one.
        self._lean = self.protocol.state is State.OPEN and head.find(_END_OF_HEAD) == len(head) - len(_END_OF_HEAD)
        self._head = None

    def send_now(self, message: bytes) -> bool:
        """Send one text message without waiting; False when it has to be awaited, by `send`, which also says what is wrong."""
        if self.protocol.state is not State.OPEN or self.paused or self.send_in_progress or self.transport.is_closing():
            return False
        self.transport.write(websocket.masked_text_frame(message))
        return True


_OPCODES: Final = {websocket.TEXT: Opcode.TEXT, websocket.BINARY: Opcode.BINARY}


def connection_of(session: AsyncSession) -> ClientConnection:
    """The session's WebSocket, which the SDK keeps to itself: pings, direct messages and a bounded close need it."""
    connection = session._ws  # noqa: SLF001
    assert isinstance(connection, ClientConnection)  # noqa: S101 - the SDK connects with websockets
    return connection


def has_messages(connection: ClientConnection) -> bool:
    """Whether a message has come that was not received yet."""
    return bool(connection.recv_messages.frames)


def is_established(connection: ClientConnection) -> bool:
    """After a write: whether it went to a connection that the peer had neither cut nor closed.

    Neither the loop nor the library says so at once, and the chunk would be counted as sent. What was written while
    the connection was established may still be lost with it; nobody can tell. Linux only (tcp(7), TCP_INFO), else True; 4 us.
    """
    tcp = connection.transport.get_extra_info("socket")
    if not _CAN_TELL:
        return True
    if tcp is None or tcp.fileno() < 0:
        return False
    return bool(tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED)


def abort(connection: ClientConnection) -> None:
    """End the connection without a word, whatever waits to be sent."""
    connection.transport.abort()
