"""Heartbeat: liveness. It looks once a second whether each side is still there, and keeps an idle session alive.

It owns three things: the silence of Twilio's stream, the silence of the model's socket (its pings are sent and judged here,
not by the library), and the zero samples for a session that gets no audio. These are sent only while the caller's stream is
silent on the wire, never into live speech.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from callbot.actors.base import Actor, Overflow
from callbot.actors.signs import LifeSigns
from callbot.brief import Patience
from callbot.messages.call import Beat, CallMessage, ModelSilent, StreamSilent
from callbot.messages.children import EndSpeech, GeminiSessionMessage, HeartbeatMessage, ProbeLink, SendSilence, Watch

TICK_S: Final = 1.0
# The service wants to be told of a pause of more than about a second ("Live API capabilities": audioStreamEnd).
_PAUSE_S: Final = 1.0
_SILENCE_MS: Final = 100
_MAILBOX_SIZE: Final = 64


class Heartbeat(Actor[HeartbeatMessage]):
    """One call's watch."""

    def __init__(
        self,
        *,
        patience: Patience,
        signs: LifeSigns,
        parent: Callable[[CallMessage], None],
        session: Callable[[GeminiSessionMessage], None],
        clock: Callable[[], float],
    ) -> None:
        super().__init__("heartbeat", mailbox_size=_MAILBOX_SIZE, overflow=Overflow.FAIL)
        self._patience = patience
        self._signs = signs
        self._parent = parent
        self._session = session
        self._clock = clock
        self._session_no: int | None = None
        self._stream_silent = False
        self._pause_told = False
        self._probed_s = 0.0
        self._kept_alive_s = 0.0
        self._beaten_s = 0.0

    def handle(self, message: HeartbeatMessage) -> None:
        """Watch another session, or none."""
        match message:
            case Watch(session_no=session_no):
                self._session_no = session_no
                self._probed_s = self._clock()
                self._pause_told = False

    async def live(self) -> None:
        """Look, once a tick, against the clock: no drift."""
        next_s = self._beaten_s = self._clock()
        while True:
            next_s += TICK_S
            await asyncio.sleep(max(0.0, next_s - self._clock()))
            self._look(self._clock())

    def _look(self, now_s: float) -> None:
        if now_s - self._beaten_s >= self._patience.progress_s:
            self._beaten_s = now_s
            self._parent(Beat(now_s))
        silence_s = now_s - self._signs.twilio_s
        if silence_s >= self._patience.twilio_silence_s and not self._stream_silent:
            self._stream_silent = True
            self._parent(StreamSilent(silence_s, now_s))
        if self._session_no is not None:
            self._look_at_model(self._session_no, now_s)

    def _look_at_model(self, session_no: int, now_s: float) -> None:
        patience = self._patience
        if now_s - self._signs.model_s >= patience.model_silence_s:
            self._session_no = None  # told once
            self._parent(ModelSilent(session_no, now_s - self._signs.model_s, now_s))
            return
        if now_s - self._probed_s >= patience.model_probe_s:
            self._probed_s = now_s
            self._session(ProbeLink())
        pause_s = now_s - self._signs.caller_audio_s
        if pause_s < _PAUSE_S:
            self._pause_told = False
        elif not self._pause_told:
            self._pause_told = True
            self._kept_alive_s = now_s
            self._session(EndSpeech())
        elif now_s - self._kept_alive_s >= patience.keepalive_s:
            self._kept_alive_s = now_s
            self._session(SendSilence(_SILENCE_MS))
