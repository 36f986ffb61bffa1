"""Carries out the TwiML of one call: document after document, verb after verb."""

from collections.abc import Sequence
from enum import Enum

from callbot.simulators.twilio import twiml
from callbot.simulators.twilio.addresses import joined
from callbot.simulators.twilio.call_requests import CallRequests, Document, read_document
from callbot.simulators.twilio.call_state import CallState
from callbot.simulators.twilio.dialling import Dialling
from callbot.simulators.twilio.faults import Fault, ReplayVoiceWebhook
from callbot.simulators.twilio.keypad import Keypad
from callbot.simulators.twilio.outbound import OutboundCall
from callbot.simulators.twilio.records import CallEnd
from callbot.simulators.twilio.speech import spoken
from callbot.simulators.twilio.streams import CallStreams
from callbot.simulators.twilio.twiml_reader import SCHEMA, TwimlError, parse

TOO_MANY_DOCUMENTS = 11215
INVALID_URL = 11100


class _Next(Enum):
    """What follows a verb that names no other document."""

    VERB = "the next verb"
    HANG_UP = "the end of the call"


class Instructions:
    """The instructions of one call. `run` ends when they have run out, or the call is over."""

    def __init__(
        self,
        state: CallState,
        requests: CallRequests,
        streams: CallStreams,
        dialling: Dialling,
        keypad: Keypad,
        faults: Sequence[Fault],
        order: OutboundCall | None,
    ) -> None:
        self._state = state
        self._options = state.options
        self._requests = requests
        self._streams = streams
        self._dialling = dialling
        self._keypad = keypad
        self._faults = faults
        self._order = order
        self._fallback_used = False

    async def run(self) -> None:
        """Fetch the first document and carry out what it, and those that follow, say."""
        state = self._state
        document = await self._first_document()
        documents = 0
        while not state.is_over:
            if state.interrupted.is_set():
                state.interrupted.clear()
                document = await self._replacement()
            if document is None:
                if state.replacement is not None:
                    continue
                return
            documents += 1
            if documents > self._options.max_documents:
                self._apologise(TOO_MANY_DOCUMENTS, f"more than {self._options.max_documents} documents in a call")
                return
            document = await self._perform(document)

    async def _first_document(self) -> Document | None:
        order = self._order
        if order is not None and not order.url:
            return Document(order.twiml, self._options.public_url)
        url = self._requests.public(self._options.voice_path) if order is None else order.url
        method = "POST" if order is None else order.method
        answered_by = self._state.identity.answered_by
        extra = (("AnsweredBy", answered_by),) if answered_by else ()
        exchange = await self._state.unless_interrupted(self._requests.fetch("voice", url, method, extra))
        if exchange is None:
            return None
        for fault in self._faults:
            if isinstance(fault, ReplayVoiceWebhook):
                for _ in range(fault.times):
                    await self._requests.replay(exchange)
        document, code, reason = read_document(exchange)
        return document or await self._failed(code, reason, url)

    async def _replacement(self) -> Document | None:
        given, self._state.replacement = self._state.replacement, None
        if isinstance(given, twiml.Redirect):
            return await self._fetch("rest-url", given.url, given.method)
        return given

    async def _fetch(self, kind: str, url: str, method: str, extra: tuple[tuple[str, str], ...] = ()) -> Document | None:
        exchange = await self._state.unless_interrupted(self._requests.fetch(kind, url, method, extra))
        if exchange is None:
            return None
        document, code, reason = read_document(exchange)
        return document or await self._failed(code, reason, url)

    async def _follow(
        self, kind: str, base_url: str, url: str, method: str, extra: tuple[tuple[str, str], ...] = ()
    ) -> Document | _Next:
        address = joined(base_url, url)
        if address is None:
            return await self._failed(INVALID_URL, f"{url!r} is not an address", base_url) or _Next.HANG_UP
        return await self._fetch(kind, address, method, extra) or _Next.HANG_UP

    async def _failed(self, code: int, reason: str, url: str) -> Document | None:
        self._state.debugger(code, reason)
        if not self._options.fallback_path or self._fallback_used:
            self._apologise(code, reason)
            return None
        self._fallback_used = True
        extra = (("ErrorCode", str(code)), ("ErrorUrl", url))
        return await self._fetch("fallback", self._requests.public(self._options.fallback_path), "POST", extra)

    def _apologise(self, code: int, reason: str) -> None:
        self._state.answer()
        self._state.end = self._state.end or CallEnd.APPLICATION_ERROR
        self._state.note("application_error", f"{code} {reason}")

    async def _perform(self, document: Document) -> Document | None:
        state = self._state
        try:
            reading = parse(document.text)
        except TwimlError as error:
            return await self._failed(error.code, str(error), document.url)
        for warning in reading.warnings:
            state.debugger(SCHEMA, warning)
            state.note("twiml_warning", warning)
        for verb in reading.verbs:
            if state.interrupted.is_set():
                return None
            state.verbs.append(verb)
            state.note("verb", type(verb).__name__)
            if not isinstance(verb, twiml.Reject):
                state.answer()
            outcome = await self._do(verb, document.url)
            if outcome is _Next.VERB:
                continue
            return outcome if isinstance(outcome, Document) else None
        if not state.interrupted.is_set():
            state.end = CallEnd.DOCUMENT
        return None

    async def _do(self, verb: twiml.Verb, base_url: str) -> Document | _Next:
        state = self._state
        match verb:
            case twiml.Say() | twiml.Pause() | twiml.Play():
                await self._sound(verb)
            case twiml.Redirect(url=url, method=method):
                return await self._follow("redirect", base_url, url, method)
            case twiml.Connect(stream=stream, action=action, method=method):
                await self._streams.connect(stream, base_url)
                if action and self._asks_after_hang_up:
                    await self._requests.fetch("action", joined(base_url, action) or action, method)
                elif action and not state.interrupted.is_set():
                    return await self._follow("action", base_url, action, method)
            case twiml.Dial():
                dialled = await self._dialling.dial(verb, base_url)
                if verb.action and not state.interrupted.is_set():
                    return await self._follow("dial-action", base_url, verb.action, verb.method, dialled.fields())
            case twiml.Gather(action=action, method=method):
                fields = await self._keypad.gather(verb, lambda: self._say_all(verb.prompts))
                if fields is not None:
                    return await self._follow("gather-action", base_url, action, method, fields)
            case twiml.Record(action=action, method=method):
                fields = await self._keypad.record(verb, base_url)
                if fields is not None and state.is_over:
                    await self._requests.fetch("record-action", joined(base_url, action) or base_url, method, fields)
                elif fields is not None:
                    return await self._follow("record-action", base_url, action, method, fields)
            case twiml.Hangup():
                state.end = state.end or CallEnd.HANGUP_VERB
                return _Next.HANG_UP
            case twiml.Reject(reason=reason):
                # How Twilio names the two in CallStatus: busy as such, the other as not answered.
                state.identity.status = "busy" if reason == "busy" else "no-answer"
                state.end = state.end or CallEnd.REJECTED
                return _Next.HANG_UP
            case twiml.Unperformed(name):
                state.note("unperformed", f"<{name}> is valid TwiML; this stand-in cannot perform it and goes on behind it")
            case twiml.Start() | twiml.Stop():
                name = type(verb).__name__
                state.note("unperformed", f"<{name}> is valid TwiML; this stand-in cannot perform it and goes on behind it")
        return _Next.VERB

    async def _sound(self, verb: twiml.Say | twiml.Pause | twiml.Play) -> None:
        match verb:
            case twiml.Say(text=text, loop=loop):
                self._state.note("say", text)
                if self._options.audible_say:
                    await self._streams.announce(await spoken(text, verb.language) * max(1, loop), self._state.sleep)
                else:
                    await self._state.sleep(len(text) * max(1, loop) * self._options.say_ms_per_character / 1000)
            case twiml.Pause(length_s=length_s):
                await self._state.sleep(length_s)
            case twiml.Play(url=url, digits=digits):
                self._state.note("play", url or digits)
                await self._state.sleep(len(digits) * 0.5)  # Twilio plays about two digits a second

    @property
    def _asks_after_hang_up(self) -> bool:
        return self._state.end is CallEnd.CALLER and self._options.action_after_hang_up

    async def _say_all(self, prompts: Sequence[twiml.Say | twiml.Pause | twiml.Play]) -> None:
        for prompt in prompts:
            await self._sound(prompt)
