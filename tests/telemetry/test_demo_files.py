import io
import json
import math
import re
import wave
from pathlib import Path
from typing import Any

import audioop
import numpy as np
import pytest
from call_log import as_lines, call_events
from rich.console import Console

from callbot.simulators import voices
from callbot.telemetry import demo_files

TONE = audioop.lin2ulaw((8000 * np.sin(2 * math.pi * 1004 * np.arange(8000) / 8000)).astype("<i2").tobytes(), 2)
SILENCE = bytes([0xFF]) * 8000


def written(tmp_path: Path, caller: bytes = SILENCE + TONE, heard: bytes = TONE) -> demo_files.Files:
    return demo_files.write(tmp_path, caller, heard, call_events(), [(1.0, "1.1")], [(9.75, 4460.0)])


def test_the_caller_is_left_and_what_was_heard_right_at_one_length(tmp_path: Path) -> None:
    files = written(tmp_path)

    with wave.open(str(files.wav)) as recording:
        assert (recording.getnchannels(), recording.getsampwidth(), recording.getframerate()) == (2, 2, 8000)
        both = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").reshape(-1, 2)
    assert both.shape == (16000, 2)
    assert both[:, 0].tobytes() == audioop.ulaw2lin(SILENCE + TONE, 2)
    assert both[:, 1].tobytes() == audioop.ulaw2lin(TONE + SILENCE, 2)


def test_levels_are_those_of_the_speech_without_its_pauses(tmp_path: Path) -> None:
    files = written(tmp_path, caller=SILENCE * 5 + TONE)

    assert files.caller.speech_s == pytest.approx(1.0, abs=0.05)
    assert files.caller.level_dbfs == pytest.approx(20 * math.log10(8000 / 32768 / math.sqrt(2)), abs=0.2)


def test_recorded_speech_has_the_level_it_was_made_with(tmp_path: Path) -> None:
    files = written(tmp_path, caller=audioop.lin2ulaw(voices.caller("go_forward"), 2))

    assert files.caller.level_dbfs == pytest.approx(-20, abs=1.5)


def test_silence_is_told_as_silence(tmp_path: Path) -> None:
    files = written(tmp_path, heard=b"")
    output = io.StringIO()

    demo_files.summarise(Console(file=output, width=80), call_events(), files)

    assert files.heard.speech_s == 0
    assert re.search(r"heard \(right\) +0\.0 s +silent", output.getvalue())


def test_the_summary_tells_the_story_the_levels_and_the_files(tmp_path: Path) -> None:
    output = io.StringIO()

    demo_files.summarise(Console(file=output, width=80), call_events(), written(tmp_path))

    printed = output.getvalue()
    for part in (
        "the caller cut in",
        "830 ms",
        "caller (left)   1.0 s",
        str(tmp_path / "call.wav"),
        str(tmp_path / "call.svg"),
    ):
        assert part in printed
    assert (tmp_path / "call.svg").read_text("utf-8").startswith("<svg")


def test_a_call_that_never_came_is_said_so(tmp_path: Path) -> None:
    files = demo_files.write(tmp_path, b"", b"", [], [], [])
    output = io.StringIO()

    demo_files.summarise(Console(file=output, width=80), [], files)

    assert "No call in the log" in output.getvalue()


def test_the_tee_writes_the_log_and_hands_on_each_event_once(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    log = as_lines(call_events()).encode()
    path = tmp_path / "call.jsonl"

    with demo_files.LogTee(path, seen.append) as tee:
        for start in range(0, len(log), 97):  # lines in pieces
            tee.write(log[start : start + 97])
        tee.write(b"no json\n")
        tee.flush()
    tee.write(b"{}\n")
    tee.flush()

    assert seen == call_events()
    assert path.read_bytes() == log + b"no json\n"
    assert demo_files.read_events(path) == [json.loads(line) for line in log.splitlines()]
