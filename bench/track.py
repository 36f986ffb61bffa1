"""One direction of one call, piece by piece, in arrays: lists of so many tuples would give the garbage collector work."""

import math
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from bench.stalls import Aside


def no_times() -> "array[float]":
    """An empty array of times."""
    return array("d")


def _no_counts() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Arrivals:
    """When something came, and how many samples had come by then."""

    at_s: "array[float]" = field(default_factory=no_times)
    samples: "array[int]" = field(default_factory=_no_counts)

    def note(self, at_s: float, samples: int) -> None:
        """So many more samples."""
        self.at_s.append(at_s)
        self.samples.append(samples + (self.samples[-1] if self.samples else 0))


@dataclass(frozen=True, slots=True)
class Track:
    """What one end sent in pieces of `piece_samples`, counted at the other end's rate, and what came there."""

    sent_s: "array[float]"
    arrived: Arrivals
    piece_samples: int

    def delays(self, from_s: float, to_s: float, aside: Aside | None = None) -> list[float]:
        """From sending each piece of this stretch to the arrival that began it, in s; infinite for what never came.

        What began a piece brings the total past all pieces before it. The converter's own delay is less than a piece. What was
        sent at times that are set aside does not count.
        """
        found = []
        for piece in range(bisect_right(self.sent_s, from_s), bisect_right(self.sent_s, to_s)):
            if aside is not None and aside.has(self.sent_s[piece]):
                continue
            at = bisect_right(self.arrived.samples, piece * self.piece_samples)
            found.append(self.arrived.at_s[at] - self.sent_s[piece] if at < len(self.arrived.at_s) else math.inf)
        return found

    def on_its_way(self) -> int:
        """Whole pieces that were sent and have not come; what the converter holds is less than one."""
        arrived = self.arrived.samples[-1] if self.arrived.samples else 0
        return max(0, len(self.sent_s) * self.piece_samples - arrived) // self.piece_samples

    def give_up(self, pieces: int, at_s: float) -> None:
        """Count pieces that will not come as come, so that those after them are not taken for them."""
        self.arrived.note(at_s, pieces * self.piece_samples)
