"""Where families of models differ, seen through the real client: client content, tools, roles, transcriptions, status."""

from dataclasses import replace

import pytest
from google.genai import errors, types

from callbot.simulators.gemini import CallTools, Fault, Parrot, Say, ScriptedBrain, Think, ToolCall, Wait, extended_thinking
from callbot.simulators.gemini.families import RULES, change_rule
from callbot.simulators.gemini.faults import TextOnlyTurns
from callbot.simulators.gemini.triggers import OnReady
from callbot.simulators.gemini.voice import tone

OLD, LAST, NEW = "gemini-2.5-flash-native-audio-latest", "gemini-3.1-flash-live-preview", "gemini-3.8-live"
EXTENDED = "gemini-3.8-live-extended-thinking"
HISTORY = {"history_config": {"initial_history_in_client_content": True}}
HI = types.Content(role="user", parts=[types.Part(text="hi")])
SHORT = tone(440.0, 0.1)
SILENCE = types.Blob(data=bytes(640), mime_type="audio/pcm;rate=16000")


def rules(family, **changed):
    return {**RULES, family: replace(RULES[family], **changed)}


async def closed_with(session):
    with pytest.raises(errors.APIError) as caught:
        async for _ in session.receive():
            pass
    return caught.value.code, caught.value.details


@pytest.mark.parametrize("model", [OLD, NEW])
@pytest.mark.parametrize("turns", [[HI], []])
async def test_client_content_with_turn_complete_is_answered(open_line, one_turn, audio_of, model, turns):
    async with open_line() as line, line.connect(model=model) as session:
        await session.send_client_content(turns=turns or None, turn_complete=True)
        messages = await one_turn(session)
    assert audio_of(messages)
    assert messages[-1].server_content.turn_complete


async def test_client_content_without_turn_complete_waits_for_the_rest(open_line, one_turn):
    async with open_line() as line, line.connect() as session:
        await session.send_client_content(turns=HI, turn_complete=False)
        await line.standin.wait_for(lambda: line.last.kinds() == ["clientContent"])
        assert line.last.turns == []
        await session.send_client_content(turn_complete=True)
        assert (await one_turn(session))[-1].server_content.turn_complete


async def test_client_content_on_31_is_history_and_nothing_else(open_line):
    async with open_line() as line, line.connect(model=LAST) as session:
        await session.send_client_content(turns=HI, turn_complete=True)
        await line.standin.wait_for(lambda: line.last.kinds() == ["clientContent"])
        assert line.last.turns == []
    async with open_line(rules=rules("3.1", closes_on_content=True)) as line:
        async with line.connect(model=LAST) as session:
            await session.send_client_content(turns=HI, turn_complete=True)
            assert (await closed_with(session))[0] == 1007
        async with line.connect(HISTORY, model=LAST) as session:  # announced, it is welcome
            await session.send_client_content(turns=HI, turn_complete=True)
            await session.send_realtime_input(text="go on")
            await anext(session.receive())


@pytest.mark.parametrize("answers", [False, True])
async def test_an_announced_history_is_answered_on_25_if_so_chosen(open_line, one_turn, answers):
    async with open_line(rules=rules("2.5", answers_history=answers)) as line, line.connect(HISTORY, model=OLD) as session:
        await session.send_client_content(turns=HI, turn_complete=True)
        if answers:
            await one_turn(session)
        await line.standin.wait_for(lambda: line.last.kinds() == ["clientContent"])
        assert [turn.prompt for turn in line.last.turns] == ["content"] * answers


async def test_client_content_amid_audio_closes_25_and_no_other(open_line, one_turn):
    async with open_line() as line:
        async with line.connect(model=OLD) as session:
            await session.send_realtime_input(audio=SILENCE)
            await session.send_client_content(turns=HI, turn_complete=True)
            assert (await closed_with(session))[0] == 1007
        async with line.connect(model=OLD) as session:
            await session.send_realtime_input(audio=SILENCE)
            await session.send_realtime_input(text="text is welcome")
            await one_turn(session)
            await session.send_realtime_input(audio_stream_end=True)
            await session.send_client_content(turns=HI, turn_complete=True)
            await one_turn(session)
        async with line.connect(model=NEW) as session:
            await session.send_realtime_input(audio=SILENCE)
            await session.send_client_content(turns=HI, turn_complete=True)
            await one_turn(session)


@pytest.mark.parametrize(("model", "role", "closes"), [
    (NEW, "system", True), (NEW, None, True), (NEW, "model", False),
    (LAST, "system", True), (OLD, "system", True), (OLD, None, False),
])  # fmt: skip
async def test_roles_are_checked(open_line, model, role, closes):
    async with open_line() as line, line.connect(model=model) as session:
        await session.send_client_content(turns={"role": role, "parts": [{"text": "hi"}]}, turn_complete=False)
        if closes:
            assert await closed_with(session) == (1007, "Please use a valid role: user, model.")
        else:
            await line.standin.wait_for(lambda: line.last.conversation.history)


@pytest.mark.parametrize(("model", "completes"), [(OLD, True), (NEW, False)])
async def test_turn_complete_comes_behind_a_blocking_call_on_25(open_line, one_turn, audio_of, model, completes):
    call = CallTools((ToolCall("look_up", {"city": "Ulm"}),), blocking=True)
    async with open_line(brain=ScriptedBrain([[call, Say(SHORT)]])) as line, line.connect(model=model) as session:
        await session.send_realtime_input(text="go")
        messages = []
        async for message in session.receive():
            messages.append(message)
            if message.tool_call and not completes:
                break
        if completes:  # the client's generator has ended with the call unanswered
            assert messages[-1].server_content.turn_complete
            assert line.last.turns_taken.open_calls == ["call-1-1"]
        response = types.FunctionResponse(id="call-1-1", name="look_up", response={"ok": True})
        await session.send_tool_response(function_responses=response)
        assert audio_of(await one_turn(session)) == SHORT


@pytest.mark.parametrize(("model", "parts"), [(NEW, 1), (LAST, 1), (OLD, 5)])
async def test_the_input_transcription_of_3x_is_one_part_that_is_finished(open_line, one_turn, speak, utterance, model, parts):
    async with open_line() as line, line.connect({"input_audio_transcription": {}}, model=model) as session:
        await speak(session, utterance)
        messages = await one_turn(session)
    heard = [m.server_content.input_transcription for m in messages if m.server_content.input_transcription]
    assert len(heard) == parts
    assert "".join(part.text for part in heard).startswith("caller spoke for 1")
    assert [part.finished for part in heard] == ([True] if parts == 1 else [None] * 5)


async def test_a_long_work_lies_between_a_filler_and_its_answer(open_line, one_turn, audio_of):
    turn = extended_thinking([Say(SHORT, "one moment")], Say(SHORT * 2, "done"), work_s=36.0)
    config = {"thinking_config": {"thinking_level": "low"}}
    async with open_line(brain=ScriptedBrain([turn])) as line, line.connect(config, model=EXTENDED) as session:
        await session.send_realtime_input(text="think")
        at_s = {}
        async for message in session.receive():
            content = message.server_content
            if content and content.turn_complete:
                at_s[content.interaction_status.value] = line.standin._state.clock.now()
        assert list(at_s) == ["IN_PROGRESS", "IDLE"]
        assert at_s["IDLE"] - at_s["IN_PROGRESS"] >= 36.0


async def test_a_text_only_turn_has_no_audio_and_is_complete(open_line, one_turn, audio_of):
    brain = Parrot(greeting=SHORT, greeting_text="good day")
    faults = (Fault(OnReady(), TextOnlyTurns(1)),)
    async with open_line(brain=brain, faults=faults) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        messages = await one_turn(session)
        texts = [p.text for m in messages if m.server_content.model_turn for p in m.server_content.model_turn.parts]
        assert texts == ["good day"]
        assert audio_of(messages) == b""
        assert messages[-1].server_content.turn_complete
        await session.send_realtime_input(text="again")
        assert audio_of(await one_turn(session))


async def test_tokens_count_text_thoughts_and_tools(open_line, one_turn):
    brain = ScriptedBrain([[Think("x" * 40), CallTools((ToolCall("f"),), blocking=True), Say(SHORT)], [Wait(0)]])
    async with open_line(brain=brain) as line, line.connect({"system_instruction": "y" * 100}) as session:
        await session.send_realtime_input(text="z" * 20)
        async for message in session.receive():
            if message.tool_call:
                break
        answer = types.FunctionResponse(id="call-1-1", name="f", response={"a": "b"})
        await session.send_tool_response(function_responses=answer)
        usage = (await one_turn(session))[-1].usage_metadata
        assert [(d.modality.value, d.token_count) for d in usage.prompt_tokens_details] == [("TEXT", 30)]
        assert (usage.prompt_token_count, usage.thoughts_token_count, usage.tool_use_prompt_token_count) == (30, 10, 3)
        assert usage.total_token_count == 30 + 10 + 3 + usage.response_token_count


def test_rules_are_changed_by_text():
    changed = change_rule(RULES, "2.5.answers_history=yes")
    assert changed["2.5"].answers_history
    assert changed["3.8"] == RULES["3.8"]
    for wrong in ("2.5.answers_history", "9.9.answers_history=yes", "2.5.sings=yes", "2.5.answers_history=maybe"):
        with pytest.raises(ValueError, match=r"write FAMILY\.RULE=yes or =no, with FAMILY of 2\.5"):
            change_rule(RULES, wrong)
