"""The transcript of one call: what was said and heard, joined from fragments, bounded, for a session that starts afresh.

Kept in memory only, gone with the call. Fragments come without an end mark that can be relied on, so a line ends where
the other side begins. Long digit runs, card numbers and e-mail addresses are masked before anything is kept.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from callbot.gemini.session_config import SaidLine

# About ten minutes of talk; a fresh session needs the gist, not the record.
_MAX_CHARS: Final = 8_000
_MAX_LINE_CHARS: Final = 1_000


class Transcript:
    """Lines by "caller" and "bot", newest last."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._lines: deque[SaidLine] = deque()
        self._chars = 0
        self._open = False

    def add(self, role: str, text: str) -> None:
        """Add a fragment; it joins the last line when the same side goes on."""
        if self._lines and self._open and self._lines[-1].role == role:
            last = self._lines.pop()
            self._chars -= len(last.text)
            text = last.text + text
        text = text.lstrip()[-_MAX_LINE_CHARS:]
        self._lines.append(SaidLine(role, text))
        self._chars += len(text)
        self._open = True
        while self._chars > _MAX_CHARS:
            self._chars -= len(self._lines.popleft().text)

    def end_line(self) -> None:
        """What comes next is a new line, whoever says it."""
        self._open = False

    def cut_last(self, role: str, heard: float) -> None:
        """Of the last line by `role` only the share `heard` (0 to 1) reached the caller; the rest was never said."""
        for index in range(len(self._lines) - 1, -1, -1):
            line = self._lines[index]
            if line.role == role:
                words = line.text.split(" ")
                kept = " ".join(words[: round(len(words) * heard)])
                self._chars += len(kept) - len(line.text)
                self._lines[index] = SaidLine(role, kept)
                return

    def lines(self) -> tuple[SaidLine, ...]:
        """What has been said, oldest first, masked."""
        return tuple(SaidLine(line.role, self._redact(line.text)) for line in self._lines if line.text.strip())
