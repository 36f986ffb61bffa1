"""A server whose calls are in Redis: a call that goes on in a second stream, and a Redis that dies under calls."""

import asyncio
import functools
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from callbot.store.memory import MemoryCallStore
from callbot.store.protocol import TokenOutcome
from tests.live.exchange import AUTH_TOKEN, PUBLIC_URL, exchange
from tests.live.plain_caller import call_fields, plain_call, post
from tests.store.redis_server import RedisServer, redis_server
from tests.store.wrong_redis import WRONG, wrong_redis

pytestmark = pytest.mark.live

PATIENT_S = 20.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def next_document(port: int, call_sid: str) -> str:
    fields = call_fields(call_sid, "in-progress")
    status, document = await asyncio.to_thread(post, port, PUBLIC_URL, AUTH_TOKEN, "/twiml/next?stream_no=1", fields)
    assert status == 200
    return document


async def test_how_a_call_ended_is_known_to_the_next_process(redis: RedisServer) -> None:
    shared: dict[str, Any] = {"redis_url": redis.url, "redis_timeout_s": PATIENT_S}
    async with exchange(**shared) as first, plain_call(first.port, PUBLIC_URL, AUTH_TOKEN) as call:
        await call.until(lambda: call.count("media"))
        first.shutdown.request()
        await call.until(lambda: call.closed is not None)
    assert [line["outcome"] for line in first.log("call.summary", call.call_sid)] == ["moved"]
    async with exchange(**shared) as second:
        assert 'name="stream_no" value="2"' in await next_document(second.port, call.call_sid)
        # The voice webhook of that call, replayed: its stream was opened on the instance before.
        _, document = await asyncio.to_thread(post, second.port, PUBLIC_URL, AUTH_TOKEN, "/twiml", call_fields(call.call_sid))
        assert "<Connect" not in document
        assert [line["reason"] for line in second.log("webhook.refused")] == ["replayed"]


async def test_a_redis_that_dies_costs_no_call(redis: RedisServer) -> None:
    shared: dict[str, Any] = {"redis_url": redis.url, "redis_timeout_s": PATIENT_S}
    async with exchange(**shared) as line_up, plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN) as call:
        await call.until(lambda: call.count("media"))
        redis.kill()
        for _ in range(3):  # enough to give it up
            async with plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN) as other:
                await other.until(lambda other=other: other.count("media"))  # type: ignore[misc]  # a default
                await other.hang_up()
        assert call.closed is None
        await call.hang_up()
    assert [line["outcome"] for line in line_up.log("call.summary")] == ["completed"] * 4
    assert len(line_up.log("store.down")) == 1
    assert [line["cancelled"] for line in line_up.log("server.stopped")] == [0]


@pytest.mark.parametrize("kind", ["a number that is none", "nothing", "an array of other things", "a replica", "silence"])
async def test_a_redis_that_answers_wrongly_costs_no_call(kind: str) -> None:
    to = frozenset({b"EVALSHA", b"EVAL", b"HGET", b"HMGET", b"SET"})
    async with (
        wrong_redis(WRONG[kind], to) as url,
        exchange(redis_url=url, redis_timeout_s=0.5) as line_up,
    ):
        for _ in range(2):
            async with plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN) as call:
                await call.until(lambda call=call: call.count("media"))  # type: ignore[misc]  # a default
                await call.hang_up()
    assert [line["outcome"] for line in line_up.log("call.summary")] == ["completed"] * 2
    assert len(line_up.log("store.down")) == 1
    assert line_up.log("store.fault") == []
    assert [line["cancelled"] for line in line_up.log("server.stopped")] == [0]


@pytest.mark.parametrize("harm", ["freeze", "kill"])
async def test_an_outage_shows_in_the_metrics_though_no_call_comes(redis: RedisServer, harm: str) -> None:
    async with exchange(redis_url=redis.url, redis_timeout_s=2.0) as line_up:

        async def store_up() -> str:
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{line_up.port}/metrics") as answer:
                text = await answer.text()
            return next(line for line in text.splitlines() if line.startswith("callbot_store_up "))

        assert await store_up() == "callbot_store_up 1.0"
        getattr(redis, harm)()
        async with asyncio.timeout(60):
            while await store_up() != "callbot_store_up 0.0":  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.1)
        assert len(line_up.log("store.down")) == 1
        redis.thaw() if harm == "freeze" else redis.start()
        async with asyncio.timeout(60):
            while await store_up() != "callbot_store_up 1.0":  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.1)


async def test_a_stream_whose_webhook_went_to_another_process_is_let_in_without_redis() -> None:
    async with exchange() as first:
        fields = call_fields("CA" + "7" * 32)
        _, document = await asyncio.to_thread(post, first.port, PUBLIC_URL, AUTH_TOKEN, "/twiml", fields)
    [token] = re.findall(r'name="token" value="([^"]+)"', document)
    store = MemoryCallStore(secret_texts=[AUTH_TOKEN])
    shown = functools.partial(store.consume, token, call_sid=fields["CallSid"], account_sid=fields["AccountSid"])
    assert [(await shown(stream_no=1)).outcome for _ in range(2)] == [TokenOutcome.ACCEPTED, TokenOutcome.USED]
