"""What `bench.hostile` makes of its windows, and what it says when its attackers fail: it must be able to say no."""

import asyncio
import math
import os
import random
import sys
import time
from array import array
from collections import Counter
from pathlib import Path

import pytest

from bench.attack_run import Attackers, AttackersFailed
from bench.hostile_figures import (
    DELAYS,
    MOST_ASIDE_PERCENT,
    SET_ASIDE,
    Verdict,
    Window,
    a_round,
    fill,
    judge,
    noise,
    p99,
    turns,
    undisturbed,
)
from bench.stalls import Aside, probes
from bench.track import Arrivals, Track


def track(delays_s: list[float], *, lost: frozenset[int] = frozenset(), lag: int = 100, piece: int = 320) -> Track:
    """Pieces 20 ms apart; the receiver gets each so much later, all of them `lag` samples behind."""
    arrived = Arrivals()
    for number, delay_s in enumerate(delays_s):
        if number not in lost:
            arrived.note(number * 0.02 + delay_s, piece if arrived.samples else piece - lag)
    return Track(array("d", [number * 0.02 for number in range(len(delays_s))]), arrived, piece)


def window(attack: str, worse_ms: float = 0.0, *, chance: random.Random) -> Window:
    figures = {figure: 2.0 + chance.gauss(0.0, 0.1) + worse_ms for figure in DELAYS} | {SET_ASIDE: 5.0}
    return Window(attack, 0.0, 1.0, 0.0, 0.0, figures)


def of_delays(windows: list[Window], attack: str, *, beside: str = "") -> list[Verdict]:
    return [verdict for verdict in judge(windows, attack, beside=beside) if verdict.figure in DELAYS]


def evening(worse_ms: float) -> list[Window]:
    chance = random.Random(3)
    return [window(attack, worse_ms if attack else 0.0, chance=chance) for attack in turns(["a", "b", "c", "d"], 3)]


def test_each_piece_has_its_own_delay() -> None:
    delays_s = [0.001, 0.002, 0.003, 0.050, 0.040, 0.030]
    assert track(delays_s).delays(-1.0, 1.0) == pytest.approx(delays_s)
    assert track(delays_s).delays(0.03, 0.07) == pytest.approx(delays_s[2:4])


def test_what_never_came_is_infinitely_late_until_it_is_given_up() -> None:
    lossy = track([0.001] * 10, lost=frozenset({4, 5}))
    assert lossy.delays(-1.0, 1.0)[-2:] == [math.inf, math.inf]
    assert lossy.on_its_way() == 2
    lossy.give_up(2, 0.3)
    assert lossy.on_its_way() == 0
    assert lossy.delays(-1.0, 1.0)[-2:] == pytest.approx([0.3 - 8 * 0.02, 0.3 - 9 * 0.02])


@pytest.mark.parametrize("delay_s", [0.001, 0.015, 0.5])
def test_what_came_late_is_not_on_its_way(delay_s: float) -> None:
    assert track([delay_s] * 10).on_its_way() == 0
    assert track([], lag=0).on_its_way() == 0


def test_p99_is_the_value_that_one_in_a_hundred_is_beyond() -> None:
    assert p99([float(number) for number in range(1, 201)]) == 198.0
    assert math.isnan(p99([]))


def test_one_call_that_suffers_shows_although_the_others_do_not() -> None:
    well, ill = track([0.002] * 100), track([0.002] * 50 + [0.008] * 50)
    filled = Window("", 0.0, 2.0, 0.0, 0.0)
    fill(filled, [(well, well)] * 199 + [(well, ill)])
    assert filled.figures["worst call"] == pytest.approx(8.0)
    assert filled.figures["up"] == filled.figures["down"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("worse_ms", "within"), [(0.0, True), (-0.5, True), (0.5, False), (math.inf, False), (math.nan, False)]
)
def test_an_attack_is_within_noise_only_when_quiet_windows_do_the_same(worse_ms: float, within: bool) -> None:
    windows = evening(worse_ms)
    assert [verdict.within_noise for verdict in of_delays(windows, "b")] == [within] * len(DELAYS)


def test_quiet_windows_without_end_excuse_nothing() -> None:
    windows = [window("" if number % 3 else "a", chance=random.Random(number)) for number in range(9)]
    for quiet in windows:
        if not quiet.attack:
            quiet.figures = dict.fromkeys(DELAYS, math.inf) | {SET_ASIDE: 5.0}
    assert not any(verdict.within_noise for verdict in of_delays(windows, "a"))


@pytest.mark.parametrize(("apart_ms", "telling"), [(0.1, True), (30.0, False), (math.inf, False)])
def test_windows_that_vary_by_more_than_their_median_tell_nothing(apart_ms: float, telling: bool) -> None:
    windows = evening(0.0)
    for quiet in [window for window in windows if not window.attack][::2]:
        quiet.figures = dict.fromkeys(DELAYS, 2.0 + apart_ms) | {SET_ASIDE: 5.0}
    assert [verdict.telling for verdict in of_delays(windows, "b")] == [telling] * len(DELAYS)


def test_a_shift_that_the_measuring_end_could_have_made_itself_is_no_verdict() -> None:
    windows = evening(0.5)
    for window in windows:
        window.clock_ms = 1.0
    assert all(verdict.within_noise for verdict in of_delays(windows, "b"))
    for window in windows:
        window.clock_ms = 0.2
    assert not any(verdict.within_noise for verdict in of_delays(windows, "b"))


def test_a_flood_is_held_against_as_many_newcomers() -> None:
    windows = evening(0.5)
    assert not any(verdict.within_noise for verdict in of_delays(windows, "b"))
    assert all(verdict.within_noise for verdict in of_delays(windows, "b", beside="a"))


def test_windows_of_which_too_little_is_left_are_not_judged() -> None:
    windows = evening(0.0)
    assert undisturbed(windows, ["a", "b"]) == windows
    (first, *others) = [window for window in windows if window.attack == "a"]
    first.figures[SET_ASIDE] = MOST_ASIDE_PERCENT + 1
    left = undisturbed(windows, ["a", "b"])
    assert left is not None
    assert first not in left
    assert len(left) == len(windows) - 1
    others[0].figures[SET_ASIDE] = MOST_ASIDE_PERCENT + 1
    assert undisturbed(windows, ["a", "b"]) is None
    assert undisturbed(windows, ["b"]) is not None


def test_what_was_sent_around_a_stall_is_set_aside_until_what_came_meanwhile_is_worked_off() -> None:
    aside = Aside.around([(1.0, 1.01), (1.02, 1.03), (5.0, 5.001)])
    assert (aside.from_s, aside.to_s) == (pytest.approx([0.9985, 4.9985]), pytest.approx([1.05, 5.003]))
    assert [aside.has(at_s) for at_s in (0.998, 0.999, 1.049, 1.051, 5.0, 9.0)] == [False, True, True, False, True, False]
    assert aside.percent(0.0, 10.0) == pytest.approx(0.56)
    assert aside.percent(1.0, 1.1) == pytest.approx(50.0)
    assert aside.percent(2.0, 3.0) == Aside().percent(0.0, 1.0) == 0.0


def test_what_is_set_aside_does_not_count() -> None:
    late = track([0.001] * 50 + [0.5] + [0.001] * 50)
    held_up, filled = Aside.around([(0.999, 1.002)]), Window("", 0.0, 3.0, 0.0, 0.0)
    fill(filled, [(late, late)], held_up)
    assert filled.figures["worst call"] == pytest.approx(1.0)
    assert filled.figures[SET_ASIDE] == pytest.approx(0.35)
    assert len(late.delays(-1.0, 3.0, held_up)) == 100


def test_an_attack_cannot_hide_in_what_is_set_aside() -> None:
    windows = evening(0.0)
    assert all(verdict.within_noise for verdict in judge(windows, "b"))
    for attacked in [window for window in windows if window.attack == "b"]:
        attacked.figures[SET_ASIDE] = 8.0
    assert [verdict.figure for verdict in judge(windows, "b") if not verdict.within_noise] == [SET_ASIDE]


async def test_a_probe_tells_of_the_times_in_which_nobody_could_run() -> None:
    """A hog of higher priority holds the core for 50 ms, as a host would."""
    core = min(os.sched_getaffinity(0))
    async with probes([core]) as watching:
        if not watching.is_sharp:
            pytest.skip("no real-time priority here")
        begun_s = time.perf_counter()
        hog = await asyncio.create_subprocess_exec(sys.executable, "-c", HOG, str(core), stdout=asyncio.subprocess.PIPE)
        told, _ = await hog.communicate()
        aside = watching.aside()
    from_s, to_s = (float(word) for word in told.split())
    assert begun_s < from_s < to_s
    assert aside.has((from_s + to_s) / 2)
    assert any(end - begin >= 0.03 for begin, end in watching.stalls)


HOG = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
begin = time.perf_counter()
while time.perf_counter() < begin + 0.05:
    pass
print(begin, time.perf_counter())
"""


def test_noise_is_quiet_against_as_many_quiet() -> None:
    quiet_ms = [float(number) for number in range(1, 22)]
    of_one, of_five = noise(quiet_ms, 1), noise(quiet_ms, 5)
    assert -20.0 <= of_one[0] < of_five[0] < 0.0 < of_five[1] < of_one[1] <= 20.0
    assert noise([3.0] * 10, 5) == (0.0, 0.0)
    with pytest.raises(ValueError, match="too few"):
        noise(quiet_ms, 11)


@pytest.mark.parametrize("attacks", [["a"], ["a", "b"], ["a", "b", "c"], [str(number) for number in range(13)]])
def test_each_attack_comes_in_each_round_beside_a_quiet_window_in_changing_order(attacks: list[str]) -> None:
    order = turns(attacks, 4)
    count = Counter(order)
    assert all(count[attack] == 4 for attack in attacks)
    assert count[""] >= 2 * 4
    pairs = list(zip(order[::2], order[1::2], strict=True))
    assert all("" in pair for pair in pairs)
    attacked = [pair for pair in pairs if pair != ("", "")]
    assert {pair.index("") for pair in attacked} == {0, 1}


def test_what_is_held_against_newcomers_comes_next_to_them() -> None:
    beside = {"flood": "call", "clump": "call", "all": "two calls"}
    assert a_round(["slow", "flood", "clump", "binary", "all"], beside, most="all") == [
        *("slow", "call", "flood"),
        *("two calls", "all"),
        *("call", "clump", "binary"),
        *("two calls", "all"),
    ]
    assert a_round(["slow", "flood", "clump"], beside, most="all") == ["slow", "call", "flood", "call", "clump"]
    assert a_round(["all"], beside, most="all") == ["two calls", "all"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ValueError('the door was open')", "ended with 1; they said: .*the door was open"),
        ("import sys; sys.exit(3)", "ended with 3; they said: nothing"),
        ("print('what?'); input()", "answered b'what"),
    ],
)
async def test_what_failed_attackers_said_is_told(tmp_path: Path, source: str, told: str) -> None:
    said = tmp_path / "stderr"
    pipe = asyncio.subprocess.PIPE
    with said.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-c", source, stdin=pipe, stdout=pipe, stderr=stderr
        )
    with pytest.raises(AttackersFailed, match=f"(?s){told}"):
        async with Attackers(process, said).attacking(("never start",)):
            pass
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_attackers_that_are_stuck_are_not_waited_for(tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    said.write_text("so tired")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input(); input()", stdin=pipe, stdout=pipe)
    with pytest.raises(AttackersFailed, match="so tired"):
        await Attackers(process, said, patience_s=0.01).answer()
    process.kill()
    await process.wait()
