"""What one run of `bench/hostile.py` brought, and how it is told: the table, the verdict and the exit code."""

import json
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.attack_run import FLOODS, ORDINARY
from bench.attackers import ATTACKS
from bench.hostile_figures import DELAYS, SET_ASIDE, Verdict, Window, judge, undisturbed
from callbot.states.record import State

ALL = "all at once"
TWO_ORDINARY = "two ordinary calls"  # at once, as there are two floods in "all at once"
BESIDE = {**dict.fromkeys(FLOODS, ORDINARY), ALL: TWO_ORDINARY}


@dataclass(slots=True)
class Evening:
    """What one server went through; `add` makes one of many."""

    windows: list[Window] = field(default_factory=list)
    disturbed: list[Window] = field(default_factory=list)  # of which too little is left to be judged
    untaken: list[str] = field(default_factory=list)  # attacks of windows that no calm was found for
    came: dict[str, Counter[str]] = field(default_factory=dict)
    rss_mb: list[list[float]] = field(default_factory=list)  # of each server, window by window
    lost_ms: Counter[str] = field(default_factory=Counter)  # of all calls
    call_sids: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    again: int = 0  # windows that were taken again
    sessions: int = 0  # beside the calls' own
    said: list[dict[str, object]] = field(default_factory=list)

    @property
    def left(self) -> list[str]:
        """The attacks of the windows that are still to be taken."""
        return [window.attack for window in self.disturbed] + self.untaken

    def heard(self, output: Path) -> None:
        """Keep what the server has written."""
        self.said = [json.loads(line) for line in output.read_bytes().splitlines() if line.startswith(b"{")]

    def add(self, other: "Evening") -> None:
        """The other's, too."""
        self.windows += other.windows
        for attack, count in other.came.items():
            self.came.setdefault(attack, Counter()).update(count)
        self.rss_mb += other.rss_mb
        self.lost_ms.update(other.lost_ms)
        self.call_sids += other.call_sids
        self.broken += other.broken
        self.again += other.again
        self.sessions += other.sessions
        self.said += other.said


def report(evening: Evening, calls: int, attacks: list[str]) -> int:
    """Print the figures. 0: nothing moved and nothing broke; 1: something did; 2: the machine is too busy to tell."""
    judged = undisturbed(evening.windows, attacks)
    windows = evening.windows if judged is None else judged
    quiet = [window for window in windows if not window.attack]
    frames = statistics.median(window.counted for window in quiet)
    stolen = statistics.median(window.stolen_percent for window in evening.windows)
    print(
        f"{calls} calls; {len(quiet)} quiet windows, {frames:.0f} frames each; {evening.again} taken again; "
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
    if not report_server(evening) or (telling and moved):
        return 1
    return 0 if telling else 2


def _row(name: str, windows: list[Window], came: str) -> str:
    core, clock = (statistics.median(getattr(w, figure) for w in windows) for figure in ("core_percent", "clock_ms"))
    return f"{name:22}{came:>6}{core:8.1f}{clock:7.2f}"


def report_server(evening: Evening) -> bool:
    """What the server wrote and what became of the calls; whether all of them lived to the end."""
    refused: Counter[str] = Counter()
    for line in evening.said:
        if str(line["message"]).endswith(".refused"):
            unlogged = line.get("unlogged", 0)
            refused[str(line["reason"])] += 1 + (unlogged if isinstance(unlogged, int) else 0)
    ours = set(evening.call_sids)
    moves = [line for line in evening.said if line["message"] == "call.state" and line.get("call_sid") in ours]
    broken = evening.broken + [f"session lost: {line['reason']}" for line in moves if line["to"] == State.RECONNECTING]
    crashes = [line for line in evening.said if "crashed" in str(line["message"])]
    newcomers = sum(count[name] for count in evening.came.values() for name in (*FLOODS, ORDINARY))
    print(f"refused, as logged: {dict(sorted(refused.items()))}")
    print(f"sessions beside the calls' own: {evening.sessions}, for {newcomers} streams with good tokens")
    memory = "; ".join(f"{of_one[0]:.1f}, {max(of_one):.1f}, {of_one[-1]:.1f}" for of_one in evening.rss_mb)
    print(f"memory of each round's server in MB, at first, at most, at last: {memory}")
    print(f"calls broken: {broken or 'none'}; crashes: {crashes or 'none'}; audio lost, in ms: {dict(evening.lost_ms)}")
    return not broken and not crashes and not any(evening.lost_ms.values())
