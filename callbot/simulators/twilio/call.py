"""One call, from ringing to its status callback: its life, its script, and what can interrupt it.

dialing -> voice webhook -> verbs, documents, streams -> over -> status callback. Three things can interrupt a
verb at any time: the caller hangs up, the API gives new instructions, the time limit is reached.
"""

import asyncio
import datetime as dt
import random
from collections.abc import Sequence
from typing import Literal

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.addresses import Addresses
from callbot.simulators.twilio.call_progress import CallProgress
from callbot.simulators.twilio.call_requests import CallIdentity, CallRequests, Document, new_sid
from callbot.simulators.twilio.call_state import CallState
from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.conference import Conferences
from callbot.simulators.twilio.dialling import Dialling
from callbot.simulators.twilio.faults import Fault, HangUpStyle, TimedFault, WrongSignature
from callbot.simulators.twilio.handset import CallEndedError, Handset, WaitTimeoutError
from callbot.simulators.twilio.instructions import Instructions
from callbot.simulators.twilio.keypad import Keypad
from callbot.simulators.twilio.line import LineModel, Microphone
from callbot.simulators.twilio.options import CarrierOptions
from callbot.simulators.twilio.outbound import OutboundCall
from callbot.simulators.twilio.recordings import Recordings
from callbot.simulators.twilio.records import CallEnd, StreamEnd
from callbot.simulators.twilio.report import CallReport, build_report
from callbot.simulators.twilio.script import Line, Script, run_script
from callbot.simulators.twilio.streams import CallStreams
from callbot.simulators.twilio.webhook import WebhookClient

SCRIPT_END_S = 1.0  # for a script's last lines after the call has ended


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
        conferences: Conferences,
        recordings: Recordings,
        order: OutboundCall | None = None,
    ) -> None:
        direction: Literal["inbound", "outbound-api"] = "inbound" if order is None else "outbound-api"
        status = "ringing" if order is None else "queued"
        self.identity = CallIdentity(new_sid("CA", rng), from_number, to_number, status, direction)
        self._order = order
        self._state = CallState(self.identity, options, clock, rng)
        self._options = options
        self._clock = clock
        self._script = script
        self._delay_s = delay_s
        self._handset = Handset(clock, Microphone(line, rng), self._state.tell)
        wrong = [fault for fault in faults if isinstance(fault, WrongSignature)]
        self._client = WebhookClient(options, addresses, clock, rng, wrong)
        self._requests = CallRequests(options, self.identity, self._client, clock)
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
            tell=self._state.tell,
        )
        dialling = Dialling(self._state, self._requests, self._handset, self._streams.open_line, conferences)
        keypad = Keypad(self._state, self._requests, self._handset, self._streams.open_line, recordings)
        self._instructions = Instructions(self._state, self._requests, self._streams, dialling, keypad, faults, order)
        self._progress = CallProgress(self._state, self._requests, order)
        self._script_task: asyncio.Task[None] | None = None
        self._script_failure = ""
        self._script_error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can be done to the call any more."""
        return self._state.is_over

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

    def redirect(self, instructions: Document | twiml.Redirect) -> None:
        """The API gives new instructions: a running stream is ended first."""
        if self.is_over:
            return
        self._state.note("redirected", "new instructions through the API")
        self._state.replacement = instructions
        self._state.interrupted.set()
        self._streams.finish(StreamEnd.REDIRECTED, HangUpStyle.STOP_THEN_CLOSE)

    def press(self, digit: str) -> None:
        """See `script.CallControl`."""
        if self._state.keys is not None:
            self._state.note("dtmf", digit)
            self._state.keys.put_nowait(digit)
        else:
            self._streams.press(digit)

    def inject(self, fault: TimedFault) -> None:
        """See `script.CallControl`."""
        self._streams.inject(fault)

    async def run(self) -> CallReport:
        """Make the call and return its report. Raises what the script raised, once the line is down."""
        await self._clock.sleep(self._delay_s)
        placed_s = self._clock.now()
        self._state.tell(placed_s, "placed", f"{self.identity.from_number} calls {self.identity.to_number}")
        async with self._client, asyncio.TaskGroup() as tasks:
            limit = tasks.create_task(self._keep_time_limit())
            self._streams.begin(tasks, self._script_begins)
            self._tasks = tasks
            if self._order is None or await self._progress.ring(self._options.callee(self.identity.to_number), tasks):
                await self._instructions.run()
            self._state.end = end = self._state.end or CallEnd.DOCUMENT
            ended_s = self._clock.now()
            self._handset.end()
            limit.cancel()
            await self._end_script()
            if self.identity.status in ("queued", "initiated", "ringing", "in-progress"):
                self.identity.status = "completed"
            self._state.tell(ended_s, "ended", end.value)
            duration_s = 0.0 if self._state.answered_s is None else ended_s - self._state.answered_s
            self.identity.duration_s, self.identity.ended = duration_s, dt.datetime.now(dt.UTC)
            await self._progress.tell("completed")
            if self._order is None and self._options.status_path:
                tasks.create_task(self._requests.report_status(duration_s))
        if self._script_error is not None:
            raise self._script_error
        zero_s = placed_s if self._handset.zero_s is None else self._handset.zero_s
        return build_report(
            self.identity,
            end=end,
            duration_s=duration_s,
            zero_s=zero_s,
            exchanges=self._requests.exchanges,
            verbs=self._state.verbs,
            streams=[stream.report(zero_s) for stream in self._streams.all],
            events=self._state.events,
            handset=self._handset,
            script_failure=self._script_failure,
        )

    def _finish(self, end: CallEnd, stream_end: StreamEnd, style: HangUpStyle) -> None:
        if self.is_over:
            return
        self._state.end = end
        self._state.replacement = None
        self._state.note("hung_up", end.value)
        self._handset.end()
        self._state.interrupted.set()
        self._streams.finish(stream_end, style)

    async def _keep_time_limit(self) -> None:
        limits_s = [self._options.max_call_s] if self._order is None else [self._options.max_call_s, self._order.time_limit_s]
        await self._clock.sleep(min(limits_s))
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
            self._state.note("script_failed", self._script_failure)
        except Exception as error:  # noqa: BLE001 - kept, and raised by run() once the line is down
            self._script_error = error
        self.hang_up()

    async def _end_script(self) -> None:
        """Let the script notice that the call is over; one that waits for something else is cancelled."""
        if self._script_task is not None:
            await asyncio.wait((self._script_task,), timeout=SCRIPT_END_S)
            self._script_task.cancel()
