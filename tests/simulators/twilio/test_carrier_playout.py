"""The playout queue and the caller's 20 ms beat, on a clock that the test moves."""

import asyncio
import random

import pytest
from scripted_app import ulaw_tone

from callbot.simulators.twilio.clock import ManualClock
from callbot.simulators.twilio.handset import CallEndedError, Handset, WaitTimeoutError
from callbot.simulators.twilio.line import LineModel, Microphone
from callbot.simulators.twilio.playout import SILENCE, PlayoutBuffer

FRAME = b"\x10" * 160


def test_audio_is_played_in_order_at_160_bytes_a_frame() -> None:
    playout = PlayoutBuffer()
    playout.enqueue(b"\x01" * 100)
    playout.enqueue(b"\x02" * 220)
    assert playout.queued_ms == 40
    assert playout.next_frame().frame == b"\x01" * 100 + b"\x02" * 60
    assert playout.next_frame().frame == b"\x02" * 160
    assert playout.next_frame().frame == SILENCE
    assert playout.ragged_payloads == 2
    assert playout.max_queued_ms == 40


def test_a_mark_comes_back_when_its_audio_has_been_played_to_the_end() -> None:
    playout = PlayoutBuffer()
    playout.enqueue(FRAME * 2)
    assert not playout.mark("a")
    playout.enqueue(FRAME)
    assert not playout.mark("b")
    assert not playout.mark("c")
    echoed = [playout.next_frame().marks for _ in range(4)]
    assert echoed == [(), (), ("a",), ("b", "c")]


def test_a_mark_comes_back_at_once_only_when_nothing_is_queued_or_sounding() -> None:
    playout = PlayoutBuffer()
    assert playout.mark("first")
    playout.enqueue(FRAME)
    playout.next_frame()
    assert not playout.mark("while the last frame sounds")
    assert playout.next_frame().marks == ("while the last frame sounds",)
    assert playout.mark("after it")


def test_a_mark_never_overtakes_one_that_is_still_out() -> None:
    playout = PlayoutBuffer()
    playout.enqueue(FRAME)
    assert not playout.mark("a")
    playout.next_frame()
    assert not playout.mark("b")
    assert playout.next_frame().marks == ("a", "b")


def test_a_clear_drops_the_queue_and_returns_the_marks_in_order() -> None:
    playout = PlayoutBuffer()
    playout.enqueue(FRAME * 5)
    playout.mark("a")
    playout.enqueue(FRAME * 5)
    playout.mark("b")
    playout.next_frame()
    cleared = playout.clear()
    assert cleared.dropped_ms == 180
    assert cleared.marks == ("a", "b")
    assert playout.next_frame().frame == SILENCE
    assert playout.clear().marks == ()
    playout.enqueue(FRAME)
    playout.mark("new")
    assert playout.next_frame().frame == FRAME
    assert playout.next_frame().marks == ("new",)
    assert playout.dropped_ms == 180


def test_a_queue_that_ends_inside_a_frame_is_padded_and_counted() -> None:
    playout = PlayoutBuffer()
    playout.enqueue(b"\x01" * 161)
    playout.next_frame()
    assert playout.next_frame().frame == b"\x01" + b"\xff" * 159
    assert playout.partial_frames == 1


def test_a_buffer_that_waits_for_whole_frames_holds_the_piece_and_its_mark_back() -> None:
    playout = PlayoutBuffer(wait_for_whole_frames=True)
    playout.enqueue(b"\x01" * 100)
    playout.mark("held")
    assert playout.next_frame().frame == SILENCE
    assert playout.next_frame().marks == ()
    playout.enqueue(b"\x01" * 60)
    assert playout.next_frame().frame == b"\x01" * 160
    assert playout.next_frame().marks == ("held",)
    assert playout.partial_frames == 0


@pytest.mark.parametrize(("dry_frames", "underruns"), [(0, 0), (1, 1), (25, 1), (26, 0)])
def test_a_short_hole_in_the_speech_is_an_underrun_and_a_long_one_a_pause(dry_frames: int, underruns: int) -> None:
    playout = PlayoutBuffer()
    playout.enqueue(FRAME)
    for _ in range(1 + dry_frames):
        playout.next_frame()
    playout.enqueue(FRAME)
    assert playout.next_frame().gap_ms == underruns * dry_frames * 20
    assert (playout.underruns, playout.underrun_ms) == (underruns, underruns * dry_frames * 20)


def test_silence_after_a_clear_is_no_underrun() -> None:
    playout = PlayoutBuffer()
    playout.enqueue(FRAME * 3)
    playout.next_frame()
    playout.clear()
    playout.next_frame()
    playout.enqueue(FRAME)
    playout.next_frame()
    assert playout.underruns == 0


class Phone:
    """A handset on a manual clock, listening to a playout buffer."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.playout = PlayoutBuffer()
        self.voice: list[tuple[float, bytes]] = []
        self.notes: list[tuple[float, str]] = []
        microphone = Microphone(LineModel(idle="pure"), random.Random(1))
        self.handset = Handset(self.clock, microphone, self._note)
        self.handset.attach(self)
        self.handset.start()
        self.zero_s = self.clock.now()

    def beat(self, voice: bytes, at_s: float) -> bytes:
        self.voice.append((round(at_s - self.zero_s, 6), voice))
        return self.playout.next_frame().frame

    def _note(self, at_s: float, kind: str, detail: str) -> None:
        del detail
        self.notes.append((round(at_s - self.zero_s, 6), kind))

    def at(self, kind: str) -> list[float]:
        return [at_s for at_s, noted in self.notes if noted == kind]


async def test_frames_leave_every_20_ms_without_drift_however_late_the_beat_runs() -> None:
    phone = Phone()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(phone.handset.run())
        for step_s in (0.02, 0.007, 0.5, 0.0131, 2.0, 0.46):
            await phone.clock.advance(step_s)
        phone.handset.end()
        await phone.clock.advance(0.02)
    assert [at_s for at_s, _ in phone.voice] == [round(k * 0.02, 6) for k in range(151)]


async def test_both_recordings_are_aligned_frame_by_frame() -> None:
    phone = Phone()
    phone.playout.enqueue(ulaw_tone(60))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(phone.handset.run())
        speaking = tasks.create_task(phone.handset.speak(ulaw_tone(40), "hello"))
        await phone.clock.advance(0.2)
        phone.handset.end()
        await phone.clock.advance(0.02)
        await speaking
    assert len(phone.handset.sent) == len(phone.handset.heard)
    assert [frame != SILENCE for frame in phone.handset.sent[:6]] == [False, True, True, False, False, False]
    assert phone.handset.audible[:4] == [True, True, True, False]
    assert phone.at("caller_speech_start") == [0.02]
    assert phone.at("caller_speech_end") == [0.06]
    assert phone.at("first_bot_audio") == [0.0]


async def test_the_end_of_speech_is_its_last_audible_frame() -> None:
    phone = Phone()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(phone.handset.run())
        tasks.create_task(phone.handset.speak(ulaw_tone(100) + SILENCE * 10, "trailing off"))
        await phone.clock.advance(1.0)
        phone.handset.end()
        await phone.clock.advance(0.02)
    start_s = phone.at("caller_speech_start")[0]
    assert phone.at("caller_speech_end") == [pytest.approx(start_s + 0.1)]


async def test_a_wait_ends_on_the_beat_that_fulfils_it_or_with_a_reason() -> None:
    phone = Phone()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(phone.handset.run())
        await phone.clock.advance(0.1)
        heard = tasks.create_task(phone.handset.until(lambda: phone.handset.bot_is_audible, 1.0, "the bot"))
        await phone.clock.advance(0.1)
        assert not heard.done()
        phone.playout.enqueue(ulaw_tone(20))
        await phone.clock.advance(0.02)
        assert heard.done()

        async def in_vain() -> None:
            with pytest.raises(WaitTimeoutError, match="gave up waiting for a miracle"):
                await phone.handset.until(lambda: False, 0.5, "a miracle")
            with pytest.raises(CallEndedError):
                await phone.handset.until(lambda: False, 60.0, "the end")
            with pytest.raises(CallEndedError):
                await phone.handset.speak(ulaw_tone(20), "too late")

        tasks.create_task(in_vain())
        await phone.clock.advance(0.6)
        phone.handset.end()
        await phone.clock.advance(0.02)


async def test_bot_speech_ends_after_a_pause_and_is_dated_back_to_its_last_sound() -> None:
    phone = Phone()
    phone.playout.enqueue(ulaw_tone(100) + SILENCE * 5 + ulaw_tone(100))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(phone.handset.run())
        await phone.clock.advance(2.0)
        phone.handset.end()
        await phone.clock.advance(0.02)
    assert phone.at("bot_speech_start") == [0.0]
    assert phone.at("bot_speech_end") == [0.3]
