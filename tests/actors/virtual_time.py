"""An event loop whose clock jumps: when nothing is ready, it is at once as late as the next timer wants.

Everything else is asyncio's own selector loop. A loop in which nothing can ever happen again raises `NothingWillHappen`
instead of hanging, so a test that waits for what never comes fails in a millisecond.
"""

import asyncio
import selectors
from typing import Any

import pytest


def about(time_s: float) -> Any:
    """A time in a message that is compared whole; sums of seconds are not exact."""
    return pytest.approx(time_s)


class NothingWillHappen(Exception):
    """Every task waits, and no timer runs."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps: what would be slept is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0  # not zero, or a time that was never set would look like one that was

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise NothingWillHappen("every task waits, and no timer runs")
            self.now_s = round(self.now_s + max(0.0, timeout), 9)  # or sums of sleeps would miss the second they mean
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop with a clock of its own. Not for threads or processes: they take real time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """The virtual clock, in seconds; begins at 100."""
        return self._jumping.now_s
