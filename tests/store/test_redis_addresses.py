"""How Redis is reached: the first address that answers, and no wait for a resolver that does not."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis_server import RedisServer
from shelves import redis_stores, until
from test_contract import mint

from callbot.store import dialling
from callbot.store.dialling import RacedConnection, RacedTLSConnection, race
from callbot.store.redis_link import RedisLink, StoreFault

pytestmark = pytest.mark.real_time  # the resolver has a thread of its own


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: what connects hears nothing, as from an address that leads nowhere."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        waiting = []
        for _ in range(8):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for each in waiting:
            each.close()


def addresses(*pairs: tuple[str, int]) -> Callable[..., Any]:
    return lambda *_args, **_options: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", pair) for pair in pairs]


async def test_an_address_that_leads_nowhere_delays_redis_and_no_more(
    server: RedisServer, deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling.socket, "getaddrinfo", addresses(("127.0.0.2", deaf_port), ("127.0.0.1", server.port)))
    link = RedisLink("redis://redis.example:6379/0", timeout_s=20, keep_s=60)
    await link.probe()
    await link.close()


async def test_a_name_without_an_address_is_down_and_an_impossible_one_too() -> None:
    for name in ("nowhere.invalid", "x" * 70 + ".example"):
        link = RedisLink(f"redis://{name}:6379/0", timeout_s=20, keep_s=60)
        with pytest.raises(StoreFault):
            await link.probe()
        await link.close()


async def test_a_resolver_that_never_answers_hangs_one_thread_however_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    def never(*_args: Any, **_options: Any) -> Any:
        released.wait(60)
        raise OSError

    monkeypatch.setattr(dialling.socket, "getaddrinfo", never)
    try:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await race("redis.example", 6379)
        assert [thread.name for thread in threading.enumerate()].count("redis-address") == 1
    finally:
        released.set()


def test_a_resolver_that_never_answers_holds_up_neither_calls_nor_the_end_of_the_process() -> None:
    program = """
import asyncio, socket, time, structlog
socket.getaddrinfo = lambda *a, **k: time.sleep(3600)
from callbot.store.redis import RedisCallStore
from callbot.store.protocol import StreamGrant
async def main():
    async with asyncio.TaskGroup() as tasks:
        store = RedisCallStore("redis://redis.example:6379/0", ["s"], log=structlog.get_logger(), timeout_s=0.2)
        store.start(tasks)
        print((await store.mint(StreamGrant("CA1", "AC1", 1), 60)).outcome, store.is_up)
        await store.stop()
asyncio.run(main())
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-2:] == ["fresh False", "ended"]


def test_the_password_of_an_address_that_is_none_is_in_no_message() -> None:
    for url in ("redis://:PLANTED/x@host", "redis://user:PLANTED@host:port/0", "redis://:PLANTED@[::1/0", "PLANTED"):
        try:
            link = RedisLink(url, timeout_s=1, keep_s=60)
        except ValueError as error:
            told = f"{error!r} {error.__cause__!r}"
        else:
            told = repr(link)
        assert "PLANTED" not in told


async def test_an_address_that_is_none_is_a_store_that_is_down() -> None:
    async with redis_stores("redis://:PLANTED/x@host", 1) as ((store,), lines):
        await mint(store)
        await until(lambda: not store.is_up)
    assert [line["event"] for line in lines] == ["store.down"]
    assert "PLANTED" not in str(lines)


def test_redis_py_still_connects_where_it_is_overridden() -> None:
    """The private parts that are replaced; without them connections would be made one address after the other."""
    from redis.asyncio.connection import Connection, SSLConnection

    for raced, plain in ((RacedConnection, Connection), (RacedTLSConnection, SSLConnection)):
        assert dict(plain(host="h", port=1)._connection_arguments()).keys() <= {"host", "port", "ssl"}
        assert issubclass(raced, plain)
        assert "_connection_arguments()" in __import__("inspect").getsource(plain._connect)
