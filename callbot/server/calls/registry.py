"""The calls of this process: how many there are, which one a CallSid is, and how they end when the process stops."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from callbot.actors.ports import CallHandle
from callbot.messages.call import StreamStarted
from callbot.server.calls.socket import QuartStreamSocket

DISPLACE_S = 1.0  # a call whose stream is gone closes the model's session and ends well within that
CANCELLED_S = 1.0  # for the clean-up of calls that did not end by themselves


@dataclass(slots=True, eq=False)
class LiveCall:
    """A call that is carried now, by the task of its WebSocket route."""

    started: StreamStarted
    socket: QuartStreamSocket
    handle: CallHandle
    task: asyncio.Task[Any]
    over: asyncio.Event = field(default_factory=asyncio.Event)


class CallRegistry:
    """Calls and sockets that have shown no token yet, each with its limit. Everything happens in the loop's thread."""

    def __init__(self, max_calls: int, max_pending: int, log: FilteringBoundLogger | None = None) -> None:
        self.log: FilteringBoundLogger = structlog.get_logger() if log is None else log
        self._max_calls = max_calls
        self._max_pending = max_pending
        self._calls: dict[str, LiveCall] = {}
        self._pending: set[asyncio.Task[Any]] = set()
        self._wake = asyncio.Event()
        self.draining = False

    @property
    def live(self) -> int:
        """How many calls there are."""
        return len(self._calls)

    @property
    def pending(self) -> int:
        """How many sockets have been let in and have shown no token."""
        return len(self._pending)

    @property
    def full(self) -> bool:
        """Whether there is no place for another call."""
        return len(self._calls) >= self._max_calls

    @property
    def too_many_pending(self) -> bool:
        """Whether there is no place for another socket without a token."""
        return len(self._pending) >= self._max_pending

    def stream_no_of(self, call_sid: str) -> int:
        """The number of the call's stream that is live here; 0 when none is."""
        call = self._calls.get(call_sid)
        return 0 if call is None else call.started.stream_no

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The current task's socket has not shown its token."""
        task = _current_task()
        self._pending.add(task)
        try:
            yield
        finally:
            self._pending.discard(task)
            self._check_empty()

    @contextlib.contextmanager
    def carrying(self, started: StreamStarted, socket: QuartStreamSocket, handle: CallHandle) -> Iterator[LiveCall]:
        """The current task carries this call. Whoever asks must have found that there is a place and no such call."""
        call = LiveCall(started, socket, handle, _current_task())
        self._calls[started.call_sid] = call
        try:
            yield call
        finally:
            if self._calls.get(started.call_sid) is call:
                del self._calls[started.call_sid]
            call.over.set()
            self._check_empty()

    async def displace(self, call_sid: str) -> None:
        """End the call's older stream: Twilio has told us by a signed request that it is over, our socket has not."""
        call = self._calls.get(call_sid)
        if call is None:
            return
        call.socket.cut()
        if not await _set_within(call.over, DISPLACE_S):
            call.task.cancel()
            await _set_within(call.over, DISPLACE_S)

    def start_drain(self) -> None:
        """Refuse what is new, ask every call to end, let go of the sockets that have shown nothing."""
        self.draining = True
        for call in list(self._calls.values()):
            try:
                call.handle.request_drain()
            except Exception:  # a fault of one call must not keep the others from saying goodbye
                self.log.exception("call.drain_failed", call_sid=call.started.call_sid)
                call.task.cancel()
        for task in self._pending:
            task.cancel()
        self._check_empty()

    def hurry(self) -> None:
        """Do not wait for the calls any longer."""
        self._wake.set()

    async def drained(self, limit_s: float) -> int:
        """Wait until the last call has ended, at most `limit_s`; then cancel. Returns how many were cancelled."""
        await _set_within(self._wake, limit_s)
        late = list(self._calls.values())
        for call in late:
            call.task.cancel()
        if late:
            await asyncio.wait([call.task for call in late], timeout=CANCELLED_S)
        return len(late)

    def _check_empty(self) -> None:
        if self.draining and not self._calls and not self._pending:
            self._wake.set()


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "only a task can carry a call"  # noqa: S101
    return task


async def _set_within(event: asyncio.Event, limit_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
    return event.is_set()
