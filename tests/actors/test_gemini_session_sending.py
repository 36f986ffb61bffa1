"""GeminiSession sends: what waited, words, commands, and what a lost link gives back."""

import asyncio
import struct

from session_room import FRAME, Room

from callbot.actors.transcoder import Transcoder
from callbot.actors.uplink import Uplink
from callbot.audio.resample import CallerUpsampler
from callbot.messages.children import AnswerTool, CallerAudio, CloseSession, EndSpeech, ProbeLink, SayText, SendSilence
from callbot.messages.terms import Decision
from tests.actors.network_edges import closed
from tests.virtual_time import about


async def test_what_waited_is_sent_at_once_in_large_messages_then_frame_by_frame() -> None:
    uplink = Uplink(cap_s=30)
    waiting = b"".join(struct.pack("<h", number) * 320 for number in range(100))
    for at in range(0, len(waiting), 640):
        uplink.push(waiting[at : at + 640])
    room = await Room(uplink=uplink).ready()
    assert room.link.audio == waiting
    assert {len(what) for _, what in room.link.sent} == {3200}
    uplink.push(FRAME)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert room.link.sent[-1] == ("audio", FRAME)
    assert room.signs.uplink_ms == 2020
    room.tell(CloseSession())
    await room.ended()


async def test_words_go_before_the_audio_that_waits() -> None:
    room = Room()
    room.uplink.push(FRAME)
    room.tell(SayText("Say hello."))
    await room.ready()
    assert room.link.kinds() == ["text", "audio"]
    room.tell(CloseSession())
    await room.ended()


async def test_commands_are_sent_in_order() -> None:
    room = await Room().ready()
    room.tell(SayText("a"), AnswerTool("f1", "look_up", {"status": "ok"}), EndSpeech(), SayText("b"))
    await asyncio.sleep(1)
    assert room.link.sent == [
        ("text", "a"),
        ("tool", ("f1", "look_up", {"status": "ok"})),
        ("stream_end", None),
        ("text", "b"),
    ]
    room.tell(CloseSession())
    await room.ended()


async def test_silence_is_sent_only_when_no_speech_waits() -> None:
    room = await Room().ready()
    room.tell(SendSilence(100))
    await asyncio.sleep(1)
    assert room.link.sent == [("audio", bytes(3200))]
    room.link.stall()
    room.uplink.push(b"\x01" * 640)
    await asyncio.sleep(1)
    room.uplink.push(b"\x02" * 640)
    room.tell(SendSilence(100))
    await asyncio.sleep(1)
    room.link.resume()
    await asyncio.sleep(1)
    assert room.link.sent[1:] == [("audio", b"\x01" * 640), ("audio", b"\x02" * 640)]
    room.tell(CloseSession())
    await room.ended()


async def test_a_pong_is_a_sign_of_life_and_a_failed_ping_is_none() -> None:
    room = await Room().ready()
    room.tell(ProbeLink(), ProbeLink(), ProbeLink())
    await asyncio.sleep(1)
    before_s = room.signs.model_s
    answered, failed, forgotten = room.link.pongs
    failed.set_exception(closed(1006))
    forgotten.cancel()
    await asyncio.sleep(1)
    assert room.signs.model_s == before_s
    answered.set_result(0.05)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert room.signs.model_s == about(room.began_s + 3.0)
    room.tell(CloseSession())
    await room.ended()


async def test_audio_that_could_not_be_sent_goes_to_the_next_session_first() -> None:
    room = await Room().ready()
    room.link.fails = closed(1006)
    room.uplink.push(b"\x01" * 640)
    await asyncio.sleep(0.001)
    room.uplink.push(b"\x02" * 640)
    await room.ended()
    second = await Room(room.model, session_no=2, uplink=room.uplink).ready()
    assert second.link.audio == b"\x01" * 640 + b"\x02" * 640
    second.tell(CloseSession())
    await second.ended()


async def test_the_code_of_a_loss_comes_from_the_receiver_although_the_sender_noticed_first() -> None:
    room = await Room().ready()
    room.link.fails = closed(1006)
    room.loop.call_later(0.5, room.link.give, closed(1007, "Request contains an invalid argument."))
    room.uplink.push(FRAME)
    lost = await room.ended()
    assert (lost.decision, lost.cause, lost.code) == (Decision.RESUME_WITHOUT_REPLAY, "close_1007_bad_input", 1007)


async def test_a_sender_whose_receiver_never_notices_ends_the_session_all_the_same() -> None:
    room = await Room().ready()
    room.link.fails = OSError("broken pipe")
    room.uplink.push(FRAME)
    lost = await room.ended()
    assert (lost.decision, lost.cause) == (Decision.RESUME, "unreachable")
    assert lost.at_s == about(room.began_s + 2.0)


async def test_a_fault_of_the_immediate_send_loses_the_session_and_not_the_transcoder_nor_the_words() -> None:
    room = await Room().ready()
    transcoder = Transcoder(
        uplink=room.uplink,
        twilio_io=lambda _: None,
        parent=room.told.append,
        upsampler="sinc_medium",
        downsampler="sinc_medium",
    )
    life = asyncio.ensure_future(transcoder.run())
    spoken = [bytes([number % 256]) * 160 for number in range(20)]
    converter = CallerUpsampler("sinc_medium")
    expected = b"".join(converter.push(mulaw) for mulaw in spoken)
    for mulaw in spoken[:10]:
        transcoder.tell(CallerAudio(mulaw, 0.0))
    await asyncio.sleep(1)
    room.link.fails_at_once = OSError("the socket is gone")
    for mulaw in spoken[10:]:
        transcoder.tell(CallerAudio(mulaw, 0.0))
    lost = await room.ended()
    assert (lost.decision, lost.cause) == (Decision.RESUME, "unreachable")
    assert not life.done()
    second = await Room(room.model, session_no=2, uplink=room.uplink).ready()
    assert room.model.links[0].audio + second.link.audio == expected
    second.tell(CloseSession())
    await second.ended()
    life.cancel()
    await asyncio.wait({life})
