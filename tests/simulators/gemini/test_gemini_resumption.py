"""Handles, goAway and what a resumed session remembers."""

import asyncio

import pytest
from google.genai import errors

from callbot.simulators.gemini import Fault, Say, ScriptedBrain
from callbot.simulators.gemini.faults import Close, NeverResumable, SendGoAway, SendRaw
from callbot.simulators.gemini.malformed import MALFORMED
from callbot.simulators.gemini.triggers import OnGoAway, OnReady, OnTurnComplete
from callbot.simulators.gemini.voice import tone

# Deadlines that must not come during a test, and nothing else that takes time.
UNHURRIED = {"time_scale": 1.0, "delay_turn_complete": False, "answer_delay_s": 0}
ASK = {"session_resumption": {}}


def with_handle(handle):
    return {"session_resumption": {"handle": handle}}


async def read_until(session, wanted):
    while True:
        async for message in session.receive():
            if wanted(message):
                return message


async def fresh_handle(session):
    """Have one turn, and return the handle that follows it."""
    await session.send_realtime_input(text="hello")

    def resumable(message):
        update = message.session_resumption_update
        return update and update.resumable and update.new_handle

    return (await read_until(session, resumable)).session_resumption_update.new_handle


async def test_a_go_away_is_followed_by_a_resumed_session_that_does_not_greet_again(open_line):
    async with open_line(**UNHURRIED) as line:
        async with line.connect(ASK) as first:
            handle = await fresh_handle(first)
            await line.last.go_away("57.5s", close_after_s=None)
            message = await read_until(first, lambda m: m.go_away)
            assert message.go_away.time_left == "57.5s"
        async with line.connect(with_handle(handle)) as second:
            await second.send_realtime_input(text="hello again")
            await read_until(second, lambda m: m.server_content and m.server_content.turn_complete)
        before, after = line.standin.sessions
        assert before.closed_by == "client"
        assert after.resumed
        assert not after.overlapped
        assert after.others_open == 0
        assert after.lineage == before.lineage
        assert before.turns[0].transcript == ""  # not asked for
        assert after.turns[0].audio_ms == 300  # "I am still here" and not the greeting
        assert after.conversation.turns_begun == 2


async def test_the_server_closes_when_the_time_left_is_over(open_line):
    async with open_line(go_away_at_s=540, go_away_time_left_s=30) as line:
        async with line.connect() as session:
            assert (await read_until(session, lambda m: m.go_away)).go_away.time_left == "30s"
            with pytest.raises(errors.APIError) as caught:
                await anext(session.receive())
        assert caught.value.code == 1011
        assert caught.value.details == "Deadline expired before operation could complete."
        await line.standin.wait_for(lambda: line.last.closed)
        assert line.last.closed_by == "server"


@pytest.mark.parametrize("time_left", [None, "soon", "0s", "1.5s"])
async def test_go_away_with_any_time_left(open_line, time_left):
    async with open_line() as line, line.connect() as session:
        await line.last.go_away(time_left)
        assert (await read_until(session, lambda m: m.go_away is not None)).go_away.time_left == time_left
        if time_left in {None, "soon"}:  # not a time: nothing follows
            assert line.last.is_open
        else:
            await line.standin.wait_for(lambda: line.last.closed)


async def test_the_server_may_close_before_the_time_it_promised(open_line):
    faults = (Fault(OnGoAway(), Close(1000, "The operation was cancelled.")),)
    async with open_line(faults=faults, time_scale=1.0) as line, line.connect() as session:
        await line.last.go_away("50s")
        with pytest.raises(errors.APIError) as caught:
            await read_until(session, lambda m: False)
        assert caught.value.code == 1000


async def test_a_handle_is_refused_while_the_old_socket_is_open(open_line):
    async with open_line() as line, line.connect(ASK) as first:
        handle = await fresh_handle(first)
        with pytest.raises(errors.APIError) as caught:
            async with line.connect(with_handle(handle)):
                pass
        assert caught.value.code == 1011
        assert line.last.overlapped
        assert not line.last.ready
        assert line.standin.sessions[0].is_open


async def test_an_unknown_handle_is_not_found(open_line):
    async with open_line() as line:
        with pytest.raises(errors.APIError) as caught:
            async with line.connect(with_handle("nonsense")):
                pass
        assert caught.value.code == 1008
        assert caught.value.details == "BidiGenerateContent session not found"
        assert line.last.handle_offered == "nonsense"


async def test_a_handle_is_bound_to_its_model(open_line):
    async with open_line() as line:
        async with line.connect(ASK) as first:
            handle = await fresh_handle(first)
        with pytest.raises(errors.APIError) as caught:
            async with line.connect(with_handle(handle), model="gemini-3.1-flash-live-preview"):
                pass
        assert caught.value.code == 1008


async def test_a_handle_expires(open_line):
    async with open_line(handle_valid_s=0.0) as line:
        async with line.connect(ASK) as first:
            handle = await fresh_handle(first)
        await line.standin.wait_for(lambda: line.last.closed)
        await asyncio.sleep(0.001)
        with pytest.raises(errors.APIError) as caught:
            async with line.connect(with_handle(handle)):
                pass
        assert caught.value.code == 1008


@pytest.mark.parametrize("code", [1007, 1008, 1011])
async def test_handles_can_be_refused_with_any_code(open_line, code):
    async with open_line() as line:
        async with line.connect(ASK) as first:
            handle = await fresh_handle(first)
        line.standin.refuse_handles(code, "no")
        with pytest.raises(errors.APIError) as caught:
            async with line.connect(with_handle(handle)):
                pass
        assert caught.value.code == code
        line.standin.refuse_handles(None)
        async with line.connect(with_handle(handle)):
            assert line.last.resumed


async def test_an_older_handle_forgets_what_came_after_it(open_line):
    async with open_line() as line:
        async with line.connect(ASK) as first:
            handle = await fresh_handle(first)
            newer = await fresh_handle(first)
            assert newer != handle
        async with line.connect(with_handle(handle)):
            assert line.last.conversation.turns_begun == 1
            assert line.standin.sessions[0].conversation.turns_begun == 2


async def test_a_resumed_session_can_be_made_to_forget_everything(open_line):
    async with open_line(forget_on_resume=True) as line:
        async with line.connect(ASK) as first:
            handle = await fresh_handle(first)
        async with line.connect(with_handle(handle)) as second:
            await fresh_handle(second)
            assert line.last.conversation.turns_begun == 1


async def test_updates_are_not_resumable_while_the_model_speaks(open_line, one_turn):
    async with open_line() as line, line.connect(ASK) as session:
        await session.send_realtime_input(text="hello")
        updates = [m.session_resumption_update for m in await one_turn(session) if m.session_resumption_update]
        assert [(u.resumable, u.new_handle) for u in updates] == [(False, "")]


async def test_vertex_updates_are_always_resumable(open_line, one_turn):
    async with open_line(vertex=True) as line, line.connect({"session_resumption": {"transparent": True}}) as session:
        await session.send_realtime_input(text="hello")
        updates = [m.session_resumption_update for m in await one_turn(session) if m.session_resumption_update]
        assert [u.resumable for u in updates] == [True]
        assert updates[0].last_consumed_client_message_index == 1


async def test_no_updates_come_unless_asked_for(open_line, one_turn):
    async with open_line(usage_in_turn_complete=False) as line, line.connect() as session:
        await session.send_realtime_input(text="hello")
        assert not any(m.session_resumption_update for m in await one_turn(session))
        assert line.last.handles == []


async def test_a_session_may_never_become_resumable(open_line):
    faults = (Fault(OnReady(), NeverResumable()),)
    async with open_line(faults=faults) as line, line.connect(ASK) as session:
        await session.send_realtime_input(text="hello")
        await read_until(session, lambda m: m.server_content and m.server_content.turn_complete)
        update = (await read_until(session, lambda m: m.session_resumption_update)).session_resumption_update
        assert not update.resumable
        assert line.last.handles == []


async def test_an_empty_update_and_a_second_go_away_can_be_sent(open_line):
    faults = (
        Fault(OnReady(), SendRaw(MALFORMED["empty_resumption_update"])),
        Fault(OnReady(), SendGoAway("50s")),
        Fault(OnTurnComplete(), SendGoAway("20s")),
    )
    async with open_line(faults=faults, **UNHURRIED) as line, line.connect() as session:
        update = await read_until(session, lambda m: m.session_resumption_update)
        assert update.session_resumption_update.new_handle is None
        await session.send_realtime_input(text="hello")
        await read_until(session, lambda m: m.go_away and m.go_away.time_left == "20s")
        assert line.last.go_aways == ["50s", "20s"]


async def test_an_open_tool_call_keeps_the_session_from_being_resumable(open_line):
    async with open_line(brain=ScriptedBrain([[Say(tone(440.0, 0.1))]])) as line, line.connect(ASK) as session:
        line.last.call_tool("look_up", {}, blocking=False)
        await read_until(session, lambda m: m.server_content and m.server_content.turn_complete)
        update = (await read_until(session, lambda m: m.session_resumption_update)).session_resumption_update
        assert not update.resumable
        assert line.last.turns_taken.open_calls == ["call-1-1"]
