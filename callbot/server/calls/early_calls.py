"""Calls that come while the rooms that carry them are still being loaded.

Loading the model's client takes longer than everything else at the start. The server answers before: a webhook gets its
stream, and a stream that opens in this time waits, with the caller's first words in its socket.
"""

import asyncio
from collections.abc import Callable

from callbot.actors.ports import CallFactory, CallHandle, StreamSocket
from callbot.messages.call import StreamStarted

MAX_EARLY = 100  # webhooks remembered until sessions can be prepared for them


class EarlyCalls:
    """A call factory, and a hearer of webhooks, from the first moment on; `loaded` gives it the real ones."""

    def __init__(self) -> None:
        self._factory: CallFactory | None = None
        self._on_webhook: Callable[[str], None] | None = None
        self._heard: list[str] = []
        self._ready = asyncio.Event()

    def loaded(self, factory: CallFactory, on_webhook: Callable[[str], None]) -> None:
        """Everything is there: calls that wait go on, and sessions are prepared for the webhooks so far."""
        self._factory, self._on_webhook = factory, on_webhook
        self._ready.set()
        for call_sid in self._heard:
            on_webhook(call_sid)
        self._heard.clear()

    def make(self, started: StreamStarted, socket: StreamSocket) -> CallHandle:
        """A `CallFactory`."""
        if self._factory is not None:
            return self._factory(started, socket)
        return _EarlyCall(self, started, socket)

    def hear(self, call_sid: str) -> None:
        """A webhook was answered."""
        if self._on_webhook is not None:
            self._on_webhook(call_sid)
        elif len(self._heard) < MAX_EARLY:
            self._heard.append(call_sid)

    async def wait(self) -> CallFactory:
        """The real factory, once there is one."""
        await self._ready.wait()
        assert self._factory is not None, "loaded() sets both"  # noqa: S101 - the type checker's
        return self._factory


class _EarlyCall:
    """A call that becomes the real one as soon as it can."""

    def __init__(self, calls: EarlyCalls, started: StreamStarted, socket: StreamSocket) -> None:
        self._calls = calls
        self._started = started
        self._socket = socket
        self._call: CallHandle | None = None
        self._waiting: asyncio.Task[CallFactory] | None = None
        self._drain_requested = False

    async def run(self) -> None:
        """Wait, and carry the call. A call that is drained before it has begun ends as on an instance that has died: at once,
        and `/twiml/next` opens its next stream elsewhere.
        """
        if self._drain_requested:
            return
        # Not in a TaskGroup: a drain cancels it alone, and it ends in the lines below whatever happens.
        self._waiting = asyncio.create_task(self._calls.wait())
        try:
            await asyncio.wait([self._waiting])
        finally:
            self._waiting.cancel()
        if self._waiting.cancelled():
            return
        self._call = self._waiting.result()(self._started, self._socket)
        await self._call.run()

    def request_drain(self) -> None:
        """The process will stop."""
        self._drain_requested = True
        if self._call is not None:
            self._call.request_drain()
        elif self._waiting is not None:
            self._waiting.cancel()
