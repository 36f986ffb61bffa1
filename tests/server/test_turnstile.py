"""The turnstile: whoever is new goes on one at a time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from callbot.server.turnstile import Turnstile


@pytest.mark.parametrize("count", [1, 10])
async def test_newcomers_go_on_one_in_a_turn_of_the_loop(count: int) -> None:
    turnstile, turns, through = Turnstile(), 0, list[int]()

    async def newcomer() -> None:
        for _ in range(3):
            await turnstile.next_turn()
            through.append(turns)

    def count_turns(again: Callable[[], Any]) -> None:
        nonlocal turns
        turns += 1
        again()

    loop = asyncio.get_running_loop()

    def tick() -> None:
        count_turns(lambda: len(through) < 3 * count and loop.call_soon(tick))

    loop.call_soon(tick)
    await asyncio.gather(*(newcomer() for _ in range(count)))
    assert len(through) == len(set(through)) == 3 * count
