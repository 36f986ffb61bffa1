"""Time as the stand-in sees it: the real clock, a faster one, or one that a test moves by hand.

Everything here that waits or stamps takes a `Clock`, so the pacing rules can be tested without waiting.
"""

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock in seconds, and a way to wait on it."""

    def now(self) -> float:
        """Seconds since an arbitrary start; never steps backwards."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` seconds of this clock; zero and less only yield to the loop."""
        ...


class MonotonicClock:
    """The machine's monotonic clock, optionally running `speed` times as fast.

    With `speed=4` a minute of call takes 15 s. Limits on HTTP requests stay in real seconds: the network
    does not run faster.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"the clock's speed must be above 0, not {speed}")
        self._speed = speed

    def now(self) -> float:
        """Seconds of this clock."""
        return time.monotonic() * self._speed

    async def sleep(self, delay_s: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(max(0.0, delay_s) / self._speed)


class ManualClock:
    """A clock that stands still until `advance` moves it. For unit tests."""

    SETTLE_ROUNDS = 20  # loop turns given to what a wake-up sets off before time moves on

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s
        self._order = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Seconds of this clock."""
        return self._now_s

    async def sleep(self, delay_s: float) -> None:
        """Wait until `advance` has passed the moment."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._now_s + delay_s, self._order, woken))
        await woken

    async def advance(self, by_s: float) -> None:
        """Move time forward, waking every sleeper at its own moment and in order."""
        await self._settle()
        until_s = self._now_s + by_s
        while self._sleepers and self._sleepers[0][0] <= until_s:
            due_s, _, woken = heapq.heappop(self._sleepers)
            self._now_s = max(self._now_s, due_s)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._now_s = until_s

    async def _settle(self) -> None:
        for _ in range(self.SETTLE_ROUNDS):
            await asyncio.sleep(0)
