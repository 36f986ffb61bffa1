"""What holds for all tests: they are in virtual time, the same examples are tried on every run.

A busy machine makes a test slower and nothing else. What hands work to a thread of the loop's, starts a process, or talks to a
server that is not in its own loop goes at the pace of the clock on the wall, by itself; what has threads of its own is marked
`real_time`.
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, settings

from tests.virtual_time import VirtualTimeLoop  # before callbot, whose functions have `time.monotonic` for a default

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"real": asyncio.SelectorEventLoop} if item.get_closest_marker("real_time") else {"virtual": VirtualTimeLoop}
