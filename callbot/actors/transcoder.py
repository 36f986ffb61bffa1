"""Transcoder: mu-law 8 kHz to PCM 16 kHz for the model, PCM 24 kHz to mu-law 8 kHz for the caller.

The converters keep their state through a turn, are flushed at its end and reset on a clear. It also hears when the caller
begins and ends to speak: the model does its own endpointing and does not tell. What is missing between frames is filled with
silence, or words before and after it would be one; while no frames come at all, time goes on and ends what was being said.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from callbot.actors.base import Actor, Overflow
from callbot.actors.uplink import Uplink
from callbot.audio.framing import FrameAssembler
from callbot.audio.g711 import BYTES_PER_MS, SILENCE
from callbot.audio.resample import CallerUpsampler, ModelDownsampler
from callbot.audio.speech import SpeechDetector, SpeechEnded, SpeechStarted
from callbot.messages.call import CallerPaused, CallerSpoke, CallMessage
from callbot.messages.children import (
    CallerAudio,
    CallerGap,
    DropTurns,
    ModelAudio,
    ModelAudioEnded,
    PlayEnded,
    PlayFrames,
    TranscoderMessage,
    TwilioIOMessage,
)

# 10 s of the caller and as much of the model, before the actor runs; then messages are handled as they come.
_MAILBOX_SIZE: Final = 1000
# So much of a gap is filled: longer ends the caller's turn for every model, and what came before it is old.
MOST_FILLED_MS: Final = 1000
_SILENT_MS: Final = bytes([SILENCE]) * BYTES_PER_MS
# Without frames for so long, time goes on by itself; a stall of the network is often shorter.
_QUIET_S: Final = 0.6


class Transcoder(Actor[TranscoderMessage]):
    """Both directions' converters of one call; computes, never waits."""

    def __init__(
        self,
        *,
        uplink: Uplink,
        twilio_io: Callable[[TwilioIOMessage], None],
        parent: Callable[[CallMessage], None],
        upsampler: str,
        downsampler: str,
    ) -> None:
        super().__init__("transcoder", mailbox_size=_MAILBOX_SIZE, overflow=Overflow.DROP_OLDEST)
        self._uplink = uplink
        self._twilio_io = twilio_io
        self._parent = parent
        self._up = CallerUpsampler(upsampler)
        self._converter = downsampler
        self._down = ModelDownsampler(downsampler)
        self._rate_hz = 24_000
        self._frames = FrameAssembler()
        self._speech = SpeechDetector()
        self._turn = 0
        self._dropped_through = 0
        self._heard_s = 0.0  # the newest frame, by the clock of messages ...
        self._heard_loop_s = 0.0  # ... and by the loop's
        self._alarm: asyncio.TimerHandle | None = None  # while the caller speaks
        self._loop: asyncio.AbstractEventLoop | None = None

    async def live(self) -> None:
        """Until `stop`."""
        self._loop = asyncio.get_running_loop()
        try:
            await super().live()
        finally:
            self._loop = None
            if self._alarm is not None:
                self._alarm.cancel()

    def handle(self, message: TranscoderMessage) -> None:
        """Convert and hand on."""
        match message:
            case CallerAudio(mulaw=mulaw, at_s=at_s):
                self._uplink.push(self._up.push(mulaw))
                self._tell(self._speech.push(mulaw), at_s)
                if self._speech.speaking:
                    self._expect_frames(at_s)
            case CallerGap(gap_ms=gap_ms, at_s=at_s, is_over=is_over):
                if is_over:
                    self._uplink.push(self._up.push(_SILENT_MS * min(gap_ms, MOST_FILLED_MS)))
                self._tell(self._speech.pass_time(gap_ms), at_s)
            case ModelAudio(turn=turn, pcm=pcm, rate_hz=rate_hz):
                if turn <= self._dropped_through:
                    return  # a late chunk of an interrupted turn
                self._begin(turn, rate_hz)
                self._hand_on(turn, self._frames.push(self._down.push(pcm)))
            case ModelAudioEnded(turn=turn):
                if turn <= self._dropped_through:
                    return
                if turn == self._turn:
                    self._hand_on(turn, self._frames.push(self._down.flush()) + self._frames.flush())
                self._twilio_io(PlayEnded(turn))
            case DropTurns(through_turn=through_turn):
                self._dropped_through = max(self._dropped_through, through_turn)
                if self._turn <= through_turn:
                    self._down.reset()
                    self._frames.reset()

    def _expect_frames(self, at_s: float) -> None:
        """Look later whether frames still come: one alarm for many frames."""
        if self._loop is None:
            return
        self._heard_s, self._heard_loop_s = at_s, self._loop.time()
        if self._alarm is None:
            self._alarm = self._loop.call_later(_QUIET_S, self._look, self._loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        quiet_s = loop.time() - self._heard_loop_s
        if not self._speech.speaking:
            return
        if quiet_s < _QUIET_S:
            self._alarm = loop.call_later(_QUIET_S - quiet_s, self._look, loop)
        else:
            self.tell(CallerGap(round(quiet_s * 1000), self._heard_s + quiet_s, is_over=False))

    def _tell(self, heard: SpeechStarted | SpeechEnded | None, at_s: float) -> None:
        match heard:
            case SpeechStarted(start_offset_ms=offset_ms):
                self._parent(CallerSpoke(at_s - offset_ms / 1000))
            case SpeechEnded(speech_ms=speech_ms, end_offset_ms=offset_ms):
                self._parent(CallerPaused(ended_s=at_s - offset_ms / 1000, speech_ms=speech_ms, at_s=at_s))
            case None:
                pass

    def _begin(self, turn: int, rate_hz: int) -> None:
        if rate_hz != self._rate_hz:  # the mime type says so; the model's usual rate is 24 kHz
            self._rate_hz = rate_hz
            self._down = ModelDownsampler(self._converter, rate_hz)
        if turn != self._turn:
            self._turn = turn
            self._down.reset()
            self._frames.reset(lead_in=self._down.look_ahead_bytes)

    def _hand_on(self, turn: int, mulaw: bytes) -> None:
        if mulaw:
            self._twilio_io(PlayFrames(turn, mulaw))
