"""One Media Stream: Twilio's end of the WebSocket, with the playout buffer behind it.

The handset beats it once per 20 ms. What goes to the app passes through one queue, in order, so that a held
up line delivers a clump and never a different order. Ending the stream is one task's business alone.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

from callbot.simulators.twilio.app_socket import AppSocket
from callbot.simulators.twilio.checks import Clear, Mark, Media, read_message
from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.composer import Composer
from callbot.simulators.twilio.fault_messages import messages_of
from callbot.simulators.twilio.faults import (
    TIMED_FAULTS,
    DtmfStorm,
    EndStream,
    HangUpStyle,
    LoseFrames,
    MediaBeforeStart,
    Mute,
    NeverStart,
    RawMessage,
    Stall,
    StopAfterStart,
    StopReading,
    TimedFault,
)
from callbot.simulators.twilio.line import Delays
from callbot.simulators.twilio.options import StreamSetup
from callbot.simulators.twilio.playout import FRAME_BYTES, FRAME_MS, SILENCE, PlayoutBuffer
from callbot.simulators.twilio.records import StreamEnd, StreamReport
from callbot.simulators.twilio.stream_end import CLOSE_ANSWER_S, IMMEDIATE, end_socket
from callbot.simulators.twilio.stream_log import StreamLog

APP_READS_SLOWLY = 31930
BACKLOG_MESSAGES = 250  # 5 s of frames that the app has not taken: then the caller's audio is thrown away
STORM_KEYS = "0123456789*#ABCD"


class MediaStream:
    """A stream whose socket is open; `run` lasts until the socket has ended.

    `catch_up` carries out the beats that are due, `tell` takes (clock time, kind, detail) for the timeline and
    `reported` (code, text) for each code of Twilio's debugger.
    """

    def __init__(
        self,
        setup: StreamSetup,
        clock: Clock,
        rng: random.Random,
        *,
        catch_up: Callable[[], None],
        tell: Callable[[float, str, str], None],
        reported: Callable[[int, str], None],
    ) -> None:
        self.setup = setup
        self.playout = PlayoutBuffer(wait_for_whole_frames=setup.wait_for_whole_frames)
        self.log = StreamLog(tell)
        self.end: StreamEnd | None = None
        self._clock = clock
        self._rng = rng
        self._catch_up = catch_up
        self._reported = reported
        self._socket: AppSocket | None = None
        self._composer = Composer(
            account_sid=setup.account_sid,
            call_sid=setup.call_sid,
            stream_sid=setup.stream_sid,
            parameters=dict(setup.parameters),
            rng=rng,
            codec=setup.line.codec,
        )
        self._delays = Delays(setup.line.jitter, rng)
        self._outbox: deque[tuple[float, str | RawMessage]] = deque()
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._ending = asyncio.Event()
        self._style = HangUpStyle.STOP_THEN_CLOSE
        self._live = False  # media flows
        self._over = False
        self._writing = False
        self._beats = 0
        self._lose = 0
        self._muted_until_s = 0.0
        self._gathered = bytearray()  # frames of a payload that is longer than one
        self._storm = 0
        self._read_again_s = 0.0
        self._close_seen_s: float | None = None
        self._pending: list[TimedFault] = [
            fault for fault in setup.faults if isinstance(fault, TIMED_FAULTS) and fault.stream in (0, setup.number)
        ]

    def begin(self, socket: AppSocket) -> None:
        """Take the open socket and greet the app: `connected`, then `start`."""
        now_s = self._clock.now()
        self._socket = socket
        self.log.http_status = 101
        self.log.started_s = now_s
        faults = self.setup.faults
        self._send(self._composer.connected(), now_s)
        if any(isinstance(fault, NeverStart) for fault in faults):
            return
        for fault in faults:
            if isinstance(fault, MediaBeforeStart):
                for _ in range(fault.frames):
                    self._send(self._composer.media(SILENCE), now_s)
        self._send(self._composer.start(), now_s)
        self._live = True
        if any(isinstance(fault, StopAfterStart) for fault in faults):
            self.finish(StreamEnd.INJECTED, HangUpStyle.STOP_THEN_CLOSE)

    def beat(self, voice: bytes, at_s: float) -> bytes:
        """Play the next frame and send the caller's; see `handset.Listener`."""
        if self._over:
            return SILENCE
        played = self.playout.next_frame()
        for name in played.marks:
            self._echo(name, at_s)
        if played.gap_ms:
            self.log.tell(at_s, "underrun", f"{played.gap_ms} ms")
        self._watch_socket(at_s)
        self._strike(at_s)
        if self._live:
            self._send_frame(voice, at_s)
        self._beats += 1
        return played.frame

    def press(self, digit: str) -> None:
        """Send one DTMF message."""
        self.log.tell(self._clock.now(), "dtmf", digit)
        self._send(self._composer.dtmf(digit), self._clock.now())

    def inject(self, fault: TimedFault) -> None:
        """Let a fault strike now, whatever its `at_ms`."""
        self._carry_out(fault, self._clock.now())

    def finish(self, end: StreamEnd, style: HangUpStyle) -> None:
        """Begin to end the stream from Twilio's side; the first call decides, later ones do nothing."""
        if self.end is not None or self._over:
            return
        self.end, self._style = end, style
        self._live = False
        self._reading.set()
        if style in IMMEDIATE:
            self._outbox.clear()
        self._ending.set()

    async def run(self) -> None:
        """Exchange messages until the socket has ended, from either side."""
        assert self._socket is not None
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write(self._socket))
            closer = tasks.create_task(self._close(self._socket, writer))
            try:
                await self._read(self._socket)
            except asyncio.CancelledError:
                self._socket.reset()  # the whole call was cancelled: leave nothing open behind
                raise
            writer.cancel()
            closer.cancel()
        self._catch_up()
        self._over = True
        self._live = False
        self.log.ended_s = self._clock.now()
        self._note_end(self._socket)

    def fail(self, code: int, http_status: int, text: str) -> None:
        """Note that the socket could not be opened."""
        self.log.http_status = http_status
        self.log.ended_s = self._clock.now()
        self.end = StreamEnd.NOT_OPENED
        self._over = True
        self._report(code, text)

    def report(self, zero_s: float) -> StreamReport:
        """The stream's report, with times counted from `zero_s` (clock seconds)."""
        return self.log.report(
            zero_s=zero_s,
            stream_sid=self.setup.stream_sid,
            url=self.setup.url,
            parameters=self.setup.parameters,
            end=self.end or StreamEnd.NOT_OPENED,
            playout=self.playout,
            second=self.setup.second,
        )

    def _note_end(self, socket: AppSocket) -> None:
        close = socket.close_received
        code_text = "no close frame"
        if close is not None:
            self.log.close_code, self.log.close_reason = close
            code_text = f"{close[0]} {close[1]}".strip()
        self.log.tell(self.log.ended_s, "socket_closed", code_text)
        if self.end is not None:
            return
        if close is None:
            self.end = StreamEnd.APP_BROKE
            self._report(31903, "the connection broke while streaming")
        else:
            self.end = StreamEnd.APP_CLOSED
            self._report(31921, f"the app closed the socket ({code_text})")

    async def _read(self, socket: AppSocket) -> None:
        while True:
            message = await socket.receive()
            await self._reading.wait()  # after it: a message may come in while we have stopped reading
            if message is None:
                return
            self._catch_up()
            if self.end is None:  # what crosses our stop on the wire is nobody's fault
                self._accept(message, self._clock.now())

    def _accept(self, message: str | bytes, now_s: float) -> None:
        wanted, fault = read_message(message, self.setup.stream_sid)
        if fault is not None and self.log.fault(fault, now_s):
            self._reported(fault.code, fault.explanation)
        match wanted:
            case Media(payload):
                self.log.media_received += 1
                self.log.bytes_received += len(payload)
                self.playout.enqueue(payload)
            case Mark(name):
                self.log.mark_received(name, now_s)
                if self.playout.mark(name):
                    self._echo(name, now_s)
            case Clear():
                cleared = self.playout.clear()
                self.log.clear(cleared, now_s)
                for name in cleared.marks:
                    self._echo(name, now_s, cleared=True)
            case None:
                pass

    def _echo(self, name: str, at_s: float, *, cleared: bool = False) -> None:
        self.log.mark_echoed(name, at_s, cleared=cleared)
        if self._live:
            self._send(self._composer.mark(name), at_s)

    def _send_frame(self, voice: bytes, at_s: float) -> None:
        if at_s < self._muted_until_s:
            self._composer.skip(FRAME_MS)
            return
        self._gathered += voice
        if len(self._gathered) < self.setup.line.payload_ms // FRAME_MS * FRAME_BYTES:
            return
        message = self._composer.media(bytes(self._gathered))
        self._gathered.clear()
        if self._lose > 0 or (self.setup.line.loss > 0 and self._rng.random() < self.setup.line.loss):
            self._lose = max(0, self._lose - 1)
            self.log.frames_lost += 1
        elif self._writing and len(self._outbox) >= BACKLOG_MESSAGES:
            self.log.frames_discarded += 1
            self._report(APP_READS_SLOWLY, "the app reads too slowly, the caller's audio is thrown away")
        else:
            self.log.frames_sent += 1
            self._send(message, at_s)

    def _send(self, message: str | RawMessage, at_s: float) -> None:
        self._outbox.append((self._delays.due_s(at_s), message))
        self._drained.clear()
        self._filled.set()

    async def _write(self, socket: AppSocket) -> None:
        while True:
            if not self._outbox:
                self._drained.set()
                self._filled.clear()
                await self._filled.wait()
                continue
            due_s, message = self._outbox[0]
            if due_s > self._clock.now():
                await self._clock.sleep(due_s - self._clock.now())
                continue
            self._outbox.popleft()
            if isinstance(message, RawMessage):
                socket.send_raw(message.payload, binary=message.binary)
                continue
            self._writing = True
            if not await socket.send(message):
                return
            self._writing = False

    async def _close(self, socket: AppSocket, writer: asyncio.Task[None]) -> None:
        await self._ending.wait()
        if self._style not in IMMEDIATE:
            try:
                async with asyncio.timeout(CLOSE_ANSWER_S):  # the last frames go first, if the app takes them
                    await self._drained.wait()
            except TimeoutError:
                self.log.tell(self._clock.now(), "undelivered", f"{len(self._outbox)} messages")
        writer.cancel()
        await end_socket(
            socket,
            self._style,
            stop=self._composer.stop,
            close_code=self.setup.close_code,
            linger_s=self.setup.linger_s,
            clock=self._clock,
            tell=self.log.tell,
        )

    def _watch_socket(self, at_s: float) -> None:
        if self._read_again_s and at_s >= self._read_again_s:
            self._read_again_s = 0.0
            self._reading.set()
        socket = self._socket
        if socket is None or self._close_seen_s is None:
            self._close_seen_s = at_s if socket is not None and socket.close_received is not None else None
        elif at_s - self._close_seen_s > CLOSE_ANSWER_S:
            socket.reset()  # a close frame without the end of the connection: do not wait for ever

    def _strike(self, at_s: float) -> None:
        if self._storm:
            self._storm -= 1
            self.press(STORM_KEYS[self._storm % len(STORM_KEYS)])
        due = [fault for fault in self._pending if fault.at_ms <= self._beats * FRAME_MS]
        for fault in due:
            self._pending.remove(fault)
            self._carry_out(fault, at_s)

    def _carry_out(self, fault: TimedFault, at_s: float) -> None:
        self.log.tell(at_s, "injected", repr(fault))
        for message in messages_of(fault, self._composer, self.setup.stream_sid):
            self._send(message, at_s)
        match fault:
            case DtmfStorm(presses=presses):
                self._storm += presses
            case Stall(for_ms=for_ms):
                self._delays.stall(at_s, for_ms / 1000)
            case LoseFrames(frames=frames):
                self._lose += frames
            case Mute(for_ms=for_ms):
                self._muted_until_s = at_s + for_ms / 1000
            case StopReading(for_ms=for_ms):
                self._reading.clear()
                self._read_again_s = at_s + for_ms / 1000
            case EndStream(style=style):
                self.finish(StreamEnd.INJECTED, style)

    def _report(self, code: int, text: str) -> None:
        if self.log.report_code(code):
            self.log.tell(self._clock.now(), "debugger", f"{code} {text}")
            self._reported(code, text)
