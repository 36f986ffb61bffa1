"""The carrier: places calls to an app, several at once, and lets the API act on them."""

import asyncio
import random
from collections.abc import Sequence

from callbot.simulators.twilio.addresses import Addresses
from callbot.simulators.twilio.call import Call
from callbot.simulators.twilio.call_requests import CallIdentity
from callbot.simulators.twilio.clock import Clock, MonotonicClock
from callbot.simulators.twilio.conference import Conferences
from callbot.simulators.twilio.faults import Fault
from callbot.simulators.twilio.line import LineModel
from callbot.simulators.twilio.options import CarrierOptions
from callbot.simulators.twilio.outbound import OutboundCall
from callbot.simulators.twilio.recordings import Recordings
from callbot.simulators.twilio.report import CallReport
from callbot.simulators.twilio.script import Script


class Carrier:
    """Twilio, for one account and one number.

    With `options.seed` set, sids, delays and noise repeat from run to run, call by call in the order in which
    the calls are placed.
    """

    def __init__(self, options: CarrierOptions, clock: Clock | None = None) -> None:
        self.options = options
        self._clock = clock or MonotonicClock()
        self._addresses = Addresses(options)
        self._seed = random.SystemRandom().getrandbits(64) if options.seed is None else options.seed
        self._placed = 0
        self._live: dict[str, Call] = {}
        self._known: dict[str, CallIdentity] = {}
        self.recordings = Recordings()
        self._conferences = Conferences()
        self._placed_tasks: dict[str, asyncio.Task[CallReport]] = {}

    async def call(
        self,
        script: Script,
        *,
        from_number: str = "+14158675310",
        to_number: str = "+18005551212",
        delay_s: float | tuple[float, float] = 0.0,
        faults: Sequence[Fault] = (),
        line: LineModel | None = None,
    ) -> CallReport:
        """Place a call and return its report once everything about it is over.

        The script begins with the first stream, goes on over further ones, and hangs up when it ends. A wait
        in it that runs out is reported as `script_failure`; any other exception of the script is raised here
        after the call has been ended in order. `delay_s` may be a range to draw from. `faults` strike this
        call only; `line` is the caller's line.
        """
        self._placed += 1
        rng = random.Random(f"{self._seed}/{self._placed}")
        call = Call(
            self.options,
            self._addresses,
            self._clock,
            rng,
            script,
            from_number=from_number,
            to_number=to_number,
            delay_s=rng.uniform(*delay_s) if isinstance(delay_s, tuple) else delay_s,
            faults=faults,
            line=line or LineModel(),
            conferences=self._conferences,
            recordings=self.recordings,
        )
        return await self._run(call)

    def create(self, order: OutboundCall) -> str:
        """Place an outbound call, as `calls.create` does, and return its sid at once; `report` waits for its end.

        Who answers, and what they do, is what `options.parties` says of the number.
        """
        self._placed += 1
        rng = random.Random(f"{self._seed}/{self._placed}")
        call = Call(
            self.options,
            self._addresses,
            self._clock,
            rng,
            self.options.callee(order.to_number).script,
            from_number=order.from_number,
            to_number=order.to_number,
            delay_s=0.0,
            faults=(),
            line=LineModel(),
            conferences=self._conferences,
            recordings=self.recordings,
            order=order,
        )
        call_sid = call.identity.call_sid
        self._known[call_sid] = call.identity
        self._live[call_sid] = call
        self._placed_tasks[call_sid] = asyncio.get_running_loop().create_task(self._run(call), name=call_sid)
        return call_sid

    async def report(self, call_sid: str) -> CallReport:
        """The report of a call that `create` has placed, once it is over. Raises KeyError for any other."""
        return await self._placed_tasks[call_sid]

    def identities(self) -> list[CallIdentity]:
        """All calls so far, the newest first."""
        return list(reversed(self._known.values()))

    async def _run(self, call: Call) -> CallReport:
        call_sid = call.identity.call_sid
        self._known[call_sid] = call.identity
        self._live[call_sid] = call
        try:
            return await call.run()
        finally:
            del self._live[call_sid]  # recordings are large; what is kept of a call is its identity

    def identity(self, call_sid: str) -> CallIdentity | None:
        """Who called whom in that call, and its status; None when there never was one."""
        return self._known.get(call_sid)

    def live(self, call_sid: str) -> Call | None:
        """The call with that sid, None when it is over."""
        call = self._live.get(call_sid)
        return None if call is None or call.is_over else call
