"""TwilioIO: one Media Streams socket. Two pumps: one that reads and hands on, one that plays.

The reader does nothing but decode and hand on, and goes on until the peer is gone, in Draining too; where the socket can hand
messages over in the transport's own turn (`hand_to`) the reader gets only what is left. The player keeps
Twilio at most the set lead ahead of what the caller hears; a `clear` overtakes everything.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Final

from callbot.actors.base import Actor, Overflow
from callbot.actors.playout import Clear, FirstHeard, Mark, Media, Played, Playout, Wait
from callbot.actors.ports import StreamClosed, StreamSocket
from callbot.actors.signs import LifeSigns
from callbot.audio.comfort import COMFORT_SOUND
from callbot.audio.g711 import BYTES_PER_MS, FRAME_BYTES
from callbot.messages.call import (
    CallerGone,
    CallMessage,
    KeyPressed,
    PlayoutEmpty,
    PlayoutResumed,
    StreamFault,
    TurnFirstHeard,
    TurnPlayed,
    TurnSpeaking,
)
from callbot.messages.children import (
    CallerAudio,
    CallerGap,
    ClearPlayback,
    CloseStream,
    PlayComfort,
    PlayEnded,
    PlayFrames,
    TranscoderMessage,
    TwilioIOMessage,
)
from callbot.wire import twilio

# 120 s of 20 ms frames that come before the actor runs: it never holds so many.
_MAILBOX_SIZE: Final = 6000
# Twilio's stamps run in steps of 20 ms; a jump beyond three frames is loss, less is rounding.
_GAP_MS: Final = 60
# The only track of a bidirectional stream (Twilio, "TwiML: Stream"); the other one is what we said ourselves.
_TRACK: Final = "inbound"
# A close that the peer does not answer.
_CLOSE_TIMEOUT_S: Final = 1.0


class TwilioIO(Actor[TwilioIOMessage]):
    """The stream's two directions; tells `parent` what happens and `transcoder` what is heard."""

    def __init__(
        self,
        *,
        socket: StreamSocket,
        stream_sid: str,
        playout: Playout,
        signs: LifeSigns,
        parent: Callable[[CallMessage], None],
        transcoder: Callable[[TranscoderMessage], None],
        clock: Callable[[], float],
    ) -> None:
        super().__init__("twilio_io", mailbox_size=_MAILBOX_SIZE, overflow=Overflow.FAIL)
        self._socket = socket
        self._stream_sid = stream_sid
        self._encoder = twilio.TwilioEncoder(stream_sid)
        self._playout = playout
        self._signs = signs
        self._parent = parent
        self._transcoder = transcoder
        self._clock = clock
        self._work = asyncio.Event()
        self._idle = False  # the player waits: whoever brings work may send it
        self._unsent: list[str] = []  # what the socket did not take at once, in order
        self._expiry: asyncio.TimerHandle | None = None
        self._expires_s = 0.0
        self._closing: CloseStream | None = None
        self._stopped = False
        self._context = contextvars.copy_context()
        self._fault: Exception | None = None
        self._next_stamp_ms: int | None = None

    def handle(self, message: TwilioIOMessage) -> None:
        """Queue, clear or close; the player does the rest."""
        match message:
            case PlayFrames(turn=turn, mulaw=mulaw):
                overflow_ms = self._playout.overflow_ms
                if not self._playout.enqueue(turn, mulaw) and self._playout.overflow_ms > overflow_ms:
                    self._parent(StreamFault("playout_overflow"))
            case PlayEnded(turn=turn):
                self._tell_played(self._playout.end_turn(turn))
            case PlayComfort():
                if not self._playout.unheard:
                    self._playout.enqueue(0, COMFORT_SOUND)
            case ClearPlayback(through_turn=through_turn):
                self._tell_played(self._playout.clear(through_turn, self._clock()))
            case CloseStream():
                self._closing = message
        if self._idle and self._closing is None:
            self._unsent = self._send_due()
        if not self._idle or self._unsent or self._closing is not None:
            self._idle = False
            self._work.set()

    async def live(self) -> None:
        """Read and play until the peer is gone, or the stream has been closed and the peer had time to answer."""
        self._context = contextvars.copy_context()  # what the log says of the request, for what comes outside this task
        async with asyncio.TaskGroup() as pumps:
            reading = pumps.create_task(self._read(), name="twilio_io.read")
            playing = pumps.create_task(self._play(), name="twilio_io.play")
            await asyncio.wait({reading, playing}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await asyncio.wait({reading}, timeout=_CLOSE_TIMEOUT_S)
            reading.cancel()
            playing.cancel()

    async def _read(self) -> None:
        try:
            self._socket.hand_to(self._take)
            while True:
                message = await self._socket.receive()
                if self._fault is not None:
                    raise self._fault
                self._on_message(message)
        except StreamClosed:
            if not self._stopped and self._closing is None:
                self._parent(CallerGone("closed", self._clock()))
        finally:
            self._socket.hand_to(_not_now)

    def _take(self, raw: str | bytes) -> bool:
        """A message in the turn of the loop in which it came. False when it is the reader's: it finds the fault there."""
        if self._over or self._fault is not None:
            return False
        try:
            self._context.run(self._on_message, raw)
        except Exception as fault:  # noqa: BLE001 - raised by the reader, which this woke
            self._fault = fault
            return False
        return True

    def _on_message(self, raw: str | bytes) -> None:
        message = twilio.decode(raw)
        now_s = self._clock()
        self._signs.twilio_s = now_s
        if isinstance(message, twilio.Media):
            self._on_media(message, now_s)
        elif isinstance(message, twilio.Mark):
            self._on_mark(message.name, now_s)
        elif isinstance(message, twilio.Dtmf):
            self._parent(KeyPressed(message.digit, now_s))
        elif isinstance(message, twilio.Stop):
            if not self._stopped:
                self._stopped = True
                self._parent(CallerGone("stop", now_s))
        elif isinstance(message, twilio.Unreadable):
            self._parent(StreamFault(message.fault))
        else:  # a second `connected` or `start`: one stream, one call
            self._parent(StreamFault(f"repeated_{type(message).__name__.lower()}"))

    def _on_media(self, media: twilio.Media, now_s: float) -> None:
        if self._stopped:
            self._parent(StreamFault("media_after_stop"))
            return
        if media.track != _TRACK:
            self._signs.other_track += 1
            if self._signs.other_track == 1:
                self._parent(StreamFault("media_other_track"))
            return
        self._signs.caller_audio_s = now_s
        self._signs.frames_in += 1
        stamp_ms = media.timestamp_ms
        if stamp_ms is not None:
            if self._next_stamp_ms is not None and stamp_ms > self._next_stamp_ms + _GAP_MS:
                gap_ms = stamp_ms - self._next_stamp_ms
                self._signs.gap_ms += gap_ms
                self._parent(StreamFault("media_gap"))
                self._transcoder(CallerGap(gap_ms, now_s))
            self._next_stamp_ms = stamp_ms + len(media.payload) // BYTES_PER_MS
        if media.payload:
            self._transcoder(CallerAudio(media.payload, now_s))

    def _on_mark(self, name: str, now_s: float) -> None:
        for told in self._playout.mark_returned(name):
            if isinstance(told, FirstHeard):
                self._parent(TurnFirstHeard(told.turn, now_s - told.lag_s))
            else:
                self._tell_played([told])
        self._note_empty()
        self._work.set()  # how long to wait for the rest may have changed

    def _tell_played(self, played: list[Played]) -> None:
        now_s = self._clock()
        for turn in played:
            self._parent(TurnPlayed(turn.turn, turn.audio_ms, turn.heard_ms, turn.cleared, now_s))

    def _note_empty(self) -> None:
        if self._playout.note_empty(self._clock()):
            self._parent(PlayoutEmpty(self._clock()))

    async def _play(self) -> None:
        """Send what is due, until the stream is to be closed or the peer is gone."""
        try:
            while self._closing is None:
                self._work.clear()
                texts, self._unsent = self._unsent or self._send_due(), []
                for text in texts:
                    await self._socket.send(text)
                if texts or self._work.is_set():
                    continue
                self._idle = True
                try:
                    await self._work.wait()
                finally:
                    self._idle = False
                self._tell_played(self._playout.give_up_marks(self._clock()))
                self._note_empty()
            await self._close(self._closing)
        except StreamClosed:  # the reader finds it out as well, and tells
            return
        finally:
            if self._expiry is not None:
                self._expiry.cancel()

    def _send_due(self) -> list[str]:
        """Send what is due, and set the alarm for what is due later. Gives what the socket does not take at once, in order."""
        while True:
            outgoing = self._playout.next(self._clock())
            if outgoing is None or isinstance(outgoing, Wait):
                self._note_empty()
                if outgoing is not None:
                    self._wake_in(outgoing.delay_s)
                return []
            texts = self._texts(outgoing)
            while texts and self._socket.send_now(texts[0]):
                del texts[0]
            if texts:
                return texts

    def _wake_in(self, delay_s: float) -> None:
        """Wake the player no later than in `delay_s`. An alarm that comes sooner stays: it costs less than one each frame."""
        loop = asyncio.get_running_loop()
        expires_s = loop.time() + delay_s
        if self._expiry is not None:
            if self._expires_s <= expires_s:
                return
            self._expiry.cancel()
        self._expires_s, self._expiry = expires_s, loop.call_at(expires_s, self._on_alarm)

    def _on_alarm(self) -> None:
        self._expiry = None
        self._work.set()

    def _texts(self, outgoing: Media | Mark | Clear) -> list[str]:
        match outgoing:
            case Clear():
                self._note_empty()
                return [self._encoder.clear()]
            case Mark(name=name):
                return [self._encoder.mark(name)]
            case Media():
                self._signs.frames_out += len(outgoing.mulaw) // FRAME_BYTES
                if outgoing.first_of_turn:
                    self._parent(TurnSpeaking(outgoing.turn, self._clock()))
                elif outgoing.resumes and outgoing.turn:
                    self._parent(PlayoutResumed(outgoing.turn, self._clock()))
                media = self._encoder.media(outgoing.mulaw)
                return [media] if outgoing.mark is None else [media, self._encoder.mark(outgoing.mark)]

    async def _close(self, closing: CloseStream) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close(closing.code, closing.reason)
        except TimeoutError:
            self._parent(StreamFault("close_not_answered"))


def _not_now(_message: str | bytes) -> bool:
    return False
