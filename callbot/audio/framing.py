"""Whole frames for Twilio.

Twilio takes payloads of any length, but incomplete 20 ms frames are reported to stutter. So only multiples of
160 bytes leave here, and a turn's last frame is filled up with silence.
"""

from callbot.audio.g711 import FRAME_BYTES, SILENCE


class FrameAssembler:
    """Cuts a stream of mu-law bytes into whole frames; what is left over waits for the next push."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def held_bytes(self) -> int:
        """How many bytes wait for their frame to fill up, 0 to 159."""
        return len(self._rest)

    def push(self, mulaw: bytes) -> bytes:
        """Take mu-law bytes, give back as many whole frames as there are now: a multiple of 160 bytes, or none."""
        waiting = self._rest + mulaw if self._rest else bytes(mulaw)
        whole = len(waiting) - len(waiting) % FRAME_BYTES
        self._rest = waiting[whole:]
        return waiting[:whole]

    def flush(self) -> bytes:
        """At the turn's end: give the last frame, filled up with silence (0xFF), or nothing if none is begun."""
        rest, self._rest = self._rest, b""
        return rest.ljust(FRAME_BYTES, bytes([SILENCE])) if rest else b""

    def reset(self, lead_in: int = 0) -> None:
        """At a turn's beginning or a barge-in: forget the frame that was begun; nothing of the old turn opens the new one.

        `lead_in` bytes of silence come first: as many as the converter holds back, and its whole slices make whole frames.
        Else the end of each chunk would wait in half a frame for the next chunk.
        """
        self._rest = bytes([SILENCE]) * lead_in
