"""The streams of one call: opens them as `<Connect><Stream>` says and reports them to the app."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit, urlunsplit

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.addresses import Addresses, is_address, joined
from callbot.simulators.twilio.app_socket import AppSocket, HandshakeFailure
from callbot.simulators.twilio.call_requests import CallIdentity, CallRequests, new_sid
from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.faults import (
    DelayHandshake,
    Fault,
    HangUpStyle,
    OverrideParameter,
    SecondSocket,
    TimedFault,
)
from callbot.simulators.twilio.handset import FRAME_S, Handset, Voice
from callbot.simulators.twilio.line import LineModel, Microphone
from callbot.simulators.twilio.options import CarrierOptions, StreamSetup
from callbot.simulators.twilio.records import StreamEnd
from callbot.simulators.twilio.stream import MediaStream
from callbot.simulators.twilio.webhook import WebhookClient


class CallStreams:
    """Opens streams one after another and connects each with the handset."""

    def __init__(
        self,
        options: CarrierOptions,
        addresses: Addresses,
        clock: Clock,
        rng: random.Random,
        *,
        requests: CallRequests,
        client: WebhookClient,
        handset: Handset,
        identity: CallIdentity,
        faults: Sequence[Fault],
        line: LineModel,
        tell: Callable[[float, str, str], None],
    ) -> None:
        self.all: list[MediaStream] = []
        self.started = 0
        self._options = options
        self._addresses = addresses
        self._clock = clock
        self._rng = rng
        self._requests = requests
        self._client = client
        self._handset = handset
        self._identity = identity
        self._faults = faults
        self._line = line
        self._tell = tell
        self._current: MediaStream | None = None
        self._opened = 0
        self._seconds_left = [fault for fault in faults if isinstance(fault, SecondSocket)]
        self._tasks: asyncio.TaskGroup | None = None
        self._on_started: Callable[[], None] | None = None

    def begin(self, tasks: asyncio.TaskGroup, on_started: Callable[[], None]) -> None:
        """Name the call's task group, and whom to tell when a stream has started."""
        self._tasks, self._on_started = tasks, on_started

    def finish(self, end: StreamEnd, style: HangUpStyle) -> None:
        """End the stream that is running or being opened."""
        if self._current is not None:
            self._current.finish(end, style)

    def press(self, digit: str) -> None:
        """Press a key; without a stream nobody hears it."""
        if self._current is not None:
            self._current.press(digit)

    def inject(self, fault: TimedFault) -> None:
        """Let a fault strike the running stream, if there is one."""
        if self._current is not None:
            self._current.inject(fault)

    async def connect(self, verb: twiml.Stream, base_url: str) -> None:
        """Open a stream and keep it until it has ended. Failures are reported to the app, never raised."""
        assert self._tasks is not None
        tasks = self._tasks
        self._opened += 1
        callback = (joined(base_url, verb.status_callback) or "") if verb.status_callback else ""
        sid = new_sid("MZ", self._rng)

        def report(event: str, error: str = "") -> None:
            if callback:
                method = verb.status_callback_method
                tasks.create_task(
                    self._requests.report_stream(callback, method, stream_sid=sid, name=verb.name, event=event, error=error)
                )

        url = _without_query(verb.url)
        stream = self._new(verb, url, sid, report_code=lambda code, text: report("stream-error", f"{code} {text}"))
        self._current = stream
        try:
            socket = await self._open(verb, stream, url)
            if socket is None:
                return
            self._start(stream, socket)
            report("stream-started")
            await stream.run()
            report("stream-stopped")
        finally:
            self._current = None
            self._handset.attach(None)

    def _new(
        self,
        verb: twiml.Stream,
        url: str,
        sid: str,
        *,
        report_code: Callable[[int, str], None],
        second: bool = False,
    ) -> MediaStream:
        parameters = dict(verb.parameters)
        for fault in self._faults:
            if isinstance(fault, OverrideParameter):
                parameters.pop(fault.name, None)
                if fault.value is not None:
                    parameters[fault.name] = fault.value
        setup = StreamSetup(
            url=url,
            account_sid=self._options.account_sid,
            call_sid=self._identity.call_sid,
            stream_sid=sid,
            parameters=tuple(parameters.items()),
            number=self._opened,
            faults=() if second else self._faults,
            line=LineModel() if second else self._line,
            linger_s=self._options.linger_s,
            close_code=self._options.close_code,
            wait_for_whole_frames=self._options.wait_for_whole_frames,
            second=second,
        )
        stream = MediaStream(
            setup,
            self._clock,
            self._rng,
            catch_up=(lambda: None) if second else self._handset.catch_up,
            tell=self._tell,
            reported=report_code,
        )
        self.all.append(stream)
        return stream

    async def _open(self, verb: twiml.Stream, stream: MediaStream, url: str) -> AppSocket | None:
        refused = self._refuse(verb)
        if refused is not None:
            stream.fail(refused[0], 0, refused[1])
            return None
        if verb.url != url:
            self._tell(self._clock.now(), "query_dropped", "the stream's address has a query, which is not sent")
        delay_s = self._rng.uniform(*self._options.setup_ms) / 1000
        delay_s += sum(fault.delay_s for fault in self._faults if isinstance(fault, DelayHandshake))
        await self._clock.sleep(delay_s)
        for second in [fault for fault in self._seconds_left if fault.at_ms < 0]:
            self._open_second(verb, url, second)
            await self._clock.sleep(0.05)  # enough for the other socket to be first
        opened = await self._handshake(url)
        if isinstance(opened, HandshakeFailure):
            stream.fail(opened.code, opened.http_status, opened.text)
            return None
        if stream.end is not None:  # interrupted while the socket was being opened
            opened.reset()
            stream.fail(0, 101, "")
            return None
        return opened

    async def _handshake(self, url: str) -> AppSocket | HandshakeFailure:
        address = self._addresses.find(url)
        if address is None:
            return HandshakeFailure(31901, 0, f"{urlsplit(url).netloc} is not reachable from this stand-in")
        return await AppSocket.open(url, address, self._client.sign("stream", url), self._options.tls)

    def _start(self, stream: MediaStream, socket: AppSocket) -> None:
        self._handset.attach(stream)  # before the first beat, which would go nowhere otherwise
        self._start_handset()
        stream.begin(socket)
        self.started += 1
        self._tell(self._clock.now(), "stream_started", stream.setup.stream_sid)
        self.open_line()
        for second in [fault for fault in self._seconds_left if fault.at_ms >= 0]:
            self._open_second(_verb_of(stream), stream.setup.url, second)

    def open_line(self) -> None:
        """Let the caller begin to speak and to hear, if that has not happened."""
        self._start_handset()
        if self._on_started is not None:
            self._on_started()

    async def announce(self, audio: bytes, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Let the caller hear mu-law audio; `sleep` waits for its end, or until the call is interrupted."""
        self._start_handset()
        self._handset.attach(Voice(audio))
        try:
            await sleep(len(audio) / 8000)
        finally:
            self._handset.attach(None)

    def _start_handset(self) -> None:
        assert self._tasks is not None
        if self._handset.zero_s is None:
            self._handset.start()
            self._tasks.create_task(self._handset.run())

    def _open_second(self, verb: twiml.Stream, url: str, fault: SecondSocket) -> None:
        assert self._tasks is not None
        self._seconds_left.remove(fault)
        self._tasks.create_task(self._run_second(verb, url, fault))

    async def _run_second(self, verb: twiml.Stream, url: str, fault: SecondSocket) -> None:
        """Run a second socket for the same call, with a caller who says nothing."""
        await self._clock.sleep(max(0, fault.at_ms) / 1000)
        stream = self._new(verb, url, new_sid("MZ", self._rng), report_code=lambda _code, _text: None, second=True)
        opened = await self._handshake(url)
        if isinstance(opened, HandshakeFailure):
            stream.fail(opened.code, opened.http_status, opened.text)
            return
        stream.begin(opened)
        async with asyncio.TaskGroup() as tasks:
            beat = tasks.create_task(self._beat_second(stream, fault.lasts_ms))
            await stream.run()
            beat.cancel()

    async def _beat_second(self, stream: MediaStream, lasts_ms: int) -> None:
        began_s = self._clock.now()
        microphone = Microphone(LineModel(), self._rng)
        beats = 0
        while beats * FRAME_S * 1000 < lasts_ms:
            stream.beat(microphone.frame(None, ()), began_s + beats * FRAME_S)
            beats += 1
            await self._clock.sleep(began_s + beats * FRAME_S - self._clock.now())
        stream.finish(StreamEnd.INJECTED, HangUpStyle.STOP_THEN_CLOSE)

    def _refuse(self, verb: twiml.Stream) -> tuple[int, str] | None:
        scheme = verb.url.partition("://")[0].lower()
        if scheme != "wss" and not (scheme == "ws" and self._options.allow_ws):
            return 31922, f"the stream's address must begin with wss://, not {verb.url!r}"
        if not is_address(verb.url):
            return 31923, f"{verb.url!r} is not an address"
        if urlsplit(verb.url).query and self._options.fail_on_stream_query:
            return 31920, "the stream's address must not have a query"
        if verb.track != "inbound_track":
            return 31941, f"track {verb.track!r}: a bidirectional stream takes inbound_track only"
        return None


def _without_query(url: str) -> str:
    """Return the address as it is dialled; one that cannot be dialled as it is."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment="")) if is_address(url) else url


def _verb_of(stream: MediaStream) -> twiml.Stream:
    return twiml.Stream(stream.setup.url, parameters=stream.setup.parameters)
