"""Calls on Vertex while the token endpoint is in trouble: the real google-auth asks a real endpoint, and calls wait for it."""

from pathlib import Path

import pytest

from callbot.simulators.gemini import StandInOptions
from tests.gemini.token_endpoint import Behaviour, token_endpoint
from tests.live.exchange import exchange

pytestmark = [pytest.mark.live, pytest.mark.real_time]  # google-auth asks in a thread


@pytest.mark.parametrize("trouble", [["reset"], ["stall"], ["reset", "reset"]])
async def test_a_call_waits_for_a_token_endpoint_that_resets_or_stalls(
    trouble: list[Behaviour], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with token_endpoint() as endpoint:
        endpoint.script = list(trouble)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(endpoint.write_account(tmp_path)))
        options = StandInOptions(listening="scripted")
        vertex = {"use_vertexai": True, "google_cloud_project": "a-project", "greeting": "", "prewarm": False}
        async with exchange(options, **vertex, unreachable_s=60.0) as line_up:
            async with line_up.driven_call() as (_, session):
                assert session.ready
            async with line_up.driven_call() as (_, session):
                assert session.ready
            summaries = await line_up.logged("call.summary", 2)
        assert {summary["outcome"] for summary in summaries} == {"completed"}
        assert len(endpoint.given) == 1, "one token for all calls"
        assert endpoint.asked == len(trouble) + 1
        assert {upgrade.credential for upgrade in line_up.standin.upgrades} == {endpoint.given[0]}
