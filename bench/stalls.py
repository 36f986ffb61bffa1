"""When the host had taken a core away: a probe on each core, of real-time priority, that should wake up every millisecond.

On a shared machine a core stands still for milliseconds, dozens of times a second in bad minutes, and the kernel's count of
stolen time tells of a part of it only. A probe of SCHED_FIFO goes before everything that the bench runs, so when it comes late
nobody could have run. What was under way then, or waited behind it, tells of the host and is set aside.
"""

import asyncio
import contextlib
import math
import os
import struct
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PERIOD_S = 0.001
LATE_S = 0.0003  # ten times what a wake-up takes
BEFORE_S = 0.0015  # what was sent this long before it may have been under way
CALM_PERCENT = 10.0  # set aside: a calm machine has 1 or 2, a busy one 30 and more
CALM_S = 2.0  # of which the first says little
AFTER = 2.0  # of its length: what came meanwhile is worked off by a core that is half busy in once that length

_STALL = struct.Struct("=dd")


@dataclass(slots=True)
class Aside:
    """Stretches of time in which nothing is judged, in order and apart from one another."""

    from_s: list[float] = field(default_factory=list)
    to_s: list[float] = field(default_factory=list)

    @classmethod
    def around(cls, stalls: list[tuple[float, float]]) -> "Aside":
        """What the stalls, each from and to a time of `time.perf_counter`, make worthless."""
        aside = cls()
        for from_s, to_s in sorted((begin - BEFORE_S, end + AFTER * (end - begin)) for begin, end in stalls):
            if aside.to_s and from_s <= aside.to_s[-1]:
                aside.to_s[-1] = max(aside.to_s[-1], to_s)
            else:
                aside.from_s.append(from_s)
                aside.to_s.append(to_s)
        return aside

    def has(self, at_s: float) -> bool:
        """Whether this moment is set aside."""
        last = bisect_right(self.from_s, at_s) - 1
        return last >= 0 and at_s < self.to_s[last]

    def percent(self, from_s: float, to_s: float) -> float:
        """How much of this stretch is set aside."""
        first, beyond = bisect_right(self.to_s, from_s), bisect_left(self.from_s, to_s)
        pieces = zip(self.from_s[first:beyond], self.to_s[first:beyond], strict=True)
        return 100 * sum(min(end, to_s) - max(begin, from_s) for begin, end in pieces) / (to_s - from_s)


@dataclass(slots=True)
class Probes:
    """One for each core. `is_sharp` when they have their priority; without it nothing can be told."""

    pipes: list[int]
    is_sharp: bool
    stalls: list[tuple[float, float]] = field(default_factory=list)
    _rest: dict[int, bytes] = field(default_factory=dict)

    def aside(self) -> Aside:
        """What has to be set aside of all time until now."""
        self._read()
        return Aside.around(self.stalls)

    def percent_lately(self, last_s: float) -> float:
        """How much of the last so many seconds has to be set aside."""
        self._read()
        now_s = time.perf_counter()
        lately = [stall for stall in self.stalls if stall[1] > now_s - last_s]
        return Aside.around(lately).percent(now_s - last_s, now_s)

    def _read(self) -> None:
        for pipe in self.pipes:
            told = self._rest.pop(pipe, b"")
            with contextlib.suppress(BlockingIOError):
                while piece := os.read(pipe, 2**16):
                    told += piece
            whole = len(told) - len(told) % _STALL.size
            self.stalls += _STALL.iter_unpack(told[:whole])
            self._rest[pipe] = told[whole:]


@dataclass(slots=True)
class Patience:
    """How long is still waited for a calm machine, in all."""

    left_s: float

    async def wait_for_calm(self, host: Probes, until_s: float = math.inf) -> bool:
        """Return True when the machine is calm or the patience has run out, False when neither was so by `until_s`."""
        while self.left_s > 0 and host.percent_lately(CALM_S) > CALM_PERCENT:
            begun_s = time.perf_counter()
            if begun_s > until_s:
                return False
            await asyncio.sleep(CALM_S / 4)
            self.left_s -= time.perf_counter() - begun_s
        return True


@asynccontextmanager
async def probes(cores: list[int]) -> AsyncIterator[Probes]:
    """Watch these cores meanwhile."""
    async with contextlib.AsyncExitStack() as stack:
        pipes = []
        sharp = True
        for core in cores:
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            os.set_blocking(reading, False)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "bench.stalls", str(core), str(writing)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=[writing],
            )
            os.close(writing)
            stack.push_async_callback(_end, process)
            assert process.stdout is not None
            sharp &= await process.stdout.readline() == b"sharp\n"
            pipes.append(reading)
        yield Probes(pipes, sharp)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def watch(core: int, pipe: int) -> None:
    """Tell every wake-up that came late, until the reader is gone."""
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        sys.stdout.write("blunt\n")
        return
    sys.stdout.write("sharp\n")
    sys.stdout.flush()
    os.set_blocking(pipe, False)
    timer = os.timerfd_create(time.CLOCK_MONOTONIC)
    due_s = time.perf_counter() + PERIOD_S  # CLOCK_MONOTONIC, too, on Linux
    os.timerfd_settime(timer, flags=os.TFD_TIMER_ABSTIME, initial=due_s, interval=PERIOD_S)
    with contextlib.suppress(BrokenPipeError):
        while True:
            times = int.from_bytes(os.read(timer, 8), sys.byteorder)
            now_s = time.perf_counter()
            if now_s - due_s > LATE_S:
                with contextlib.suppress(BlockingIOError):  # nobody has read for a minute: that is not a time to judge either
                    os.write(pipe, _STALL.pack(due_s, now_s))
            due_s += times * PERIOD_S


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
