"""What `callbot demo` leaves behind: the log, a stereo WAV, a picture; and the tables it prints at the end."""

import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from callbot.audio import g711
from callbot.audio.levels import SILENT_DB, is_audible_mulaw, pcm_level_dbfs
from callbot.telemetry import story
from callbot.telemetry.log_file import parse_line
from callbot.telemetry.picture import draw_timeline
from callbot.telemetry.timeline import Event, calls_of

_LOG_NAME: Final = "call.jsonl"
_WAV_NAME: Final = "call.wav"
_PICTURE_NAME: Final = "call.svg"


@dataclass(frozen=True, slots=True)
class Loudness:
    """One channel's sound: how long it was audible, and the RMS level of those parts (`SILENT_DB` if there are none)."""

    speech_s: float
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class Files:
    """What was written, and what the two channels hold."""

    wav: Path
    picture: Path
    log: Path
    caller: Loudness
    heard: Loudness


class LogTee:
    """A byte stream for logs: each line goes into the file at `path`, and as an event to `feed`. A context manager.

    A file of that name is overwritten. Lines after the end are dropped: nobody is there to read them.
    """

    def __init__(self, path: Path, feed: Callable[[dict[str, Any]], None]) -> None:
        self._path = path
        self._feed = feed
        self._file = path.open("wb")
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> int:
        """Take bytes, whole lines or parts of them."""
        if self._file.closed:
            return len(chunk)
        self._file.write(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if (event := parse_line(line)) is not None:
                self._feed(event)
        return len(chunk)

    def flush(self) -> None:
        """Bring what was written to the file."""
        if not self._file.closed:
            self._file.flush()


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a log; lines that are no JSON objects are left out. Raises OSError if it cannot be read."""
    return [event for line in path.read_bytes().splitlines() if (event := parse_line(line)) is not None]


def write(
    out: Path,
    sent_mulaw: bytes,
    heard_mulaw: bytes,
    events: Iterable[Event],
    marks: Sequence[tuple[float, str]],
    clears: Sequence[tuple[float, float]],
) -> Files:
    """Write `call.wav` and `call.svg` into `out`. Raises OSError if that fails.

    `sent_mulaw` is what the caller said, `heard_mulaw` what came back (8 kHz, from the stream's start); `marks` are
    (seconds, name), `clears` (seconds, ms of audio dropped).
    """
    length = max(len(sent_mulaw), len(heard_mulaw))
    silence = bytes([g711.SILENCE])
    sent_mulaw, heard_mulaw = sent_mulaw.ljust(length, silence), heard_mulaw.ljust(length, silence)
    wav = out / _WAV_NAME
    _write_stereo(wav, g711.decode(sent_mulaw), g711.decode(heard_mulaw))
    picture = out / _PICTURE_NAME
    calls = calls_of(events)
    svg = draw_timeline(calls[0] if calls else None, sent_mulaw, heard_mulaw, marks, clears)
    picture.write_text(svg, encoding="utf-8")
    return Files(wav, picture, out / _LOG_NAME, _loudness(sent_mulaw), _loudness(heard_mulaw))


def _write_stereo(path: Path, left_pcm: bytes, right_pcm: bytes) -> None:
    both = np.column_stack((np.frombuffer(left_pcm, np.int16), np.frombuffer(right_pcm, np.int16)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(g711.SAMPLE_RATE_HZ)
        file.writeframes(both.astype("<i2").tobytes())  # WAV is little-endian


def _loudness(mulaw: bytes) -> Loudness:
    """Only frames that hold sound count: the pauses of a conversation would pull the level down by many dB."""
    frames = (mulaw[start : start + g711.FRAME_BYTES] for start in range(0, len(mulaw), g711.FRAME_BYTES))
    speech = b"".join(frame for frame in frames if is_audible_mulaw(frame))
    return Loudness(g711.duration_ms(len(speech)) / 1000, pcm_level_dbfs(g711.decode(speech)))


def summarise(console: Console, events: Iterable[Event], files: Files) -> None:
    """Print the call's story, the levels of both channels, and where the files are."""
    calls = calls_of(events)
    console.print()
    if calls:
        story.print_call(console, calls[0])
    else:
        console.print("No call in the log: it never reached the server.")
    console.print()
    console.print(Text("Sound", style="bold"))
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for column, justify in (("channel", "left"), ("speech", "right"), ("level", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for name, loudness in (("caller (left)", files.caller), ("heard (right)", files.heard)):
        level = "silent" if loudness.level_dbfs <= SILENT_DB else f"{loudness.level_dbfs:.1f} dBFS"
        table.add_row(name, f"{loudness.speech_s:.1f} s", level)
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print()
    console.print(Text("Files", style="bold"))
    for path, what in ((files.wav, "listen to it"), (files.picture, "look at it"), (files.log, "callbot logs shows it again")):
        console.print(Text.assemble("  ", (str(path), "cyan"), f"  {what}"), soft_wrap=True)
