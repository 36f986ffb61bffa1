"""The actor: one task, one typed mailbox, one message at a time.

`tell()` never waits. An idle actor handles a message in the teller's own turn of the event loop; a busy one, or one that
has not started, finds it in its mailbox, in order. That keeps an interruption within one loop turn from the model's socket
to Twilio's queue, and saves the wake-up of 6 to 9 us that a task switch costs for every frame and hop. It is sound because
`handle` is synchronous: whatever waits (sockets, sessions, timers) is in `live`, the actor's own task.

A mailbox has a size and a policy, both named where the actor is defined. A fault in `handle` ends this actor and nobody
else: it leaves through `run`, and the parent gets `ChildExited`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from enum import StrEnum


class Overflow(StrEnum):
    """What happens when a mailbox is full."""

    FAIL = "fail"  # control messages: a full mailbox is a bug, the actor crashes with `MailboxFullError`
    DROP_OLDEST = "drop_oldest"  # live audio: old sound is worth less than new


class MailboxFullError(Exception):
    """A control mailbox overflowed."""

    def __init__(self, actor: str, size: int) -> None:
        super().__init__(f"the mailbox of {actor} is full ({size} messages): it does not keep up, or nobody runs it")


class Mailbox[M]:
    """Messages in order, at most `size` of them."""

    def __init__(self, actor: str, *, size: int, overflow: Overflow) -> None:
        self._messages: deque[M] = deque()
        self._actor = actor
        self._overflow = overflow
        self.size = size
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: M) -> None:
        """Add a message; raises `MailboxFullError`, or drops the oldest, when there is no room."""
        if len(self._messages) >= self.size:
            if self._overflow is Overflow.FAIL:
                raise MailboxFullError(self._actor, self.size)
            self._messages.popleft()
            self.dropped += 1
        self._messages.append(message)

    def take(self) -> M:
        """The oldest message; raises `IndexError` when there is none."""
        return self._messages.popleft()


class Actor[M](ABC):
    """One task with a mailbox. Subclasses give `handle` and, where something waits, `live`."""

    def __init__(self, name: str, *, mailbox_size: int, overflow: Overflow) -> None:
        self.name = name
        self.mailbox = Mailbox[M](name, size=mailbox_size, overflow=overflow)
        self.late = 0  # messages told after the end
        self._task: asyncio.Task[object] | None = None
        self._busy = True  # until `run` begins
        self._over = False
        self._failure: Exception | None = None
        self._idle_until_stopped: asyncio.Event | None = None

    @abstractmethod
    def handle(self, message: M) -> None:
        """Answer one message. Must not wait. An exception ends this actor."""

    async def live(self) -> None:
        """The actor's own life: whatever waits. When it returns the actor has ended. Default: until `stop`."""
        self._idle_until_stopped = asyncio.Event()
        await self._idle_until_stopped.wait()

    def tell(self, message: M) -> None:
        """Give the actor a message. Never waits, never raises; an actor that has ended counts it as late."""
        if self._over:
            self.late += 1
            return
        if self._busy:
            try:
                self.mailbox.put(message)
            except MailboxFullError as error:
                self._fail(error)
            return
        self._busy = True
        try:
            self.handle(message)
            while self.mailbox:
                self.handle(self.mailbox.take())
        except Exception as error:  # noqa: BLE001 - the supervised boundary: it leaves through `run`, the parent is told
            self._fail(error)
        finally:
            self._busy = False

    def stop(self) -> None:
        """End in order: no more messages are handled, `live` is cancelled at its next wait."""
        if self._over:
            return
        self._over = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Run to the end; raises what made the actor fail. The caller gives it a task of its own."""
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101 - inside a coroutine there is one
        try:
            if not self._over:
                self._busy = False
                self._handle_early()
                await self.live()
        except asyncio.CancelledError:
            # Ours when `stop` or `_fail` asked for it; else somebody above is being cancelled, and that is not ours to end.
            if not self._over or self._task.uncancel() > 0:
                raise
        finally:
            self._over = True
            self._busy = True
        if self._failure is not None:
            raise self._failure

    def _handle_early(self) -> None:
        self._busy = True
        try:
            while self.mailbox:
                self.handle(self.mailbox.take())
        finally:
            self._busy = False

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self.stop()
