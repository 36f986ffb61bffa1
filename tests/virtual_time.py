"""An event loop whose clock jumps: when nothing is ready, it is at once as late as the next timer wants.

Everything else is asyncio's own selector loop. Real sockets work too, as long as both ends are in this loop: what is sent on
the loopback interface can be read when `send` returns, so a clock that jumps when nothing can be read overtakes nothing. While
something outside takes part (a thread, another process, a server that is not this loop's) time passes as it does for them.

Importing this makes `time.monotonic` the clock of the loop that asks, so that code which was given no clock agrees with it.
A loop in which nothing can ever happen again raises `NothingWillHappen` instead of hanging, so a test that waits for what
never comes fails in a millisecond.
"""

import asyncio
import selectors
import time
from typing import Any

import pytest

# A machine that stops in the middle of a wait makes nothing late by more than this.
_LONGEST_WAIT_S = 0.05
# So many turns of the loop in the same moment, and the clock creeps: a wait for the last 1e-14 s of a sum would never end.
_TURNS_IN_A_MOMENT = 1_000
_CREEP_S = 1e-6


def about(time_s: float) -> Any:
    """A time in a message that is compared whole; sums of seconds are not exact."""
    return pytest.approx(time_s)


class NothingWillHappen(Exception):
    """Every task waits, and no timer runs."""


class _JumpingSelector(selectors.DefaultSelector):
    """Sleeps only while something outside takes part; else what would be slept is added to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0  # not zero, or a time that was never set would look like one that was
        self.outside = 0  # threads at work, processes, connections to servers of others
        self._turns = 0

    def select(self, timeout: float | None = None) -> Any:
        self._turns += 1
        if self._turns > _TURNS_IN_A_MOMENT:
            self._pass(_CREEP_S)
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.outside:
            began_s = time.perf_counter()
            ready = super().select(_LONGEST_WAIT_S if timeout is None else min(timeout, _LONGEST_WAIT_S))
            self._pass(min(time.perf_counter() - began_s, _LONGEST_WAIT_S))
            return ready
        if timeout is None:
            raise NothingWillHappen("every task waits, and no timer runs")
        self._pass(max(0.0, timeout))
        return ready

    def _pass(self, time_s: float) -> None:
        was_s, self.now_s = self.now_s, round(self.now_s + time_s, 9)  # or sums of sleeps would miss the second they mean
        if self.now_s > was_s:
            self._turns = 0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop with a clock of its own."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._own_ports: set[int] = set()
        super().__init__(self._jumping)

    def time(self) -> float:
        """The virtual clock, in seconds; begins at 100."""
        return self._jumping.now_s

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Time passes by itself until the thread is done."""
        done = super().run_in_executor(executor, func, *args)
        self._jumping.outside += 1
        done.add_done_callback(self._thread_done)
        return done

    def _thread_done(self, _done: asyncio.Future[Any]) -> None:
        self._jumping.outside -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as the base has it
        """The threads are waited for at their pace."""
        self._jumping.outside += 1
        await super().shutdown_default_executor(timeout)
        self._jumping.outside -= 1

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        """From here on time passes by itself."""
        self._jumping.outside += 1
        return await super().subprocess_exec(*args, **kwargs)

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        """A server whose clients in this loop are in its time."""
        server = await super().create_server(*args, **kwargs)
        self._own_ports |= {socket.getsockname()[1] for socket in server.sockets}
        return server

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """With a connection to what is not in this loop time passes by itself from here on."""
        if isinstance(address, str | bytes) or address[1] not in self._own_ports:
            self._jumping.outside += 1
        await super().sock_connect(sock, address)


_machines_clock = time.monotonic


def _clock_of_the_loop() -> float:
    loop = asyncio._get_running_loop()
    return loop.time() if isinstance(loop, VirtualTimeLoop) else _machines_clock()


time.monotonic = _clock_of_the_loop
