"""What strangers cost the others: calls that speak both ways, and the attacks of `attackers.py`, each alone and all at once.

One server, one set of calls. Quiet and attacked windows of the same length follow one another in changing order, every attack
in every round, so that what else the machine does falls on all of them alike; a delay is taken for every frame, but for those
of moments in which the host had taken a core away (`stalls`; how much that is stands in the column "aside"). A window that is
mostly such moments is taken again at the end, while the patience lasts. In five seconds a call has 125 of the model's chunks:
its p99 is not its single worst one.

The attackers are a process of their own on the load's core that gives way whenever the measuring end wakes up; each comes at
the same pace however quickly he is served. How late the measuring end itself was is shown ("clock"). When an attack is within
noise is told in `hostile_figures`.

    python -m bench.hostile                      # ten to fourteen minutes; exit code 1 when something moved,
                                                 # 2 when the machine was too busy to tell
    python -m bench.hostile --only "flood at 50x" "never start" --rounds 6
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp

from bench.attack_run import FLOODS, ORDINARY, Attackers, AttackersFailed, attackers
from bench.attackers import ATTACKS
from bench.clock import watch_clock
from bench.hostile_figures import (
    DELAYS,
    MOST_ASIDE_PERCENT,
    SET_ASIDE,
    Verdict,
    Window,
    a_round,
    fill,
    judge,
    p99,
    turns,
    undisturbed,
)
from bench.measure import LOAD_CORE, SERVER_CORE, Server, cpu_s, pin_load, rss, run, server, stolen_s
from bench.model_peer import ModelCall
from bench.phone_peer import PhoneCall, place_call
from bench.stalls import Probes, probes
from bench.track import Track

ALL = "all at once"
TWO_ORDINARY = "two ordinary calls"  # at once, as there are two floods in "all at once"
BESIDE = {**dict.fromkeys(FLOODS, ORDINARY), ALL: TWO_ORDINARY}
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
DRAIN_S = 15.0  # between windows the models pause until everything they said has been played; what takes longer is lost
STEADY_S = 0.15  # then they have begun again
LIMITS = {
    "CALLBOT_START_TIMEOUT_S": "1",
    "CALLBOT_REQUEST_TIMEOUT_S": "1",
    "CALLBOT_MAX_UNAUTHENTICATED_SOCKETS": "64",
    "CALLBOT_CALLER_SILENCE_S": "0",  # bursts of noise are no speech
    "CALLBOT_MAX_SESSION_S": "0",  # the model's end talks in the sessions that the calls began with
    "CALLBOT_COMFORT_AFTER_S": "60",  # what the phone hears is what its model has said
    "CALLBOT_TOKEN_TTL_S": "600",  # what was stolen stays good for the whole run
    "CALLBOT_STREAM_ATTEMPTS": "10",
}
STREAM = 10  # each call's own; the tokens of the nine before it are there to be stolen


@dataclass(slots=True)
class Evening:
    """One run."""

    calls: list[tuple[PhoneCall, ModelCall]] = field(default_factory=list)
    tracks: list[tuple[Track, Track]] = field(default_factory=list)  # of each call, down and up
    windows: list[Window] = field(default_factory=list)
    came: dict[str, Counter[str]] = field(default_factory=dict)
    rss_mb: list[float] = field(default_factory=list)
    again: int = 0  # windows that were taken again
    lost_ms: Counter[str] = field(default_factory=Counter)  # of all calls
    sessions: int = 0
    said: list[dict[str, object]] = field(default_factory=list)


async def measure(order: list[str], calls: int, window_s: float, every_s: float, patience_s: float) -> Evening:
    """Go through the windows in this order."""
    evening = Evening()
    late_s: list[tuple[float, float]] = []
    async with (
        probes(sorted({SERVER_CORE, LOAD_CORE})) as watching_host,
        server("callbot", converter="sinc_medium", talk=False, **LIMITS) as under_test,
    ):
        if not watching_host.is_sharp:
            print("no real-time priority here: what the host takes is not told from what an attack takes", file=sys.stderr)
        phones = [PhoneCall(number, stream=STREAM) for number in range(calls)]
        # A connection for each request: the server closes idle ones after a second, and that must not meet a webhook.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
            watching = watch_clock(late_s)
            for phone in phones:
                group.create_task(place_call(phone, under_test.port, http))
                model = await _its_session(phone, under_test)
                evening.calls.append((phone, model))
                evening.tracks.append((Track(model.sent_s, phone.arrived, 320), Track(phone.sent_s, model.arrived, 320)))
            await _line_up(evening)
            async with attackers(under_test.port, phones, every_s=every_s) as them:
                await asyncio.sleep(2.0)
                await _go_through(order, evening, under_test, them, window_s, patience_s, watching_host)
            await _line_up(evening)
            _show_progress(len(order), len(order), "")
            evening.sessions = len(under_test.model.calls)
            for phone in phones:
                phone.stop.set()
            asyncio.get_running_loop().remove_reader(watching)
            os.close(watching)
        aside = watching_host.aside()
        evening.said = [json.loads(line) for line in under_test.output.read_bytes().splitlines() if line.startswith(b"{")]
    for window in evening.windows:
        fill(window, evening.tracks, aside)
        lates = [late for at_s, late in late_s if window.from_s <= at_s < window.to_s and not aside.has(at_s)]
        window.clock_ms = 1000 * p99(lates)
    return evening


async def _go_through(
    order: list[str],
    evening: Evening,
    under_test: Server,
    them: Attackers,
    window_s: float,
    patience_s: float,
    watching_host: Probes,
) -> None:
    """One window after the other; then, while the patience lasts, the disturbed ones again: the disturbance may be over."""

    async def take(attack: str) -> Window:
        await _line_up(evening)
        window = await _window(attack, under_test, window_s, them, evening.came)
        evening.rss_mb.append(rss(under_test.pid) / 2**20)
        await asyncio.sleep(SETTLE_S if attack else 0.0)
        return window

    def is_enough(window: Window) -> bool:
        return watching_host.aside().percent(window.from_s, window.to_s) <= MOST_ASIDE_PERCENT

    disturbed: deque[Window] = deque()
    for number, attack in enumerate(order):
        _show_progress(number, len(order), attack)
        window = await take(attack)
        (evening.windows if is_enough(window) else disturbed).append(window)
    until_s = time.perf_counter() + patience_s
    while disturbed and time.perf_counter() < until_s:
        _show_progress(len(order) - len(disturbed), len(order), disturbed[0].attack)
        window = await take(disturbed.popleft().attack)
        evening.again += 1
        (evening.windows if is_enough(window) else disturbed).append(window)
    evening.windows += disturbed


async def _its_session(phone: PhoneCall, under_test: Server) -> ModelCall:
    """The session of the call that was just placed; sessions carry no caller's name."""
    async with asyncio.timeout(10):
        while len(under_test.model.calls) <= phone.number:
            if phone.refused or phone.broke:
                raise SystemExit(f"a call came to nothing: {phone.refused or phone.broke}")
            await asyncio.sleep(0.01)
    return under_test.model.calls[phone.number]


async def _line_up(evening: Evening) -> None:
    """Let the models pause until what they said has been heard: what one window was late by is not the next one's.

    Speech that was held up is played at its own pace, so without a pause it would stay behind for ever; and what a caller has
    not heard yet counts towards the lead that callbot keeps, beyond which it waits.
    """
    for _, model in evening.calls:
        model.talking.clear()
    until_s = time.perf_counter() + DRAIN_S
    best_up = [up.on_its_way() for _, up in evening.tracks]
    await asyncio.sleep(0.05)
    while (
        any(down.on_its_way() for down, _ in evening.tracks)
        or any(best_up)
        or any(phone.playing_until_s > time.perf_counter() for phone, _ in evening.calls)
    ):
        best_up = [min(best, up.on_its_way()) for best, (_, up) in zip(best_up, evening.tracks, strict=True)]
        if time.perf_counter() > until_s:
            break
        await asyncio.sleep(0.001)
    now_s = time.perf_counter()
    for (down, up), up_pieces in zip(evening.tracks, best_up, strict=True):
        down_pieces = down.on_its_way()
        evening.lost_ms["down"] += 40 * down_pieces
        evening.lost_ms["up"] += 20 * up_pieces
        down.give_up(down_pieces, now_s)
        up.give_up(up_pieces, now_s)
    for _, model in evening.calls:
        model.talking.set()
        await asyncio.sleep(0.005)  # not in step
    await asyncio.sleep(STEADY_S)


async def _window(attack: str, under_test: Server, window_s: float, them: Attackers, came: dict[str, Counter[str]]) -> Window:
    async with _attacked(attack, them, came):
        from_s, cpu_from_s, stolen_from_s = time.perf_counter(), cpu_s(under_test.pid), stolen_s()
        await asyncio.sleep(window_s)
        to_s, cpu_to_s, stolen_to_s = time.perf_counter(), cpu_s(under_test.pid), stolen_s()
    length_s = to_s - from_s
    stolen = 100 * (stolen_to_s - stolen_from_s) / length_s / (os.cpu_count() or 1)
    return Window(attack, from_s, to_s, 100 * (cpu_to_s - cpu_from_s) / length_s, 0.0, stolen_percent=stolen)


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


def report(evening: Evening, attacks: list[str]) -> int:
    """Print the figures. 0: nothing moved and nothing broke; 1: something did; 2: the machine is too busy to tell."""
    judged = undisturbed(evening.windows, attacks)
    windows = evening.windows if judged is None else judged
    quiet = [window for window in windows if not window.attack]
    frames = statistics.median(window.counted for window in quiet)
    stolen = statistics.median(window.stolen_percent for window in evening.windows)
    print(
        f"{len(evening.calls)} calls; {len(quiet)} quiet windows, {frames:.0f} frames each; {evening.again} taken again; "
        f"{stolen:.1f} % of the machine's time went to others (median)"
    )
    print("p99 in ms and % of the time set aside, median over rounds, in brackets what as many windows without it vary by;")
    print("! is more than noise")
    figures = (*DELAYS, SET_ASIDE)
    print(f"{'':22}{'came':>6}{'core %':>8}{'clock':>7}" + "".join(f"{figure:>26}" for figure in figures))
    verdicts: list[Verdict] = []
    print(
        _row("quiet", quiet, "")
        + "".join(f"{statistics.median(w.figures[figure] for w in quiet):9.2f}{'':17}" for figure in figures)
    )
    for attack in attacks:
        attacked = [window for window in windows if window.attack == attack]
        came = sum(count for name, count in evening.came[attack].items() if name in (*ATTACKS, ORDINARY))
        row = _row(attack, attacked, str(came))
        for verdict in judge(windows, attack, beside=BESIDE.get(attack, "")):
            if attack in BESIDE.values():
                row += f"{verdict.attacked:9.2f}{'':17}"
                continue
            mark = " " if verdict.within_noise else "!"
            row += f"{verdict.attacked:9.2f}{mark}({verdict.noise[0]:6.2f} -{verdict.noise[1]:6.2f}) "
            verdicts.append(verdict)
        print(row)
    moved = not all(verdict.within_noise for verdict in verdicts)
    telling = judged is not None and all(verdict.telling for verdict in verdicts)
    if not telling:
        print("UNDECIDED: another load is on this machine; the quiet windows vary too much, or too little is left of too many.")
    else:
        print("MORE THAN NOISE" if moved else "within noise")
    if not _report_server(evening) or (telling and moved):
        return 1
    return 0 if telling else 2


def _row(name: str, windows: list[Window], came: str) -> str:
    core, clock = (statistics.median(getattr(w, figure) for w in windows) for figure in ("core_percent", "clock_ms"))
    return f"{name:22}{came:>6}{core:8.1f}{clock:7.2f}"


def _report_server(evening: Evening) -> bool:
    """What the server wrote and what became of the calls; whether all of them lived to the end."""
    refused: Counter[str] = Counter()
    for line in evening.said:
        if str(line["message"]).endswith(".refused"):
            unlogged = line.get("unlogged", 0)
            refused[str(line["reason"])] += 1 + (unlogged if isinstance(unlogged, int) else 0)
    broken = [phone.broke or phone.refused for phone, _ in evening.calls if phone.broke or phone.refused]
    ours = {phone.call_sid for phone, _ in evening.calls}
    moves = [line for line in evening.said if line["message"] == "call.state" and line.get("call_sid") in ours]
    broken += [f"session lost: {line['reason']}" for line in moves if line["to"] == "Reconnecting"]
    crashes = [line for line in evening.said if "crashed" in str(line["message"])]
    newcomers = sum(count[name] for count in evening.came.values() for name in (*FLOODS, ORDINARY))
    print(f"refused, as logged: {dict(sorted(refused.items()))}")
    print(f"sessions beside the calls' own: {evening.sessions - len(evening.calls)}, for {newcomers} streams with good tokens")
    first, most, last = evening.rss_mb[0], max(evening.rss_mb), evening.rss_mb[-1]
    print(f"memory of the server: {first:.1f} MB at first, at most {most:.1f}, {last:.1f} at last")
    print(f"calls broken: {broken or 'none'}; crashes: {crashes or 'none'}; audio lost, in ms: {dict(evening.lost_ms)}")
    return not broken and not crashes and not any(evening.lost_ms.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile")
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=5.0, help="seconds")
    parser.add_argument("--every", type=float, default=0.3, help="seconds from one attack of an attacker to his next")
    parser.add_argument("--patience", type=float, default=200.0, help="seconds for windows that are taken again")
    parser.add_argument("--only", nargs="+", choices=[*ATTACKS, ALL], metavar="ATTACK", help=f"of {', '.join([*ATTACKS, ALL])}")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("one round has no median: at least 2 are needed")
    pin_load()
    chosen = options.only or [*ALONE, ALL]
    attacks = [*dict.fromkeys(BESIDE[attack] for attack in chosen if attack in BESIDE), *chosen]
    order = turns(a_round(chosen, BESIDE, most=ALL), options.rounds)
    try:
        evening = run(measure(order, options.calls, options.window, options.every, options.patience))
    except ExceptionGroup as faults:
        failed = faults.subgroup(AttackersFailed)
        if failed is None:
            raise
        sys.exit(f"bench.hostile: {failed.exceptions[0]}")
    sys.exit(report(evening, attacks))


if __name__ == "__main__":
    main()
