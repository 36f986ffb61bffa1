"""The stores that the contract is held against, and the servers for it."""

import functools
from collections.abc import AsyncIterator, Iterator

import pytest
from redis_server import RedisServer, redis_server
from shelves import Clock, Shelf, age, redis_stores, written

from callbot.store.memory import MemoryCallStore


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """A server that holds nothing; not to be harmed."""
    shared_server.ask("FLUSHALL")
    return shared_server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server to do harm to."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    clock, wall_clock = Clock(), Clock(1_800_000_000.0)

    def pass_time(by_s: float) -> None:
        clock.now_s += by_s
        wall_clock.now_s += by_s

    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("server")

        def pass_time_there(by_s: float) -> None:
            pass_time(by_s)
            age(server, by_s)

        async with redis_stores(server.url, 2, wall_clock=wall_clock) as ((one, other), _):
            yield Shelf(one, other, pass_time_there, functools.partial(written, one, other))
        return
    store = MemoryCallStore(clock, wall_clock=wall_clock)

    async def nothing() -> None:
        """Memory has written what it knows."""

    yield Shelf(store, store, pass_time, nothing)
