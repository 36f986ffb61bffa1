"""Calls through real sockets, in virtual time: a busy machine makes them slower and nothing else.

What starts a process or talks to a server that is not its own goes at the pace of the clock on the wall, by itself.
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.virtual_time import VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualTimeLoop}
