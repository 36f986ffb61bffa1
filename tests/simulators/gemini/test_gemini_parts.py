"""The parts of the stand-in that need no socket: hearing, time, sounds, scripts, and the command."""

import asyncio
import math
import random
import signal
import sys
import wave

import pytest

from callbot.simulators.gemini import Fault, Parrot, Prompt, ScriptedBrain, VadSettings, __main__, messages
from callbot.simulators.gemini.clock import CallerClock, WallClock
from callbot.simulators.gemini.faults import FaultScript, Refuse
from callbot.simulators.gemini.resumption import Conversation
from callbot.simulators.gemini.triggers import OnConnect
from callbot.simulators.gemini.vad import EnergyVad, SpeechEnded, SpeechStarted
from callbot.simulators.gemini.voice import murmur, repeat_to, to_model_rate, tone

MS = 32  # bytes of 16 kHz PCM


def loud(ms, level=0.25):
    return tone(400.0, ms / 1000, level=level, rate_hz=16_000)


def heard(pcm, settings=VadSettings(silence_duration_ms=400, prefix_padding_ms=60), chunk=None):  # noqa: B008
    vad = EnergyVad(settings)
    step = chunk or len(pcm)
    return [event for offset in range(0, len(pcm), step) for event in vad.feed(pcm[offset : offset + step])]


def test_speech_is_found_where_it_is():
    start, end = heard(bytes(500 * MS) + loud(600) + bytes(1000 * MS))
    assert isinstance(start, SpeechStarted)
    assert start.at_ms == 500
    assert isinstance(end, SpeechEnded)
    assert (end.start_ms, end.end_ms) == (500, 1100)
    assert len(end.pcm) == (200 + 600 + 200) * MS  # some of the silence before and after


@pytest.mark.parametrize("chunk", [2, 33, 640, 3200, 50_000])
def test_the_size_of_chunks_changes_nothing(chunk):
    pcm = bytes(300 * MS) + loud(400) + bytes(800 * MS) + loud(200) + bytes(800 * MS)
    assert heard(pcm, chunk=chunk) == heard(pcm)
    assert len(heard(pcm)) == 4


def test_a_click_is_not_speech_but_padding_decides_how_long_a_click_is():
    pcm = bytes(200 * MS) + loud(80) + bytes(800 * MS)
    assert heard(pcm, VadSettings(prefix_padding_ms=120)) == []
    assert len(heard(pcm, VadSettings(prefix_padding_ms=40))) == 2


def test_a_pause_shorter_than_the_silence_does_not_end_speech():
    pcm = loud(300) + bytes(300 * MS) + loud(300) + bytes(1000 * MS)
    assert len(heard(pcm, VadSettings(silence_duration_ms=400))) == 2
    assert len(heard(pcm, VadSettings(silence_duration_ms=200))) == 4


def test_low_start_sensitivity_needs_more_level():
    pcm = loud(500, level=0.02) + bytes(1000 * MS)  # 460 rms
    assert len(heard(pcm, VadSettings(start_sensitivity="HIGH"))) == 2
    assert heard(pcm, VadSettings(start_sensitivity="LOW")) == []


def test_low_end_sensitivity_waits_longer():
    pcm = loud(400) + bytes(600 * MS)
    assert len(heard(pcm, VadSettings(end_sensitivity="HIGH"))) == 2
    assert len(heard(pcm, VadSettings(end_sensitivity="LOW"))) == 1


def test_flushing_ends_speech_at_once():
    vad = EnergyVad(VadSettings())
    vad.feed(loud(400))
    (end,) = vad.flush()
    assert isinstance(end, SpeechEnded)
    assert len(end.pcm) == 400 * MS
    assert vad.flush() == []


def test_the_murmur_is_taken_for_speech():
    events = heard(murmur(6, rate_hz=16_000) + bytes(1000 * MS))
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded]


async def test_the_callers_clock_moves_with_the_audio_only():
    clock, woken = CallerClock(), []

    async def sleeper(delay_s):
        await clock.sleep(delay_s)
        woken.append((delay_s, clock.now()))

    async with asyncio.TaskGroup() as group:
        for delay_s in (0.3, 0.1, 0.0):
            group.create_task(sleeper(delay_s))
        await clock.advance(0.0)
        assert woken == [(0.0, 0.0)]
        await clock.advance(1.0)
    assert woken == [(0.0, 0.0), (0.1, 0.1), (0.3, 0.3)]
    assert clock.now() == 1.0


async def test_a_wall_clock_needs_a_positive_scale():
    with pytest.raises(ValueError, match="time_scale"):
        WallClock(0)


def test_raising_the_rate_keeps_length_and_level():
    raised = to_model_rate(loud(1000))
    assert len(raised) == 48_000
    assert to_model_rate(b"") == b""


def test_gain_saturates_instead_of_wrapping():
    raised = to_model_rate(b"\xff\x7f" * 1600, gain=4.0)
    middle = raised[1200:-1200]
    assert middle == b"\xff\x7f" * (len(middle) // 2)


def test_repeating_reaches_the_length_and_leaves_longer_sounds_alone():
    unit = tone(300.0, 0.5)
    assert 2.0 <= len(repeat_to(unit, 2.0)) / 48_000 < 2.8
    assert repeat_to(unit, 0.2) == unit
    assert repeat_to(b"", 2.0) == b""


def test_cutting_loses_nothing():
    pcm = random.Random(3).randbytes(100_001)
    parts = list(messages.cut(pcm, (2, 2400, 961)))
    assert b"".join(parts) == pcm
    assert [len(part) for part in parts[:4]] == [2, 2400, 961, 2]


def test_transcripts_come_in_words_with_leading_spaces():
    assert messages.fragments("one two  three") == ["one", " two", " three"]
    assert messages.fragments("") == []


def test_a_close_reason_is_cut_between_characters():
    assert messages.cut_reason("ä" * 100) == "ä" * 61


@pytest.mark.parametrize("text", ["-_-_", "+/+/", "-_-_-w", "-_-_-w=="])
def test_both_base64_alphabets_are_read(text):
    assert messages.decode_audio(text)[:3] == b"\xfb\xff\xbf"


@pytest.mark.parametrize("text", ["a", "%%%%", "aé=="])
def test_what_is_not_base64_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - binascii's text is its own
        messages.decode_audio(text)


def test_a_script_counts_by_conversation_and_can_repeat():
    conversation = Conversation(1)
    once, again = ScriptedBrain([[]]), ScriptedBrain([[]], repeat=True)
    assert once.answer(Prompt("text"), conversation) == []
    conversation.turns_begun = 1
    assert once.answer(Prompt("text"), conversation) is None
    assert again.answer(Prompt("text"), conversation) == []


def test_the_parrot_greets_once_with_what_it_was_given():
    parrot, conversation = Parrot(greeting=b"\1\2"), Conversation(1)
    (greeting,) = parrot.answer(Prompt("text"), conversation)
    assert greeting.pcm == b"\1\2"
    (later,) = parrot.answer(Prompt("text"), conversation)
    assert later.pcm != b"\1\2"


def test_a_fault_happens_as_often_as_it_says():
    fault = Fault(OnConnect(), Refuse(503), times=2)
    script = FaultScript([fault])
    assert [script.take(fault) for _ in range(3)] == [True, True, False]
    assert script.for_connection(1) == []


def test_the_command_reads_only_greetings_it_can_play(tmp_path):
    for rate, path in ((24_000, tmp_path / "good.wav"), (8000, tmp_path / "bad.wav")):
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(b"\1\2\3\4")
    assert __main__.read_greeting(tmp_path / "good.wav") == b"\1\2\3\4"
    with pytest.raises(ValueError, match="must be 24 kHz"):
        __main__.read_greeting(tmp_path / "bad.wav")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(ValueError, match="is not a WAV file"):
        __main__.read_greeting(tmp_path / "text.wav")


async def test_the_command_says_what_to_set(open_line):
    async with open_line(burst=math.inf) as line:
        text = __main__.advice(line.standin)
    assert f"export SSL_CERT_FILE={line.standin.ca_pem_path}" in text
    assert f"export GOOGLE_GEMINI_BASE_URL=https://127.0.0.1:{line.standin.port}" in text
    assert "export GEMINI_API_KEY=" in text


async def test_the_command_runs_until_interrupted(tmp_path):
    command = [sys.executable, "-m", "callbot.simulators.gemini", "--ca-file", str(tmp_path / "ca.pem")]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    first = await process.stdout.readline()
    assert first.startswith(b"Listening on https://127.0.0.1:")
    assert (tmp_path / "ca.pem").exists()
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
