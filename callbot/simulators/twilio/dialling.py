"""<Dial> with second legs: they ring, answer or do not, hear what is said to them first, and talk with the caller."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.addresses import joined
from callbot.simulators.twilio.call_requests import CallIdentity, CallRequests, new_sid, read_document
from callbot.simulators.twilio.call_state import CallState
from callbot.simulators.twilio.conference import Conferences
from callbot.simulators.twilio.handset import Handset, Voice
from callbot.simulators.twilio.outbound import CALL_STATUS, Callee
from callbot.simulators.twilio.twiml_reader import TwimlError, parse

INVALID_CALLER_ID = 13214


@dataclass(frozen=True, slots=True)
class Dialled:
    """What became of a <Dial>: the fields of its action request."""

    status: str
    call_sid: str
    duration_s: float
    bridged: bool

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The fields that the action request has besides the standard ones."""
        given = [("DialCallStatus", self.status), ("DialCallSid", self.call_sid), ("DialBridged", str(self.bridged).lower())]
        if self.bridged:
            given.append(("DialCallDuration", str(round(self.duration_s))))
        return tuple(given)


class Dialling:
    """Performs the <Dial> verbs of one call."""

    def __init__(
        self,
        state: CallState,
        requests: CallRequests,
        handset: Handset,
        open_line: Callable[[], None],
        conferences: Conferences,
    ) -> None:
        self._state = state
        self._requests = requests
        self._handset = handset
        self._open_line = open_line
        self._conferences = conferences

    async def dial(self, verb: twiml.Dial, base_url: str) -> Dialled:
        """Call the targets and stay until the caller or the one who answered has gone."""
        state = self._state
        if verb.targets[0].noun == "Conference":
            return await self._join(verb.targets[0], base_url)
        groups = [[target] for target in verb.targets] if verb.sequential else [list(verb.targets)]
        done = Dialled("failed", "", 0.0, bridged=False)
        for group in groups:
            done = await self._ring(verb, group, base_url)
            if done.bridged or state.interrupted.is_set():
                break
        names = ", ".join(target.address for target in verb.targets)
        state.note("dial", f"{names}: {done.status}")
        return done

    async def _ring(self, verb: twiml.Dial, targets: list[twiml.Target], base_url: str) -> Dialled:
        """Ring these at once; the first who answers within the time gets the caller."""
        legs = [(target, self._callee(verb, target), self._leg(target)) for target in targets]
        for target, _, leg in legs:
            await self._report(target, leg, "initiated", base_url)
            await self._report(target, leg, "ringing", base_url)
        in_time = [entry for entry in legs if entry[1].answers and entry[1].ring_s <= verb.timeout_s]
        winner = min(in_time, key=lambda entry: entry[1].ring_s, default=None)
        if winner is None:
            refusals = [callee for _, callee, _ in legs]
            late = any(callee.answers or callee.outcome == "no-answer" for callee in refusals)
            await self._state.sleep(verb.timeout_s if late else max(callee.ring_s for callee in refusals))
            status = "no-answer" if late else CALL_STATUS[refusals[-1].outcome]
            for target, callee, leg in legs:
                leg.status = "no-answer" if callee.answers else CALL_STATUS[callee.outcome]
                await self._report(target, leg, "completed", base_url)
            return Dialled(status, legs[-1][2].call_sid, 0.0, bridged=False)
        target, callee, leg = winner
        await self._state.sleep(callee.ring_s)
        for other, _, other_leg in legs:
            if other is not target:
                other_leg.status = "no-answer"
                await self._report(other, other_leg, "completed", base_url)
        return await self._talk(verb, target, callee, leg, base_url)

    async def _talk(self, verb: twiml.Dial, target: twiml.Target, callee: Callee, leg: CallIdentity, base_url: str) -> Dialled:
        state = self._state
        leg.status = "in-progress"
        if not state.interrupted.is_set():
            await self._report(target, leg, "answered", base_url)
        accepted = await self._whisper(target, callee, leg, base_url) if target.url else True
        began_s = state.clock.now()
        if accepted and not state.interrupted.is_set():
            state.note("bridged", target.address)
            self._handset.attach(Voice(callee.says))
            await state.sleep(min(callee.talk_s, verb.time_limit_s))
            self._handset.attach(None)
        duration_s = state.clock.now() - began_s
        leg.status = "completed"
        await self._report(target, leg, "completed", base_url)
        return Dialled("completed", leg.call_sid, duration_s, bridged=accepted)

    async def _whisper(self, target: twiml.Target, callee: Callee, leg: CallIdentity, base_url: str) -> bool:
        """Let the one who answered hear what is only for them; False when that ends in hanging up on them."""
        url, extra = joined(base_url, target.url), ()
        given: tuple[tuple[str, str], ...] = extra
        while url is not None and not self._state.interrupted.is_set():
            exchange = await self._requests.fetch("whisper", url, target.method, given, leg)
            document, code, reason = read_document(exchange)
            try:
                verbs = parse(document.text).verbs if document is not None else ()
            except TwimlError as error:
                document, code, reason, verbs = None, error.code, str(error), ()
            if document is None:
                self._state.debugger(code, reason)
                return True  # who is called hears nothing of it and is connected
            url = None
            for verb in verbs:
                match verb:
                    case twiml.Say(text=text):
                        await self._state.sleep(len(text) * self._state.options.say_ms_per_character / 1000)
                    case twiml.Pause(length_s=length_s):
                        await self._state.sleep(length_s)
                    case twiml.Gather(action=action) if callee.presses:
                        url, given = joined(document.url, action), (("Digits", callee.presses),)
                        break
                    case twiml.Gather(timeout_s=timeout_s):
                        await self._state.sleep(timeout_s)
                    case twiml.Hangup() | twiml.Reject():
                        return False
                    case _:
                        pass
        return True

    def _callee(self, verb: twiml.Dial, target: twiml.Target) -> Callee:
        """Who answers; a call that Twilio would not place fails at once, and one to itself finds itself busy."""
        state, identity = self._state, self._state.identity
        if target.noun == "Number" and not (verb.caller_id or identity.from_number.startswith("+")):
            state.debugger(INVALID_CALLER_ID, f"{identity.from_number!r} is no caller id: <Dial> needs callerId")
            state.note("dial_refused", f"{INVALID_CALLER_ID} <Dial> needs a callerId for a call from {identity.from_number!r}")
            return Callee("failed", ring_s=0.0)
        if target.noun == "Number" and target.address in {identity.to_number, identity.from_number}:
            state.note("dial_refused", f"the app dials {target.address}, which is a party of the call")
            return Callee("busy", ring_s=0.0)
        return state.options.callee(target.address)

    def _leg(self, target: twiml.Target) -> CallIdentity:
        identity = self._state.identity
        sid = new_sid("CA", self._state.rng)
        return CallIdentity(sid, identity.from_number, target.address, direction="outbound-dial", parent_sid=identity.call_sid)

    async def _report(
        self,
        target: twiml.Target,
        leg: CallIdentity,
        event: Literal["initiated", "ringing", "answered", "completed"],
        base_url: str,
    ) -> None:
        if event in {"initiated", "ringing"}:
            leg.status = event
        url = joined(base_url, target.status_callback) if target.status_callback else None
        if url is not None and event in target.status_callback_events:
            await self._requests.report_progress(url, target.status_callback_method, leg)

    async def _join(self, target: twiml.Target, base_url: str) -> Dialled:
        state, name = self._state, target.address
        began_s = state.clock.now()
        room = self._conferences.room(name, state.rng)
        seat = room.join(state.identity.call_sid, starts=target.starts_conference, ends=target.ends_conference)
        state.note("conference", f"joins {name}")
        await self._tell_conference(target, base_url, room.sid, "join", room.has_just_started)
        self._open_line()
        self._handset.attach(seat)
        await state.unless_interrupted(seat.over.wait())
        self._handset.attach(None)
        ended = room.leave(seat)
        state.note("conference", f"leaves {name}")
        await self._tell_conference(target, base_url, room.sid, "leave", ended)
        return Dialled("completed", new_sid("CA", state.rng), state.clock.now() - began_s, bridged=True)

    async def _tell_conference(self, target: twiml.Target, base_url: str, sid: str, event: str, edge: bool) -> None:
        url = joined(base_url, target.status_callback) if target.status_callback else None
        if url is None:
            return
        beginning = event == "join"
        told = [("start" if beginning else "end", f"conference-{'start' if beginning else 'end'}")] if edge else []
        told.insert(len(told) if beginning else 0, (event, f"participant-{event}"))
        for asked, name in told:
            if asked in target.status_callback_events:
                extra = (("ConferenceSid", sid), ("FriendlyName", target.address), ("StatusCallbackEvent", name))
                await self._requests.report_conference(url, target.status_callback_method, extra)
