"""The end of speech, in audio time, on lines as they are.

Most speech here is made: syllables of a voiced sound with their own lengths and levels, known to the millisecond. The
recorded callers show that people are heard, too.
"""

import wave
from pathlib import Path

import numpy as np
import pytest
from tone_analysis import Signal, from_pcm, to_mulaw, tone_dbm0

from callbot.audio import FRAME_BYTES, FRAME_MS, SILENT_FRAME, SpeechDetector, SpeechEnded, SpeechStarted

S16_RMS_AT_0_DBM0 = 16016  # of the digital milliwatt
SYLLABLES_MS_DB = ((140, 0), (90, -8), (180, 2), (70, -5), (220, 1), (120, -6), (160, -2))
GAP_MS = 40
VOICES = Path(__file__).parents[2] / "callbot" / "simulators" / "voices"
CALLERS = sorted(VOICES.glob("caller_*.wav"))


def line_noise(seconds: float, level_dbm0: float, seed: int = 5) -> Signal:
    scale = S16_RMS_AT_0_DBM0 * 10 ** (level_dbm0 / 20)
    return np.random.default_rng(seed).normal(0, scale, round(8000 * seconds))


def sentence(level_dbm0: float = -20, repeats: int = 1) -> Signal:
    """0.98 s of sound for each repeat, in syllables with gaps of 40 ms; 120 Hz voice with its harmonics to 3 kHz."""
    pieces = []
    for duration_ms, offset_db in SYLLABLES_MS_DB * repeats:
        voice = sum(
            (tone_dbm0(120 * n, 8000, duration_ms / 1000, level_dbm0 + offset_db) / n for n in range(1, 26)),
            start=np.zeros(duration_ms * 8),
        )
        ramp = np.minimum(1, np.minimum(np.arange(voice.size), np.arange(voice.size)[::-1]) / 80)  # 10 ms
        pieces += [voice * ramp, np.zeros(GAP_MS * 8)]
    return np.concatenate(pieces[:-1])


def on_a_line(*signals: Signal, noise_dbm0: float | None) -> bytes:
    line = np.concatenate(signals)
    return to_mulaw(line if noise_dbm0 is None else line + line_noise(line.size / 8000, noise_dbm0))


def pause(seconds: float) -> Signal:
    return np.zeros(round(8000 * seconds))


def events_of(mulaw: bytes, detector: SpeechDetector | None = None) -> list[tuple[int, SpeechStarted | SpeechEnded]]:
    """Each event with the audio time, in ms, at which it was told."""
    detector = detector or SpeechDetector()
    events = []
    for start in range(0, len(mulaw) - FRAME_BYTES + 1, FRAME_BYTES):
        event = detector.push(mulaw[start : start + FRAME_BYTES])
        if event is not None:
            events.append((start // 8 + FRAME_MS, event))
    return events


def spans_of(mulaw: bytes, detector: SpeechDetector | None = None) -> list[tuple[int, int]]:
    """Where each stretch of speech truly began and ended, as the detector tells it, in ms of audio."""
    events = events_of(mulaw, detector)
    assert [type(event) for _, event in events] == [SpeechStarted, SpeechEnded] * (len(events) // 2)
    spans = []
    for (told_ms, started), (ended_ms, ended) in zip(events[::2], events[1::2], strict=True):
        assert isinstance(started, SpeechStarted)
        assert isinstance(ended, SpeechEnded)
        spans.append((told_ms - started.start_offset_ms, ended_ms - ended.end_offset_ms))
        assert ended.speech_ms in {0, spans[-1][1] - spans[-1][0]}  # 0: it was a noise
    return spans


@pytest.mark.parametrize("noise_dbm0", [None, -60, -45, -35], ids=["digital silence", "clean", "25 dB", "15 dB"])
def test_the_start_and_end_of_a_sentence_are_told_to_a_few_frames(noise_dbm0: float | None) -> None:
    spoken = sentence()
    mulaw = on_a_line(pause(1), spoken, pause(1.5), noise_dbm0=noise_dbm0)
    ((began_ms, ended_ms),) = spans_of(mulaw)
    assert began_ms == pytest.approx(1000, abs=40)
    assert ended_ms == pytest.approx(1000 + spoken.size / 8, abs=40)


def test_there_are_recorded_callers() -> None:
    assert len(CALLERS) >= 3


@pytest.mark.parametrize("recording", CALLERS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("noise_dbm0", "tolerance_ms"), [(None, 60), (-42, 60), (-35, 300)])
def test_a_recorded_caller_is_one_stretch_that_ends_with_the_last_word(
    recording: Path, noise_dbm0: float | None, tolerance_ms: int
) -> None:
    """The recordings have -14 to -15 dBm0: 20 and 28 dB over the noise. What noise drowns of the end is not heard."""
    with wave.open(str(recording)) as wav:
        assert wav.getframerate() == 8000
        voice = from_pcm(wav.readframes(wav.getnframes()))
    levels = np.sqrt(np.mean(voice[: voice.size // 160 * 160].reshape(-1, 160) ** 2, axis=1))
    last_sound_ms = 1020 + 20 * int(np.nonzero(levels > np.max(levels) / 32)[0][-1])  # 30 dB under the loudest
    mulaw = on_a_line(pause(1), voice, pause(1.5), noise_dbm0=noise_dbm0)
    ((began_ms, ended_ms),) = spans_of(mulaw)
    assert 980 <= began_ms <= 1400
    assert ended_ms == pytest.approx(last_sound_ms, abs=tolerance_ms)


@pytest.mark.parametrize("level_dbm0", [-35, -10])
def test_quiet_and_loud_callers_are_heard(level_dbm0: float) -> None:
    mulaw = on_a_line(pause(1), sentence(level_dbm0), pause(1.5), noise_dbm0=level_dbm0 - 20)
    assert len(spans_of(mulaw)) == 1


@pytest.mark.parametrize("hangover_ms", [200, 500, 800])
def test_the_end_is_told_one_hangover_after_it(hangover_ms: int) -> None:
    mulaw = on_a_line(pause(1), sentence(), pause(2), noise_dbm0=-55)
    _, (_, ended) = events_of(mulaw, SpeechDetector(hangover_ms=hangover_ms))
    assert isinstance(ended, SpeechEnded)
    assert hangover_ms <= ended.end_offset_ms <= hangover_ms + FRAME_MS


def test_a_pause_shorter_than_the_hangover_does_not_end_speech_and_a_longer_one_does() -> None:
    spoken = sentence()
    short = on_a_line(pause(1), spoken, pause(0.4), spoken, pause(1), noise_dbm0=-50)
    long = on_a_line(pause(1), spoken, pause(0.7), spoken, pause(1), noise_dbm0=-50)
    assert len(spans_of(short)) == 1
    assert len(spans_of(long)) == 2


def test_a_call_that_begins_in_the_middle_of_a_sentence_is_heard() -> None:
    spoken = sentence()
    ((_, ended_ms),) = spans_of(on_a_line(spoken, pause(1), noise_dbm0=-50))
    assert ended_ms == pytest.approx(spoken.size / 8, abs=40)


def test_a_long_monologue_is_one_stretch() -> None:
    spoken = sentence(repeats=15)
    ((began_ms, ended_ms),) = spans_of(on_a_line(pause(1), spoken, pause(1), noise_dbm0=-40))
    assert began_ms == pytest.approx(1000, abs=40)
    assert ended_ms == pytest.approx(1000 + spoken.size / 8, abs=40)


@pytest.mark.parametrize("level_dbm0", [-75, -60, -50, -40, -32])
def test_steady_noise_is_never_speech(level_dbm0: float) -> None:
    assert events_of(to_mulaw(line_noise(20, level_dbm0))) == []


def test_noise_that_sways_by_6_db_is_not_speech() -> None:
    noise = line_noise(20, -38)
    sway_db = 3 * np.sin(2 * np.pi * 1.5 * np.arange(noise.size) / 8000)
    assert events_of(to_mulaw(noise * 10 ** (sway_db / 20))) == []


def test_breath_on_a_silent_line_is_not_speech() -> None:
    breath = np.concatenate([line_noise(0.7, -72), line_noise(0.3, -50)] * 10)
    assert events_of(to_mulaw(breath)) == []


def test_comfort_noise_and_digital_silence_are_never_speech_nor_the_change_between_them() -> None:
    codes = np.array([*range(0x7B, 0x80), *range(0xFB, 0x100)], np.uint8)
    comfort_noise = np.random.default_rng(3).choice(codes, 16_000).tobytes()
    assert events_of((comfort_noise + SILENT_FRAME * 100) * 5) == []


def test_line_noise_that_comes_back_after_digital_silence_is_not_speech() -> None:
    noise = to_mulaw(line_noise(3, -38))
    assert events_of(noise + SILENT_FRAME * 200 + noise) == []


def test_frames_that_lost_half_their_samples_do_not_make_the_noise_speech() -> None:
    noise = bytearray(to_mulaw(line_noise(10, -38)))
    for start in range(0, len(noise), 40 * FRAME_BYTES):
        noise[start : start + 140] = SILENT_FRAME[:140]
    assert events_of(bytes(noise)) == []


def test_clicks_are_not_speech_and_do_not_prolong_it() -> None:
    click = to_mulaw(tone_dbm0(700, 8000, 0.02, -10))
    clicks = (click + to_mulaw(line_noise(0.28, -50))) * 20
    assert events_of(clicks) == []
    spoken = sentence()
    ((_, ended_ms),) = spans_of(on_a_line(pause(1), spoken, noise_dbm0=-50) + clicks)
    assert ended_ms == pytest.approx(1000 + spoken.size / 8, abs=40)


def test_noise_that_grows_louder_counts_as_speech_for_no_more_than_two_and_a_half_seconds() -> None:
    (told_ms, started), (ended_ms, ended) = events_of(to_mulaw(np.concatenate([line_noise(5, -60), line_noise(10, -38)])))
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert ended.speech_ms == 0, "it was a noise"
    assert told_ms <= 5000 + 200
    assert ended_ms <= 5000 + 3000


def test_after_the_noise_has_changed_speech_is_still_told_apart() -> None:
    spoken = sentence(-18)
    quiet = [pause(2), spoken, pause(2)]
    line = np.concatenate(quiet * 3)
    noise = np.concatenate([line_noise(line.size / 24_000, level) for level in (-55, -36, -60)])
    stretches = [
        (began_ms, ended_ms) for began_ms, ended_ms in spans_of(to_mulaw(line + noise[: line.size])) if ended_ms > began_ms
    ]
    third_ms = line.size / 24
    for part in range(3):
        true_end_ms = part * third_ms + 2000 + spoken.size / 8
        assert any(abs(ended_ms - true_end_ms) <= 40 for _, ended_ms in stretches)


def test_audio_time_is_counted_from_the_bytes_not_from_the_pushes() -> None:
    mulaw = on_a_line(pause(1), sentence(), pause(1.5), noise_dbm0=-50)
    detector, told = SpeechDetector(), []
    for start in range(0, len(mulaw), 80):  # 10 ms at a time
        event = detector.push(mulaw[start : start + 80])
        assert detector.push(b"") is None
        if event is not None:
            told.append(event)
    assert isinstance(told[0], SpeechStarted)
    assert isinstance(told[1], SpeechEnded)
    assert told[1].speech_ms == pytest.approx(sentence().size / 8, abs=40)
    assert told[1].end_offset_ms in (500, 510)


def test_after_a_reset_it_is_as_good_as_new() -> None:
    loud = on_a_line(pause(1), sentence(), noise_dbm0=-32)
    quiet = on_a_line(pause(1), sentence(-33), pause(1), noise_dbm0=-60)
    detector = SpeechDetector()
    events_of(loud, detector)
    before = detector.speaking
    detector.reset()
    assert (before, detector.speaking) == (True, False)
    assert events_of(quiet, detector) == events_of(quiet)


def test_the_noise_floor_is_that_of_the_line() -> None:
    detector = SpeechDetector()
    events_of(on_a_line(pause(3), sentence(), pause(1), noise_dbm0=-45), detector)
    assert detector.noise_floor_dbm0 == pytest.approx(-46, abs=2)


@pytest.mark.parametrize("settings", [{"hangover_ms": 0}, {"min_speech_ms": -20}])
def test_times_that_make_no_sense_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give positive milliseconds"):
        SpeechDetector(**settings)
