"""Transcoder: mu-law 8 kHz to PCM 16 kHz for the model, PCM 24 kHz to mu-law 8 kHz for the caller.

The converters keep their state through a turn, are flushed at its end and reset on a clear. It also hears when the caller
begins and ends to speak: the model does its own endpointing and does not tell.
"""

from collections.abc import Callable
from typing import Final

from callbot.actors.base import Actor, Overflow
from callbot.actors.uplink import Uplink
from callbot.audio.framing import FrameAssembler
from callbot.audio.resample import CallerUpsampler, ModelDownsampler
from callbot.audio.speech import SpeechDetector, SpeechEnded, SpeechStarted
from callbot.messages import (
    CallerAudio,
    CallerPaused,
    CallerSpoke,
    CallMessage,
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

    def handle(self, message: TranscoderMessage) -> None:
        """Convert and hand on."""
        match message:
            case CallerAudio(mulaw=mulaw, at_s=at_s):
                self._uplink.push(self._up.push(mulaw))
                self._listen(mulaw, at_s)
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

    def _listen(self, mulaw: bytes, at_s: float) -> None:
        match self._speech.push(mulaw):
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
