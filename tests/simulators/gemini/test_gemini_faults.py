"""Faults of an open session, as the real client meets them."""

import time

import pytest
from google.genai import errors, types
from websockets.exceptions import ConnectionClosed

from callbot.simulators.gemini import CallTools, Fault, Say, ScriptedBrain, ToolCall
from callbot.simulators.gemini import faults as do
from callbot.simulators.gemini import triggers as at
from callbot.simulators.gemini.malformed import MALFORMED
from callbot.simulators.gemini.voice import tone

LONG = tone(300.0, 4.0)


async def drain(session):
    """Read until the connection ends; return everything that came and the code."""
    seen = []
    while True:
        try:
            async for message in session.receive():
                seen.append(message)  # noqa: PERF401 - what came before the end is kept
        except errors.APIError as end:
            return seen, end.code


# ---- closes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1007, 1008, 1011, 1012, 1013, 4001])
async def test_any_close_code_in_the_middle_of_audio(open_line, code):
    faults = (Fault(at.ModelAudio(500), do.Close(code, "reason")),)
    async with open_line(brain=ScriptedBrain([[Say(LONG)]]), faults=faults, chunk_bytes=(960,)) as line:
        async with line.connect() as session:
            await session.send_realtime_input(text="go")
            _, seen_code = await drain(session)
        assert seen_code == code
        assert line.last.turns[0].audio_ms == 500
        await line.standin.wait_for(lambda: line.last.closed)
        assert line.last.close_code == code
        assert line.last.closed_by == ("network" if code == 1006 else "server")


async def test_a_close_in_the_middle_of_a_tool_call(open_line):
    faults = (Fault(at.OnToolCall(), do.Close(1011, "Internal error encountered.")),)
    async with open_line(brain=ScriptedBrain([[CallTools((ToolCall("f"),))]]), faults=faults) as line:
        async with line.connect() as session:
            await session.send_realtime_input(text="go")
            seen, code = await drain(session)
        assert code == 1011
        assert seen[-1].tool_call.function_calls[0].name == "f"


async def test_a_close_by_the_client_is_told_from_one_by_the_server(open_line):
    async with open_line() as line:
        async with line.connect():
            pass
        await line.standin.wait_for(lambda: line.last.closed)
        assert (line.last.closed_by, line.last.close_code) == ("client", 1000)


async def test_a_client_that_disappears_is_recorded_as_the_network(open_line):
    async with open_line() as line:
        async with line.connect() as session:
            session._ws.transport.abort()
            await line.standin.wait_for(lambda: line.last.closed)
        assert (line.last.closed_by, line.last.close_code) == ("network", 1006)


# ---- silence ------------------------------------------------------------------------------------------------


async def test_a_session_can_freeze_in_mid_sentence(open_line):
    faults = (Fault(at.ModelAudio(300), do.Freeze()),)
    options = {"brain": ScriptedBrain([[Say(LONG)]]), "faults": faults, "chunk_bytes": (960,)}
    async with open_line(**options) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        await line.standin.wait_for(lambda: line.last.turns and line.last.turns[0].complete)
        assert line.last.turns[0].audio_ms == 300
        await (await session._ws.ping())  # alive all the same
        line.last.thaw()
        await line.last.interrupt()
        seen = [message async for message in session.receive()]
        assert len([m for m in seen if m.server_content and m.server_content.model_turn]) == 15


async def test_a_frozen_session_can_be_woken_by_text(open_line, one_turn):
    faults = (Fault(at.OnReady(), do.Freeze(until_text=True)),)
    async with open_line(faults=faults) as line, line.connect() as session:
        assert line.last.outbox.frozen
        await session.send_realtime_input(text=" ")
        assert (await one_turn(session))[-1].server_content.turn_complete


@pytest.mark.parametrize(("kind", "field"), [
    ("turnComplete", "turn_complete"), ("generationComplete", "generation_complete"), ("audio", "model_turn"),
])  # fmt: skip
async def test_messages_of_one_kind_can_be_withheld(open_line, kind, field):
    faults = (Fault(at.OnReady(), do.Withhold(kind)), Fault(at.OnTurnComplete(), do.Close(1000)))
    async with open_line(faults=faults) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        seen, _ = await drain(session)
        assert seen
        assert not any(m.server_content and getattr(m.server_content, field) for m in seen)


async def test_a_turn_can_have_no_content(open_line, one_turn):
    async with open_line(brain=ScriptedBrain([[]])) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        seen = await one_turn(session)
        assert [m.server_content.model_turn for m in seen] == [None, None]


async def test_silence_after_go_away(open_line):
    faults = (Fault(at.OnGoAway(), do.Freeze()),)
    async with open_line(faults=faults, time_scale=1.0) as line, line.connect() as session:
        await line.last.go_away("50s")
        await session.send_realtime_input(text="go")
        await line.standin.wait_for(lambda: line.last.kinds() == ["text"])
        assert (await anext(session.receive())).go_away.time_left == "50s"
        assert line.last.messages_sent == 2  # setupComplete and goAway


async def test_silence_after_interrupted(open_line):
    faults = (Fault(at.OnInterrupted(), do.Freeze()),)
    async with open_line(faults=faults) as line, line.connect() as session:
        await line.last.interrupt()
        assert (await anext(session.receive())).server_content.interrupted
        assert line.last.messages_sent == 2


# ---- flow ---------------------------------------------------------------------------------------------------


async def test_a_server_that_stops_reading_fills_the_clients_buffer(open_line):
    socket = {"write_limit": 2**30}  # so that the client goes on instead of waiting
    async with open_line(faults=(Fault(at.OnReady(), do.StopReading()),), socket=socket) as line, line.connect() as session:
        await line.standin.wait_for(lambda: line.last.fired == ["StopReading"])
        blob = types.Blob(data=bytes(500_000), mime_type="audio/pcm;rate=16000")
        for _ in range(40):  # 27 MB, more than the kernel keeps
            await session.send_realtime_input(audio=blob)
        assert session._ws.transport.get_write_buffer_size() > 5_000_000
        assert line.last.messages_received <= 1
        session._ws.transport.abort()


async def test_a_server_can_read_again_after_a_while(open_line):
    async with open_line(faults=(Fault(at.OnReady(), do.StopReading(for_s=20)),)) as line, line.connect() as session:
        await session.send_realtime_input(text="hello")
        await line.standin.wait_for(lambda: line.last.kinds() == ["text"])


async def test_a_server_can_read_slowly(open_line):
    faults, socket = (Fault(at.OnReady(), do.ReadSlowly(5)),), {"max_queue": None}
    async with open_line(faults=faults, socket=socket) as line, line.connect() as session:
        for _ in range(3):
            await session.send_realtime_input(text="hello")
        await line.standin.wait_for(lambda: len(line.last.kinds()) == 3)


async def test_pongs_can_be_late(open_line):
    async with open_line(faults=(Fault(at.OnReady(), do.DelayPongs(30)),)) as line, line.connect() as session:
        await line.standin.wait_for(lambda: line.last.fired)
        assert await (await session._ws.ping()) >= 0.025


async def test_without_pongs_the_clients_keepalive_ends_the_session(open_line):
    socket = {"ping_interval": 0.05, "ping_timeout": 0.05}
    async with open_line(faults=(Fault(at.OnReady(), do.DelayPongs(None)),), socket=socket) as line:
        async with line.connect() as session:
            _, code = await drain(session)
        assert code == 1006
        await line.standin.wait_for(lambda: line.last.closed)
        assert (line.last.closed_by, line.last.close_code) == ("client", 1011)


@pytest.mark.parametrize("fault", [do.BlackHole(), do.IgnoreClose()], ids=["black hole", "ignores close"])
async def test_a_peer_that_does_not_answer_the_close_costs_the_close_timeout(open_line, fault):
    async with open_line(faults=(Fault(at.OnReady(), fault),), socket={"close_timeout": 0.1}) as line:
        async with line.connect() as session:
            await line.standin.wait_for(lambda: line.last.fired)
            start = time.monotonic()
        assert time.monotonic() - start == pytest.approx(0.1)
        with pytest.raises(ConnectionClosed):
            await session.send_realtime_input(text="x")


async def test_tcp_can_stay_open_after_the_close(open_line):
    faults = (Fault(at.OnReady(), do.HalfOpenClose(1011, "gone")),)
    # receive() does not end with the close frame but with TCP; only the next keepalive ping notices the deadline.
    socket = {"close_timeout": 0.05, "ping_interval": 0.05}
    async with open_line(faults=faults, socket=socket) as line, line.connect() as session:
        _, code = await drain(session)
        assert code == 1011


async def test_a_stall_is_a_gap_in_the_audio(open_line, one_turn, audio_of):
    options = {"faults": (Fault(at.ModelAudio(1000), do.Stall(5.0)),), "brain": ScriptedBrain([[Say(LONG)]])}
    async with open_line(**options) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        assert audio_of(await one_turn(session)) == LONG
        assert line.last.fired == ["Stall"]


# ---- content ------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*is not a valid.*:UserWarning")
@pytest.mark.parametrize("name", sorted(MALFORMED.keys() - {"too_large"}))
async def test_the_session_goes_on_after_a_malformed_message(open_line, name):
    faults = (Fault(at.OnReady(), do.SendRaw(MALFORMED[name])),)
    async with open_line(faults=faults) as line, line.connect() as session:
        await line.standin.wait_for(lambda: line.last.fired)
        await session.send_realtime_input(text="hello")
        complete = False
        while not complete:
            try:
                async for message in session.receive():
                    content = message.server_content
                    complete = bool(content and content.turn_complete and message.usage_metadata)
            except (ValueError, TypeError, AttributeError, errors.APIError):
                continue  # what a robust reader does; a closed socket would end the test by its timeout
        assert line.standin.connections_open == 1
        assert line.last.turns[0].complete


async def test_a_message_that_is_too_large_ends_the_session_on_the_clients_side(open_line):
    faults = (Fault(at.OnReady(), do.SendRaw(MALFORMED["too_large"])),)
    async with open_line(faults=faults) as line, line.connect() as session:
        _, code = await drain(session)
        assert code == 1006
        await line.standin.wait_for(lambda: line.last.closed)
        assert line.last.close_code == 1009


# ---- semantics ----------------------------------------------------------------------------------------------


async def test_a_phantom_interruption_with_nobody_speaking(open_line, one_turn):
    async with open_line(faults=(Fault(at.OnReady(), do.Interrupt()),)) as line, line.connect() as session:
        first, last = await one_turn(session)
        assert first.server_content.interrupted
        assert last.server_content.turn_complete
        assert line.last.turns == []


async def test_an_interruption_from_inside_a_turn(open_line, one_turn, audio_of):
    faults = (Fault(at.ModelAudio(200), do.Interrupt()),)
    options = {"faults": faults, "brain": ScriptedBrain([[Say(LONG)]]), "chunk_bytes": (960,)}
    async with open_line(**options) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        messages = await one_turn(session)
        assert len(audio_of(messages)) == 200 * 48
        assert messages[-2].server_content.interrupted
        assert line.last.turns[0].interrupted


async def test_an_interruption_after_turn_complete(open_line, one_turn):
    faults = (Fault(at.OnTurnComplete(1), do.Interrupt()),)
    async with open_line(faults=faults) as line, line.connect() as session:
        await session.send_realtime_input(text="go")
        assert (await one_turn(session))[-1].server_content.turn_complete
        assert (await one_turn(session))[0].server_content.interrupted
        assert not line.last.turns[0].interrupted


async def test_cancelling_a_call_that_does_not_exist(open_line):
    faults = (Fault(at.OnReady(), do.CancelTools(("nobody",))),)
    async with open_line(faults=faults) as line, line.connect() as session:
        assert (await anext(session.receive())).tool_call_cancellation.ids == ["nobody"]
        assert line.last.is_open


async def test_transcriptions_can_be_doubled_and_late(open_line, speak, utterance):
    faults = (Fault(at.OnReady(), do.Duplicate("inputTranscription")),)
    options = {"faults": faults, "late_input_transcription": True}
    config = {"input_audio_transcription": {}}
    async with open_line(**options) as line, line.connect(config) as session:
        await speak(session, utterance)
        order = []
        while order.count("text") < 2:
            async for message in session.receive():
                content = message.server_content
                if content and (content.input_transcription or content.turn_complete):
                    order.append("end" if content.turn_complete else "text")
                if order.count("text") == 2:
                    break
        assert order == ["end", "text", "text"]


async def test_a_fault_may_be_armed_on_an_open_session(open_line):
    async with open_line() as line, line.connect() as session:
        line.standin.inject(Fault(at.OnText(), do.Close(1012)))
        await session.send_realtime_input(text="go")
        assert (await drain(session))[1] == 1012


@pytest.mark.parametrize(("when", "what"), [
    (at.OnReady(), do.Refuse(503)), (at.OnConnect(), do.Freeze()), (at.OnReady(), do.NoSetupReply()),
])  # fmt: skip
def test_a_fault_at_an_impossible_moment_is_an_error(when, what):
    with pytest.raises(ValueError, match="needs"):
        Fault(when, what)
