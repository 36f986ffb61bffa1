"""What is Redis' own: what is kept there and for how long, and that a Redis that fails costs no call."""

import asyncio
import functools

import pytest
from redis.asyncio import RedisCluster
from redis_server import ClusterServers, RedisServer
from shelves import PATIENT_S, redis_stores, until, written
from structlog.typing import EventDict
from test_contract import CALL, OTHER, mint, show

from callbot.messages.terms import Ending
from callbot.store.dialling import RacedConnection
from callbot.store.memory import REMEMBER_S
from callbot.store.protocol import Minted, MintOutcome, TokenOutcome
from callbot.store.redis import RedisCallStore
from callbot.store.redis_client import FAILURES
from callbot.store.redis_link import PROBE_KEY, Kept, RedisLink, WriteOutcome

SHORT_S = 1.0  # a question's limit where nobody will answer


def events(lines: list[EventDict]) -> list[object]:
    return [line["event"] for line in lines]


async def until_down(store: RedisCallStore) -> None:
    """Ask until it is given up: what a few calls do in an outage."""
    for number in range(FAILURES):
        await store.ending(f"CA{number:032x}")
    assert not store.is_up


async def test_everything_that_is_kept_expires_lies_in_its_calls_slot_and_is_no_token(server: RedisServer) -> None:
    async with redis_stores(server.url, 1) as ((store,), _):
        token = (await mint(store)).token
        second = (await mint(store, stream_no=2)).token
        await show(store, second, stream_no=2)
        store.record_ending(CALL, Ending.CONTINUE)
        store.record_ending("CA" + "3" * 32, Ending.HANG_UP)
        await store.forget(OTHER)
        await written(store)
    kept = [key for key in server.kept() if key != PROBE_KEY]
    assert int(server.ask("PTTL", PROBE_KEY)[0][1:]) > 0
    assert sorted(kept) == sorted(f"callbot:{{CA{digit * 32}}}:call" for digit in "123")
    for key in kept:
        [left] = server.ask("PTTL", key)
        assert 0 < int(left[1:]) <= REMEMBER_S * 1000, key
        everything = b" ".join(server.ask("HGETALL", key))
        for shown in (token, second):
            assert shown.encode() not in everything
            assert shown.rpartition(".")[2].encode() not in everything


async def test_a_reader_of_redis_with_another_secret_can_make_no_token(server: RedisServer) -> None:
    async with redis_stores(server.url, 1) as ((store,), _), redis_stores(server.url, 1, secrets=("guess",)) as ((thief,), _):
        good = (await mint(store)).token
        repeated = await mint(thief)  # the same nonce, which it can read
        assert repeated.outcome is MintOutcome.REPEATED
        assert repeated.token.rpartition(".")[0] == good.rpartition(".")[0]
        assert await show(store, repeated.token) is TokenOutcome.UNKNOWN
        assert await show(store, good) is TokenOutcome.ACCEPTED


async def test_a_token_made_before_a_rotation_is_good_after_it(server: RedisServer) -> None:
    old, both = ("old-token",), ("new-token", "old-token")
    async with (
        redis_stores(server.url, 1, secrets=old) as ((before,), _),
        redis_stores(server.url, 1, secrets=both) as (
            (after,),
            _,
        ),
    ):
        token = (await mint(before)).token
        assert await show(after, token) is TokenOutcome.ACCEPTED
        assert await show(before, token) is TokenOutcome.USED


async def test_a_question_that_is_sent_twice_is_one_question(server: RedisServer) -> None:
    link = RedisLink(server.url, timeout_s=PATIENT_S, keep_s=60)
    claim = functools.partial(link.claim, CALL, 1)
    assert await link.mint(CALL, 1, "nonce", 70.5) == (MintOutcome.FRESH, "nonce", 70.5)
    assert await link.mint(CALL, 1, "nonce", 80.5) == (MintOutcome.FRESH, "nonce", 70.5)
    assert await link.mint(CALL, 1, "other", 80.5) == (MintOutcome.REPEATED, "nonce", 70.5)
    assert await claim("one") is TokenOutcome.ACCEPTED
    assert await claim("one") is TokenOutcome.ACCEPTED
    assert await claim("two") is TokenOutcome.USED
    assert (await link.write(CALL, 1, 7, None, b"seventh")).outcome is WriteOutcome.WRITTEN
    assert (await link.write(CALL, 1, 6, None, b"sixth, which hung in a socket")).outcome is WriteOutcome.WRITTEN
    assert (await link.write(CALL, 1, 7, None, b"seventh")).outcome is WriteOutcome.WRITTEN
    assert await link.load(CALL) == Kept(1, b"seventh")
    await link.close()


async def test_an_older_streams_token_is_void_once_a_newer_stream_is_in(server: RedisServer) -> None:
    async with redis_stores(server.url, 2) as ((one, other), _):
        first, second = (await mint(one)).token, (await mint(one, stream_no=2)).token
        assert await show(other, second, stream_no=2) is TokenOutcome.ACCEPTED
        assert await show(one, first) is TokenOutcome.USED


async def test_what_an_older_stream_says_late_is_not_how_the_newer_one_ended(server: RedisServer) -> None:
    async with redis_stores(server.url, 2) as ((one, other), _):
        await show(one, (await mint(one)).token)
        await show(other, (await mint(other, stream_no=2)).token, stream_no=2)
        one.record_ending(CALL, Ending.HANG_UP)
        await written(one)
        assert await other.ending(CALL) is None
        other.record_ending(CALL, Ending.CONTINUE)
        await written(other)
        assert await one.ending(CALL) is Ending.CONTINUE


async def test_a_process_whose_redis_is_not_there_carries_its_calls_by_itself(own_server: RedisServer) -> None:
    own_server.kill()
    async with redis_stores(own_server.url, 2) as ((one, other), lines):
        minted = await mint(one)
        assert minted.outcome is MintOutcome.FRESH
        assert await mint(one) == Minted(MintOutcome.REPEATED, minted.token)
        assert await show(one, minted.token) is TokenOutcome.ACCEPTED
        assert await show(one, minted.token) is TokenOutcome.USED
        one.record_ending(CALL, Ending.APOLOGISE)
        assert await one.ending(CALL) is Ending.APOLOGISE
        await one.forget(OTHER)
        assert await mint(one, OTHER) == Minted(MintOutcome.SPENT)
        await until(lambda: not other.is_up)
        assert events(lines) == ["store.down", "store.down"]  # one line each, however much is asked


async def test_what_happened_without_redis_is_told_to_it_when_it_is_back(own_server: RedisServer) -> None:
    own_server.kill()
    async with redis_stores(own_server.url, 2) as ((one, other), lines):
        await show(one, (await mint(one)).token)
        one.record_ending(CALL, Ending.CONTINUE)
        await show(one, (await mint(one, "CA" + "3" * 32)).token, "CA" + "3" * 32)
        await one.forget(OTHER)
        await until(lambda: not one.is_up and not other.is_up)
        own_server.start()
        await until(lambda: one.is_up and other.is_up)
        await written(one)
        assert await other.ending(CALL) is Ending.CONTINUE
        for call_sid in (CALL, OTHER, "CA" + "3" * 32):
            assert await mint(other, call_sid) == Minted(MintOutcome.SPENT), "a replayed webhook"
        assert (await mint(other, stream_no=2)).outcome is MintOutcome.FRESH
        assert events(lines) == ["store.down", "store.down", "store.up", "store.up"]


async def test_a_redis_that_dies_between_webhook_and_stream_costs_no_stream_wherever_it_goes(own_server: RedisServer) -> None:
    async with redis_stores(own_server.url, 2) as ((one, other), lines):
        token, second = (await mint(one)).token, (await mint(one, OTHER)).token
        own_server.kill()
        assert await mint(one, OTHER) == Minted(MintOutcome.REPEATED, second)
        assert await show(other, token) is TokenOutcome.ACCEPTED
        assert await show(other, token) is TokenOutcome.USED
        assert await show(one, second, OTHER) is TokenOutcome.ACCEPTED
        await until(lambda: not one.is_up and not other.is_up)
        assert events(lines) == ["store.down", "store.down"]
        own_server.start()
        await until(lambda: one.is_up and other.is_up)
        await written(one, other)
        assert await show(one, token) is TokenOutcome.USED


async def test_a_webhook_replayed_while_redis_is_away_opens_nothing_where_its_stream_was(own_server: RedisServer) -> None:
    async with redis_stores(own_server.url, 1) as ((store,), _):
        assert await show(store, (await mint(store)).token) is TokenOutcome.ACCEPTED
        own_server.kill()
        await until_down(store)
        assert await mint(store) == Minted(MintOutcome.SPENT)


async def test_a_frozen_redis_is_asked_three_times_and_then_left_alone(own_server: RedisServer) -> None:
    async with redis_stores(own_server.url, 1, timeout_s=SHORT_S) as ((store,), lines):
        await until(store._client._loaded.is_set)
        own_server.freeze()
        await until_down(store)
        assert store._client._link is not None
        asked = 0

        async def count(*_: object) -> None:
            nonlocal asked
            asked += 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store._client._link, "mint", count)
            minted = await asyncio.gather(*(mint(store, f"CA{number:032x}") for number in range(50)))
        assert asked == 0
        assert all(each.outcome is MintOutcome.FRESH for each in minted)
        own_server.thaw()
        await until(lambda: store.is_up)
        assert events(lines) == ["store.down", "store.up"]


async def test_a_store_that_answers_now_and_then_is_not_given_up(server: RedisServer) -> None:
    async with redis_stores(server.url, 1) as ((store,), lines):
        for _ in range(3 * FAILURES):
            for _ in range(FAILURES - 1):
                store._client._failures += 1  # as after a question without an answer
            await store.ending(CALL)
        assert store.is_up
        assert lines == []


async def test_recording_never_waits_and_is_bounded(own_server: RedisServer) -> None:
    own_server.freeze()
    async with redis_stores(own_server.url, 1, timeout_s=SHORT_S, max_unwritten=10) as ((store,), lines):
        for number in range(50):
            store.record_ending(f"CA{number:032x}", Ending.CONTINUE)
        assert list(store._unwritten) == [f"CA{number:032x}" for number in range(40, 50)]
    assert lines[-1] == {"event": "store.unwritten", "calls": 10, "log_level": "warning"}


async def test_no_log_line_shows_the_address(own_server: RedisServer) -> None:
    own_server.kill()
    url = own_server.url.replace("redis://", "redis://user:hidden-password@")
    async with redis_stores(url, 1) as ((store,), lines):
        await mint(store)
    assert events(lines) == ["store.down"]
    assert "hidden-password" not in str(lines)
    assert "127.0.0.1" not in str(lines)


async def test_a_cluster_is_found_out_and_its_calls_lie_on_all_nodes(cluster: ClusterServers) -> None:
    async with redis_stores(cluster.url, 2) as ((one, other), lines):
        for number in range(30):
            call_sid = f"CA{number:032x}"
            assert await show(other, (await mint(one, call_sid)).token, call_sid) is TokenOutcome.ACCEPTED
            other.save(call_sid, 1, b"words")
        await written(other)
        assert [await one.load(f"CA{number:032x}") for number in range(30)] == [b"words"] * 30
    assert all(node.kept() for node in cluster.nodes)
    assert lines == []


async def test_the_nodes_of_a_cluster_are_dialled_as_a_single_server_is(cluster: ClusterServers) -> None:
    link = RedisLink(cluster.url, timeout_s=PATIENT_S, keep_s=60)
    await link.probe()
    for number in range(30):
        await link.forget(f"CA{number:032x}")
    assert isinstance(link._redis, RedisCluster)
    kinds = {type(each) for node in link._redis.get_nodes() for each in node._connections}
    assert kinds == {RacedConnection}
    await link.close()
