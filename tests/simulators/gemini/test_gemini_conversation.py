"""Whole conversations between the real client and the stand-in."""

import asyncio
import math
import random

import pytest
from google.genai import errors, types

from callbot.simulators.gemini import (
    Parrot,
    Raw,
    Say,
    ScriptedBrain,
    Think,
    VadSettings,
    Wait,
    extended_thinking,
)
from callbot.simulators.gemini.voice import murmur, to_model_rate, tone

SHORT = tone(440.0, 0.1)


def names(messages):
    """What each message was about, in order, with repetitions collapsed."""
    found = []
    for message in messages:
        content = message.server_content
        if content:
            for field in (
                "input_transcription", "model_turn", "output_transcription", "interrupted",
                "generation_complete", "turn_complete",
            ):  # fmt: skip
                if getattr(content, field) and found[-1:] != [field]:
                    found.append(field)
        elif message.session_resumption_update:
            found.append("update")
        elif message.tool_call_cancellation:
            found.append("cancellation")
    return found


async def next_message(session, wanted):
    """Read on until a message satisfies `wanted`; return all of them."""
    seen = []
    while True:
        async for message in session.receive():
            seen.append(message)
            if wanted(message):
                return seen


def has(field):
    return lambda message: bool(message.server_content and getattr(message.server_content, field))


@pytest.mark.parametrize("vertex", [False, True], ids=["gemini", "vertex"])
async def test_a_scripted_turn_arrives_byte_for_byte(open_line, one_turn, audio_of, vertex):
    pcm = random.Random(1).randbytes(48_000 + 1442)
    chunks = (2, 2400, 7680, 9600, 15360, 961)
    async with open_line(vertex=vertex, brain=ScriptedBrain([[Say(pcm)]]), chunk_bytes=chunks) as line:
        async with line.connect() as session:
            assert session.session_id == "session-1-1"
            await session.send_realtime_input(text="hello")
            messages = await one_turn(session)
        assert audio_of(messages) == pcm
        assert bytes(line.last.turns[0].pcm) == pcm
        assert line.last.mode == ("vertex" if vertex else "gemini")
        assert line.last.version == ("v1beta1" if vertex else "v1beta")


@pytest.mark.parametrize("chunk_ms", [20, 40, 60, 100])
async def test_caller_audio_is_kept_sample_for_sample(open_line, speak, chunk_ms):
    # Bytes 0xFB 0xEF 0xFF give - and _ in the url-safe alphabet that the SDK writes.
    pcm = b"\xfb\xef\xff\xbf" * 1600 + random.Random(2).randbytes(32_000)
    async with open_line(listening="scripted") as line, line.connect() as session:
        await speak(session, pcm, chunk_ms)
        await line.standin.wait_for(lambda: line.last.samples * 2 >= len(pcm))
        assert bytes(line.last.pcm) == pcm


async def test_a_turn_comes_in_the_order_of_the_service(open_line, speak, one_turn, utterance):
    config = {"input_audio_transcription": {}, "output_audio_transcription": {}, "session_resumption": {}}
    async with open_line() as line, line.connect(config) as session:
        await speak(session, utterance)
        messages = await one_turn(session)
        order = names(messages)
        assert order[:2] == ["input_transcription", "update"]
        assert order[-2:] == ["generation_complete", "turn_complete"]
        assert {"model_turn", "output_transcription"} == set(order[2:-2])
        usage = messages[-1].usage_metadata
        assert usage.response_token_count > 0
        assert usage.prompt_token_count > 0
        update = (await next_message(session, lambda m: m.session_resumption_update))[-1]
        assert update.session_resumption_update.resumable
        said = "".join(m.server_content.output_transcription.text for m in messages if has("output_transcription")(m))
        assert said == line.last.turns[0].transcript
        assert said.startswith("you spoke for ")


async def test_the_parrot_says_back_what_it_heard(open_line, speak, one_turn, audio_of):
    said = murmur(4, rate_hz=16_000)
    async with open_line(brain=Parrot(gain=1.0), vad=VadSettings(silence_duration_ms=200)) as line:
        async with line.connect() as session:
            await speak(session, said + bytes(32_000))
            answer = audio_of(await one_turn(session))
        heard = to_model_rate(said)
        # Up to the last 100 ms, where the resampler sees what comes after.
        assert answer[: len(heard) - 4800] == heard[:-4800]


async def test_a_talkative_parrot_speaks_at_least_as_long_as_asked(open_line, speak, one_turn, audio_of, utterance):
    async with open_line(brain=Parrot(min_answer_s=10.0)) as line, line.connect() as session:
        await speak(session, utterance)
        assert len(audio_of(await one_turn(session))) >= 10 * 48_000


async def test_barge_in_stops_the_answer_and_has_no_generation_complete(open_line, speak, utterance, audio_of):
    long_answer = tone(300.0, 20.0)
    options = {"brain": ScriptedBrain([[Say(long_answer)], [Say(SHORT)]]), "pace": "caller", "burst": 4.0}
    async with open_line(**options) as line, line.connect() as session:
        await session.send_realtime_input(text="tell me a story")
        await speak(session, bytes(32_000) + utterance)
        messages = await next_message(session, has("turn_complete"))
        assert names(messages) == ["model_turn", "interrupted", "turn_complete"]
        # 0.2 s of delay, then 0.8 s and the 60 ms that make it speech, at four times real time.
        heard_ms = len(audio_of(messages)) / 48
        assert heard_ms == pytest.approx(860 * 4, abs=400)
        assert line.last.turns[0].interrupted
        assert not line.last.turns[0].generation_complete
        await speak(session, bytes(32_000))
        assert has("model_turn")((await next_message(session, has("model_turn")))[-1])


async def test_speech_during_assumed_playback_interrupts_after_generation_complete(open_line, speak, utterance):
    options = {"brain": ScriptedBrain([[Say(tone(300.0, 20.0))]]), "pace": "caller", "answer_delay_s": 0}
    async with open_line(**options) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        first = await next_message(session, has("generation_complete"))
        await speak(session, utterance)
        rest = await next_message(session, has("turn_complete"))
        assert names(first + rest) == ["model_turn", "generation_complete", "interrupted", "turn_complete"]


async def test_no_interruption_lets_the_answer_finish(open_line, speak, one_turn, utterance):
    config = {"realtime_input_config": {"activity_handling": "NO_INTERRUPTION"}}
    options = {"brain": ScriptedBrain([[Say(tone(300.0, 1.0))], [Say(SHORT)]]), "pace": "caller"}
    async with open_line(**options) as line, line.connect(config) as session:
        await session.send_realtime_input(text="go")
        await speak(session, utterance + bytes(64_000))
        assert names(await one_turn(session)) == ["model_turn", "generation_complete", "turn_complete"]
        assert names(await one_turn(session)) == ["model_turn", "generation_complete", "turn_complete"]
        assert line.last.interruptions == 0


async def test_manual_activity_frames_an_utterance(open_line, speak, one_turn, audio_of):
    config = {"realtime_input_config": {"automatic_activity_detection": {"disabled": True}}}
    async with open_line(brain=Parrot(gain=1.0)) as line, line.connect(config) as session:
        await speak(session, murmur(2, rate_hz=16_000))  # outside any activity: discarded
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await speak(session, bytes(3200))
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        assert audio_of(await one_turn(session)) == bytes(4800)


async def test_activity_messages_without_manual_detection_are_refused(open_line):
    async with open_line() as line, line.connect() as session:
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        with pytest.raises(errors.APIError) as caught:
            await anext(session.receive())
        assert caught.value.code == 1007


async def test_fifty_turns_with_interruptions_and_tool_calls_in_one_session(open_line):
    async with open_line(brain=Parrot(), delay_turn_complete=False) as line, line.connect() as session:
        turns = interruptions = calls = 0
        while turns < 50:
            if turns % 10 == 4:
                line.last.call_tool("look_up", {"n": turns}, blocking=True)
            elif turns % 10 == 7:
                line.last.say(SHORT)
                await line.last.interrupt()
            else:
                await session.send_realtime_input(text="again")
            async for message in session.receive():
                if message.tool_call:
                    call = message.tool_call.function_calls[0]
                    calls += 1
                    await session.send_tool_response(
                        function_responses=types.FunctionResponse(id=call.id, name=call.name, response={"a": 1})
                    )
                interruptions += has("interrupted")(message)
            turns += 1
            await asyncio.sleep(0.1)  # until the turn has been heard: a text before that interrupts it
        assert (calls, interruptions) == (5, 5)
        assert line.last.stray_tool_responses == []


async def test_extended_thinking_completes_several_turns_before_it_is_idle(open_line, one_turn):
    turn = extended_thinking([Say(SHORT, "one moment"), Say(SHORT, "nearly")], Say(SHORT, "done"))
    async with open_line(brain=ScriptedBrain([turn])) as line:
        config = {"thinking_config": {"thinking_level": "LOW"}}
        async with line.connect(config, model="gemini-3.8-live-extended-thinking") as session:
            await session.send_realtime_input(text="think")
            messages = await one_turn(session)
        ends = [m.server_content for m in messages if has("turn_complete")(m)]
        assert [str(end.interaction_status.value) for end in ends] == ["IN_PROGRESS", "IN_PROGRESS", "IDLE"]


async def test_history_is_taken_without_an_answer(open_line, one_turn):
    config = {"history_config": {"initial_history_in_client_content": True}}
    turns = [
        types.Content(role="user", parts=[types.Part(text="my name is Ann")]),
        types.Content(role="model", parts=[types.Part(text="hello Ann")]),
    ]
    model = "gemini-3.1-flash-live-preview"
    async with open_line() as line, line.connect(config, model=model) as session:
        await session.send_client_content(turns=turns, turn_complete=True)
        await session.send_realtime_input(text="go on")
        await one_turn(session)
        assert [turn["role"] for turn in line.last.conversation.history] == ["user", "model"]
        assert len(line.last.turns) == 1
        assert line.last.kinds() == ["clientContent", "text"]


async def test_audio_at_eight_kilohertz_is_resampled(open_line):
    async with open_line(listening="scripted") as line, line.connect() as session:
        await session.send_realtime_input(audio=types.Blob(data=bytes(1600), mime_type="audio/pcm;rate=8000"))
        await line.standin.wait_for(lambda: line.last.messages_received)
        assert line.last.rates_hz == {8000}
        assert line.last.samples == pytest.approx(1600, abs=2)


async def test_another_format_fails_silently(open_line):
    async with open_line() as line, line.connect() as session:
        await session.send_realtime_input(audio=types.Blob(data=b"abc", mime_type="audio/ogg"))
        await line.standin.wait_for(lambda: line.last.silent_failures == 1)
        assert line.standin.connections_open == 1


async def test_audio_stream_end_ends_the_utterance(open_line, speak, one_turn):
    async with open_line() as line, line.connect() as session:
        await speak(session, murmur(4, rate_hz=16_000))
        await session.send_realtime_input(audio_stream_end=True)
        assert names(await one_turn(session)) == ["model_turn", "generation_complete", "turn_complete"]


async def test_a_brain_that_says_nothing_leaves_silence(open_line):
    async with open_line(brain=ScriptedBrain([])) as line, line.connect() as session:
        await session.send_realtime_input(text="hello")
        await line.standin.wait_for(lambda: line.last.kinds() == ["text"])
        assert line.last.turns == []


async def test_context_updates_are_kept(open_line):
    async with open_line() as line, line.connect() as session:
        await session.send_context_update(system_instruction="be brief")
        await line.standin.wait_for(lambda: line.last.context_updates)
        assert line.last.context_updates[0]["systemInstruction"]["parts"] == [{"text": "be brief"}]


async def test_vertex_usage_and_voice_activity_have_their_own_names(open_line, speak, one_turn, utterance):
    config = {"explicit_vad_signal": True, "output_audio_transcription": {}}
    async with open_line(vertex=True) as line, line.connect(config) as session:
        await speak(session, utterance)
        await speak(session, bytes(32_000))
        messages = [*await one_turn(session)]
        kinds = [m.voice_activity.voice_activity_type.value for m in messages if m.voice_activity]
        assert kinds == ["ACTIVITY_START", "ACTIVITY_END"]
        assert messages[-1].usage_metadata.response_token_count > 0
        assert "candidatesTokenCount" in line.last.usage


async def test_slow_and_fast_audio_take_their_time_in_caller_seconds(open_line, speak):
    for burst, expected_ms in ((0.5, 400), (1.0, 800), (math.inf, 4000)):
        options = {"brain": ScriptedBrain([[Say(tone(300.0, 4.0))]]), "pace": "caller", "answer_delay_s": 0.2}
        unread = {"max_queue": None}  # the client does not read here, and must not hold up its own close
        line_options = {**options, "burst": burst, "chunk_bytes": (960,), "socket": unread}
        async with open_line(**line_options) as line, line.connect() as session:
            await session.send_realtime_input(text="go")
            await speak(session, bytes(32_000))
            await line.standin.wait_for(lambda line=line: line.last.clock.now() > 0.999)
            assert line.last.turns[0].audio_ms == pytest.approx(expected_ms, abs=40)


async def test_turns_can_be_started_by_hand_without_any_voice_detection(open_line, speak, one_turn, audio_of, utterance):
    async with open_line(listening="scripted", brain=Parrot(gain=1.0)) as line, line.connect() as session:
        await speak(session, utterance)
        await line.standin.wait_for(lambda: line.last.samples * 2 == len(utterance))
        assert line.last.turns == []
        await line.last.hear(bytes(3200))
        assert audio_of(await one_turn(session)) == bytes(4800)
        line.last.say(SHORT)
        assert audio_of(await one_turn(session)) == SHORT
        assert [turn.prompt for turn in line.last.turns] == ["audio", "script"]


async def test_a_script_may_think_wait_and_send_anything(open_line, one_turn, audio_of):
    extra = b'{"serverContent":{"waitingForInput":true}}'
    async with open_line(brain=ScriptedBrain([[Think("hm"), Wait(1.0), Raw(extra), Say(SHORT)]])) as line:
        async with line.connect() as session:
            await session.send_realtime_input(text="go")
            messages = await one_turn(session)
        thoughts = [m.server_content.model_turn.parts[0] for m in messages if has("model_turn")(m)]
        assert (thoughts[0].text, thoughts[0].thought) == ("hm", True)
        assert any(has("waiting_for_input")(m) for m in messages)
        assert audio_of(messages) == SHORT


async def test_a_handle_may_come_right_after_setup_and_the_last_fragment_may_be_marked(open_line, one_turn):
    config = {"session_resumption": {}, "output_audio_transcription": {}}
    options = {"handle_at_setup": True, "finish_transcriptions": True}
    async with open_line(**options) as line, line.connect(config) as session:
        await session.send_realtime_input(text="go")
        messages = await one_turn(session)
        assert messages[0].session_resumption_update.new_handle == line.last.handles[0]
        finished = [m.server_content.output_transcription.finished for m in messages if has("output_transcription")(m)]
        assert finished == [None] * (len(finished) - 1) + [True]
