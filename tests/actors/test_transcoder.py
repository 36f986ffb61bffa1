"""Transcoder: both directions, turn by turn, and who is speaking."""

import asyncio
import math
import struct

import pytest

from callbot.actors.transcoder import MOST_FILLED_MS, Transcoder
from callbot.actors.uplink import Uplink
from callbot.audio.framing import FrameAssembler
from callbot.audio.g711 import SILENCE, SILENT_FRAME, encode
from callbot.audio.resample import CallerUpsampler, Converter, ModelDownsampler
from callbot.messages.call import CallerPaused, CallerSpoke, CallMessage
from callbot.messages.children import (
    CallerAudio,
    CallerGap,
    DropTurns,
    ModelAudio,
    ModelAudioEnded,
    PlayEnded,
    PlayFrames,
    TwilioIOMessage,
)


def tone(ms: int, *, hz: float = 440.0, rate_hz: int = 24_000, peak: int = 8000) -> bytes:
    samples = rate_hz * ms // 1000
    return struct.pack(f"<{samples}h", *(round(peak * math.sin(2 * math.pi * hz * n / rate_hz)) for n in range(samples)))


SPEECH = encode(tone(20, rate_hz=8000))


class Desk:
    """A transcoder that is running, and everything it said."""

    def __init__(self, downsampler: str = "sinc_medium") -> None:
        self.uplink = Uplink(cap_s=30)
        self.played: list[TwilioIOMessage] = []
        self.told: list[CallMessage] = []
        self.transcoder = Transcoder(
            uplink=self.uplink,
            twilio_io=self.played.append,
            parent=self.told.append,
            upsampler="sinc_medium",
            downsampler=downsampler,
        )

    def frames(self, turn: int) -> bytes:
        return b"".join(message.mulaw for message in self.played if isinstance(message, PlayFrames) and message.turn == turn)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def converted(pcm: bytes, rate_hz: int = 24_000) -> bytes:
    down, frames = ModelDownsampler("sinc_medium", rate_hz), FrameAssembler()
    frames.reset(lead_in=down.look_ahead_bytes)
    return frames.push(down.push(pcm)) + frames.push(down.flush()) + frames.flush()


def test_the_callers_audio_goes_to_the_lane_at_16_khz_without_a_remainder(desk: Desk) -> None:
    for number in range(50):
        desk.transcoder.handle(CallerAudio(SPEECH, number * 0.02))
    assert desk.uplink.held_ms == 1000
    assert desk.uplink.take(10**6) == CallerUpsampler().push(SPEECH * 50)


def test_the_models_audio_goes_out_in_whole_frames_and_to_the_last_sample(desk: Desk) -> None:
    pcm = tone(1010)
    for at in range(0, len(pcm), 1001):  # odd: samples are cut in two
        desk.transcoder.handle(ModelAudio(1, pcm[at : at + 1001], 24_000))
    desk.transcoder.handle(ModelAudioEnded(1))
    assert desk.frames(1) == converted(pcm)
    assert len(desk.frames(1)) == 51 * 160
    assert desk.played[-1] == PlayEnded(1)
    assert all(len(message.mulaw) % 160 == 0 for message in desk.played if isinstance(message, PlayFrames))


@pytest.mark.parametrize("converter", list(Converter))
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_each_40_ms_of_the_model_are_two_whole_frames_at_once(converter: str, rate_hz: int) -> None:
    """The end of a chunk never waits for the next one in half a frame; what the filter holds back comes at the end."""
    desk = Desk(converter)
    for _ in range(5):
        before = len(desk.frames(1))
        desk.transcoder.handle(ModelAudio(1, tone(40, rate_hz=rate_hz), rate_hz))
        assert len(desk.frames(1)) - before == 320
    desk.transcoder.handle(ModelAudioEnded(1))
    assert len(desk.frames(1)) - 1600 == (0 if rate_hz == 8_000 else 160)


def test_the_rate_in_the_mime_type_is_followed(desk: Desk) -> None:
    desk.transcoder.handle(ModelAudio(1, tone(200, rate_hz=16_000), 16_000))
    desk.transcoder.handle(ModelAudioEnded(1))
    desk.transcoder.handle(ModelAudio(2, tone(200), 24_000))
    desk.transcoder.handle(ModelAudioEnded(2))
    assert desk.frames(1) == converted(tone(200, rate_hz=16_000), 16_000)
    assert desk.frames(2) == converted(tone(200))


def test_a_dropped_turn_is_heard_no_more_and_its_end_is_not_marked(desk: Desk) -> None:
    desk.transcoder.handle(ModelAudio(1, tone(100), 24_000))
    before = list(desk.played)
    desk.transcoder.handle(DropTurns(1))
    desk.transcoder.handle(ModelAudio(1, tone(100), 24_000))
    desk.transcoder.handle(ModelAudioEnded(1))
    assert desk.played == before


def test_the_turn_after_a_drop_is_converted_as_if_nothing_had_been_before(desk: Desk) -> None:
    desk.transcoder.handle(ModelAudio(1, tone(105, hz=1300)[:-1], 24_000))
    desk.transcoder.handle(DropTurns(1))
    desk.transcoder.handle(ModelAudio(2, tone(300), 24_000))
    desk.transcoder.handle(ModelAudioEnded(2))
    assert desk.frames(2) == converted(tone(300))


def test_a_turn_that_was_never_ended_leaves_nothing_to_the_next(desk: Desk) -> None:
    desk.transcoder.handle(ModelAudio(1, tone(105, hz=1300)[:-1], 24_000))
    desk.transcoder.handle(ModelAudio(2, tone(300), 24_000))
    desk.transcoder.handle(ModelAudioEnded(2))
    assert desk.frames(2) == converted(tone(300))


def test_an_older_drop_does_not_touch_the_turn_in_hand(desk: Desk) -> None:
    desk.transcoder.handle(ModelAudio(5, tone(105), 24_000))
    desk.transcoder.handle(DropTurns(4))
    desk.transcoder.handle(ModelAudio(5, tone(105), 24_000))
    desk.transcoder.handle(ModelAudioEnded(5))
    assert desk.frames(5) == converted(tone(105) * 2)


def test_the_end_of_a_turn_that_had_no_audio_here_is_passed_on(desk: Desk) -> None:
    desk.transcoder.handle(ModelAudioEnded(3))
    assert desk.played == [PlayEnded(3)]


def test_the_callers_beginning_and_end_are_told_in_the_times_at_which_they_were(desk: Desk) -> None:
    now_s = 10.0
    for frame in [SILENT_FRAME] * 25 + [SPEECH] * 50 + [SILENT_FRAME] * 40:
        now_s += 0.02
        desk.transcoder.handle(CallerAudio(frame, now_s))
    spoke, paused = desk.told
    assert isinstance(spoke, CallerSpoke)
    assert spoke.at_s == pytest.approx(10.5)
    assert isinstance(paused, CallerPaused)
    assert paused.ended_s == pytest.approx(11.5)
    assert paused.speech_ms == 1000
    assert paused.at_s == pytest.approx(12.0)


def test_what_is_missing_between_frames_is_silence_for_as_long_and_at_most_a_second(desk: Desk) -> None:
    for gap_ms, filled_ms in ((420, 420), (3000, MOST_FILLED_MS)):
        before = desk.uplink.held_ms
        desk.transcoder.handle(CallerAudio(SPEECH, 1.0))
        desk.transcoder.handle(CallerGap(gap_ms, 1.5))
        desk.transcoder.handle(CallerAudio(SPEECH, 1.5))
        assert desk.uplink.held_ms - before == 40 + filled_ms
    pcm = desk.uplink.take(10**6)
    assert pcm == CallerUpsampler().push(b"".join(SPEECH + bytes([SILENCE]) * 8 * ms + SPEECH for ms in (420, MOST_FILLED_MS)))


def test_speech_before_a_long_gap_has_ended_with_the_last_frame(desk: Desk) -> None:
    for number in range(20):
        desk.transcoder.handle(CallerAudio(SPEECH, 1 + (number + 1) * 0.02))
    desk.transcoder.handle(CallerGap(2000, 3.4))
    assert desk.told == [CallerSpoke(pytest.approx(1.0)), CallerPaused(pytest.approx(1.4), 400, 3.4)]


async def test_speech_after_which_no_frame_comes_any_more_is_told_to_have_ended() -> None:
    desk = Desk()
    running = asyncio.create_task(desk.transcoder.run())
    await asyncio.sleep(0)
    for number in range(20):
        desk.transcoder.tell(CallerAudio(SPEECH, 1 + (number + 1) * 0.02))
        await asyncio.sleep(0.02)
    assert desk.told == [CallerSpoke(pytest.approx(1.0))]
    held_ms = desk.uplink.held_ms
    await asyncio.sleep(1.0)
    assert desk.told[1:] == [CallerPaused(pytest.approx(1.4, abs=0.02), 400, pytest.approx(2.0, abs=0.05))]
    assert desk.uplink.held_ms == held_ms, "a stall of the network adds nothing"
    desk.transcoder.stop()
    await running
