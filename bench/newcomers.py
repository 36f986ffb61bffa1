"""What newcomers cost those who are talking: twenty calls beside forged requests, none, a hundred and a thousand a second.

One server, one set of calls; windows of each rate follow one another in changing order, so that what else the machine does
falls on all of them alike. The forger is a process of its own on the load's core that gives way whenever the measuring end
wakes up; it does not wait for answers.

    python -m bench.newcomers                 # two minutes; exit code 1 when a limit of LIMITS is broken
    python -m bench.newcomers --rounds 6
"""

import argparse
import asyncio
import os
import socket
import statistics
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.measure import _PIECE, Quantiles, _delays, _lost, _pairs, cpu_s, pin_load, run, server
from bench.phone_peer import PhoneCall, place_call
from bench.track import Track

RATES = (0, 100, 1000)
SETTLE_S = 2.0  # after a window: what still waits at the server is dealt with, and counts for nobody
MOVED_MS, WORST_MS = 2.0, 60.0  # the limits: beside 100 a second, and beside 1,000
FORM = b"CallSid=CA11111111111111111111111111111111&CallStatus=ringing&From=%2B14155550100"


@dataclass(slots=True)
class Window:
    """What the calls were like in one window."""

    per_s: int
    up_ms: float
    down_ms: float
    lost: int
    core_percent: float


@dataclass(slots=True)
class Taken:
    """All windows of one rate."""

    windows: list[Window] = field(default_factory=list)

    def median(self, name: str) -> float:
        """The median of the windows' figures."""
        return statistics.median(getattr(window, name) for window in self.windows)


@asynccontextmanager
async def forging(port: int, per_s: int) -> AsyncIterator[None]:
    """Forged webhooks at this pace meanwhile."""
    if not per_s:
        yield
        return
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.newcomers", "--forge", str(port), str(per_s))
    try:
        await asyncio.sleep(0.5)
        yield
    finally:
        process.terminate()
        await process.wait()


def forge(port: int, per_s: int) -> None:
    """Send requests with a signature that is none, at an even pace, and let go of the oldest connections."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    head = b"POST /twiml HTTP/1.1\r\nHost: bot.example\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    request = head + b"X-Twilio-Signature: " + b"A" * 27 + b"=\r\nContent-Length: %d\r\n\r\n%s" % (len(FORM), FORM)
    open_ones: deque[socket.socket] = deque()
    began_s, sent = time.monotonic(), 0
    while time.monotonic() - began_s < 120:  # bounded, whatever becomes of the bench
        while sent < (time.monotonic() - began_s) * per_s:
            sent += 1
            one = socket.socket()
            one.setblocking(False)
            try:
                one.connect_ex(("127.0.0.1", port))
                one.send(request)
            except OSError:
                one.close()  # the server takes no more just now: that is one of its answers
                continue
            open_ones.append(one)
            if len(open_ones) > per_s:  # a second old
                open_ones.popleft().close()
        time.sleep(0.002)


async def measure(calls: int, rounds: int, window_s: float) -> dict[int, Taken]:
    """Go through the windows in changing order, with one server and one set of calls."""
    taken = {rate: Taken() for rate in RATES}
    settings = {"CALLBOT_MAX_SESSION_S": "0", "CALLBOT_CALLER_SILENCE_S": "0", "CALLBOT_IDLE_ASK_S": "0"}
    async with server("callbot", **settings) as under_test:
        phones = [PhoneCall(number) for number in range(calls)]
        async with asyncio.TaskGroup() as group:
            for phone in phones:
                group.create_task(place_call(phone, under_test.port, under_test.http))
                await asyncio.sleep(0.03)
            await asyncio.sleep(2.5)
            spans = []
            for number in range(rounds):
                for at in range(len(RATES)):
                    rate = RATES[(number + at) % len(RATES)]
                    async with forging(under_test.port, rate):
                        from_s, cpu_from_s = time.perf_counter(), cpu_s(under_test.pid)
                        await asyncio.sleep(window_s)
                        to_s = time.perf_counter()
                        spans.append((rate, from_s, to_s, 100 * (cpu_s(under_test.pid) - cpu_from_s) / (to_s - from_s)))
                    await asyncio.sleep(SETTLE_S)
                    print(f"\r{len(spans)} of {rounds * len(RATES)} windows", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            for phone in phones:
                phone.stop.set()
        if broke := [phone.broke for phone in phones if phone.broke]:
            raise SystemExit(f"{len(broke)} calls broke: {broke[0]}")
        pairs = _pairs(phones, under_test.model)
        for rate, from_s, to_s, core in spans:
            up = Quantiles.of([d for phone, model in pairs for d in _delays(phone.said_s, model.heard_s, from_s, to_s)])
            down = Quantiles.of([d for phone, model in pairs for d in _delays(list(model.said_s), phone.heard_s, from_s, to_s)])
            lost = sum(_lost(Track(phone.sent_s, model.arrived, _PIECE), from_s, to_s) for phone, model in pairs)
            lost += sum(_lost(Track(model.sent_s, phone.arrived, _PIECE), from_s, to_s) for phone, model in pairs)
            taken[rate].windows.append(Window(rate, up.p99_ms, down.p99_ms, lost, core))
    return taken


def report(taken: dict[int, Taken]) -> int:
    """Print the table; 1 when a limit is broken."""
    print(f"{'forged a second':>16}  {'up p99 ms':>10}  {'down p99 ms':>11}  {'lost':>5}  {'core':>6}   (medians of windows)")
    for rate, of in taken.items():
        lost = sum(window.lost for window in of.windows)
        up, down, core = of.median("up_ms"), of.median("down_ms"), of.median("core_percent")
        print(f"{rate:>16}  {up:>10.2f}  {down:>11.2f}  {lost:>5}  {core:>5.1f}%")
    quiet, some, many = (taken[rate] for rate in RATES)
    moved = max(some.median(name) - quiet.median(name) for name in ("up_ms", "down_ms"))
    worst = max(many.median(name) for name in ("up_ms", "down_ms"))
    lost = sum(window.lost for of in (some, many) for window in of.windows)
    print(
        f"beside 100 a second p99 moves by {moved:.2f} ms (limit {MOVED_MS}); "
        f"beside 1,000 it is {worst:.1f} ms (limit {WORST_MS})"
    )
    return int(moved >= MOVED_MS or worst >= WORST_MS or lost > 0)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--window", type=float, default=6.0, help="seconds")
    parser.add_argument("--forge", nargs=2, type=int, metavar=("PORT", "PER_S"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    pin_load()
    if chosen.forge:
        forge(*chosen.forge)
        return 0
    return report(run(measure(chosen.calls, chosen.rounds, chosen.window)))


if __name__ == "__main__":
    sys.exit(main())
