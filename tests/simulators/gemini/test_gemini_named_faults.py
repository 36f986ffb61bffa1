"""Faults by name: each does what its name says, seen through the real client."""

import json

import pytest
from google.genai import errors, types
from websockets.exceptions import InvalidStatus, WebSocketException

from callbot.simulators.gemini import CallTools, Parrot, Say, ScriptedBrain, ToolCall
from callbot.simulators.gemini.named_faults import NAMED_FAULTS
from callbot.simulators.gemini.voice import tone


async def gather(session, messages):
    async for message in session.receive():
        messages.append(message)


LONG = tone(440.0, 4.0)


@pytest.fixture
def with_fault(open_line):
    def _open(name, **options):
        return open_line(faults=NAMED_FAULTS[name], **{"brain": Parrot(greeting=LONG), **options})

    return _open


async def test_each_session_dies_after_a_second_of_its_answer(with_fault, audio_of):
    async with with_fault("dies_in_answers", burst=4.0) as line:
        for _ in range(3):
            async with line.connect() as session:
                await session.send_realtime_input(text="go")
                messages = []
                with pytest.raises(errors.APIError, match=r"1011 None\. Internal error encountered\."):
                    await gather(session, messages)
                said_s = len(audio_of(messages)) / 48_000
                assert 1.0 <= said_s < 1.4


@pytest.mark.parametrize(("name", "code", "reason"), [
    ("exhausted_with_trace_id", 1011,
     ("Request trace id: 4be1c2d97a60f38e, [ORIGINAL ERROR] generic::resource_exhausted: RESOURCE_EXHAUSTED: "
     "Maximum concurrent sessions exceeded")),
    ("credits_depleted", 1011, "Your prepayment credits are depleted. Please go to AI Studio."),
    ("api_key_not_found", 1007, "API Key not found. Please pass a valid API key."),
])  # fmt: skip
async def test_refusals_at_setup_have_the_words_of_the_service(with_fault, name, code, reason):
    async with with_fault(name) as line:
        for _ in range(2):
            with pytest.raises(errors.APIError) as caught:
                async with line.connect():
                    pass
            assert (caught.value.code, caught.value.details) == (code, reason[:123])


async def test_too_many_requests_names_the_time_to_wait(with_fault):
    async with with_fault("too_many_requests") as line:
        with pytest.raises(InvalidStatus) as caught:
            async with line.connect():
                pass
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["Retry-After"] == "30"


async def test_a_redirect_leads_to_no_session(with_fault):
    async with with_fault("redirected") as line:
        with pytest.raises(WebSocketException):
            async with line.connect():
                pass
        assert {upgrade.status for upgrade in line.standin.upgrades} == {302}


async def test_calls_without_ids_are_answered_by_name_and_by_no_invented_id(open_line):
    brain = ScriptedBrain([[CallTools((ToolCall("f"), ToolCall("f")), blocking=True), Say(LONG)]])
    async with open_line(vertex=True, brain=brain, faults=NAMED_FAULTS["no_call_ids"]) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        message = await anext(m async for m in session.receive() if m.tool_call)
        assert [(call.id, call.name) for call in message.tool_call.function_calls] == [(None, "f"), (None, "f")]
        invented = types.FunctionResponse(id="invented", name="f", response={"n": 0})
        await session.send_tool_response(function_responses=invented)
        await line.standin.wait_for(lambda: line.last.stray_tool_responses)
        assert len(line.last.turns_taken.open_calls) == 2
        answers = [types.FunctionResponse(name="f", response={"n": n}) for n in (1, 2)]
        await session.send_tool_response(function_responses=answers)
        await line.standin.wait_for(lambda: line.last.turns[0].audio_ms > 0)
        assert len(line.last.stray_tool_responses) == 1


async def test_audio_comes_behind_turn_complete(with_fault, one_turn, audio_of):
    async with with_fault("late_audio") as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        await one_turn(session)
        late = await anext(session.receive())
        assert len(audio_of([late])) == 120 * 48


@pytest.mark.parametrize("name", ["flood_of_tool_calls", "flood_of_unknown_keys"])
async def test_a_flood_is_many_messages_at_once(with_fault, name):
    async with with_fault(name) as line, line.connect() as session:
        await line.standin.wait_for(lambda: line.last.messages_sent >= 500)
        raw = json.loads(await session._ws.recv(decode=False))
        assert ("toolCall" in raw) == (name == "flood_of_tool_calls")


async def test_every_named_fault_can_be_armed_and_leaves_the_stand_in_whole(with_fault):
    for name in NAMED_FAULTS:
        async with with_fault(name, burst=8.0) as line:
            try:
                async with line.connect() as session:
                    await session.send_realtime_input(text="go")
                    await line.standin.wait_for(lambda: line.last.messages_sent >= 2 or line.last.closed)
            except (errors.APIError, WebSocketException):
                assert line.standin.upgrades
