"""Function calls: blocking and not, by id and by name, cancelled and repeated."""

import pytest
from google.genai import types

from callbot.simulators.gemini import CallTools, Say, ScriptedBrain, ToolCall, Wait
from callbot.simulators.gemini.voice import tone

SHORT = tone(440.0, 0.1)
CALL = CallTools((ToolCall("look_up", {"city_name": "Ulm"}),))


async def calls_of(session):
    """Read on to the next toolCall."""
    while True:
        async for message in session.receive():
            if message.tool_call:
                return message.tool_call.function_calls


async def turns_of(session, count):
    """Read so many turns; return for each what it had."""
    found = []
    for _ in range(count):
        kinds = set()
        async for message in session.receive():
            content = message.server_content
            if message.tool_call_cancellation:
                kinds.add("cancelled " + ",".join(message.tool_call_cancellation.ids))
            if content:
                kinds |= {k for k in ("model_turn", "interrupted", "generation_complete") if getattr(content, k)}
        found.append(kinds)
    return found


async def answer(session, call, scheduling=None):
    response = types.FunctionResponse(id=call.id, name=call.name, response={"ok": True}, scheduling=scheduling)
    await session.send_tool_response(function_responses=response)


async def test_a_blocking_call_holds_up_the_turn_until_it_is_answered(open_line):
    brain = ScriptedBrain([[Say(SHORT), CALL, Say(SHORT)]])
    async with open_line(brain=brain) as line, line.connect(model="gemini-3.1-flash-live-preview") as session:
        await session.send_realtime_input(text="go")
        (call,) = await calls_of(session)
        assert call.args == {"city_name": "Ulm"}
        assert line.last.turns_taken.is_generating
        await answer(session, call)
        assert await turns_of(session, 1) == [{"model_turn", "generation_complete"}]
        assert line.last.tool_responses[0]["response"] == {"ok": True}
        assert line.last.stray_tool_responses == []


async def test_a_call_on_the_newest_model_does_not_hold_up_the_turn(open_line):
    brain = ScriptedBrain([[CALL, Say(SHORT)], [Say(SHORT)]])
    async with open_line(brain=brain) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        (call,) = await calls_of(session)
        assert await turns_of(session, 1) == [{"model_turn", "generation_complete"}]
        await answer(session, call)
        assert await turns_of(session, 1) == [{"model_turn", "generation_complete"}]
        assert [turn.prompt for turn in line.last.turns] == ["text", "tool"]


async def test_a_declaration_decides_over_the_model(open_line):
    declared = {"tools": [{"function_declarations": [{"name": "look_up", "behavior": "BLOCKING"}]}]}
    brain = ScriptedBrain([[CALL, Say(SHORT)]])
    async with open_line(brain=brain) as line, line.connect(declared) as session:
        await session.send_realtime_input(text="go")
        (call,) = await calls_of(session)
        assert line.last.turns_taken.is_generating
        await answer(session, call)
        await turns_of(session, 1)
        assert len(line.last.turns) == 1


async def test_a_silent_answer_is_not_spoken_about(open_line):
    brain = ScriptedBrain([[CALL], [Say(SHORT)]])
    async with open_line(brain=brain) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        (call,) = await calls_of(session)
        await turns_of(session, 1)
        await answer(session, call, types.FunctionResponseScheduling.SILENT)
        await line.standin.wait_for(lambda: line.last.tool_responses)
        assert len(line.last.turns) == 1
        assert line.last.turns_taken.open_calls == []


@pytest.mark.parametrize(("scheduling", "first"), [
    ("INTERRUPT", {"model_turn", "interrupted"}), ("WHEN_IDLE", {"model_turn", "generation_complete"}),
])  # fmt: skip
async def test_an_answer_interrupts_or_waits_as_it_says(open_line, speak, scheduling, first):
    brain = ScriptedBrain([[CALL, Say(SHORT), Wait(0.5), Say(SHORT)], [Say(SHORT)]])
    async with open_line(brain=brain, pace="caller", answer_delay_s=0) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        (call,) = await calls_of(session)
        await answer(session, call, types.FunctionResponseScheduling(scheduling))
        await line.standin.wait_for(lambda: line.last.tool_responses)
        await speak(session, bytes(64_000))
        assert await turns_of(session, 2) == [first, {"model_turn", "generation_complete"}]


async def test_an_interruption_cancels_the_calls_of_the_turn(open_line):
    brain = ScriptedBrain([[CallTools((ToolCall("a"), ToolCall("b")), blocking=True)]])
    async with open_line(brain=brain) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        first, second = await calls_of(session)
        await answer(session, first)
        await line.standin.wait_for(lambda: line.last.turns_taken.open_calls == [second.id])
        await line.last.interrupt()
        assert await turns_of(session, 1) == [{"interrupted", f"cancelled {second.id}"}]
        await answer(session, second)
        await line.standin.wait_for(lambda: line.last.stray_tool_responses)
        assert line.last.stray_tool_responses[0]["name"] == "b"


async def test_an_answer_may_come_in_parts(open_line):
    brain = ScriptedBrain([[CallTools((ToolCall("a"),), blocking=True)]])
    async with open_line(brain=brain) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        (call,) = await calls_of(session)
        part = types.FunctionResponse(id=call.id, name="a", response={"n": 1}, will_continue=True)
        await session.send_tool_response(function_responses=part)
        await line.standin.wait_for(lambda: line.last.tool_responses)
        assert line.last.turns_taken.open_calls == [call.id]
        await answer(session, call)
        assert await turns_of(session, 1) == [{"generation_complete"}]


async def test_a_call_without_an_id_is_answered_by_name(open_line):
    brain = ScriptedBrain([[CallTools((ToolCall("a", id=None),), blocking=True), Say(SHORT)]])
    async with open_line(vertex=True, brain=brain) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        (call,) = await calls_of(session)
        assert call.id is None
        await answer(session, call)
        assert await turns_of(session, 1) == [{"model_turn", "generation_complete"}]


async def test_a_call_may_be_repeated_with_the_same_id_and_be_followed_by_audio(open_line):
    same = CallTools((ToolCall("a", id="x"),), blocking=False)
    brain = ScriptedBrain([[Say(SHORT), same, same, Say(SHORT)]])
    async with open_line(brain=brain) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        seen = []
        async for message in session.receive():
            if message.tool_call:
                seen.append(message.tool_call.function_calls[0].id)
            elif message.server_content and message.server_content.model_turn:
                seen.append("audio")
        assert seen[-1] == "audio"
        assert [entry for entry in seen if entry != "audio"] == ["x", "x"]
