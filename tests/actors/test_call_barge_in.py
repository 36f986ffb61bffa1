"""Barge-in through a whole call: what is cleared, and that the next turn is complete."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from whole_call import COMPLETE, GENERATED, INTERRUPTED, WholeCall, on_the_line, on_the_phone, spoken, tone

from callbot.wire.gemini import ModelMessage


async def _while_generating(call: WholeCall) -> None:
    call.link.give(*spoken(6000))
    await call.quiet(500)
    await call.hear_caller(500)
    call.link.give(INTERRUPTED, *spoken(400, hz=900))  # late audio, in the same read


async def _in_one_message(call: WholeCall) -> None:
    call.link.give(*spoken(6000))
    await call.quiet(500)
    await call.hear_caller(500)
    (late, *more) = spoken(400, hz=900)
    call.link.give(ModelMessage(audio=late.audio, interrupted=True), *more)


async def _after_generation_complete(call: WholeCall) -> None:
    call.link.give(*spoken(6000), GENERATED)
    await call.quiet(500)
    await call.hear_caller(500)
    call.link.give(INTERRUPTED)


@pytest.mark.parametrize("barge_in", [_while_generating, _in_one_message, _after_generation_complete])
async def test_barge_in_clears_first_and_the_next_turn_is_heard_from_its_first_sample(
    barge_in: Callable[[WholeCall], Any],
) -> None:
    async with on_the_line() as call:
        await barge_in(call)
        before = len(call.twilio.sent)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [sent.event for sent in call.twilio.sent[before:]] == ["clear"]
        call.link.give(COMPLETE, *spoken(1000, hz=600), GENERATED, COMPLETE)
        await call.quiet(2000)
        after = call.twilio.sent[before:]
        assert b"".join(sent.mulaw for sent in after) == on_the_phone(tone(1000, hz=600))
    (barged,) = call.log.of("barge_in")
    assert barged["turn"] == 1
    assert 4900 <= barged["unheard_ms"] <= 5600
    assert [(line["turn"], line["interrupted"]) for line in call.log.of("turn.ended")] == [(1, True), (2, False)]
    assert call.summary["barge_ins"] == 1


async def test_an_interruption_that_finds_everything_heard_clears_nothing() -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(500), GENERATED)
        await call.quiet(1500)
        call.link.give(INTERRUPTED, COMPLETE)
        await call.quiet(500)
        assert "clear" not in call.twilio.events
    assert call.log.of("barge_in") == []
