"""The stores that the contract is held against, and the servers for it."""

import functools
from collections.abc import AsyncIterator, Iterator

import pytest
from redis_server import ClusterServers, RedisServer, redis_cluster, redis_server
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


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[ClusterServers]:
    with redis_cluster() as servers:
        yield servers


@pytest.fixture
def cluster(shared_cluster: ClusterServers) -> ClusterServers:
    """A cluster that holds nothing; not to be harmed."""
    shared_cluster.ask("FLUSHALL")
    return shared_cluster


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server to do harm to."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis", "cluster"])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    clock, wall_clock = Clock(), Clock(1_800_000_000.0)

    def pass_time(by_s: float) -> None:
        clock.now_s += by_s
        wall_clock.now_s += by_s

    if request.param != "memory":
        server: RedisServer | ClusterServers = request.getfixturevalue("server" if request.param == "redis" else "cluster")

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
