"""How late the measuring end itself is: what it sees of others can't be told from that."""

import asyncio
import os
import sys
import time

TICK_S = 0.01


def watch_clock(late_s: list[tuple[float, float]]) -> int:
    """Note how late this end reads what has come. A timer of the kernel's, since the loop's own go in whole milliseconds.

    The timer is the caller's to take from the loop's readers and to close.
    """
    timer = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK)
    due_s = time.monotonic() + TICK_S

    def read() -> None:
        nonlocal due_s
        for _ in range(int.from_bytes(os.read(timer, 8), sys.byteorder)):
            late_s.append((due_s, time.monotonic() - due_s))
            due_s += TICK_S

    os.timerfd_settime(timer, flags=os.TFD_TIMER_ABSTIME, initial=due_s, interval=TICK_S)
    asyncio.get_running_loop().add_reader(timer, read)
    return timer
