"""Log lines as they come: from a file or standard input, packed or not, bare or with what collectors put around them.

Read as they are: `callbot serve`'s JSON lines; with a prefix in front (Compose, kubectl, journald); as a field of somebody
else's object (`journalctl -o json`, Docker's json-file); as Cloud Logging's entries, one a line or the array that
`gcloud logging read --format=json` gives. A file comes from anywhere, so nothing in it is trusted.
"""

import gzip
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import orjson

_GZIP_MAGIC: Final = b"\x1f\x8b"
_LONGEST_LINE: Final = 1 << 20  # longer ones are none of ours; Cloud Logging cuts at 256 KiB
_FOLLOW_S: Final = 0.25


class LogFile:
    """The events of one log. `bad_lines` counts lines that hold no JSON object; `failure` says why reading stopped early."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bad_lines = 0
        self.failure = ""

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event, in the file's order. Raises OSError if the file cannot be opened or read."""
        if self.name == "-":
            yield from self._read(sys.stdin.buffer)
            return
        with Path(self.name).open("rb") as file:
            yield from self._read(file)

    def follow(self, sleep: Callable[[float], None] = time.sleep) -> Iterator[dict[str, Any]]:
        """The events that are there, then those that come, for ever; a file that was rotated or cut is opened anew."""
        if self.name == "-":
            yield from self.events()
            return
        while True:
            with Path(self.name).open("rb") as file:
                yield from self._follow_one(file, sleep)

    def _follow_one(self, file: IO[bytes], sleep: Callable[[float], None]) -> Iterator[dict[str, Any]]:
        number, rest = Path(self.name).stat().st_ino, b""
        while True:
            chunk = file.read(1 << 16)
            if chunk:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LONGEST_LINE:
                    rest = b""
                yield from self._lines(iter(lines))
                continue
            sleep(_FOLLOW_S)
            try:
                now = Path(self.name).stat()
            except FileNotFoundError:
                continue  # between two files of a rotation
            if now.st_ino != number or now.st_size < file.tell():
                return

    def _read(self, file: IO[bytes]) -> Iterator[dict[str, Any]]:
        packed = file.peek(2)[:2] == _GZIP_MAGIC  # type: ignore[attr-defined]  # both are buffered readers
        lines: Iterator[bytes] = iter(gzip.GzipFile(fileobj=file)) if packed else iter(file)
        try:
            for first in lines:
                if not first.strip():
                    continue
                if first.lstrip().startswith(b"["):
                    yield from self._array(first, lines)
                else:
                    yield from self._lines(_and(first, lines))
                return
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.failure = "the packed file is cut off or damaged"

    def _lines(self, lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        for line in lines:
            event = parse_line(line)
            if event is not None:
                yield event
            elif line.strip():
                self.bad_lines += 1

    def _array(self, first: bytes, lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        """gcloud indents by two: an entry ends with a brace in the third column. Other arrays are read whole."""
        if first.strip() != b"[":
            if (event := parse_line(first)) is not None and not first.rstrip().endswith(b"]"):
                yield event  # a prefix in brackets, as kubectl's
                yield from self._lines(lines)
                return
            yield from self._whole(first + b"".join(lines))
            return
        entry: list[bytes] = []
        for line in lines:
            entry.append(line)
            if line.rstrip() in {b"  }", b"  },"}:
                event = parse_line(b"".join(entry).strip().rstrip(b","))
                if event is None:
                    self.bad_lines += 1
                else:
                    yield event
                entry = []
        if b"".join(entry).strip() not in {b"]", b""}:
            yield from self._whole(first + b"".join(entry))

    def _whole(self, text: bytes) -> Iterator[dict[str, Any]]:
        try:
            entries = orjson.loads(text)
        except orjson.JSONDecodeError:
            self.bad_lines += 1
            return
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict):
                yield _unwrapped(entry)
            else:
                self.bad_lines += 1


def parse_line(line: bytes) -> dict[str, Any] | None:
    """One log line as an event, without what a collector put in front of it or around it; None if there is no JSON object."""
    begin = line.find(b"{")
    if begin < 0 or len(line) > _LONGEST_LINE:
        return None
    try:
        event = orjson.loads(line[begin:] if begin else line)
    except orjson.JSONDecodeError:
        return None
    return _unwrapped(event) if isinstance(event, dict) else None


def _unwrapped(event: dict[str, Any]) -> dict[str, Any]:
    payload = event.get("jsonPayload")
    if isinstance(payload, dict):  # Cloud Logging takes time and severity out of the line
        return {"time": event.get("timestamp"), "severity": event.get("severity")} | payload
    for key in ("MESSAGE", "log"):  # journald's, Docker's
        text = event.get(key)
        if (
            isinstance(text, str)
            and "call_sid" not in event
            and (inner := parse_line(text.encode(errors="replace"))) is not None
        ):
            return inner
    return event


def _and(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
