"""`callbot check` and the store: does Redis answer, and what to do when it does not."""

from redis_server import RedisServer

from callbot.check import Verdict, _store
from callbot.settings_loading import load


async def test_a_redis_that_answers_is_ok(server: RedisServer) -> None:
    finding = await _store(load(_env_file=None, redis_url=server.url, redis_timeout_s=20))
    assert (finding.verdict, finding.detail) == (Verdict.OK, "Redis answers")


async def test_a_redis_that_does_not_answer_is_an_error_without_its_address(own_server: RedisServer) -> None:
    own_server.kill()
    url = own_server.url.replace("redis://", "redis://:hidden-password@")
    finding = await _store(load(_env_file=None, redis_url=url))
    assert finding.verdict is Verdict.ERROR
    assert finding.remedy
    assert "hidden-password" not in f"{finding.detail} {finding.remedy}"
