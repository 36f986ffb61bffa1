"""The uplink: the caller's audio on its way to the model, kept while no session takes it.

It is the audio mailbox of GeminiSession, and it outlives each session: the next one takes on where the last one left off,
in order, without gap or repetition. Its policy is an age cap, oldest first: after a long outage the model should hear what
the caller says now, not what was said half a minute ago.
"""

import asyncio
from collections import deque
from collections.abc import Callable

PCM_BYTES_PER_MS = 32  # 16 kHz, 16 bit, mono


class Uplink:
    """Chunks of s16le, 16 kHz, mono; at most `cap_s` seconds of them."""

    def __init__(self, *, cap_s: float) -> None:
        self._chunks: deque[bytes] = deque()
        self._cap_bytes = int(cap_s * 1000) * PCM_BYTES_PER_MS
        self._held_bytes = 0
        self._wake: asyncio.Future[None] | None = None
        # Writes audio to the open session at once; there is one while its sender has nothing to do. It never raises: False
        # says that it could not, and the audio waits for the sender, which finds out why.
        self.direct: Callable[[bytes], bool] | None = None
        self.dropped_bytes = 0

    @property
    def held_ms(self) -> int:
        """How much audio waits, in ms."""
        return self._held_bytes // PCM_BYTES_PER_MS

    @property
    def dropped_ms(self) -> int:
        """How much audio was dropped in all, in ms."""
        return self.dropped_bytes // PCM_BYTES_PER_MS

    def push(self, pcm: bytes) -> None:
        """Add the newest audio, or send it when nothing is before it; drops the oldest beyond the cap."""
        if not pcm or (self.direct is not None and not self._chunks and self.direct(pcm)):
            return
        self._chunks.append(pcm)
        self._held_bytes += len(pcm)
        while self._held_bytes > self._cap_bytes:
            self._drop(self._chunks.popleft())
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def take(self, max_bytes: int) -> bytes:
        """The oldest audio, whole chunks up to `max_bytes` but at least one; empty when none waits."""
        chunks = self._chunks
        if not chunks:
            return b""
        first = chunks.popleft()
        taken = len(first)
        if not chunks or taken + len(chunks[0]) > max_bytes:
            self._held_bytes -= taken
            return first
        parts = [first]
        while chunks and taken + len(chunks[0]) <= max_bytes:
            part = chunks.popleft()
            parts.append(part)
            taken += len(part)
        self._held_bytes -= taken
        return b"".join(parts)

    def put_back(self, pcm: bytes) -> None:
        """Return what was taken and could not be sent; it is the oldest again."""
        if pcm:
            self._chunks.appendleft(pcm)
            self._held_bytes += len(pcm)

    def clear(self) -> int:
        """Forget everything that waits; returns how much it was, in ms."""
        forgotten_ms = self.held_ms
        for chunk in self._chunks:
            self.dropped_bytes += len(chunk)
        self._chunks.clear()
        self._held_bytes = 0
        return forgotten_ms

    async def wait(self) -> None:
        """Return when audio waits, or when `nudge` is called. One waiter at a time."""
        if self._chunks:
            return
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def nudge(self) -> None:
        """Wake the waiter although no audio has come."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _drop(self, chunk: bytes) -> None:
        self._held_bytes -= len(chunk)
        self.dropped_bytes += len(chunk)
