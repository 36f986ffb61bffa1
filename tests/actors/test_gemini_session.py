"""GeminiSession against a scripted model: opening, receiving, and every way to end."""

import asyncio

import pytest
from session_room import VOICE, Room

from callbot.actors.uplink import Uplink
from callbot.messages.call import StreamFault
from callbot.messages.children import AnswerTool, CloseSession, EndSpeech, ModelAudio, ModelAudioEnded, SayText
from callbot.messages.session import (
    GoAway,
    HandleRenewed,
    ModelInterrupted,
    SessionReady,
    ToolCalled,
    ToolsCancelled,
    TurnAudible,
    TurnStarted,
)
from callbot.messages.terms import Decision, Plan
from callbot.wire.gemini import AudioPart, ModelMessage, ResumptionUpdate, ToolCall
from callbot.wire.reading import Unreadable
from tests.actors.network_edges import Model, closed
from tests.virtual_time import about

# Opening.


async def test_a_session_says_when_it_is_ready_and_how_long_that_took() -> None:
    room = await Room(delay_s=0.5).ready()
    (ready,) = room.told
    assert isinstance(ready, SessionReady)
    assert (ready.session_no, ready.plan, ready.at_s) == (1, Plan.NEW, about(room.began_s + 0.8))
    assert ready.setup_ms == pytest.approx(300, abs=1)
    assert room.signs.model_s == about(room.began_s + 0.8)
    room.tell(CloseSession())
    await room.ended()


async def test_an_opening_that_fails_is_judged_and_told() -> None:
    room = Room(Model(refusals=[closed(1011, "The service is currently unavailable.")]))
    lost = await room.ended()
    assert (lost.session_no, lost.decision, lost.cause, lost.code) == (1, Decision.WAIT, "close_1011_overloaded", 1011)
    assert room.told == [lost]


async def test_a_session_told_to_close_while_it_opens_never_becomes_ready() -> None:
    room = Room(Model(setup_s=5.0))
    await asyncio.sleep(1)
    room.tell(CloseSession())
    lost = await room.ended()
    assert (lost.cause, lost.code) == ("closed_by_us", 1000)
    assert lost.at_s == about(room.began_s + 1.0)
    assert room.model.links == []


async def test_a_session_told_to_close_while_it_waits_does_not_dial() -> None:
    room = Room(delay_s=5.0)
    await asyncio.sleep(1)
    room.tell(CloseSession())
    await room.ended()
    assert room.model.orders == []


async def test_a_session_told_to_close_at_the_very_moment_it_opens_closes_its_link() -> None:
    room = Room(Model(setup_s=1.0))
    room.loop.call_at(room.began_s + 1.0, room.session.tell, CloseSession())
    lost = await room.ended()
    assert lost.cause == "closed_by_us"
    assert all(link.closed_s is not None for link in room.model.links)


# Receiving.


async def test_everything_in_a_message_reaches_the_one_it_is_for() -> None:
    room = await Room().ready()
    room.link.give(
        ModelMessage(
            audio=(AudioPart(VOICE, 24_000),),
            tool_calls=(ToolCall("f1", "look_up", {"q": 1}), ToolCall(None, "end_call", {})),
            cancelled_tool_ids=("f0",),
            go_away=True,
            go_away_time_left_s=9.5,
            resumption=ResumptionUpdate("handle-1", resumable=True),
            faults=("bad_rate",),
            unknown_keys=("serverContent.newThing",),
        )
    )
    await asyncio.sleep(1)
    now_s = about(room.began_s + 1.0)
    assert room.audio == [ModelAudio(1, VOICE, 24_000)]
    assert room.told[1:] == [
        TurnStarted(1, now_s),
        TurnAudible(1, now_s),
        ToolCalled(1, "f1", "look_up", {"q": 1}, now_s, 1),
        ToolCalled(1, "callbot-1-1", "end_call", {}, now_s, 1),
        ToolsCancelled(1, ("f0",)),
        GoAway(1, 9.5, now_s),
        HandleRenewed(1, "handle-1", now_s, now_s),
        StreamFault("model_bad_rate"),
        StreamFault("model_unknown_serverContent.newThing"),
    ]
    room.tell(CloseSession())
    await room.ended()


@pytest.mark.parametrize(
    "update", [ResumptionUpdate(None, resumable=True), ResumptionUpdate("h", resumable=False), ResumptionUpdate(None)]
)
async def test_a_handle_that_cannot_be_resumed_is_none(update: ResumptionUpdate) -> None:
    room = await Room().ready()
    room.link.give(ModelMessage(resumption=update))
    await asyncio.sleep(1)
    assert len(room.told) == 1
    room.tell(CloseSession())
    await room.ended()


async def test_an_interruption_takes_back_words_that_were_not_yet_given() -> None:
    room = await Room().ready()
    room.link.stall()
    room.tell(EndSpeech())
    await asyncio.sleep(1)  # the sender is stuck; what comes now waits
    room.tell(SayText("nudge", until_interrupted=True), SayText("(The caller pressed 4 7)"), AnswerTool("f1", "look_up", {}))
    room.link.give(ModelMessage(interrupted=True))
    await asyncio.sleep(1)
    room.link.resume()
    await asyncio.sleep(1)
    assert room.link.kinds() == ["stream_end", "text", "tool"]
    assert room.told[-1] == ModelInterrupted(0, about(room.began_s + 2.0))
    room.tell(CloseSession())
    await room.ended()


async def test_messages_that_cannot_be_read_are_counted_and_a_hundred_are_borne() -> None:
    room = await Room().ready()
    room.link.give(*[Unreadable("not_json")] * 100)
    await asyncio.sleep(1)
    assert room.told[1:] == [StreamFault("model_not_json")] * 100
    room.link.give(Unreadable("not_json"))
    lost = await room.ended()
    # It said nothing against the model or the key: another session may be well.
    assert lost.decision is Decision.RESUME


@pytest.mark.parametrize(
    ("error", "decision", "cause"),
    [
        (closed(1006), Decision.RESUME, "close_1006_link_lost"),
        (closed(1011, "Internal error encountered."), Decision.RESUME, "close_1011_internal"),
        (closed(1013, "try again"), Decision.WAIT, "close_1013_try_later"),
        (closed(1008, "BidiGenerateContent session not found"), Decision.FRESH, "close_1008_handle_refused"),
        (OSError("reset"), Decision.RESUME, "unreachable"),
    ],
)
async def test_a_lost_link_is_judged_by_what_the_receiver_saw(error: Exception, decision: Decision, cause: str) -> None:
    room = await Room().ready()
    room.link.give(error)
    lost = await room.ended()
    assert (lost.decision, lost.cause) == (decision, cause)


async def test_a_turn_that_the_loss_broke_off_is_ended_so_that_its_last_word_is_played() -> None:
    room = await Room().ready()
    room.link.give(ModelMessage(audio=(AudioPart(VOICE, 24_000),)), closed(1006))
    await room.ended()
    assert room.audio == [ModelAudio(1, VOICE, 24_000), ModelAudioEnded(1)]


# Closing.


async def test_closing_sends_first_what_was_given_before() -> None:
    room = await Room().ready()
    room.tell(AnswerTool("f1", "end_call", {}), SayText("bye"), CloseSession())
    lost = await room.ended()
    assert room.link.kinds() == ["tool", "text"]
    assert (lost.decision, lost.cause, lost.code) == (Decision.RESUME, "closed_by_us", 1000)


async def test_closing_leaves_the_callers_audio_to_the_next_session() -> None:
    room = await Room().ready()
    room.uplink.push(b"\x01" * 640)
    room.tell(CloseSession())
    await room.ended()
    assert room.link.audio + room.uplink.take(10**6) == b"\x01" * 640


async def test_closing_a_session_whose_socket_is_stuck_takes_a_second() -> None:
    """A send that never returned once kept the session from ending, and the call from its next one."""
    room = await Room().ready()
    room.link.stall()
    room.uplink.push(b"\x01" * 640)
    await asyncio.sleep(1)
    room.tell(CloseSession())
    lost = await room.ended()
    assert lost.cause == "closed_by_us"
    assert lost.at_s <= room.began_s + 3.0 + 1e-6
    assert room.uplink.take(10**6) == b"\x01" * 640


async def test_a_loss_that_comes_while_the_session_closes_is_no_loss() -> None:
    room = await Room().ready()
    room.tell(CloseSession())
    room.link.give(closed(1011, "late"))
    assert (await room.ended()).cause == "closed_by_us"


async def test_a_cancelled_session_closes_its_socket_and_says_nothing() -> None:
    room = await Room().ready()
    room.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await room.task
    assert room.model.open_links == 0
    assert len(room.told) == 1


async def test_sessions_one_after_the_other_never_overlap() -> None:
    model, uplink = Model(), Uplink(cap_s=30)
    sent = b""
    for session_no in range(1, 6):
        room = Room(model, session_no=session_no, uplink=uplink)
        for number in range(10):
            chunk = bytes([session_no * 16 + number]) * 640
            sent += chunk
            uplink.push(chunk)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        if session_no % 2:
            room.link.give(closed(1011, "Internal error"))
        else:
            room.tell(CloseSession())
        await room.ended()
    assert b"".join(link.audio for link in model.links) + uplink.take(10**6) == sent
