"""A call from end to end: somebody speaks, is answered, interrupts, is answered again, hangs up."""

import pytest

from callbot.simulators import voices
from callbot.simulators.gemini import Parrot, StandInOptions
from callbot.simulators.gemini.voice import murmur
from callbot.simulators.twilio import Line, problems
from tests.live.exchange import exchange

pytestmark = pytest.mark.live


async def test_a_caller_is_greeted_answered_interrupts_is_answered_again_and_hangs_up() -> None:
    async with exchange(StandInOptions(brain=Parrot(greeting=murmur(3), min_answer_s=1.5), answer_delay_s=0.05)) as line_up:

        async def script(line: Line) -> None:
            await line.wait_until_bot_speaks()
            await line.wait_until_bot_quiet(400)
            await line.speak(voices.caller("go_forward"))
            await line.wait_until_bot_speaks()
            await line.barge_in(voices.caller("number")[:12_800], after_ms=600)
            await line.wait_until_bot_speaks()
            await line.wait_until_bot_quiet(400)
            await line.hang_up()

        report = await line_up.carrier.call(script)

    assert problems(report) == []
    assert line_up.moves() == [("connecting", "streaming"), ("streaming", "draining"), ("draining", "closed")]
    [summary] = line_up.log("call.summary")
    assert summary["outcome"] == "completed"
    assert summary["turns"] == 3
    assert summary["barge_ins"] == 1
    assert len(report.clears) == 1
    assert line_up.standin.connections_open == 0
