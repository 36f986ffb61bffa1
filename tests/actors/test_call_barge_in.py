"""Barge-in through a whole call: what is cleared, and that the next turn is complete."""

import pytest

from callbot.wire.gemini import ModelMessage
from tests.actors.whole_call import COMPLETE, GENERATED, INTERRUPTED, on_the_line, on_the_phone, spoken, tone

LATE = spoken(400, hz=900)  # audio of the old turn, in the same read as the interruption
WHILE_GENERATING = ((), (INTERRUPTED, *LATE))
IN_ONE_MESSAGE = ((), (ModelMessage(audio=LATE[0].audio, interrupted=True), *LATE[1:]))
AFTER_GENERATION_COMPLETE = ((GENERATED,), (INTERRUPTED,))


@pytest.mark.parametrize(("said", "interruption"), [WHILE_GENERATING, IN_ONE_MESSAGE, AFTER_GENERATION_COMPLETE])
async def test_barge_in_clears_at_once_and_the_next_turn_is_heard_from_its_first_sample(
    said: tuple[ModelMessage, ...], interruption: tuple[ModelMessage, ...]
) -> None:
    async with on_the_line() as call:
        call.link.give(*spoken(6000), *said)
        await call.quiet(500)
        await call.hear_caller(500)
        before = len(call.twilio.sent)
        call.link.give(*interruption)
        assert [sent.event for sent in call.twilio.sent[before:]] == ["clear"]  # nobody has waited for anything
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
