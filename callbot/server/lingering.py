"""The end of a connection whose peer may still be sending: closed with bytes unread, TCP would take the last answer back."""

import asyncio
import contextlib
from typing import Final, cast

LINGER_S: Final = 1.0  # a peer that is well answers within a round trip
SETTLED_S: Final = 0.05  # nothing came for so long: the end of our side can't meet a peer in the middle of a message
# One read of the loop's: more than is under way from a peer that is well. The rest waits in its socket.
_MOST_BYTES: Final = 2**18


class Lingering(asyncio.Protocol):
    """Drops what comes, and tells `before`, the protocol in whose place it is, when the connection is gone."""

    def __init__(self, transport: asyncio.Transport, before: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._before = before
        self._left_bytes = _MOST_BYTES
        self._settled = False
        self._loop = asyncio.get_running_loop()
        self._tick = self._loop.call_later(SETTLED_S, self._look)
        self.gone = self._loop.create_future()

    def data_received(self, data: bytes) -> None:
        """Drop it."""
        self._settled = False
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has closed as well, or is gone."""
        self._tick.cancel()
        self._before.connection_lost(exc)
        if not self.gone.done():
            self.gone.set_result(None)

    def _look(self) -> None:
        if self._left_bytes < 0 or self._transport.is_closing():
            return  # in the middle of something large: it is dropped when the time is over
        if self._settled:
            self._transport.write_eof()
            return
        self._settled = True
        self._tick = self._loop.call_later(SETTLED_S, self._look)


async def linger(writer: asyncio.StreamWriter, last: bytes) -> None:
    """Write the last bytes, and drop what comes until the peer closes too, at most `LINGER_S`."""
    transport = cast("asyncio.Transport", writer.transport)
    if transport.is_closing():
        return
    lingering = Lingering(transport, transport.get_protocol())
    transport.set_protocol(lingering)
    transport.resume_reading()
    transport.write(last)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await lingering.gone
    finally:
        transport.abort()
