"""One call, from ringing to its status callback: carries out TwiML and owns the caller's handset.

dialing -> voice webhook -> verbs, documents, streams -> over -> status callback. Three things can interrupt a
verb at any time: the caller hangs up, the API gives new instructions, the time limit is reached.
"""

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Sequence
from enum import Enum
from typing import Any
from urllib.parse import urljoin

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.call_requests import CallIdentity, CallRequests, Document, new_sid, read_document
from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.faults import Fault, HangUpStyle, ReplayVoiceWebhook, TimedFault, WrongSignature
from callbot.simulators.twilio.handset import CallEndedError, Handset, WaitTimeoutError
from callbot.simulators.twilio.line import LineModel, Microphone
from callbot.simulators.twilio.options import Addresses, CarrierOptions
from callbot.simulators.twilio.records import CallEnd, Event, StreamEnd
from callbot.simulators.twilio.report import CallReport, build_report
from callbot.simulators.twilio.script import Line, Script, run_script
from callbot.simulators.twilio.streams import CallStreams
from callbot.simulators.twilio.webhook import WebhookClient

TOO_MANY_DOCUMENTS = 11215
SCRIPT_END_S = 1.0  # for a script's last lines after the call has ended


class _Next(Enum):
    """What follows a verb that names no other document."""

    VERB = "the next verb"
    HANG_UP = "the end of the call"


class Call:
    """A call in progress. `run` is to be awaited once; the other methods act on it from outside."""

    def __init__(
        self,
        options: CarrierOptions,
        addresses: Addresses,
        clock: Clock,
        rng: random.Random,
        script: Script,
        *,
        from_number: str,
        to_number: str,
        delay_s: float,
        faults: Sequence[Fault],
        line: LineModel,
    ) -> None:
        self.identity = CallIdentity(new_sid("CA", rng), from_number, to_number)
        self._options = options
        self._clock = clock
        self._script = script
        self._delay_s = delay_s
        self._faults = faults
        self._events: list[Event] = []
        self._verbs: list[twiml.Verb] = []
        self._handset = Handset(clock, Microphone(line, rng), self._tell)
        wrong = [fault for fault in faults if isinstance(fault, WrongSignature)]
        self._client = WebhookClient(options, addresses, clock, rng, wrong)
        self._requests = CallRequests(options, self.identity, self._client, clock)
        self._rng = rng
        self._streams = CallStreams(
            options,
            addresses,
            clock,
            rng,
            requests=self._requests,
            client=self._client,
            handset=self._handset,
            identity=self.identity,
            faults=faults,
            line=line,
            tell=self._tell,
        )
        self._interrupted = asyncio.Event()
        self._replacement: Document | None = None
        self._end: CallEnd | None = None
        self._answered_s: float | None = None
        self._fallback_used = False
        self._script_task: asyncio.Task[None] | None = None
        self._script_failure = ""
        self._script_error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can be done to the call any more."""
        return self._end is not None

    @property
    def streams_started(self) -> int:
        """See `script.CallControl`."""
        return self._streams.started

    def hang_up(self, style: HangUpStyle | None = None) -> None:
        """The caller puts the receiver down."""
        self._finish(CallEnd.CALLER, StreamEnd.HUNG_UP, style or self._options.hang_up_style)

    def complete(self) -> None:
        """The API ends the call."""
        self._finish(CallEnd.API, StreamEnd.COMPLETED, HangUpStyle.STOP_THEN_CLOSE)

    def redirect(self, document: Document) -> None:
        """The API gives new instructions: a running stream is ended first."""
        if self.is_over:
            return
        self._tell(self._clock.now(), "redirected", "new instructions through the API")
        self._replacement = document
        self._interrupted.set()
        self._streams.finish(StreamEnd.REDIRECTED, HangUpStyle.STOP_THEN_CLOSE)

    async def fetch_instructions(self, url: str, method: str) -> tuple[Document | None, int, str]:
        """Fetch the document that an API request names by address."""
        return read_document(await self._requests.fetch("rest-url", urljoin(self._options.public_url, url), method))

    def press(self, digit: str) -> None:
        """See `script.CallControl`."""
        self._streams.press(digit)

    def inject(self, fault: TimedFault) -> None:
        """See `script.CallControl`."""
        self._streams.inject(fault)

    async def run(self) -> CallReport:
        """Make the call and return its report. Raises what the script raised, once the line is down."""
        await self._clock.sleep(self._delay_s)
        placed_s = self._clock.now()
        self._tell(placed_s, "placed", f"{self.identity.from_number} calls {self.identity.to_number}")
        async with self._client, asyncio.TaskGroup() as tasks:
            limit = tasks.create_task(self._keep_time_limit())
            self._streams.begin(tasks, self._script_begins)
            self._tasks = tasks
            await self._carry_out()
            self._end = self._end or CallEnd.DOCUMENT
            ended_s = self._clock.now()
            self._handset.end()
            limit.cancel()
            await self._end_script()
            if self.identity.status in ("ringing", "in-progress"):
                self.identity.status = "completed"
            self._tell(ended_s, "ended", self._end.value)
            duration_s = 0.0 if self._answered_s is None else ended_s - self._answered_s
            if self._options.status_path:
                tasks.create_task(self._requests.report_status(duration_s))
        if self._script_error is not None:
            raise self._script_error
        zero_s = placed_s if self._handset.zero_s is None else self._handset.zero_s
        return build_report(
            self.identity,
            end=self._end,
            duration_s=duration_s,
            zero_s=zero_s,
            exchanges=self._requests.exchanges,
            verbs=self._verbs,
            streams=[stream.report(zero_s) for stream in self._streams.all],
            events=self._events,
            handset=self._handset,
            script_failure=self._script_failure,
        )

    def _finish(self, end: CallEnd, stream_end: StreamEnd, style: HangUpStyle) -> None:
        if self.is_over:
            return
        self._end = end
        self._replacement = None
        self._tell(self._clock.now(), "hung_up", end.value)
        self._handset.end()
        self._interrupted.set()
        self._streams.finish(stream_end, style)

    async def _keep_time_limit(self) -> None:
        await self._clock.sleep(self._options.max_call_s)
        self._finish(CallEnd.TIME_LIMIT, StreamEnd.TIME_LIMIT, HangUpStyle.STOP_THEN_CLOSE)

    def _script_begins(self) -> None:
        if self._script_task is None:
            self._script_task = self._tasks.create_task(self._run_script())

    async def _run_script(self) -> None:
        try:
            await run_script(self._script, Line(self, self._handset))
        except CallEndedError:
            return
        except WaitTimeoutError as error:
            self._script_failure = str(error)
            self._tell(self._clock.now(), "script_failed", self._script_failure)
        except Exception as error:  # noqa: BLE001 - kept, and raised by run() once the line is down
            self._script_error = error
        self.hang_up()

    async def _end_script(self) -> None:
        """Let the script notice that the call is over; one that waits for something else is cancelled."""
        if self._script_task is not None:
            await asyncio.wait((self._script_task,), timeout=SCRIPT_END_S)
            self._script_task.cancel()

    async def _carry_out(self) -> None:
        document = await self._first_document()
        documents = 0
        while not self.is_over:
            if self._interrupted.is_set():
                self._interrupted.clear()
                document, self._replacement = self._replacement, None
            if document is None:
                return
            documents += 1
            if documents > self._options.max_documents:
                self._apologise(TOO_MANY_DOCUMENTS, f"more than {self._options.max_documents} documents in a call")
                return
            document = await self._perform(document)

    async def _first_document(self) -> Document | None:
        url = self._requests.public(self._options.voice_path)
        exchange = await self._unless_interrupted(self._requests.fetch("voice", url))
        if exchange is None:
            return None
        for fault in self._faults:
            if isinstance(fault, ReplayVoiceWebhook):
                for _ in range(fault.times):
                    await self._requests.replay(exchange)
        document, code, reason = read_document(exchange)
        return document or await self._failed(code, reason, url)

    async def _fetch(self, kind: str, url: str, method: str, extra: tuple[tuple[str, str], ...] = ()) -> Document | None:
        exchange = await self._unless_interrupted(self._requests.fetch(kind, url, method, extra))
        if exchange is None:
            return None
        document, code, reason = read_document(exchange)
        return document or await self._failed(code, reason, url)

    async def _failed(self, code: int, reason: str, url: str) -> Document | None:
        self._tell(self._clock.now(), "debugger", f"{code} {reason}")
        if not self._options.fallback_path or self._fallback_used:
            self._apologise(code, reason)
            return None
        self._fallback_used = True
        extra = (("ErrorCode", str(code)), ("ErrorUrl", url))
        return await self._fetch("fallback", self._requests.public(self._options.fallback_path), "POST", extra)

    def _apologise(self, code: int, reason: str) -> None:
        self._answer()
        self._end = self._end or CallEnd.APPLICATION_ERROR
        self._tell(self._clock.now(), "application_error", f"{code} {reason}")

    def _answer(self) -> None:
        if self._answered_s is None:
            self._answered_s = self._clock.now()
            self.identity.status = "in-progress"
            self._tell(self._answered_s, "answered", "")

    async def _perform(self, document: Document) -> Document | None:
        try:
            verbs = twiml.parse(document.text)
        except twiml.TwimlError as error:
            return await self._failed(error.code, str(error), document.url)
        for verb in verbs:
            if self._interrupted.is_set():
                return None
            self._verbs.append(verb)
            self._tell(self._clock.now(), "verb", type(verb).__name__)
            if not isinstance(verb, twiml.Reject):
                self._answer()
            outcome = await self._do(verb, document.url)
            if outcome is _Next.VERB:
                continue
            return outcome if isinstance(outcome, Document) else None
        if not self._interrupted.is_set():
            self._end = CallEnd.DOCUMENT
        return None

    async def _do(self, verb: twiml.Verb, base_url: str) -> Document | _Next:
        match verb:
            case twiml.Say(text=text, loop=loop):
                self._tell(self._clock.now(), "say", text)
                return await self._pause(len(text) * max(1, loop) * self._options.say_ms_per_character / 1000)
            case twiml.Pause(length_s=length_s):
                return await self._pause(length_s)
            case twiml.Play(url=url, digits=digits):
                self._tell(self._clock.now(), "play", url or digits)
                return await self._pause(len(digits) * 0.5)  # Twilio plays about two digits a second
            case twiml.Redirect(url=url, method=method):
                return await self._fetch("redirect", urljoin(base_url, url), method) or _Next.HANG_UP
            case twiml.Connect(stream=stream, action=action, method=method):
                await self._streams.connect(stream, base_url)
                if action and self._asks_after_hang_up:
                    await self._requests.fetch("action", urljoin(base_url, action), method)
                elif action and not self._interrupted.is_set():
                    return await self._fetch("action", urljoin(base_url, action), method) or _Next.HANG_UP
                return _Next.VERB
            case twiml.Dial():
                return await self._dial(verb, base_url)
            case twiml.Hangup():
                self._end = self._end or CallEnd.HANGUP_VERB
                return _Next.HANG_UP
            case twiml.Reject(reason=reason):
                # How Twilio names the two in CallStatus: busy as such, the other as not answered.
                self.identity.status = "busy" if reason == "busy" else "no-answer"
                self._end = self._end or CallEnd.REJECTED
                return _Next.HANG_UP

    @property
    def _asks_after_hang_up(self) -> bool:
        return self._end is CallEnd.CALLER and self._options.action_after_hang_up

    async def _pause(self, for_s: float) -> _Next:
        await self._unless_interrupted(self._clock.sleep(for_s))
        return _Next.VERB

    async def _dial(self, verb: twiml.Dial, base_url: str) -> Document | _Next:
        outcome = self._options.dial_outcome
        self._tell(self._clock.now(), "dial", f"{', '.join(verb.targets)}: {outcome}")
        talk_s = {"completed": self._options.dial_talk_s, "no-answer": float(verb.timeout_s)}.get(outcome, 0.0)
        await self._unless_interrupted(self._clock.sleep(talk_s))
        if not verb.action or self._interrupted.is_set():
            return _Next.VERB
        extra = [("DialCallStatus", outcome), ("DialCallSid", new_sid("CA", self._rng))]
        if outcome == "completed":
            extra.append(("DialCallDuration", str(round(talk_s))))
        url = urljoin(base_url, verb.action)
        return await self._fetch("dial-action", url, verb.method, tuple(extra)) or _Next.HANG_UP

    async def _unless_interrupted[T](self, work: Coroutine[Any, Any, T]) -> T | None:
        """Await `work`; an interruption cancels it, and the result is None."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work)
            interruption = tasks.create_task(self._interrupted.wait())
            await asyncio.wait((task, interruption), return_when=asyncio.FIRST_COMPLETED)
            interruption.cancel()
            if not task.done():
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return task.result()
        return None

    def _tell(self, at_s: float, kind: str, detail: str) -> None:
        self._events.append(Event(at_s, kind, detail))
