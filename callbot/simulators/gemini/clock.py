"""Time inside the stand-in: seconds that may run faster than those on the wall, or only as the caller speaks."""

import asyncio
from typing import Protocol


class Clock(Protocol):
    """Simulated time in seconds. Only differences have a meaning."""

    def now(self) -> float:
        """Return the simulated time in seconds."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` simulated seconds."""
        ...


class WallClock:
    """Follows the event loop's clock, `time_scale` simulated seconds for each real one."""

    def __init__(self, time_scale: float = 1.0) -> None:
        if time_scale <= 0:
            raise ValueError(f"time_scale is {time_scale}; it must be above 0 (1 is real time, 100 is faster)")
        self._scale = time_scale
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """Return the simulated time in seconds."""
        return self._loop.time() * self._scale

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` simulated seconds."""
        await asyncio.sleep(delay_s / self._scale)


class CallerClock:
    """Stands still until caller audio arrives and then moves on by its length.

    With it a test decides by the audio it sends, and not by the speed of the machine, how far an answer has got.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return the length of the caller's audio so far, in seconds."""
        return self._now_s

    async def advance(self, duration_s: float) -> None:
        """Move on by `duration_s`, stopping at each time somebody waits for and letting him act."""
        end_s = self._now_s + duration_s
        await _let_others_run()  # whoever has just been started may be about to sleep
        while due := min((entry for entry in self._sleepers if entry[0] <= end_s), default=None, key=_at):
            self._sleepers.remove(due)
            self._now_s = max(self._now_s, due[0])
            if not due[1].done():
                due[1].set_result(None)
                await _let_others_run()
        self._now_s = end_s

    async def sleep(self, delay_s: float) -> None:
        """Return once another `delay_s` of caller audio has arrived."""
        if delay_s <= 0:
            return
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now_s + delay_s, future))
        await future


async def _let_others_run() -> None:
    # One round wakes the sleeper's task, the second lets what it woke in turn run too.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _at(entry: tuple[float, asyncio.Future[None]]) -> float:
    return entry[0]
