"""TwilioIO against a Twilio in memory: what is read is handed on, what is played is paced, a clear overtakes everything."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from callbot.actors.playout import Playout
from callbot.actors.signs import LifeSigns
from callbot.actors.twilio_io import TwilioIO
from callbot.audio.comfort import COMFORT_SOUND
from callbot.messages.call import (
    CallerGone,
    CallMessage,
    KeyPressed,
    PlayoutEmpty,
    PlayoutResumed,
    StreamFault,
    TurnFirstHeard,
    TurnPlayed,
    TurnSpeaking,
)
from callbot.messages.children import (
    CallerAudio,
    CallerGap,
    ClearPlayback,
    CloseStream,
    PlayComfort,
    PlayEnded,
    PlayFrames,
    TranscoderMessage,
)
from tests.actors.network_edges import STOP, TwilioSocket, mark, media
from tests.virtual_time import about

FRAME = 160


def turn_audio(turn: int, ms: int) -> bytes:
    return bytes([turn]) * (ms * 8)


class Line:
    """A TwilioIO that runs, the socket it has, and everything it told."""

    def __init__(self, *, cap_s: float = 60.0) -> None:
        self.socket = TwilioSocket()
        self.signs = LifeSigns()
        self.told: list[CallMessage] = []
        self.heard: list[TranscoderMessage] = []
        loop = asyncio.get_running_loop()
        self.io = TwilioIO(
            socket=self.socket,
            stream_sid="MZ1",
            playout=Playout(lead_ms=400, mark_every_ms=500, cap_s=cap_s),
            signs=self.signs,
            parent=self.told.append,
            transcoder=self.heard.append,
            clock=loop.time,
        )
        self.began_s = loop.time()

    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.told]


async def _reading() -> None:
    for _ in range(3):  # the actor's task, then its pumps'
        await asyncio.sleep(0)


@asynccontextmanager
async def running() -> AsyncIterator[Line]:
    line = Line()
    async with asyncio.TaskGroup() as group:
        group.create_task(line.io.run())
        await _reading()
        yield line
        line.io.stop()


# Reading.


async def test_a_message_is_handed_on_in_the_turn_of_the_loop_in_which_it_comes() -> None:
    async with running() as line:
        line.socket.say(media(b"\x01" * FRAME))
        assert line.heard == [CallerAudio(b"\x01" * FRAME, line.began_s)]


async def test_what_comes_outside_the_task_is_logged_as_part_of_its_request() -> None:
    request = contextvars.ContextVar("request", default="")
    line = Line()
    seen: list[str] = []
    line.io._parent = lambda _: seen.append(request.get())

    async def serve() -> None:
        request.set("the call's")
        await line.io.run()

    serving = asyncio.ensure_future(serve())
    await _reading()
    line.socket.say(STOP)
    assert (seen, request.get()) == (["the call's"], "")
    line.io.stop()
    await serving


async def test_a_fault_outside_the_task_ends_the_actor_and_nobody_else() -> None:
    line = Line()

    def fail(_: object) -> None:
        raise ZeroDivisionError

    line.io._transcoder = fail
    serving = asyncio.ensure_future(line.io.run())
    await _reading()
    line.socket.say(media(b"\x01" * FRAME))  # raises nothing here
    line.socket.say(media(b"\x02" * FRAME))
    with pytest.raises(ExceptionGroup) as ended:
        await serving
    assert ended.group_contains(ZeroDivisionError)


async def test_the_callers_audio_is_handed_on_with_its_time() -> None:
    async with running() as line:
        line.socket.say(media(b"\x01" * FRAME))
        line.socket.say(media(b"\x02" * 77))
        await asyncio.sleep(0.5)
    assert line.heard == [CallerAudio(b"\x01" * FRAME, line.began_s), CallerAudio(b"\x02" * 77, line.began_s)]
    assert (line.signs.frames_in, line.signs.twilio_s, line.signs.caller_audio_s) == (2, line.began_s, line.began_s)


async def test_an_empty_payload_counts_but_is_not_handed_on() -> None:
    async with running() as line:
        line.socket.say(media(b""))
        await asyncio.sleep(0.5)
    assert (line.heard, line.signs.frames_in, line.told) == ([], 1, [])


async def test_audio_that_never_arrived_is_seen_in_the_time_stamps() -> None:
    async with running() as line:
        for stamp_ms in (100, 120, 140, 180, 500):
            line.socket.say(media(b"\x01" * FRAME, timestamp_ms=stamp_ms))
        await asyncio.sleep(0.5)
    assert line.signs.gap_ms == 300
    assert line.told == [StreamFault("media_gap")]
    frame = CallerAudio(b"\x01" * FRAME, line.began_s)
    assert line.heard == [frame] * 4 + [CallerGap(300, line.began_s), frame]


@pytest.mark.parametrize("frame_ms", [10, 40, 100])
async def test_payloads_of_another_length_are_no_loss(frame_ms: int) -> None:
    async with running() as line:
        for number in range(20):
            line.socket.say(media(b"\x01" * (8 * frame_ms), timestamp_ms=70 + number * frame_ms))
        line.socket.say(media(b"\x01" * (8 * frame_ms), timestamp_ms=70 + 20 * frame_ms + 420))
        await asyncio.sleep(0.5)
    assert line.signs.gap_ms == 420
    assert [message for message in line.heard if isinstance(message, CallerGap)] == [CallerGap(420, line.began_s)]


async def test_frames_of_another_track_are_counted_and_go_nowhere() -> None:
    async with running() as line:
        for number in range(5):
            line.socket.say(media(b"\x01" * FRAME, timestamp_ms=100 + 20 * number, track="inbound"))
            line.socket.say(media(b"\x02" * FRAME, timestamp_ms=900 + 20 * number, track="outbound"))
        await asyncio.sleep(0.5)
    assert line.heard == [CallerAudio(b"\x01" * FRAME, line.began_s)] * 5
    assert line.told == [StreamFault("media_other_track")]
    assert (line.signs.frames_in, line.signs.other_track, line.signs.gap_ms) == (5, 5, 0)


async def test_stop_is_a_hang_up_told_once_and_audio_after_it_is_a_fault() -> None:
    async with running() as line:
        line.socket.say(STOP)
        line.socket.say(STOP)
        line.socket.say(media(b"\x01" * FRAME))
        line.socket.drop()
        await asyncio.sleep(0.5)
    assert line.told == [CallerGone("stop", line.began_s), StreamFault("media_after_stop")]
    assert line.heard == []


async def test_a_lost_connection_is_told_as_what_it_is() -> None:
    async with running() as line:
        line.socket.drop()
        await asyncio.sleep(0.5)
    assert line.told == [CallerGone("closed", line.began_s)]


async def test_keys_faults_and_repeated_messages_are_told() -> None:
    async with running() as line:
        line.socket.say('{"event":"dtmf","dtmf":{"digit":"5"}}')
        line.socket.say("no json")
        line.socket.say(b"\x00")
        line.socket.say('{"event":"connected"}')
        line.socket.say('{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1","accountSid":"AC1"}}')
        await asyncio.sleep(0.5)
    assert line.told == [
        KeyPressed("5", line.began_s),
        StreamFault("not_json"),
        StreamFault("binary"),
        StreamFault("repeated_connected"),
        StreamFault("repeated_start"),
    ]


async def test_reading_goes_on_while_nothing_can_be_sent() -> None:
    async with running() as line:
        line.socket.gate.clear()
        line.io.tell(PlayFrames(1, turn_audio(1, 100)))
        await asyncio.sleep(0.5)
        line.socket.say(media(b"\x01" * FRAME))
        await asyncio.sleep(0.5)
        assert len(line.heard) == 1


async def test_a_fault_of_the_socket_is_a_crash_of_the_actor() -> None:
    line = Line()
    line.socket.drop(RuntimeError("bad socket"))
    with pytest.raises(ExceptionGroup) as caught:
        await line.io.run()
    assert isinstance(caught.value.exceptions[0], RuntimeError)


# Playing.


async def test_a_turn_is_played_in_pace_and_followed_from_its_first_frame_to_its_last() -> None:
    async with running() as line:
        line.io.tell(PlayFrames(1, turn_audio(1, 2000)))
        line.io.tell(PlayEnded(1))
        await asyncio.sleep(10)
        assert line.socket.audio == turn_audio(1, 2000)
        assert line.signs.frames_out == 100
        assert line.kinds() == ["TurnSpeaking", "TurnFirstHeard", "TurnPlayed", "PlayoutEmpty"]
        speaking, heard, played, empty = line.told
        assert isinstance(speaking, TurnSpeaking)
        assert isinstance(heard, TurnFirstHeard)
        assert isinstance(played, TurnPlayed)
        assert isinstance(empty, PlayoutEmpty)
        assert speaking.at_s == about(line.began_s)
        assert heard.at_s == about(line.began_s)
        assert (played.audio_ms, played.heard_ms, played.cleared) == (2000, 2000, False)
        assert played.at_s == about(line.began_s + 2.0)
    ends_s = line.began_s
    for sent in line.socket.sent:
        if sent.event == "media":
            ends_s = max(ends_s, sent.at_s) + len(sent.mulaw) / 8000
            assert ends_s - sent.at_s <= 0.4 + 1e-6


async def test_a_turn_that_goes_on_after_a_hole_resumes() -> None:
    async with running() as line:
        line.io.tell(PlayFrames(1, turn_audio(1, 100)))
        await asyncio.sleep(2)
        line.io.tell(PlayFrames(1, turn_audio(1, 100)))
        await asyncio.sleep(2)
    assert line.kinds() == ["TurnSpeaking", "TurnFirstHeard", "PlayoutEmpty", "PlayoutResumed", "PlayoutEmpty"]
    assert line.told[-2:] == [PlayoutResumed(1, line.began_s + 2.0), PlayoutEmpty(about(line.began_s + 2.1))]


async def test_marks_that_never_come_back_do_not_hold_up_the_call() -> None:
    async with running() as line:
        line.socket.returns_marks = False
        line.io.tell(PlayFrames(1, turn_audio(1, 200)))
        line.io.tell(PlayEnded(1))
        await asyncio.sleep(10)
        assert line.kinds() == ["TurnSpeaking", "TurnPlayed", "PlayoutEmpty"]
        assert line.told[1] == TurnPlayed(1, 200, 0, cleared=False, at_s=about(line.began_s + 3.2))


async def test_more_audio_than_a_call_may_hold_is_a_fault() -> None:
    line = Line(cap_s=1.0)
    line.io.handle(PlayFrames(1, turn_audio(1, 1000)))
    line.io.handle(PlayFrames(1, turn_audio(1, 20)))
    assert line.told == [StreamFault("playout_overflow")]


async def test_the_comfort_sound_is_played_in_silence_and_not_over_speech() -> None:
    async with running() as line:
        line.io.tell(PlayComfort())
        line.io.tell(PlayComfort())
        await asyncio.sleep(2)
        assert line.socket.audio == COMFORT_SOUND
        line.io.tell(PlayFrames(1, turn_audio(1, 1000)))
        line.io.tell(PlayComfort())
        await asyncio.sleep(3)
        assert line.socket.audio == COMFORT_SOUND + turn_audio(1, 1000)


# Barge-in.


async def barge_in_while_playing(line: Line) -> None:
    """6 s are queued, half a second of them has been heard."""
    line.io.tell(PlayFrames(1, turn_audio(1, 6000)))
    await asyncio.sleep(0.5)
    line.io.tell(ClearPlayback(1))
    line.io.tell(PlayFrames(1, turn_audio(1, 200)))  # in the same read, right behind the interruption


async def barge_in_after_generation(line: Line) -> None:
    line.io.tell(PlayFrames(1, turn_audio(1, 6000)))
    line.io.tell(PlayEnded(1))
    await asyncio.sleep(0.5)
    line.io.tell(ClearPlayback(1))


async def barge_in_on_a_stalled_socket(line: Line) -> None:
    line.io.tell(PlayFrames(1, turn_audio(1, 6000)))
    await asyncio.sleep(0.45)
    line.socket.gate.clear()
    await asyncio.sleep(0.05)
    line.io.tell(ClearPlayback(1))


@pytest.mark.parametrize("barge_in", [barge_in_while_playing, barge_in_after_generation])
async def test_clear_goes_out_before_any_other_frame_and_the_next_turn_is_whole(
    barge_in: Callable[[Line], Awaitable[None]],
) -> None:
    async with running() as line:
        await barge_in(line)
        before = line.socket.events.index("clear")
        assert before == len(line.socket.sent) - 1
        line.io.tell(PlayFrames(2, b"".join(bytes([number]) * FRAME for number in range(1, 51))))
        line.io.tell(PlayEnded(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        after = line.socket.sent[before:]
        assert after[0].event == "clear"
        assert after[0].at_s == about(line.began_s + 0.5)
        await asyncio.sleep(5)
        after = line.socket.sent[before:]
        assert b"".join(sent.mulaw for sent in after) == b"".join(bytes([number]) * FRAME for number in range(1, 51))
        assert [sent.event for sent in after].count("clear") == 1
    played = [message for message in line.told if isinstance(message, TurnPlayed)]
    assert [(turn.turn, turn.cleared) for turn in played] == [(1, True), (2, False)]
    assert abs(played[0].heard_ms - 500) <= 60
    assert (played[1].audio_ms, played[1].heard_ms) == (1000, 1000)


async def test_a_socket_that_is_stuck_sends_the_clear_before_anything_new() -> None:
    async with running() as line:
        await barge_in_on_a_stalled_socket(line)
        line.io.tell(PlayFrames(2, turn_audio(2, 200)))
        line.socket.gate.set()
        before = len(line.socket.sent)
        await asyncio.sleep(2)
        after = line.socket.sent[before:]
        # One message was on its way already, when the socket stalled; then the clear; then nothing of turn 1.
        clear = [sent.event for sent in after].index("clear")
        assert sum(len(sent.mulaw) for sent in after[:clear]) <= 5 * FRAME
        assert b"".join(sent.mulaw for sent in after[clear:]) == turn_audio(2, 200)


async def test_a_clear_that_finds_nothing_unheard_is_not_sent() -> None:
    async with running() as line:
        line.io.tell(PlayFrames(1, turn_audio(1, 200)))
        line.io.tell(PlayEnded(1))
        await asyncio.sleep(2)
        line.io.tell(ClearPlayback(1))
        await asyncio.sleep(2)
    assert "clear" not in line.socket.events


async def test_marks_that_the_clear_brings_back_are_not_taken_for_heard() -> None:
    async with running() as line:
        line.io.tell(PlayFrames(1, turn_audio(1, 6000)))
        await asyncio.sleep(0.05)
        line.io.tell(ClearPlayback(1))
        await asyncio.sleep(1)
    assert line.kinds() == ["TurnSpeaking", "TurnPlayed", "PlayoutEmpty"]


# Closing.


async def test_closing_ends_the_actor_when_the_peer_answers() -> None:
    line = Line()
    line.io.tell(CloseStream(1000, "done"))
    await line.io.run()
    assert line.socket.closed == (1000, "done")
    assert line.told == []


async def test_a_peer_that_does_not_answer_the_close_is_left_after_a_second_or_two() -> None:
    line = Line()
    line.socket.answers_close = False
    line.io.tell(CloseStream(1000, "done"))
    await line.io.run()
    assert line.told == [StreamFault("close_not_answered")]
    assert asyncio.get_running_loop().time() - line.began_s <= 2.0 + 1e-6


async def test_messages_are_read_while_the_stream_closes() -> None:
    line = Line()
    line.socket.say(mark("t1-1"))
    line.socket.say(STOP)
    line.io.tell(CloseStream(1000, "done"))
    await line.io.run()
    assert line.told == [CallerGone("stop", line.began_s)]


async def test_a_stream_that_is_gone_while_it_plays_ends_the_actor() -> None:
    line = Line()
    line.io.tell(PlayFrames(1, turn_audio(1, 6000)))
    loop = asyncio.get_running_loop()
    loop.call_later(0.5, line.socket.drop)
    await line.io.run()
    assert line.told[-1] == CallerGone("closed", about(line.began_s + 0.5))
