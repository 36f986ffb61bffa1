"""The queue of the app's audio at Twilio: what the caller hears, frame by frame, and when marks come back.

It has no clock: whoever owns it takes one frame per 20 ms. The rules (Twilio's page "WebSocket messages"):
messages are appended and played in order of arrival; a mark comes back when everything before it has been
played, at once if nothing is queued; a clear drops the queue and returns all marks that are out, in order.
"""

from collections import deque
from dataclasses import dataclass

FRAME_BYTES = 160  # 20 ms of 8 kHz mu-law at one byte a sample
FRAME_MS = 20
SILENCE = b"\xff" * FRAME_BYTES  # 0xFF is +0 in G.711 mu-law; 0x00 would be full scale
BYTES_PER_MS = 8
# A queue that was dry for longer than this had nothing to say; up to this, the speech had a hole in it.
UNDERRUN_LIMIT_MS = 500


@dataclass(frozen=True, slots=True)
class Played:
    """One frame as the caller hears it.

    `frame` is 160 bytes of mu-law. `marks` are the names whose audio had been played when it began.
    `gap_ms` is the length of the hole that ended with this frame, 0 when there was none.
    """

    frame: bytes
    marks: tuple[str, ...] = ()
    gap_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a clear did: the audio thrown away, in ms, and the marks it returned, in order."""

    dropped_ms: float
    marks: tuple[str, ...]


class PlayoutBuffer:
    """The byte queue, drained by `next_frame` in steps of 160 bytes.

    A queue that ends inside a frame is a defect of the app and is counted. By default the rest of the frame
    is silence; with `wait_for_whole_frames` the piece stays until more arrives, and so do the marks behind it.
    """

    def __init__(self, *, wait_for_whole_frames: bool = False) -> None:
        self.underruns = 0
        self.underrun_ms = 0
        self.partial_frames = 0
        self.ragged_payloads = 0
        self.silent_frames = 0
        self.max_queued_ms = 0.0
        self.dropped_ms = 0.0
        self._wait_for_whole_frames = wait_for_whole_frames
        self._queue = bytearray()
        self._marks: deque[tuple[int, str]] = deque()
        self._received = 0  # bytes ever queued, less those cleared
        self._sounding = 0  # bytes taken out, the frame that is sounding included
        self._played = 0  # bytes whose frame is over
        self._dry_ms: int | None = None  # time since the queue ran dry after speech; None before any

    @property
    def queued_ms(self) -> float:
        """Audio that has not begun to sound."""
        return len(self._queue) / BYTES_PER_MS

    @property
    def pending_marks(self) -> int:
        """Marks that have not been echoed."""
        return len(self._marks)

    def enqueue(self, payload: bytes) -> None:
        """Append mu-law bytes of any length."""
        if len(payload) % FRAME_BYTES:
            self.ragged_payloads += 1
        self._queue += payload
        self._received += len(payload)
        self.max_queued_ms = max(self.max_queued_ms, self.queued_ms)

    def mark(self, name: str) -> bool:
        """Put a mark behind what is queued. True: nothing is queued, echo it now."""
        if not self._marks and self._received <= self._played:
            return True
        self._marks.append((self._received, name))
        return False

    def clear(self) -> Cleared:
        """Drop the queue. The frame that is already sounding goes on to its end."""
        dropped_ms = self.queued_ms
        marks = tuple(name for _, name in self._marks)
        self._queue.clear()
        self._marks.clear()
        self._received = self._sounding
        self._dry_ms = None  # a hole after a clear is wanted
        self.dropped_ms += dropped_ms
        return Cleared(dropped_ms, marks)

    def next_frame(self) -> Played:
        """End the frame that is sounding and begin the next; to be called once per 20 ms."""
        self._played = self._sounding
        echoed: list[str] = []
        while self._marks and self._marks[0][0] <= self._played:
            echoed.append(self._marks.popleft()[1])
        size = min(FRAME_BYTES, len(self._queue))
        if 0 < size < FRAME_BYTES:
            if self._wait_for_whole_frames:
                size = 0
            else:
                self.partial_frames += 1
        if size == 0:
            self.silent_frames += 1
            if self._dry_ms is not None:
                self._dry_ms += FRAME_MS
            return Played(SILENCE, tuple(echoed))
        gap_ms = self._dry_ms or 0
        if 0 < gap_ms <= UNDERRUN_LIMIT_MS:
            self.underruns += 1
            self.underrun_ms += gap_ms
        else:
            gap_ms = 0
        self._dry_ms = 0
        frame = bytes(self._queue[:size]).ljust(FRAME_BYTES, b"\xff")
        del self._queue[:size]
        self._sounding += size
        return Played(frame, tuple(echoed), gap_ms)
