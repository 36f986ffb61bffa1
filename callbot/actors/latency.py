"""How long callers wait for answers, measured where they feel it.

From the caller's end of speech, by our own ears, to the first audio that Twilio plays, by its mark.
"""

import math
from typing import Final

# An answer that comes later than this after the caller's last word is an answer to something else.
LIMIT_S: Final = 30.0


class Latency:
    """One call's answers. Times are seconds of the loop's clock, latencies are in ms."""

    def __init__(self) -> None:
        self._caller_ended_s: float | None = None
        self.heard_ms: list[int] = []

    def caller_ended(self, ended_s: float) -> None:
        """The caller's last word ended at `ended_s`."""
        self._caller_ended_s = ended_s

    def at(self, at_s: float) -> int | None:
        """What an answer that begins at `at_s` has taken; None when nothing can have been answered."""
        if self._caller_ended_s is None or not 0 <= at_s - self._caller_ended_s <= LIMIT_S:
            return None
        return int((at_s - self._caller_ended_s) * 1000)

    def answered(self, at_s: float) -> int | None:
        """The same for an answer that is heard from `at_s` on; what comes behind it answers nothing any more."""
        latency_ms = self.at(at_s)
        if latency_ms is not None:
            self.heard_ms.append(latency_ms)
        self._caller_ended_s = None
        return latency_ms

    def quantile_ms(self, share: float) -> int | None:
        """The latency at `share` of the sorted list (nearest rank); None when there was no answer."""
        if not self.heard_ms:
            return None
        ordered = sorted(self.heard_ms)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
