"""How long a call may last, and how long nobody may speak in it: real calls that are ended by their settings."""

import pytest

from callbot.simulators.gemini import StandInOptions
from tests.live.exchange import AUTH_TOKEN, PUBLIC_URL, exchange
from tests.live.plain_caller import plain_call

pytestmark = pytest.mark.live


@pytest.mark.parametrize(
    ("limit", "reason"), [({"max_call_s": 0.5}, "call_limit"), ({"caller_silence_s": 0.5, "greeting": ""}, "nobody_spoke")]
)
async def test_a_call_is_ended_in_order_by_its_limit(limit: dict[str, float | str], reason: str) -> None:
    async with exchange(StandInOptions(), **({"farewell_s": 0.5} | limit)) as line_up:
        async with plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN) as call:
            await call.until(lambda: call.closed)
        assert call.closed is not None
        assert call.closed[0] == 1000
    [summary] = line_up.log("call.summary")
    assert (summary["outcome"], summary["reason"]) == ("completed", reason)
    assert line_up.standin.connections_open == 0
