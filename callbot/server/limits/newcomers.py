"""The budget of newcomers: how much of the loop's time goes to whoever has no call yet.

A request, a handshake, a call's set-up are steps of half a millisecond and more, and the loop runs all that is ready before
it looks at its sockets again. So newcomers go one at a time, each in a turn of the loop of its own, and while calls run
their steps are timed: beyond `share` of the time the next one waits. Calls are not touched, whatever comes.
"""

import asyncio
import time
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

# What newcomers may take at once after a pause: some twenty requests.
BURST_S: Final = 0.05


class NewcomerBudget:
    """One for a process. `share` is of the loop's time, 0 to 1; `has_calls` says whether anybody is to be protected.

    `clock` is what passes, by which the budget grows; `stopwatch` is what steps are timed by. Both in seconds.
    """

    def __init__(
        self,
        share: float,
        has_calls: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._share = share
        self._has_calls = has_calls
        self._clock = clock
        self._stopwatch = stopwatch
        self._lock = asyncio.Lock()
        self._left_s = BURST_S
        self._at_s = clock()

    @property
    def left_s(self) -> float:
        """What newcomers may still take now, in seconds; below zero they have taken too much already."""
        now_s = self._clock()
        self._left_s = min(BURST_S, self._left_s + (now_s - self._at_s) * self._share)
        self._at_s = now_s
        return self._left_s

    async def turn(self) -> None:
        """Wait until the next newcomer may go on: first come, first served, one in a turn of the loop."""
        async with self._lock:
            if self._has_calls() and (left_s := self.left_s) < 0:
                await asyncio.sleep(-left_s / self._share)
            await asyncio.sleep(0)

    def spend(self, for_s: float) -> None:
        """Newcomers have taken so much of the loop's time."""
        self._left_s -= for_s

    async def metered[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; the time of each of its steps is the newcomers'."""
        return await _metered(work, self.spend, self._stopwatch)


@types.coroutine
def _metered[T](
    work: Coroutine[Any, Any, T], spend: Callable[[float], None], stopwatch: Callable[[], float]
) -> Generator[Any, Any, T]:
    thrown: BaseException | None = None
    while True:
        began_s = stopwatch()
        try:
            awaited = work.send(None) if thrown is None else work.throw(thrown)
        except StopIteration as done:
            value: T = done.value
            return value
        finally:
            spend(stopwatch() - began_s)
            thrown = None
        try:
            yield awaited
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # noqa: BLE001 - a cancellation too: it is for `work`
            thrown = error
