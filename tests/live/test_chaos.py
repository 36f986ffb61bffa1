"""A dozen calls with faults drawn by seed; `python -m bench.chaos` makes two hundred."""

import pytest

from bench.chaos import describe, run

pytestmark = pytest.mark.live


async def test_calls_with_random_faults_end_in_order_and_leave_nothing() -> None:
    tally = await run(calls=12, seed=7, at_once=12)
    print("\n" + describe(tally))
    assert tally.breaches == []
    assert len(tally.fates) == 12
