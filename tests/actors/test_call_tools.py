"""Functions that the model calls in a call, and the one that ends it after a goodbye."""

import asyncio
from typing import Any

import pytest

from callbot.messages.terms import Ending
from callbot.tools import Tool, Toolbox, ToolOutcome
from callbot.wire.gemini import ModelMessage, ToolCall
from tests.actors.whole_call import COMPLETE, GENERATED, TAIL_MS, on_the_line, on_the_phone, spoken, tone


async def test_the_model_can_end_the_call_after_its_goodbye() -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(1000), ModelMessage(tool_calls=(ToolCall("f1", "end_call", {}),)), GENERATED)
        await call.quiet(500)
        assert call.log.moves()[-1][1] == "streaming"
        assert call.link.sent[-1][0] == "audio"
        assert any(kind == "tool" for kind, _ in call.link.sent)
        await call.quiet(1500)
        assert call.twilio.audio == on_the_phone(tone(1000))
        assert call.twilio.closed == (1000, "bot_said_goodbye")
    assert call.summary["reason"] == "bot_said_goodbye"
    assert call.endings == [("CA1", Ending.HANG_UP, False)]


END_CALL = ModelMessage(tool_calls=(ToolCall("f1", "end_call", {}),))


@pytest.mark.parametrize("generated_ms", [0, 100])
@pytest.mark.parametrize("after_ms", [0, 2500])
async def test_a_goodbye_that_comes_after_end_call_is_heard_to_its_end(after_ms: int, generated_ms: int) -> None:
    """The function's answer once hung up, before the model could say the goodbye that it had kept for then."""
    async with on_the_line() as call:
        call.link.give(END_CALL, ModelMessage(generation_complete=True), COMPLETE)
        await call.quiet(after_ms)
        call.link.give(*spoken(4000))
        await call.quiet(generated_ms)
        call.link.give(GENERATED, COMPLETE)
        await call.quiet(5000)
        assert call.twilio.audio == on_the_phone(tone(4000))
        assert call.twilio.closed == (1000, "bot_said_goodbye")
    (turn,) = call.log.of("turn.ended")
    assert (turn["heard_ms"], turn["interrupted"]) == (4000 + TAIL_MS, False)


async def test_a_model_that_ends_the_call_without_another_word_is_given_three_seconds() -> None:
    async with on_the_line() as call:
        call.link.give(END_CALL)
        await call.quiet(2800)
        assert call.twilio.closed is None
        await call.quiet(400)
        assert call.twilio.closed == (1000, "bot_said_goodbye")


async def test_a_function_that_does_not_exist_is_answered_with_an_error() -> None:
    async with on_the_line() as call:
        call.link.give(ModelMessage(tool_calls=(ToolCall("f1", "transfer_money", {}),)))
        await call.quiet(500)
        ((_, answer),) = [sent for sent in call.link.sent if sent[0] == "tool"]
        assert answer[:2] == ("f1", "transfer_money")
        assert answer[2]["status"] == "error"


async def _slowly(_arguments: dict[str, Any]) -> ToolOutcome:
    await asyncio.sleep(5)
    return ToolOutcome({"status": "ok"})


SLOW = Toolbox((Tool("look_up", "Takes five seconds.", _slowly),))
LOOK_UP = ModelMessage(tool_calls=(ToolCall("f1", "look_up", {}),))


async def test_a_function_that_the_model_takes_back_is_stopped_and_not_answered() -> None:
    async with on_the_line(toolbox=SLOW) as call:
        call.link.give(LOOK_UP)
        await call.quiet(500)
        call.link.give(ModelMessage(cancelled_tool_ids=("f1", "f9")))
        await call.quiet(6000)
        assert "tool" not in call.link.kinds()


async def test_a_function_that_still_runs_when_the_caller_hangs_up_is_stopped() -> None:
    async with on_the_line(toolbox=SLOW) as call:
        call.link.give(LOOK_UP)
        await call.quiet(500)
    assert call.summary["duration_ms"] < 2000
