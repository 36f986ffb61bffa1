"""What a call is given from outside: the protocols between `actors/` and the rooms around it."""

from collections.abc import Callable
from typing import Protocol

from callbot.messages.call import StreamStarted
from callbot.messages.terms import Ending


class StreamClosed(Exception):
    """The peer is gone; raised by `StreamSocket.receive` after every message it had sent."""


class StreamSocket(Protocol):
    """One accepted Media Streams WebSocket."""

    async def receive(self) -> str | bytes:
        """The next message, whole; raises `StreamClosed` once the peer is gone."""
        ...

    def hand_to(self, take: Callable[[str | bytes], bool]) -> None:
        """From now on give messages to `take` in the turn of the loop in which they come, where that can be done, and to
        `receive`, in order, where it cannot. One that `take` answers with False is `receive`'s, and so are those behind it.
        """
        ...

    async def send(self, message: str) -> None:
        """Send one text message. To a peer that is gone it is dropped silently, or raises `StreamClosed`."""
        ...

    def send_now(self, message: str) -> bool:
        """Send one text message without waiting; False when that cannot be done: `send` can, or says why not."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; a second call does nothing."""
        ...


class CallHandle(Protocol):
    """A call as the server sees it."""

    async def run(self) -> None:
        """Carry the call to its end. Raises only on a bug in the call itself."""
        ...

    def request_drain(self) -> None:
        """The process will stop: end in order, soon."""
        ...


class CallFactory(Protocol):
    """Makes the call for a stream that has been admitted."""

    def __call__(self, started: StreamStarted, socket: StreamSocket) -> CallHandle:
        """The call; nothing runs before `run`."""
        ...


class EndingRecorder(Protocol):
    """Remembers how a stream ended, before its socket closes, for `/twiml/next`."""

    def __call__(self, call_sid: str, ending: Ending) -> None:
        """Never waits."""
        ...
