"""The `StreamSocket` that a call is given: a Quart WebSocket with the limits that hold for everybody.

One task reads, any task sends or closes. A message that is too large, too deep or one too many ends the stream with its
close code (RFC 6455, 7.4.1), is counted and logged; the reader then sees `StreamClosed` like after any other end.
"""

import asyncio
import contextlib
from collections.abc import Callable

from callbot.actors.ports import StreamClosed
from callbot.server.limits.buckets import MessageLimits, TokenBucket
from callbot.server.transport.websocket import MediaDisconnected, MediaWebsocket
from callbot.wire.twilio import MARK

POLICY_VIOLATION = 1008
TOO_BIG = 1009

SEND_STALL_S = 10.0  # the peer has read nothing although 4 MiB, minutes of audio, lie in the buffers before a send waits
CLOSE_S = 1.0  # a close waits behind a send that stalls; then the connection is dropped without it


class QuartStreamSocket:
    """One accepted Media Streams WebSocket, which may send what is in the `bucket`.

    `on_refused` is told the reason when a limit ends the stream.
    """

    def __init__(
        self,
        websocket: MediaWebsocket,
        *,
        max_message_bytes: int,
        bucket: TokenBucket,
        max_json_depth: int,
        on_refused: Callable[[str], None],
        send_stall_s: float = SEND_STALL_S,
    ) -> None:
        self._websocket = websocket
        self._limits = MessageLimits(max_message_bytes, max_json_depth)
        self._bucket = bucket
        self._on_refused = on_refused
        self._send_stall_s = send_stall_s
        self._reading = False
        self._gone = False
        self._closed = False

    @property
    def is_flooded(self) -> bool:
        """Whether more has come already than may: a flood need not be worked off up to the message that is one too many."""
        left = self._bucket.left
        return self._websocket.waiting(int(left) + 1) > left

    async def receive(self) -> str | bytes:
        """The next message; raises `StreamClosed` after the last one."""
        if self._gone:
            raise StreamClosed
        self._reading = True
        try:
            message: str | bytes = await self._websocket.receive()
        except MediaDisconnected:
            self._gone = True
            if (fault := self._websocket.fault) is not None:
                self._on_refused(fault)
            raise StreamClosed from None
        finally:
            self._reading = False
        fault = self._fault_of(message) or ("flood" if self.is_flooded else None)
        if fault is not None:
            self._on_refused(fault)
            await self.close(TOO_BIG if fault == "oversize" else POLICY_VIOLATION, fault)
            self._gone = True
            raise StreamClosed
        return message

    def hand_to(self, take: Callable[[str | bytes], bool]) -> None:
        """From now on give messages to `take` as they come, where that can be done, and those to `receive` that it answers
        with False. What a limit forbids is `receive`'s.
        """
        self._websocket.hand_to(lambda message: not self._gone and self._fault_of(message) is None and take(message))

    def send_now(self, message: str) -> bool:
        """Send one text message without waiting; False when that cannot be done."""
        is_sent = not (self._gone or self._closed) and self._websocket.send_now(message)
        if is_sent:
            self._expect_answer(message)
        return is_sent

    async def send(self, message: str) -> None:
        """Send one text message; raises `StreamClosed` when the socket is closed or its peer reads nothing any more."""
        if self._gone or self._closed:
            raise StreamClosed
        if self.send_now(message):
            return
        try:
            async with asyncio.timeout(self._send_stall_s):
                await self._websocket.send(message)
        except (MediaDisconnected, TimeoutError):
            self.cut()
            raise StreamClosed from None
        self._expect_answer(message)

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; a second call does nothing. The peer's answer shows as the end of `receive`."""
        if self._closed:
            return
        self._closed = True
        if self._gone:
            return
        with contextlib.suppress(MediaDisconnected, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._websocket.close(code, reason)

    def cut(self) -> None:
        """Treat the peer as gone: a `receive` that waits now, or comes later, raises `StreamClosed`."""
        self._gone = True
        if self._reading:
            self._websocket.cut()

    def cut_off(self) -> None:
        """The server has cut a message off that would not end, and has closed with 1009."""
        if not self._gone:
            self._on_refused("oversize")
            self.cut()

    def _expect_answer(self, message: str) -> None:
        """Twilio sends each mark back: what we asked for is not the caller's flood."""
        if message.startswith(MARK):
            self._bucket.give()

    def _fault_of(self, message: str | bytes) -> str | None:
        fault = self._limits.fault_of(message)
        if fault is not None:
            return fault
        return None if self._bucket.take() else "flood"  # last: a message that is judged a second time has paid once
