"""A server whose calls are in Redis: a call that goes on in a second stream, and a Redis that dies under calls."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.exchange import AUTH_TOKEN, PUBLIC_URL, exchange
from tests.live.plain_caller import call_fields, plain_call, post
from tests.store.redis_server import RedisServer, redis_server

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
