"""What a line does to sound and time; WAV files; what is measured from the recordings."""

import asyncio
import io
import random
import wave
from collections import deque
from pathlib import Path

import audioop
import pytest
from scripted_app import tone, ulaw_tone

from callbot.simulators.twilio import Echo, Jitter, LineModel, WavError, read_wav
from callbot.simulators.twilio.handset import Spoken
from callbot.simulators.twilio.line import Delays, Microphone
from callbot.simulators.twilio.playout import SILENCE
from callbot.simulators.twilio.records import ClearRecord
from callbot.simulators.twilio.report import measure_utterances


def test_an_idle_line_dithers_within_the_captured_range_or_is_pure_silence() -> None:
    comfort = Microphone(LineModel(), random.Random(1))
    frames = [comfort.frame(None, ()) for _ in range(50)]
    assert set(b"".join(frames)) <= {*range(0x7B, 0x80), *range(0xFB, 0x100)}
    assert len(set(frames)) > 10
    assert max(audioop.rms(audioop.ulaw2lin(frame, 2), 2) for frame in frames) < 50
    assert Microphone(LineModel(idle="pure"), random.Random(1)).frame(None, ()) == SILENCE


def test_echo_returns_what_was_heard_later_and_softer() -> None:
    microphone = Microphone(LineModel(idle="pure", echo=Echo(delay_ms=60, attenuation_db=20)), random.Random(1))
    loud = ulaw_tone(20)
    heard = [loud, SILENCE, SILENCE]
    echoed = audioop.ulaw2lin(microphone.frame(None, heard), 2)
    ratio = audioop.rms(audioop.ulaw2lin(loud, 2), 2) / audioop.rms(echoed, 2)
    assert ratio == pytest.approx(10, rel=0.1)
    assert microphone.frame(None, [*heard, SILENCE]) == SILENCE


def test_level_makes_the_caller_softer() -> None:
    soft = Microphone(LineModel(level_db=-20), random.Random(1)).frame(ulaw_tone(20), ())
    ratio = audioop.rms(tone(20), 2) / audioop.rms(audioop.ulaw2lin(soft, 2), 2)
    assert ratio == pytest.approx(10, rel=0.1)


def test_a_loss_beyond_all_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        LineModel(loss=3)


def test_jitter_keeps_the_order_and_a_stall_ends_in_a_clump() -> None:
    delays = Delays(Jitter(delay_ms=(5, 15)), random.Random(1))
    due = [delays.due_s(k * 0.02) for k in range(50)]
    assert due == sorted(due)
    assert all(0.005 <= at - k * 0.02 <= 0.015 for k, at in enumerate(due))
    delays.stall(1.0, 0.5)
    held = [delays.due_s(1.0 + k * 0.02) for k in range(20)]
    assert held == [1.5] * 20
    assert delays.due_s(2.0) > 2.0


def test_stalls_come_at_about_the_asked_rate() -> None:
    delays = Delays(Jitter(delay_ms=(0, 0), stall_every_s=2, stall_ms=(300, 300)), random.Random(1))
    late = sum(delays.due_s(k * 0.02) > k * 0.02 for k in range(5000))
    assert 200 < late < 1500  # 100 s with a stall of 15 frames every 2 s: 750 frames


def wav(rate_hz: int, samples: bytes, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, width, rate_hz, 0, "NONE", ""))
        out.writeframes(samples)
    return file.getvalue()


def test_wav_files_of_8_and_16_khz_become_8_khz_mono(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(8000, tone(100)))
    assert read_wav(path) == tone(100)
    path.write_bytes(wav(8000, audioop.tostereo(tone(100), 2, 1, 1), channels=2))
    assert len(read_wav(path)) == len(tone(100))
    wide = audioop.ratecv(tone(200), 2, 1, 8000, 16000, None)[0]
    path.write_bytes(wav(16000, wide))
    narrow = read_wav(path)
    assert len(narrow) == pytest.approx(len(tone(200)), abs=4)
    assert audioop.rms(narrow, 2) == pytest.approx(audioop.rms(tone(200), 2), rel=0.05)


def test_what_lies_above_4_khz_does_not_come_back_as_another_tone(tmp_path: Path) -> None:
    samples = tone(200, hz=3000)  # played at twice the rate: 6 kHz
    path = tmp_path / "high.wav"
    path.write_bytes(wav(16000, samples))
    assert audioop.rms(read_wav(path)[400:-400], 2) < audioop.rms(samples, 2) / 100


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ID3 no wav", "not a WAV file"),
        (b"", "not a WAV file"),
        (wav(44100, tone(10)), "44100 Hz"),
        (wav(8000, b"\x80" * 80, width=1), "8 bit"),
        (wav(8000, b""), "no audio"),
    ],
)
def test_a_file_that_cannot_be_spoken_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(WavError, match=reason):
        read_wav(path)
    with pytest.raises(WavError, match="cannot be read"):
        read_wav(tmp_path / "missing.wav")


async def spoken(start_frame: int, frames: int, *, over_bot: bool = False) -> Spoken:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return Spoken("u", deque(), frames, done, start_frame, over_bot)


def heard(*spans: tuple[int, int], total: int = 300) -> list[bool]:
    return [any(start <= frame < end for start, end in spans) for frame in range(total)]


async def test_latency_runs_from_the_last_word_to_the_first_sound_of_the_answer() -> None:
    first, second = await spoken(10, 20), await spoken(150, 10)
    measured = measure_utterances([first, second], heard((60, 100)), [])
    assert [each.latency_ms for each in measured] == [600.0, None]
    assert measured[0].end_s == pytest.approx(0.6)


async def test_the_rest_of_an_old_answer_is_not_taken_for_a_new_one() -> None:
    talk_over = await spoken(50, 20, over_bot=True)
    assert measure_utterances([talk_over], heard((20, 120)), [])[0].latency_ms is None
    clear = ClearRecord(1.1, 500.0, ())
    measured = measure_utterances([talk_over], heard((20, 56), (90, 120)), [clear])[0]
    assert measured.clear_after_ms == pytest.approx(100)
    assert (measured.dropped_ms, measured.heard_after_clear_ms) == (500.0, 0.0)
    assert measured.latency_ms == 400.0
    careless = measure_utterances([talk_over], heard((20, 66), (90, 120)), [clear])[0]
    assert careless.heard_after_clear_ms == 200.0
