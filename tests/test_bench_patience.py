"""How `bench.hostile` waits for a calm host, and what becomes of windows that were disturbed nevertheless."""

import argparse
import time
from collections import Counter

import pytest

from bench import hostile, stalls
from bench.hostile_figures import Window
from bench.hostile_report import Evening
from bench.stalls import CALM_S, Patience, Probes

CALM = Probes([], is_sharp=True)


def busy() -> Probes:
    """A host that has just taken, and goes on to take, a fifth of the time."""
    now_s = time.perf_counter()
    return Probes([], is_sharp=True, stalls=[(now_s + n * 0.01, now_s + n * 0.01 + 0.001) for n in range(-1000, 1000)])


def test_only_the_last_seconds_tell_whether_the_host_is_calm() -> None:
    now_s = time.perf_counter()
    long_ago = Probes([], is_sharp=True, stalls=[(now_s - 60.0, now_s - 50.0)])
    assert long_ago.percent_lately(CALM_S) == CALM.percent_lately(CALM_S) == 0.0
    assert busy().percent_lately(CALM_S) == pytest.approx(45.0, abs=5.0)  # 1.5 ms before and 2 ms after each of 1 ms


async def test_a_calm_host_costs_no_patience() -> None:
    patience = Patience(10.0)
    assert await patience.wait_for_calm(CALM)
    assert patience.left_s == 10.0


async def test_a_busy_host_is_waited_for_until_the_patience_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "CALM_S", 0.04)
    patience = Patience(0.03)
    assert await patience.wait_for_calm(busy())
    assert patience.left_s <= 0.0
    assert await patience.wait_for_calm(busy(), time.perf_counter() - 1.0)  # now whatever comes is taken


async def test_a_round_waits_for_calm_no_longer_than_its_time() -> None:
    patience = Patience(10.0)
    assert not await patience.wait_for_calm(busy(), time.perf_counter() - 1.0)
    assert patience.left_s == 10.0


def of(*attacks: str) -> list[Window]:
    return [Window(attack, 0.0, 1.0, 0.0, 0.0) for attack in attacks]


@pytest.mark.parametrize(
    ("patience_s", "rounds_taken"), [(100.0, [["a", ""], ["b", ""], ["a", ""]]), (0.0, [["a", ""], ["b", ""]])]
)
async def test_what_was_disturbed_or_untaken_is_taken_in_a_later_round_while_the_patience_lasts(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, rounds_taken: list[list[str]]
) -> None:
    taken: list[list[str]] = []

    async def measured(order: list[str], _calls: int, _window_s: float, _every_s: float, _patience: Patience) -> Evening:
        taken.append(order)
        came = {order[0]: Counter({order[0]: 1})}
        if len(taken) > 1:
            return Evening(windows=of(*order), came=came)
        if patience_s:
            return Evening(disturbed=of("a"), untaken=[""], came=came)
        return Evening(windows=of(""), disturbed=of("a"), came=came)

    monkeypatch.setattr(hostile, "measure", measured)
    options = argparse.Namespace(patience=patience_s, calls=1, window=1.0, every=1.0)
    evening = await hostile.all_rounds(["a", "", "b", ""], 2, options)
    assert taken == rounds_taken
    assert Counter(window.attack for window in evening.windows) == {"a": 1, "b": 1, "": 2}
    assert evening.again == (1 if patience_s else 0)
    assert evening.came["a"] == {"a": len(rounds_taken) - 1}
