"""The same call by the other ways that can be configured: the SDK's codec, and Vertex."""

import asyncio

import pytest

from callbot.simulators import voices
from callbot.simulators.gemini import Parrot, StandInOptions
from callbot.simulators.gemini.voice import murmur
from callbot.simulators.twilio import CallReport, Line, problems
from tests.live.exchange import Exchange, exchange

pytestmark = pytest.mark.live

QUICK = StandInOptions(brain=Parrot(greeting=murmur(3), min_answer_s=1.5), answer_delay_s=0.05)


async def short_conversation(line: Line) -> None:
    """Greeted, answered, interrupting, answered again."""
    await line.wait_until_bot_speaks()
    await line.speak(voices.caller("number"))
    await line.wait_until_bot_speaks()
    await line.barge_in(voices.caller("number")[8000:16000], after_ms=200)
    await line.wait_until_bot_speaks()
    await line.silence(400)
    await line.hang_up()


def check(line_up: Exchange, report: CallReport) -> None:
    assert problems(report) == []
    assert line_up.moves() == [("connecting", "streaming"), ("streaming", "draining"), ("draining", "closed")]
    [summary] = line_up.log("call.summary")
    assert summary["outcome"] == "completed"
    assert summary["turns"] >= 3
    assert summary["faults"] == {}
    assert summary["latency_p50_ms"] is not None


async def through_the_sdks_own_codec() -> None:
    async with exchange(QUICK, model_codec="sdk") as line_up:
        report = await line_up.carrier.call(short_conversation)
    check(line_up, report)
    assert line_up.standin.connections_open == 0


async def through_vertex() -> None:
    vertex = {"use_vertexai": True, "google_cloud_project": "a-project", "vertex_access_token": "an-access-token"}
    async with exchange(QUICK, **vertex) as line_up:
        report = await line_up.carrier.call(short_conversation)
    check(line_up, report)
    [session] = line_up.standin.sessions
    assert session.mode == "vertex"
    assert session.credential == "an-access-token"
    assert session.setup is not None
    assert session.setup["model"].startswith("projects/a-project/locations/us-central1/publishers/google/models/")


async def test_a_call_through_the_sdks_own_codec_and_one_through_vertex() -> None:
    await asyncio.gather(through_the_sdks_own_codec(), through_vertex())
