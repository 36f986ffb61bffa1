"""One WebSocket on the server's side, able to be rude: late pongs, deafness, unanswered closes, a dead link."""

import asyncio
import socket
import struct
import sys
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.frames import Opcode

from .faults import Close

_TCP_ESTABLISHED = 1  # the first byte of Linux's `struct tcp_info` (tcp(7), TCP_INFO)


@dataclass(slots=True)
class Upgrade:
    """One upgrade request, whether or not it was granted."""

    number: int  # counted from 1 over the life of the stand-in
    path: str
    mode: str = ""  # "gemini" or "vertex"
    version: str = ""
    credential: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    status: int | None = None  # None: never answered


class WireConnection(ServerConnection):
    """A `websockets` connection whose manners can be switched off one by one."""

    upgrade: Upgrade | None = None
    early_close: Close | None = None  # close right after the upgrade
    upgrade_granted: bool = False

    pong_delay_s: float | None = 0.0  # real seconds; None: never
    read_delay_s: float = 0.0  # real seconds before each message
    ignores_close: bool = False
    holds_tcp: bool = False
    is_black_hole: bool = False
    is_lost: bool = False  # the transport has gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register with the stand-in as soon as there is a transport, long before the upgrade."""
        super().connection_made(transport)
        self._hearing = asyncio.Event()
        self._hearing.set()
        self.opened()

    def opened(self) -> None:
        """There is a transport now; the server keeps count of them here."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Let a reader that waits in deafness find out that it is over."""
        super().connection_lost(exc)
        self.is_lost = True
        self._hearing.set()

    async def hear(self) -> bytes:
        """Return the next message, text or binary, as bytes.

        Raises:
            ConnectionClosed: the connection has ended.
        """
        if self.read_delay_s and not self.transport.is_closing():  # what a lost connection has left is not worth the wait
            await asyncio.sleep(self.read_delay_s)
        if not self._hearing.is_set():
            await self._hearing.wait()
        return await self.recv(decode=False)

    @property
    def client_has_gone(self) -> bool:
        """Whether the client has closed its socket, as this machine's kernel knows it: who does not read is not told.

        Only Linux says so; elsewhere this is False until the end has been read.
        """
        if self.is_lost:
            return True
        if sys.platform != "linux":
            return False
        sock = self.transport.get_extra_info("socket")
        if sock.fileno() < 0:
            return True
        info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return info[0] != _TCP_ESTABLISHED

    @property
    def is_unheard(self) -> bool:
        """Whether what is written goes nowhere: after an abort, or where the client's end has come and was not read."""
        return self.transport.is_closing() or (not self.transport.is_reading() and self.client_has_gone)

    @property
    def is_polite(self) -> bool:
        """Whether a closing handshake can succeed."""
        return self._hearing.is_set() and not (self.holds_tcp or self.is_black_hole)

    def stop_reading(self) -> None:
        """Take nothing more from the socket. A lost one has nothing more, and nothing would end the deafness."""
        if self.is_lost:
            return
        self._hearing.clear()
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again after `stop_reading`."""
        self._hearing.set()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def become_black_hole(self) -> None:
        """Neither read nor write any more; TCP stays up."""
        self.is_black_hole = True
        self.close_timeout = None
        self.stop_reading()

    def keep_tcp_open(self, *, answer_close: bool) -> None:
        """From now on leave TCP open whatever happens to the WebSocket."""
        self.holds_tcp = True
        self.ignores_close = not answer_close
        self.close_timeout = None

    def abort(self, *, reset: bool = False) -> None:
        """End the TCP connection without a close frame; `reset` sends RST at once."""
        if reset:
            sock = self.transport.get_extra_info("socket")
            # Linger on with a time of zero makes close() send RST (socket(7), SO_LINGER).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def send_data(self) -> None:
        """Write what the protocol has to send, unless manners are off."""
        if not self.transport.is_reading() and self.client_has_gone:
            self.protocol.data_to_send()  # TLS has seen the client's end and takes no more; the deaf one learns it later
            return
        polite = self.pong_delay_s == 0 and not (self.holds_tcp or self.is_black_hole)
        if polite:
            super().send_data()
            return
        for frame in self.protocol.data_to_send():
            self._send_rudely(frame)

    def _send_rudely(self, frame: bytes) -> None:
        if self.is_black_hole:
            return
        if not frame:  # websockets' sign that TCP should be closed
            if not self.holds_tcp:
                self.transport.close()
            return
        opcode = frame[0] & 0x0F
        if opcode == Opcode.CLOSE and self.ignores_close:
            return
        if opcode == Opcode.PONG and self.pong_delay_s != 0:
            if self.pong_delay_s is not None:
                self.loop.call_later(self.pong_delay_s, self._write_late, frame)
            return
        self.transport.write(frame)

    def _write_late(self, frame: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(frame)
