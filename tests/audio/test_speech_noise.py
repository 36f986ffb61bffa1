"""Lines louder than any noise should be: fans, music, tones and constant offsets, beside real recorded callers.

What never pauses loses its name of speech: at once when it hardly swings, after twelve seconds at the latest when it never
drops as the gaps between words do.
"""

import numpy as np
import pytest
from test_speech import events_of, line_noise, on_a_line, pause, sentence
from tone_analysis import Signal, from_pcm, to_mulaw, tone_dbm0

from callbot.audio import FRAME_BYTES, SpeechDetector, SpeechEnded, SpeechStarted
from callbot.audio.levels import SILENT_DB, is_audible_mulaw, mulaw_level_dbm0, pcm_level_dbfs
from callbot.simulators import voices
from tests.audio.noises import at_level, fan, music

CALLERS = [name for name, voice in voices.CATALOGUE.items() if voice.speaker == "caller"]
LOUD_DBM0 = (-26, -20, -14, -8)


def voice_of(name: str) -> Signal:
    return from_pcm(voices.caller(name))


def speaking_share(mulaw: bytes, detector: SpeechDetector) -> float:
    frames = [mulaw[start : start + FRAME_BYTES] for start in range(0, len(mulaw), FRAME_BYTES)]
    spoken = 0
    for frame in frames:
        detector.push(frame)
        spoken += detector.speaking
    return spoken / len(frames)


@pytest.mark.parametrize("level_dbm0", LOUD_DBM0)
@pytest.mark.parametrize("before_s", [0, 3], ids=["from the start", "after silence"])
def test_a_fan_is_no_speech_after_three_seconds_however_loud(before_s: int, level_dbm0: float) -> None:
    detector = SpeechDetector()
    mulaw = on_a_line(pause(before_s), fan(30, level_dbm0), noise_dbm0=-60)
    told = events_of(mulaw, detector)
    assert all(told_ms <= 1000 * before_s + 3000 for told_ms, _ in told)
    assert not detector.speaking
    assert [event.speech_ms for _, event in told if isinstance(event, SpeechEnded)] == [0] * (len(told) // 2)
    assert detector.noise_floor_dbm0 == pytest.approx(level_dbm0, abs=3)


@pytest.mark.parametrize("level_dbm0", LOUD_DBM0)
def test_a_tone_is_no_speech_after_three_seconds(level_dbm0: float) -> None:
    detector = SpeechDetector()
    told = events_of(on_a_line(pause(2), tone_dbm0(440, 8000, 20, level_dbm0), noise_dbm0=-60), detector)
    assert all(told_ms <= 5000 for told_ms, _ in told)
    assert not detector.speaking


@pytest.mark.parametrize("level_dbm0", LOUD_DBM0)
def test_music_is_no_speech_after_thirteen_seconds(level_dbm0: float) -> None:
    detector = SpeechDetector()
    told = events_of(on_a_line(pause(2), music(60, level_dbm0), noise_dbm0=-60), detector)
    assert all(told_ms <= 2000 + 13_000 for told_ms, _ in told)
    assert not detector.speaking
    assert isinstance(told[-1][1], SpeechEnded)
    assert told[-1][1].speech_ms <= 4000, "softer music than speech is under the floor within four seconds"
    if level_dbm0 > -20:
        assert told[-1][1].speech_ms == 0


@pytest.mark.parametrize("noise", [fan, music])
@pytest.mark.parametrize("name", CALLERS)
def test_a_caller_is_heard_as_ever_once_the_noise_has_stopped(name: str, noise: type) -> None:
    detector = SpeechDetector()
    events_of(on_a_line(pause(1), noise(30, -18), noise_dbm0=-55), detector)
    told = [event for _, event in events_of(on_a_line(pause(1), voice_of(name), pause(1.5), noise_dbm0=-55), detector)]
    assert [type(event) for event in told] == [SpeechStarted, SpeechEnded]
    assert isinstance(told[1], SpeechEnded)
    assert told[1].speech_ms >= 900


@pytest.mark.parametrize("name", CALLERS)
def test_a_caller_well_over_a_loud_fan_is_heard_and_the_end_too(name: str) -> None:
    detector = SpeechDetector()
    voice = at_level(voice_of(name), -8)
    quiet = pause(1)
    line = np.concatenate([pause(5), voice, pause(2), voice, quiet])
    told = events_of(to_mulaw(line + fan(line.size / 8000, -24)[: line.size]), detector)
    spoken = [event for _, event in told if isinstance(event, SpeechEnded) and event.speech_ms > 300]
    assert len(spoken) >= 2
    assert not detector.speaking


@pytest.mark.parametrize("level_dbm0", [-30, -20, -10])
def test_a_monologue_of_twenty_seconds_is_speech_to_its_end(level_dbm0: float) -> None:
    ((_, started), (_, ended)) = events_of(on_a_line(pause(1), sentence(level_dbm0, 17), pause(1), noise_dbm0=-55))
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert ended.speech_ms > 16_000


def test_recorded_callers_who_do_not_pause_are_speech_to_their_end() -> None:
    """All recordings twice, cut where they begin and end: some 20 s of real speech."""
    spoken = np.concatenate([voice_of(name)[800:-1600] for name in CALLERS * 2])
    told = [event for _, event in events_of(on_a_line(pause(1), spoken, pause(1.5), noise_dbm0=-55))]
    said_ms = sum(event.speech_ms for event in told if isinstance(event, SpeechEnded))
    assert said_ms > 0.75 * spoken.size / 8


@pytest.mark.parametrize("offset", [-6000, -800, 300, 4000])
def test_a_constant_offset_is_no_sound_and_hides_none(offset: int) -> None:
    silent = to_mulaw(pause(10) + offset)
    detector = SpeechDetector()
    assert events_of(silent, detector) == []
    assert mulaw_level_dbm0(silent[:FRAME_BYTES]) == SILENT_DB
    assert not is_audible_mulaw(silent)
    assert pcm_level_dbfs(np.full(480, offset, "<i2").tobytes()) == SILENT_DB
    spoken = np.concatenate([pause(1), voice_of(CALLERS[0]), pause(1.5)])
    noisy = to_mulaw(spoken + line_noise(spoken.size / 8000, -50)[: spoken.size] + offset)
    told = [event for _, event in events_of(noisy, detector)]
    assert [type(event) for event in told] == [SpeechStarted, SpeechEnded]


@pytest.mark.parametrize("shift_ms", [0, 5, 10, 15])
@pytest.mark.parametrize("level_dbm0", [-30, -20])
def test_a_word_of_160_ms_is_heard_with_its_length_however_it_lies_in_the_frames(level_dbm0: float, shift_ms: int) -> None:
    word = sentence(level_dbm0)[: 140 * 8]
    word = np.concatenate([word, word[: 20 * 8]])
    told = events_of(on_a_line(pause(1 + shift_ms / 1000), word, pause(1), noise_dbm0=-55))
    ((_, started), (_, ended)) = told
    assert isinstance(started, SpeechStarted)
    assert isinstance(ended, SpeechEnded)
    assert 120 <= ended.speech_ms <= 200


@pytest.mark.parametrize("gap_ms", [60, 420])
def test_time_without_frames_shorter_than_the_hangover_goes_on_with_the_same_speech(gap_ms: int) -> None:
    detector = SpeechDetector()
    spoken = sentence()
    events_of(on_a_line(pause(1), spoken, noise_dbm0=-55), detector)
    assert detector.pass_time(gap_ms) is None
    ((_, ended),) = events_of(on_a_line(spoken, pause(1), noise_dbm0=-55), detector)
    assert isinstance(ended, SpeechEnded)
    assert ended.speech_ms == pytest.approx(2 * spoken.size / 8 + gap_ms, abs=60)


def test_time_without_frames_ends_speech_as_silence_does() -> None:
    detector = SpeechDetector()
    events_of(on_a_line(pause(1), sentence(), noise_dbm0=-55), detector)
    assert detector.pass_time(300) is None
    ended = detector.pass_time(300)
    assert isinstance(ended, SpeechEnded)
    assert ended.end_offset_ms == pytest.approx(600, abs=40)
    assert ended.speech_ms == pytest.approx(sentence().size / 8, abs=40)
