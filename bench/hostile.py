"""What strangers cost the others: calls that speak both ways, and the attacks of `attackers.py`, each alone and all at once.

One server, one set of calls. Quiet and attacked windows of the same length follow one another in changing order, every attack
in every round, so that what else the machine does falls on all of them alike; a delay is taken for every frame, but for those
of moments in which the host had taken a core away (`stalls`; how much that is stands in the column "aside"). Before each window
the bench waits for the host to be calm, and a window that is more than a fifth such moments nevertheless is taken again in a
later round, while the patience lasts. In five seconds a call has 125 chunks of the model: its p99 is not its single worst one.

Each round has a server and calls of its own: what was stolen at its beginning is good for ten minutes, waiting included.

The attackers are a process of their own on the load's core that gives way whenever the measuring end wakes up; each comes at
the same pace however quickly he is served. How late the measuring end itself was is shown ("clock"). When an attack is within
noise is told in `hostile_figures`.

    python -m bench.hostile                      # eleven minutes on a calm machine; exit code 1 when something moved,
                                                 # 2 when the machine was too busy to tell
    python -m bench.hostile --patience 3600      # waits up to an hour for calm moments
    python -m bench.hostile --only "flood at 50x" "never start" --rounds 6
"""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp

from bench.attack_run import ORDINARY, Attackers, AttackersFailed, attackers
from bench.attackers import ATTACKS
from bench.clock import watch_clock
from bench.hostile_figures import MOST_ASIDE_PERCENT, Window, a_round, fill, p99, turns
from bench.hostile_report import ALL, BESIDE, TWO_ORDINARY, Evening, report
from bench.measure import LOAD_CORE, SERVER_CORE, Server, cpu_s, pin_load, rss, run, server, stolen_s
from bench.model_peer import ModelCall
from bench.phone_peer import PhoneCall, place_call
from bench.stalls import Patience, Probes, probes
from bench.track import Track

ALONE = (
    "slow handshake",
    "never start",
    "media without start",
    "flood at 50x",
    "flood at once",
    "oversize",
    "binary",
    "replayed token",
    "stolen token",
    "second stream",
    "forged next",
    "forged status",
)
LEAD_S = 0.3  # before an attacked window: they have come
SETTLE_S = 0.7  # after one: what they left is cleared away, and counts for nobody
GOOD_S = 540.0  # from a round's beginning: what was stolen then is good for 600
DRAIN_S = 15.0  # between windows the models pause until everything they said has been played; what takes longer is lost
STEADY_S = 0.15  # then they have begun again
LIMITS = {
    "CALLBOT_START_TIMEOUT_S": "1",
    "CALLBOT_REQUEST_TIMEOUT_S": "1",
    "CALLBOT_MAX_UNAUTHENTICATED_SOCKETS": "64",
    "CALLBOT_CALLER_SILENCE_S": "0",  # bursts of noise are no speech
    "CALLBOT_MAX_SESSION_S": "0",  # the model's end talks in the sessions that the calls began with
    "CALLBOT_COMFORT_AFTER_S": "60",  # what the phone hears is what its model has said
    "CALLBOT_TOKEN_TTL_S": "600",  # what was stolen stays good for the whole round
    "CALLBOT_STREAM_ATTEMPTS": "10",
}
STREAM = 10  # each call's own; the tokens of the nine before it are there to be stolen


@dataclass(slots=True)
class Stage:
    """What a round of windows is taken of."""

    under_test: Server
    calls: list[tuple[PhoneCall, ModelCall]] = field(default_factory=list)
    tracks: list[tuple[Track, Track]] = field(default_factory=list)  # of each call, down and up
    rss_mb: list[float] = field(default_factory=list)


async def measure(order: list[str], calls: int, window_s: float, every_s: float, patience: Patience) -> Evening:
    """Go through the windows in this order, with a server and calls of their own."""
    evening = Evening()
    late_s: list[tuple[float, float]] = []
    async with probes(sorted({SERVER_CORE, LOAD_CORE})) as host:
        if not host.is_sharp:
            print("no real-time priority here: what the host takes is not told from what an attack takes", file=sys.stderr)
        await patience.wait_for_calm(host)
        async with server("callbot", converter="sinc_medium", talk=False, **LIMITS) as under_test:
            stage = Stage(under_test)
            until_s = time.perf_counter() + GOOD_S
            phones = [PhoneCall(number, stream=STREAM) for number in range(calls)]
            # A connection for each request: the server closes idle ones after a second, and that must not meet a webhook.
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
                watching = watch_clock(late_s)
                for phone in phones:
                    group.create_task(place_call(phone, under_test.port, http))
                    model = await _its_session(phone, under_test)
                    stage.calls.append((phone, model))
                    stage.tracks.append((Track(model.sent_s, phone.arrived, 320), Track(phone.sent_s, model.arrived, 320)))
                await _line_up(stage, evening.lost_ms)
                async with attackers(under_test.port, phones, every_s=every_s) as them:
                    await asyncio.sleep(2.0)
                    taking = Taking(stage, evening, them, host, window_s)
                    await taking.go_through(order, patience, until_s)
                await _line_up(stage, evening.lost_ms)
                evening.sessions = len(under_test.model.calls) - calls
                for phone in phones:
                    phone.stop.set()
                asyncio.get_running_loop().remove_reader(watching)
                os.close(watching)
            evening.heard(under_test.output)
        aside = host.aside()
    evening.rss_mb += [stage.rss_mb] if stage.rss_mb else []
    evening.call_sids = [phone.call_sid for phone in phones]
    evening.broken = [phone.broke or phone.refused for phone in phones if phone.broke or phone.refused]
    for window in [*evening.windows, *evening.disturbed]:
        fill(window, stage.tracks, aside)
        lates = [late for at_s, late in late_s if window.from_s <= at_s < window.to_s and not aside.has(at_s)]
        window.clock_ms = 1000 * p99(lates)
    return evening


@dataclass(frozen=True, slots=True)
class Taking:
    """Takes a round's windows, one after the other."""

    stage: Stage
    evening: Evening
    them: Attackers
    host: Probes
    window_s: float

    async def go_through(self, order: list[str], patience: Patience, until_s: float) -> None:
        """Each in a calm moment; those that no calm was found for by `until_s` stay untaken."""
        for number, attack in enumerate(order):
            _show_progress(number, len(order), attack)
            if not await patience.wait_for_calm(self.host, until_s):
                self.evening.untaken = order[number:]
                break
            await self._take(attack, patience)
        _show_progress(len(order), len(order), "")

    async def _take(self, attack: str, patience: Patience) -> None:
        begun_s = time.perf_counter()
        await _line_up(self.stage, self.evening.lost_ms)
        under_test = self.stage.under_test
        async with _attacked(attack, self.them, self.evening.came):
            from_s, cpu_from_s, stolen_from_s = time.perf_counter(), cpu_s(under_test.pid), stolen_s()
            await asyncio.sleep(self.window_s)
            to_s, cpu_to_s, stolen_to_s = time.perf_counter(), cpu_s(under_test.pid), stolen_s()
        length_s = to_s - from_s
        stolen = 100 * (stolen_to_s - stolen_from_s) / length_s / (os.cpu_count() or 1)
        window = Window(attack, from_s, to_s, 100 * (cpu_to_s - cpu_from_s) / length_s, 0.0, stolen_percent=stolen)
        self.stage.rss_mb.append(rss(under_test.pid) / 2**20)
        await asyncio.sleep(SETTLE_S if attack else 0.0)
        if self.host.aside().percent(from_s, to_s) <= MOST_ASIDE_PERCENT:
            self.evening.windows.append(window)
        else:
            self.evening.disturbed.append(window)
            patience.left_s -= time.perf_counter() - begun_s


async def _its_session(phone: PhoneCall, under_test: Server) -> ModelCall:
    """The session of the call that was just placed; sessions carry no caller's name."""
    async with asyncio.timeout(10):
        while len(under_test.model.calls) <= phone.number:
            if phone.refused or phone.broke:
                raise SystemExit(f"a call came to nothing: {phone.refused or phone.broke}")
            await asyncio.sleep(0.01)
    return under_test.model.calls[phone.number]


async def _line_up(stage: Stage, lost_ms: Counter[str]) -> None:
    """Let the models pause until what they said has been heard: what one window was late by is not the next one's.

    Speech that was held up is played at its own pace, so without a pause it would stay behind for ever; and what a caller has
    not heard yet counts towards the lead that callbot keeps, beyond which it waits.
    """
    for _, model in stage.calls:
        model.talking.clear()
    until_s = time.perf_counter() + DRAIN_S
    best_up = [up.on_its_way() for _, up in stage.tracks]
    await asyncio.sleep(0.05)
    while (
        any(down.on_its_way() for down, _ in stage.tracks)
        or any(best_up)
        or any(phone.playing_until_s > time.perf_counter() for phone, _ in stage.calls)
    ):
        best_up = [min(best, up.on_its_way()) for best, (_, up) in zip(best_up, stage.tracks, strict=True)]
        if time.perf_counter() > until_s:
            break
        await asyncio.sleep(0.001)
    now_s = time.perf_counter()
    for (down, up), up_pieces in zip(stage.tracks, best_up, strict=True):
        down_pieces = down.on_its_way()
        lost_ms["down"] += 40 * down_pieces
        lost_ms["up"] += 20 * up_pieces
        down.give_up(down_pieces, now_s)
        up.give_up(up_pieces, now_s)
    for _, model in stage.calls:
        model.talking.set()
        await asyncio.sleep(0.005)  # not in step
    await asyncio.sleep(STEADY_S)


@contextlib.asynccontextmanager
async def _attacked(attack: str, them: Attackers, came: dict[str, Counter[str]]) -> AsyncIterator[None]:
    if not attack:
        yield
        return
    together = {ALL: tuple(ATTACKS), TWO_ORDINARY: (ORDINARY, ORDINARY)}
    async with them.attacking(together.get(attack, (attack,))) as count:
        await asyncio.sleep(LEAD_S)
        yield
    came.setdefault(attack, Counter()).update(count)


def _show_progress(done: int, of: int, attack: str) -> None:
    if sys.stderr.isatty():
        print(
            f"\r\x1b[K{done}/{of} {attack or 'quiet' if done < of else ''}",
            end="" if done < of else "\r",
            file=sys.stderr,
            flush=True,
        )


async def all_rounds(order: list[str], rounds: int, options: argparse.Namespace) -> Evening:
    """All rounds, then those windows again that were disturbed: the disturbance may be over."""
    every = Evening()
    patience = Patience(options.patience)
    length = len(order) // rounds
    to_do = deque(order[first : first + length] for first in range(0, len(order), length))
    while to_do:
        evening = await measure(to_do.popleft(), options.calls, options.window, options.every, patience)
        if patience.left_s > 0:
            every.again += len(evening.disturbed)
            to_do.extend([evening.left] if evening.left else [])
        else:
            evening.windows += evening.disturbed
        every.add(evening)
    return every


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile")
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=5.0, help="seconds")
    parser.add_argument("--every", type=float, default=0.3, help="seconds from one attack of an attacker to his next")
    parser.add_argument("--patience", type=float, default=200.0, help="seconds in all that it waits for a calm machine")
    parser.add_argument("--only", nargs="+", choices=[*ATTACKS, ALL], metavar="ATTACK", help=f"of {', '.join([*ATTACKS, ALL])}")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("one round has no median: at least 2 are needed")
    pin_load()
    chosen = options.only or [*ALONE, ALL]
    attacks = [*dict.fromkeys(BESIDE[attack] for attack in chosen if attack in BESIDE), *chosen]
    order = turns(a_round(chosen, BESIDE, most=ALL), options.rounds)
    try:
        evening = run(all_rounds(order, options.rounds, options))
    except ExceptionGroup as faults:
        failed = faults.subgroup(AttackersFailed)
        if failed is None:
            raise
        sys.exit(f"bench.hostile: {failed.exceptions[0]}")
    sys.exit(report(evening, options.calls, attacks))


if __name__ == "__main__":
    main()
