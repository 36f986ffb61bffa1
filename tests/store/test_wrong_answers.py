"""Whatever comes back from Redis, at whatever question: calls go on, with one line, and nothing else is ended by it."""

import asyncio

import pytest
from shelves import redis_stores, until
from test_contract import CALL, OTHER, mint, show
from wrong_redis import WRONG, wrong_redis

from callbot.messages.terms import Ending
from callbot.store.memory import MemoryCallStore
from callbot.store.protocol import Lease, Minted, MintOutcome, TokenOutcome
from callbot.store.redis import RedisCallStore

QUESTIONS = {
    "every question": frozenset({b"SET", b"EVALSHA", b"EVAL", b"HGET", b"HMGET", b"INFO", b"PING"}),
    "every question of calls": frozenset({b"EVALSHA", b"EVAL", b"HGET", b"HMGET"}),
}
LIMIT_S = 0.5


async def carry_a_call(store: RedisCallStore) -> None:
    """Everything that a call asks a store, twice over; the store's own tasks have something to write."""
    for call_sid in (CALL, OTHER):
        minted = await mint(store, call_sid)
        assert minted.outcome is MintOutcome.FRESH
        assert await mint(store, call_sid) == Minted(MintOutcome.REPEATED, minted.token)
        assert await show(store, minted.token, call_sid) is TokenOutcome.ACCEPTED
        assert await show(store, minted.token, call_sid) is TokenOutcome.USED
        assert await store.lease(call_sid, 1) == Lease(held=True)
        assert store.save(call_sid, 1, b"words")
        assert await store.load(call_sid) == b"words"
        store.record_ending(call_sid, Ending.CONTINUE)
        assert await store.ending(call_sid) is Ending.CONTINUE
        assert await store.lease(call_sid, 2) == Lease(held=True, record=b"words")
        assert not store.save(call_sid, 1, b"late")
    await store.forget(CALL)
    assert await mint(store, CALL, 3) == Minted(MintOutcome.SPENT)


@pytest.mark.parametrize("questions", QUESTIONS)
@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_answer_is_the_store_being_down(kind: str, questions: str) -> None:
    async with (
        wrong_redis(WRONG[kind], QUESTIONS[questions]) as url,
        redis_stores(url, 1, timeout_s=LIMIT_S) as ((store,), lines),
    ):
        await carry_a_call(store)
        await until(lambda: not store.is_up)
        assert all(not task.done() for task in store._running)
        down = [line for line in lines if line["event"] == "store.down"]
        assert len(down) == 1
        assert down[0]["cause"].isidentifier()
        assert {line["event"] for line in lines} <= {"store.down"}
    assert {line["event"] for line in lines} <= {"store.down", "store.up", "store.unwritten"}


async def test_a_mistake_in_the_background_costs_a_line_and_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = 2

    async def owned(_store: object) -> bytes | None:
        nonlocal faults
        faults -= 1
        if faults >= 0:
            raise KeyError("a mistake of ours")
        return b"words"

    async with wrong_redis(b"", frozenset({b"PING"})) as url, redis_stores(url, 1) as ((store,), lines):
        await until(store._client._loaded.is_set)
        monkeypatch.setattr(MemoryCallStore, "load", lambda self, call_sid: owned(self))
        store.save(CALL, 1, b"words")
        await until(lambda: faults < 0)
        assert [line["event"] for line in lines if line["event"] == "store.fault"] == ["store.fault"] * 2
        assert all(not task.done() for task in store._running)


async def test_up_and_down_get_rarer_when_every_write_of_calls_fails() -> None:
    """A Redis that takes the probe's write and no other: down after three failures, up after the next probe."""
    async with (
        wrong_redis(WRONG["a replica"], QUESTIONS["every question of calls"]) as url,
        redis_stores(url, 1, timeout_s=LIMIT_S) as ((store,), lines),
    ):
        began_s = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began_s < 60:
            await store.ending(CALL)
            await asyncio.sleep(0.05)
        changes = [line["event"] for line in lines]
        assert 4 <= len(changes) <= 16, changes
        pauses = [line["after_s"] for line in lines if line["event"] == "store.up"]
        assert pauses[-1] > 4 * pauses[0]
