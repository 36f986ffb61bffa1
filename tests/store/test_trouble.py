"""A real server in trouble: memory answers, it is asked again after a write that worked, and is then told what it missed."""

import asyncio

import pytest
from redis_server import RedisServer
from shelves import redis_stores, until, written
from structlog.typing import EventDict
from test_contract import CALL, OTHER, mint, show

from callbot.messages.terms import Ending
from callbot.store.protocol import Lease, Minted, MintOutcome, TokenOutcome

SHORT_S = 1.0


def events(lines: list[EventDict]) -> list[str]:
    return [line["event"] for line in lines]


def kill(server: RedisServer) -> None:
    server.kill()


def freeze(server: RedisServer) -> None:
    server.freeze()


def fill(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "maxmemory", "1")


def make_replica(server: RedisServer) -> None:
    server.ask("REPLICAOF", "127.0.0.1", "1")


def start(server: RedisServer) -> None:
    server.start()


def thaw(server: RedisServer) -> None:
    server.thaw()


def empty(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "maxmemory", "0")


def make_primary(server: RedisServer) -> None:
    server.ask("REPLICAOF", "NO", "ONE")


TROUBLES = {
    "down": (kill, start),
    "hung": (freeze, thaw),
    "out of memory": (fill, empty),
    "failed over, and a replica now": (make_replica, make_primary),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_calls_go_on_and_the_newest_record_of_each_is_there_afterwards(own_server: RedisServer, trouble: str) -> None:
    harm, mend = TROUBLES[trouble]
    calls = [f"CA{number:032x}" for number in range(10)]
    async with redis_stores(own_server.url, 2, timeout_s=SHORT_S) as ((store, other), lines):
        for call_sid in calls:
            assert await show(store, (await mint(store, call_sid)).token, call_sid) is TokenOutcome.ACCEPTED
            store.save(call_sid, 1, b"before")
        await until(lambda: store._client._loaded.is_set() and other._client._loaded.is_set())
        await written(store)
        harm(own_server)
        await until(lambda: not store.is_up and not other.is_up)  # at once, and though there is nothing to ask
        for number, call_sid in enumerate(calls):
            store.save(call_sid, 1, b"meanwhile")
            store.save(call_sid, 1, f"last {number}".encode())
        new = await mint(store, "CA" + "e" * 32)
        assert await show(store, new.token, "CA" + "e" * 32) is TokenOutcome.ACCEPTED
        assert await store.load(calls[3]) == b"last 3"
        mend(own_server)
        await until(lambda: store.is_up and other.is_up)
        await written(store)
        assert [await other.load(call_sid) for call_sid in calls] == [f"last {n}".encode() for n in range(10)]
        assert await mint(other, "CA" + "e" * 32) == Minted(MintOutcome.SPENT)
        assert sorted(events(lines)) == ["store.down"] * 2 + ["store.up"] * 2


async def test_a_read_only_replica_is_never_up(own_server: RedisServer) -> None:
    make_replica(own_server)
    async with redis_stores(own_server.url, 1) as ((store,), lines):
        await until(lambda: not store.is_up)
        for _ in range(40):
            await store.ending(CALL)
            await asyncio.sleep(0.1)
        assert events(lines) == ["store.down"]
        assert lines[0]["cause"] == "ReadOnlyError"


async def test_a_restart_that_is_over_before_it_is_noticed_is_noticed_by_what_is_missing(own_server: RedisServer) -> None:
    async with redis_stores(own_server.url, 2) as ((store, other), lines):
        for call_sid in (CALL, OTHER):
            await show(store, (await mint(store, call_sid)).token, call_sid)
            store.save(call_sid, 1, b"words")
        await written(store)
        own_server.ask("FLUSHALL")  # as after a restart or a failover to a replica that had nothing yet
        store.save(CALL, 1, b"more words")
        await until(lambda: "store.lost" in events(lines))
        await written(store)
        assert await other.lease(CALL, 2) == Lease(held=True, record=b"more words")
        assert await other.load(OTHER) == b"words"
        assert await mint(other, OTHER) == Minted(MintOutcome.SPENT)


async def test_a_slow_redis_delays_no_save_and_gets_the_newest_only(own_server: RedisServer) -> None:
    async with redis_stores(own_server.url, 2) as ((store, other), lines):
        await show(store, (await mint(store)).token)
        await other.load(CALL)
        own_server.freeze()  # for less long than a question may take
        for number in range(1000):
            store.save(CALL, 1, f"{number}".encode())
        own_server.thaw()
        await written(store)
        assert await other.load(CALL) == b"999"
        assert lines == []


async def test_of_a_call_at_most_two_records_a_second_are_written(server: RedisServer) -> None:
    def writes() -> int:
        told = dict(line.split(b":", 1) for line in server.ask("INFO", "commandstats") if b":" in line)
        counted = (told.get(key, b"calls=0,") for key in (b"cmdstat_evalsha", b"cmdstat_eval"))
        return sum(int(line.partition(b"calls=")[2].partition(b",")[0]) for line in counted)

    loop = asyncio.get_running_loop()
    async with redis_stores(server.url, 1) as ((store,), _):
        await store.lease(CALL, 1)
        before, began_s = writes(), loop.time()
        while loop.time() - began_s < 3:
            store.save(CALL, 1, str(loop.time()).encode())
            await asyncio.sleep(0.01)
        assert 1 <= writes() - before <= 2 * (loop.time() - began_s) + 3  # the script's text once


async def test_what_an_owner_that_was_stopped_says_when_it_wakes_is_refused(server: RedisServer) -> None:
    async with redis_stores(server.url, 2) as ((stopped, other), lines):
        await show(stopped, (await mint(stopped)).token)
        stopped.save(CALL, 1, b"first half")
        await written(stopped)
        assert await other.lease(CALL, 2) == Lease(held=True, record=b"first half")
        other.save(CALL, 2, b"both halves")
        await written(other)
        stopped.save(CALL, 1, b"first half, again")
        stopped.record_ending(CALL, Ending.HANG_UP)
        await written(stopped)
        assert (await other.load(CALL), await other.ending(CALL)) == (b"both halves", None)
        [overtaken] = [line for line in lines if line["event"] == "store.overtaken"]
        assert (overtaken["stream_no"], overtaken["newest"]) == (1, 2)
        assert not stopped.save(CALL, 1, b"and again")
