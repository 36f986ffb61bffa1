"""What models do unasked, and what a call makes of it: turns of text, late audio, calls without ids, refused parts."""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import pytest

from callbot.simulators import voices
from callbot.simulators.gemini import Fault, Parrot, Prompt, StandInOptions, messages
from callbot.simulators.gemini.brains import CallTools, Say, Step, ToolCall, Write
from callbot.simulators.gemini.faults import SendRaw
from callbot.simulators.gemini.resumption import Conversation
from callbot.simulators.gemini.triggers import OnTurnComplete
from callbot.simulators.gemini.voice import tone
from callbot.simulators.twilio import Line, problems
from tests.live.exchange import exchange

pytestmark = pytest.mark.live

GREETING = tone(440.0, 0.5)
WORDS = voices.caller("number")[2_000:11_000]
CHUNK, CHUNKS = tone(440.0, 0.04), 200  # 8 s, in pieces of 40 ms
QUICK = {"vad_silence_ms": 300}
VERTEX = {"use_vertexai": True, "google_cloud_project": "a-project", "vertex_access_token": "an-access-token"}


@dataclass(frozen=True)
class Once(Parrot):
    """A parrot whose first answer to the caller's voice is `steps`."""

    steps: Sequence[Step] = ()
    spent: list[bool] = field(default_factory=list)

    def answer(self, prompt: Prompt, conversation: Conversation) -> Sequence[Step] | None:
        if prompt.kind == "audio" and not self.spent:
            self.spent.append(True)
            return self.steps
        return super().answer(prompt, conversation)


async def ask_once(line: Line) -> None:
    """Greeted, one question, one answer."""
    await line.wait_until_bot_speaks()
    await line.wait_until_bot_quiet()
    await line.speak(WORDS)
    await line.wait_until_bot_speaks()
    await line.silence(400)
    await line.hang_up()


async def test_a_turn_of_text_alone_is_counted_told_once_and_asked_again_at_once() -> None:
    options = StandInOptions(brain=Once(greeting=GREETING, steps=(Write("I should answer."),)), answer_delay_s=0.3)
    async with exchange(options) as line_up:
        report = await line_up.carrier.call(ask_once)
        [summary] = await line_up.logged("call.summary")
    assert problems(report) == []
    assert len(line_up.log("turn.only_text")) == 1
    assert summary["text_turns"] == 1
    assert (summary["turns"], summary["sessions_lost"]) == (2, 0)
    [session] = line_up.standin.sessions
    assert len([message for message in session.received if message.kind == "text"]) == 2  # the greeting's, and one nudge


async def test_audio_behind_a_turns_end_is_heard_with_it_and_nothing_is_asked() -> None:
    late = json.dumps(
        {
            "serverContent": {
                "modelTurn": {
                    "parts": [
                        {
                            "inlineData": {
                                "mimeType": "audio/pcm;rate=24000",
                                "data": base64.b64encode(tone(440.0, 0.12)).decode(),
                            }
                        }
                    ]
                }
            }
        }
    )
    options = StandInOptions(
        brain=Parrot(greeting=GREETING), faults=(Fault(OnTurnComplete(1), SendRaw(late)),), answer_delay_s=0.05
    )

    async def listen(line: Line) -> None:
        await line.wait_until_bot_speaks()
        await line.silence(12_000)  # nothing is owed: after 4 s of a gap, 7 s of an answer it was once asked for
        await line.hang_up()

    async with exchange(options, **QUICK) as line_up:
        report = await line_up.carrier.call(listen)
        [summary] = await line_up.logged("call.summary")
    assert problems(report) == []
    assert summary["turns"] == 1
    heard_ms = sum(line["heard_ms"] for line in line_up.log("turn.ended"))
    assert heard_ms >= 600
    [session] = line_up.standin.sessions
    assert [message.kind for message in session.received if message.kind != "audio"] == ["text"]


async def test_an_answer_to_a_call_without_an_id_carries_none() -> None:
    steps = (CallTools((ToolCall("look_up", id=None),), blocking=True), Say(tone(660.0, 0.5)))
    options = StandInOptions(brain=Once(greeting=GREETING, steps=steps), answer_delay_s=0.05)
    async with exchange(options, **QUICK, **VERTEX) as line_up:
        report = await line_up.carrier.call(ask_once)
    assert problems(report) == []
    [session] = line_up.standin.sessions
    [answer] = session.tool_responses
    assert "id" not in answer
    assert answer["name"] == "look_up"
    assert session.stray_tool_responses == []


async def test_a_voice_that_the_model_does_not_have_costs_one_set_up_and_one_warning() -> None:
    options = StandInOptions(brain=Parrot(greeting=GREETING), answer_delay_s=0.05)
    async with exchange(options, **QUICK, voice="Zebulon", prewarm=False) as line_up:
        report = await line_up.carrier.call(ask_once)
        [summary] = await line_up.logged("call.summary")
    assert problems(report) == []
    assert summary["outcome"] == "completed"
    assert summary["turns"] == 2
    refused, used = line_up.standin.sessions
    assert refused.setup is not None
    assert used.setup is not None
    assert refused.setup["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Zebulon"
    assert "speechConfig" not in used.setup["generationConfig"]
    [lost] = line_up.log("session.lost")
    assert "CALLBOT_VOICE" in lost["remedy"]
    [warning] = line_up.log("session.part_left_out")
    assert warning["parts"] == ["voice"]


async def test_marks_that_we_asked_for_are_no_flood_of_the_callers() -> None:
    """A model that goes on behind `generationComplete` has each chunk end its turn again, with a mark that Twilio returns."""
    options = StandInOptions(listening="scripted", burst=inf)
    async with exchange(options, greeting="", max_messages_per_s=60) as line_up, line_up.driven_call() as (call, session):
        await session.send_raw(messages.audio(CHUNK))
        await session.send_raw(messages.content(generationComplete=True))
        for _ in range(CHUNKS):
            await asyncio.sleep(0.04)
            await session.send_raw(messages.audio(CHUNK))
        await call.until(lambda: sum(map(len, call.media())) >= CHUNKS * 320)
        assert call.closed is None
        assert call.count("mark") >= CHUNKS, "else nothing is shown"
    assert line_up.log("stream.refused") == []
    assert [line["outcome"] for line in line_up.log("call.summary")] == ["completed"]
