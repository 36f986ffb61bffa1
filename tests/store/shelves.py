"""Stores as the tests of this room hold them: the contract's two, with a way to let time pass, and one that tells its log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from redis_server import ClusterServers, RedisServer
from structlog.typing import EventDict

from callbot.store.protocol import CallStore
from callbot.store.redis import RedisCallStore

SECRETS = ("the-auth-token",)
PATIENT_S = 20.0  # a question's limit where a slow machine must not look like a dead server


class Clock:
    def __init__(self, now_s: float = 50.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Shelf:
    """A store, the same store as another process sees it, and a way to let time pass for both."""

    store: CallStore
    other: CallStore
    pass_time: Callable[[float], None]
    written: Callable[[], Awaitable[None]]


async def until(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.005)


@asynccontextmanager
async def redis_stores(
    url: str, number: int, *, timeout_s: float = PATIENT_S, secrets: tuple[str, ...] = SECRETS, **more: Any
) -> AsyncIterator[tuple[list[RedisCallStore], list[EventDict]]]:
    """So many stores on one server, as so many processes have them, and their log."""
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(None, processors=[capture])
    async with asyncio.TaskGroup() as tasks:
        stores = [RedisCallStore(url, secrets, log=log, timeout_s=timeout_s, **more) for _ in range(number)]
        for store in stores:
            store.start(tasks)
        try:
            yield stores, capture.entries
        finally:
            for store in stores:
                await store.stop()


async def written(*stores: RedisCallStore) -> None:
    await until(lambda: not any(store._unwritten for store in stores))


def age(server: RedisServer | ClusterServers, by_s: float) -> None:
    """Let time pass for everything that the server holds."""
    move = "for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1]) end"
    server.ask("EVAL", move, "0", str(int(by_s * 1000)))
