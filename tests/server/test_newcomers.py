"""The newcomers' budget: one at a time, and not more of the loop's time than their share while calls run."""

import asyncio

import pytest

from callbot.server.limits.newcomers import BURST_S, NewcomerBudget


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_newcomers_go_on_one_in_a_turn_of_the_loop() -> None:
    budget, turns, order = NewcomerBudget(0.25, lambda: False), 0, list[tuple[int, int]]()

    async def count() -> None:
        nonlocal turns
        while len(order) < 5:
            turns += 1
            await asyncio.sleep(0)

    async def newcomer(number: int) -> None:
        await budget.turn()
        order.append((number, turns))

    async with asyncio.TaskGroup() as group:
        group.create_task(count())
        for number in range(5):
            group.create_task(newcomer(number))
    assert [number for number, _ in order] == list(range(5))
    assert len({turn for _, turn in order}) == 5


@pytest.mark.parametrize("has_calls", [True, False])
async def test_beyond_their_share_newcomers_wait_while_calls_run(has_calls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waited = Clock(), list[float]()
    budget = NewcomerBudget(0.25, lambda: has_calls, clock)

    async def sleep(for_s: float) -> None:
        waited.append(for_s)
        clock.now_s += for_s

    monkeypatch.setattr(asyncio, "sleep", sleep)
    budget.spend(BURST_S + 0.010)
    await budget.turn()
    assert [for_s for for_s in waited if for_s] == ([pytest.approx(0.040)] if has_calls else [])
    assert budget.left_s == pytest.approx(0.0 if has_calls else -0.010)


async def test_a_pause_earns_no_more_than_a_clump() -> None:
    clock = Clock()
    budget = NewcomerBudget(0.25, lambda: True, clock, clock)
    clock.now_s += 3600.0
    assert budget.left_s == BURST_S


async def test_the_time_of_each_step_is_the_newcomers_and_that_of_waiting_is_not() -> None:
    clock = Clock()
    budget = NewcomerBudget(0.25, lambda: True, clock, clock)
    go_on = asyncio.Event()

    async def work() -> str:
        clock.now_s += 0.003
        await go_on.wait()
        clock.now_s += 0.002
        return "done"

    task = asyncio.create_task(budget.metered(work()))
    await asyncio.sleep(0)
    before_s = budget.left_s
    clock.now_s += 0.004  # somebody else's: it earns a quarter
    go_on.set()
    assert await task == "done"
    assert budget.left_s == pytest.approx(before_s + 0.25 * (0.004 + 0.002) - 0.002)


async def test_a_fault_and_a_cancellation_reach_the_work_and_come_back() -> None:
    budget, seen = NewcomerBudget(0.25, lambda: True), list[str]()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("x")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(ValueError, match="x"):
        await budget.metered(fails())
    task = asyncio.create_task(budget.metered(waits()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
