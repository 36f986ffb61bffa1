"""`make bench`: callbot beside the bare bridge, in turn, in one session; figures as JSON, a picture, and ratios.

Times on a shared machine mean little alone; the ratio of two systems that were measured in turn means much. Against the
run before, on the same machine, only ratios are compared.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import moments
from bench.measure import Result, measure, pin_load, run
from bench.picture import draw

# What issue 5 of the project holds callbot to; see docs/performance.md.
_CPU_RATIO_LIMIT = 1.35
_CAPACITY_P99_MS = 60.0
# Of the machine's time. A pair of measurements that lost more to other machines is taken again, the least disturbed counts.
_QUIET_STOLEN_PERCENT = 1.0
_MOST_TRIES = 4
_AROUND_S = 7.5  # of a measurement, beside its window: a server's start and end, calls set up and warm
_SAME_CONVERTER_AT = 20  # calls at which the bare bridge is measured with callbot's converter, too
_ENOUGH = 2  # of three


def main() -> int:
    """Run everything; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--calls", type=int, nargs="*", default=[1, 8, 20, 30])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=5.0, help="seconds that each measurement counts")
    parser.add_argument("--capacity", type=int, nargs="*", default=[25, 40, 55], help="numbers of calls to try")
    parser.add_argument("--patience", type=float, default=370.0, help="seconds for rounds, with what is taken again")
    parser.add_argument("--quick", action="store_true", help="one round, two sizes, no capacity search")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.calls, chosen.rounds, chosen.window, chosen.capacity = [1, 8], 1, 4.0, []
    if len(os.sched_getaffinity(0)) < 2:
        sys.stderr.write("bench: two cores are needed, one for the server and one for its callers.\n")
        return 2
    chosen.out.mkdir(parents=True, exist_ok=True)
    pin_load()
    began_s = time.monotonic()
    report = _measure(chosen)
    report["took_s"] = round(time.monotonic() - began_s)
    previous = _previous(chosen.out)
    (chosen.out / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(chosen.out / "bench.svg", report)
    _tell(report, previous, chosen.out)
    return 0


def _quietest(label: str, order: tuple[str, ...], calls: int, window_s: float, until_s: float) -> list[Result]:
    """One measurement of each, in this order; taken again while the machine is given to others, and the time lasts."""
    best: list[Result] = []
    for number in range(_MOST_TRIES):
        tried = []
        for system in order:
            _progress(f"{label}: {system}, {calls} calls" + (f", try {number + 1}" if number else ""))
            tried.append(run(measure(system, calls, window_s=window_s)))
        if not best or _stolen(tried) < _stolen(best):
            best = tried
        again_s = len(order) * (window_s + _AROUND_S)
        if _stolen(best) <= _QUIET_STOLEN_PERCENT or time.monotonic() + again_s > until_s:
            break
    return best


def _systems(calls: int) -> tuple[str, ...]:
    return ("bare", "callbot", "bare_polyphase") if calls == _SAME_CONVERTER_AT else ("bare", "callbot")


def _stolen(results: list[Result]) -> float:
    return max(result.stolen_percent for result in results)


def _measure(chosen: argparse.Namespace) -> dict[str, Any]:
    runs: list[Result] = []
    until_s = time.monotonic() + chosen.patience
    plan = [(number, calls) for number in range(chosen.rounds) for calls in chosen.calls]
    for done, (number, calls) in enumerate(plan, 1):
        # In turn, and the order turned round each time: what the machine does meanwhile meets all alike.
        order = _systems(calls)[:: 1 if number % 2 == 0 else -1]
        still_to_come_s = sum(len(_systems(size)) for _, size in plan[done:]) * (chosen.window + _AROUND_S)
        label = f"round {number + 1} of {chosen.rounds}"
        runs += _quietest(label, order, calls, chosen.window, until_s - still_to_come_s)
    report: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "cpu": _cpu_name(), "python": platform.python_version()},
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runs": [asdict(result) for result in runs],
        "sizes": {str(calls): _size(runs, calls) for calls in chosen.calls},
    }
    _progress("barge-in")
    report["barge_in"] = asdict(run(moments.barge_in(min(20, max(chosen.calls)), 3)))
    _progress("a turn's first audio, bare and callbot")
    size = min(20, max(chosen.calls))
    report["turn_audio"] = {system: asdict(run(moments.turn_audio(system, size, 3))) for system in ("bare", "callbot")}
    _progress("first sound, with and without prewarming")
    report["first_sound"] = asdict(run(moments.first_sound(12, prewarm=False)))
    report["first_sound_prewarmed"] = asdict(run(moments.first_sound(12, prewarm=True)))
    _progress("reconnects")
    report["reconnect"] = asdict(run(moments.reconnect(6)))
    if chosen.capacity:
        report["capacity"] = _capacity(chosen.capacity, chosen.window)
    return report


def _size(runs: list[Result], calls: int) -> dict[str, Any]:
    """The medians of the systems at one number of calls, and callbot's ratio to each, round by round."""
    found: dict[str, Any] = {}
    of_system = {
        system: [result for result in runs if result.system == system and result.offered == calls] for system in _systems(calls)
    }
    for system, mine in of_system.items():
        found[system] = {
            "cpu_percent": statistics.median(result.cpu_percent for result in mine),
            "up_p50_ms": statistics.median(result.up.p50_ms for result in mine),
            "up_p99_ms": statistics.median(result.up.p99_ms for result in mine),
            "down_p50_ms": statistics.median(result.down.p50_ms for result in mine),
            "down_p99_ms": statistics.median(result.down.p99_ms for result in mine),
            "memory_mb": statistics.median(result.memory_mb for result in mine),
            "up_lost": sum(result.up_lost for result in mine),
            "down_lost": sum(result.down_lost for result in mine),
            "broken": sum(result.broken for result in mine),
            "stolen_percent": max(result.stolen_percent for result in mine),
            "lag_mean_ms": statistics.median(result.lag_mean_ms for result in mine),
            "lag_p99_under_ms": statistics.median(result.lag_p99_under_ms for result in mine),
        }
        pairs = zip(of_system["callbot"], mine, strict=True)
        ratios = [ours.cpu_percent / other.cpu_percent for ours, other in pairs if other.cpu_percent]
        found[system]["callbot_cpu_ratio"] = round(statistics.median(ratios), 3)
        found[system]["callbot_cpu_ratios"] = [round(ratio, 3) for ratio in ratios]
    return found


def _capacity(sizes: list[int], window_s: float) -> dict[str, Any]:
    """The most calls whose delays stay under the limit with nothing lost, by two of three measurements, for both; and
    callbot with twice as many offered.
    """
    found: dict[str, Any] = {}
    for system in ("callbot", "bare"):
        carried, tried = 0, []
        for calls in sizes:
            results: list[Result] = []
            while max(sum(map(_carries, results)), sum(not _carries(result) for result in results)) < _ENOUGH:
                _progress(f"capacity: {system}, {calls} calls, {len(results) + 1}")
                results.append(run(measure(system, calls, window_s=window_s)))
            good = sum(map(_carries, results)) >= _ENOUGH
            tried += [{"calls": calls, "good": _carries(result), **_short(result)} for result in results]
            if not good:
                break
            carried = calls
        found[system] = {"calls": carried, "tried": tried}
    limit = found["callbot"]["calls"]
    if limit:
        _progress(f"twice the capacity: {2 * limit} calls offered, {limit} admitted")
        found["overload"] = _short(run(measure("callbot", 2 * limit, window_s=window_s, CALLBOT_MAX_CALLS=str(limit))))
    return found


def _carries(result: Result) -> bool:
    slowest_ms = max(result.up.p99_ms, result.down.p99_ms)
    return slowest_ms < _CAPACITY_P99_MS and not (result.up_lost or result.down_lost or result.broken)


def _short(result: Result) -> dict[str, Any]:
    return {
        "admitted": result.calls,
        "refused": result.refused,
        "broken": result.broken,
        "core_percent": result.core_percent,
        "up_p99_ms": result.up.p99_ms,
        "down_p99_ms": result.down.p99_ms,
        "up_lost": result.up_lost,
        "down_lost": result.down_lost,
        "load_percent": result.load_percent,
        "stolen_percent": result.stolen_percent,
    }


def _previous(out: Path) -> dict[str, Any] | None:
    path = out / "bench.json"
    try:
        earlier: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return earlier


def _tell(report: dict[str, Any], previous: dict[str, Any] | None, out: Path) -> None:
    print(f"\n{'calls':>5}  {'CPU per call, % of a core':^34}  {'up, p50 (p99) ms':^32}  {'down, p50 (p99) ms':^32}  MB a call")
    print(f"{'':>5}  {'bare':>9} {'callbot':>9} {'ratio':>14}  {'bare':>15} {'callbot':>16}  {'bare':>15} {'callbot':>16}")
    for calls, size in report["sizes"].items():
        bare, mine = size["bare"], size["callbot"]
        print(
            f"{calls:>5}  {bare['cpu_percent']:>9.2f} {mine['cpu_percent']:>9.2f} {bare['callbot_cpu_ratio']:>14.2f}"
            f"  {_delay(bare, 'up'):>15} {_delay(mine, 'up'):>16}  {_delay(bare, 'down'):>15} {_delay(mine, 'down'):>16}"
            f"  {mine['memory_mb']:>9.2f}"
        )
    if same := report["sizes"].get(str(_SAME_CONVERTER_AT)):
        print(
            f"\nCPU beside the bare bridge with callbot's converter, {_SAME_CONVERTER_AT} calls: "
            f"{same['bare_polyphase']['callbot_cpu_ratio']:.2f} to 1"
        )
    stolen = max(side["stolen_percent"] for size in report["sizes"].values() for side in size.values())
    print(f"\nof the machine's time given to others while this was measured: at most {stolen:.1f} %")
    for system in ("bare", "callbot"):
        lost = [(size[system]["up_lost"], size[system]["down_lost"]) for size in report["sizes"].values()]
        print(f"lost, {system}: {sum(up for up, _ in lost)} frames up, {sum(down for _, down in lost)} chunks down")
    print("callbot's event loop was late by, mean (p99 under) ms, at so many calls: " + ", ".join(_lags(report)))
    print(f"\nbarge-in, `interrupted` to `clear`: {_line(report['barge_in'])}")
    for system, quantiles in report["turn_audio"].items():
        print(f"a turn's first audio, {system + ':':<13} {_line(quantiles)}")
    print(f"first audio after `start`:          {_line(report['first_sound'])}")
    print(f"  with a prewarmed session:         {_line(report['first_sound_prewarmed'])}")
    print(f"reconnect, cut to first audio:      {_line(report['reconnect'])}")
    if capacity := report.get("capacity"):
        print(
            f"calls on one core (p99 under {_CAPACITY_P99_MS:.0f} ms, nothing lost): "
            f"callbot {capacity['callbot']['calls']}, bare bridge {capacity['bare']['calls']}"
        )
        if over := capacity.get("overload"):
            print(
                f"twice that offered: {over['admitted']} admitted, {over['refused']} refused, "
                f"p99 up {over['up_p99_ms']:.0f} ms, down {over['down_p99_ms']:.0f} ms, "
                f"{over['up_lost']} frames and {over['down_lost']} chunks lost"
            )
    if previous and previous.get("machine") == report["machine"]:
        for calls, size in report["sizes"].items():
            if earlier := previous["sizes"].get(calls):
                before, now = (side["bare"].get("callbot_cpu_ratio", 0.0) for side in (earlier, size))
                print(f"against the run before, {calls} calls: CPU ratio {before:.2f} -> {now:.2f}")
    print(f"\ntook {report['took_s']} s; wrote {out / 'bench.json'} and {out / 'bench.svg'}")


def _lags(report: dict[str, Any]) -> list[str]:
    sides = {calls: size["callbot"] for calls, size in report["sizes"].items()}
    return [f"{calls}: {side['lag_mean_ms']:.1f} ({side['lag_p99_under_ms']:.0f})" for calls, side in sides.items()]


def _delay(side: dict[str, Any], way: str) -> str:
    return f"{side[f'{way}_p50_ms']:.1f} ({side[f'{way}_p99_ms']:.0f})"


def _line(quantiles: dict[str, Any]) -> str:
    return f"p50 {quantiles['p50_ms']:.1f} ms, p99 {quantiles['p99_ms']:.1f} ms (of {quantiles['count']})"


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _progress(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
