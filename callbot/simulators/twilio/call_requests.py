"""The requests of one call: which fields Twilio sends when, and how an answer becomes a document.

Field names and values follow Twilio's page "TwiML voice: request parameters" and "Call status callbacks".
"""

import datetime as dt
import email.utils
import random
import re
from dataclasses import dataclass, field
from typing import Literal

from callbot.simulators.twilio.clock import Clock
from callbot.simulators.twilio.options import CarrierOptions
from callbot.simulators.twilio.records import Exchange
from callbot.simulators.twilio.twiml_reader import NOT_PARSABLE
from callbot.simulators.twilio.webhook import WebhookClient

BAD_CONTENT_TYPE = 12300
_NUMBER = re.compile(r"\+\d{6,15}")
_PLACE = (("City", "SÃO JOSÉ"), ("State", "CA"), ("Zip", ""), ("Country", "US"))  # of callers with a number
# How carriers and Twilio spell a caller who withholds the number (somleng#1820 and others).
WITHHELD_NUMBERS = (
    "anonymous", "Anonymous", "ANONYMOUS", "+266696687", "266696687", "+7378742833", "+86282452253", "Restricted", "",
    "sip:anonymous@anonymous.invalid",
)  # fmt: skip
_TWIML_TYPES = frozenset({"text/xml", "application/xml"})


@dataclass(frozen=True, slots=True)
class Document:
    """TwiML to be carried out, and the address that relative URLs in it refer to."""

    text: str
    url: str


@dataclass(slots=True)
class CallIdentity:
    """Who calls whom, and how far the call has come (`status`: Twilio's CallStatus). Times are of the wall."""

    call_sid: str
    from_number: str
    to_number: str
    status: str = "ringing"
    direction: Literal["inbound", "outbound-api", "outbound-dial"] = "inbound"
    parent_sid: str = ""
    answered_by: str = ""
    created: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    answered: dt.datetime | None = None
    ended: dt.datetime | None = None
    duration_s: float = 0.0


def new_sid(prefix: str, rng: random.Random) -> str:
    """Return a sid: two letters and 32 hexadecimal digits."""
    return f"{prefix}{rng.getrandbits(128):032x}"


class CallRequests:
    """Sends the requests of one call and keeps every exchange."""

    def __init__(self, options: CarrierOptions, identity: CallIdentity, client: WebhookClient, clock: Clock) -> None:
        self.exchanges: list[Exchange] = []
        self._reported: dict[str, int] = {}  # the last sequence number of each leg's status callbacks
        self._options = options
        self._identity = identity
        self._client = client
        self._clock = clock

    def public(self, path: str) -> str:
        """Return the absolute public address of a configured path."""
        return self._options.public_url.rstrip("/") + path

    def standard_fields(self, leg: CallIdentity | None = None) -> list[tuple[str, str]]:
        """The fields of every call-control request, in no particular order, some empty; `leg`: of a second leg."""
        identity = leg or self._identity
        caller, called = identity.from_number, identity.to_number
        parent = [("ParentCallSid", identity.parent_sid)] if identity.parent_sid else []
        return [
            ("CallSid", identity.call_sid),
            *parent,
            ("AccountSid", self._options.account_sid),
            ("From", caller),
            ("To", called),
            ("Caller", caller),
            ("Called", called),
            ("CallStatus", identity.status),
            ("ApiVersion", "2010-04-01"),
            ("Direction", identity.direction),
            ("CallerName", ""),
            *((f"From{place}", text if _NUMBER.fullmatch(caller) else "") for place, text in _PLACE),
            ("ToCity", ""),
            ("ToState", ""),
            ("ToZip", ""),
            ("ToCountry", "US"),
            ("StirVerstat", "TN-Validation-Passed-A"),
            *self._options.extra_fields,
        ]

    async def fetch(
        self,
        kind: str,
        url: str,
        method: str = "POST",
        extra: tuple[tuple[str, str], ...] = (),
        leg: CallIdentity | None = None,
    ) -> Exchange:
        """Ask for a document."""
        exchange = await self._client.send(kind, url, method, [*self.standard_fields(leg), *extra])
        self.exchanges.append(exchange)
        return exchange

    async def replay(self, original: Exchange) -> Exchange:
        """Send the same fields to the same address once more."""
        exchange = await self._client.send("replay", original.url, original.method, original.fields)
        self.exchanges.append(exchange)
        return exchange

    async def report_status(self, duration_s: float) -> None:
        """Send the number's status callback, as late and as often as the options say."""
        fields = self._progress(self._identity, duration_s)
        for _ in range(self._options.status_copies):
            await self._clock.sleep(self._options.status_delay_s)
            url = self.public(self._options.status_path)
            self.exchanges.append(await self._client.send("status", url, "POST", fields))

    async def report_progress(self, url: str, method: str, leg: CallIdentity | None = None) -> None:
        """Send a status callback of one call: its status as it is now, with the duration once it is over."""
        identity = leg or self._identity
        duration_s = identity.duration_s if identity.status not in {"queued", "initiated", "ringing", "in-progress"} else None
        fields = self._progress(identity, duration_s)
        self.exchanges.append(await self._client.send("status", url, method, fields))

    async def report_machine(self, url: str, method: str, answered_by: str, after_ms: int) -> None:
        """Send the result of an asynchronous answering machine detection."""
        fields = [
            ("CallSid", self._identity.call_sid),
            ("AccountSid", self._options.account_sid),
            ("AnsweredBy", answered_by),
            ("MachineDetectionDuration", str(after_ms)),
        ]
        self.exchanges.append(await self._client.send("amd", url, method, fields))

    async def report_conference(self, url: str, method: str, extra: tuple[tuple[str, str], ...]) -> None:
        """Send a status callback of a conference."""
        fields = [
            ("AccountSid", self._options.account_sid),
            ("CallSid", self._identity.call_sid),
            ("Timestamp", email.utils.format_datetime(dt.datetime.now(dt.UTC))),
            *extra,
        ]
        self.exchanges.append(await self._client.send("conference-status", url, method, fields))

    async def report_recording(self, url: str, method: str, extra: tuple[tuple[str, str], ...]) -> None:
        """Send a recording's status callback."""
        fields = [("AccountSid", self._options.account_sid), ("CallSid", self._identity.call_sid), *extra]
        self.exchanges.append(await self._client.send("recording-status", url, method, fields))

    def _progress(self, identity: CallIdentity, duration_s: float | None) -> list[tuple[str, str]]:
        self._reported[identity.call_sid] = number = self._reported.get(identity.call_sid, -1) + 1
        over = [] if duration_s is None else [
            ("CallDuration", str(max(0, round(duration_s)))),
            ("Duration", str(-int(-duration_s // 60))),  # minutes, begun ones count
        ]  # fmt: skip
        if identity.answered_by:
            over.append(("AnsweredBy", identity.answered_by))
        return [
            *self.standard_fields(identity),
            *over,
            ("Timestamp", email.utils.format_datetime(dt.datetime.now(dt.UTC))),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", str(number)),
        ]

    async def report_stream(self, url: str, method: str, *, stream_sid: str, name: str, event: str, error: str = "") -> None:
        """Send a stream's status callback: stream-started, stream-stopped or stream-error."""
        fields = [
            ("AccountSid", self._options.account_sid),
            ("CallSid", self._identity.call_sid),
            ("StreamSid", stream_sid),
            ("StreamName", name or stream_sid),
            ("StreamEvent", event),
            ("Timestamp", dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")),
        ]
        if error:
            fields.append(("StreamError", error))
        self.exchanges.append(await self._client.send("stream-status", url, method, fields))


def read_document(exchange: Exchange) -> tuple[Document | None, int, str]:
    """Return what an answer asks for: a document, or Twilio's error code and its reason."""
    if exchange.error_code:
        return None, exchange.error_code, exchange.error
    if not exchange.body.strip():
        return None, NOT_PARSABLE, "the answer is empty"
    if exchange.content_type in _TWIML_TYPES:
        return Document(exchange.body, exchange.url), 0, ""
    if exchange.content_type == "text/plain":
        if "<Response" in exchange.body:
            return Document(exchange.body, exchange.url), 0, ""
        return None, BAD_CONTENT_TYPE, f"plain text, which Twilio would read aloud: {exchange.body[:80]!r}"
    return None, BAD_CONTENT_TYPE, f"content type {exchange.content_type or 'missing'!r}; it must be text/xml"
