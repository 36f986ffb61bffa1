"""The requests of one call: which fields Twilio sends when, and how an answer becomes a document.

Field names and values follow Twilio's page "TwiML voice: request parameters" and "Call status callbacks".
"""

import datetime as dt
import email.utils
import random
import re
from dataclasses import dataclass

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
    """Who calls whom, and how far the call has come (`status`: Twilio's CallStatus)."""

    call_sid: str
    from_number: str
    to_number: str
    status: str = "ringing"


def new_sid(prefix: str, rng: random.Random) -> str:
    """Return a sid: two letters and 32 hexadecimal digits."""
    return f"{prefix}{rng.getrandbits(128):032x}"


class CallRequests:
    """Sends the requests of one call and keeps every exchange."""

    def __init__(self, options: CarrierOptions, identity: CallIdentity, client: WebhookClient, clock: Clock) -> None:
        self.exchanges: list[Exchange] = []
        self._options = options
        self._identity = identity
        self._client = client
        self._clock = clock

    def public(self, path: str) -> str:
        """Return the absolute public address of a configured path."""
        return self._options.public_url.rstrip("/") + path

    def standard_fields(self) -> list[tuple[str, str]]:
        """The fields of every call-control request, in no particular order, some of them empty."""
        caller, called = self._identity.from_number, self._identity.to_number
        return [
            ("CallSid", self._identity.call_sid),
            ("AccountSid", self._options.account_sid),
            ("From", caller),
            ("To", called),
            ("Caller", caller),
            ("Called", called),
            ("CallStatus", self._identity.status),
            ("ApiVersion", "2010-04-01"),
            ("Direction", "inbound"),
            ("CallerName", ""),
            *((f"From{place}", text if _NUMBER.fullmatch(caller) else "") for place, text in _PLACE),
            ("ToCity", ""),
            ("ToState", ""),
            ("ToZip", ""),
            ("ToCountry", "US"),
            ("StirVerstat", "TN-Validation-Passed-A"),
            *self._options.extra_fields,
        ]

    async def fetch(self, kind: str, url: str, method: str = "POST", extra: tuple[tuple[str, str], ...] = ()) -> Exchange:
        """Ask for a document."""
        exchange = await self._client.send(kind, url, method, [*self.standard_fields(), *extra])
        self.exchanges.append(exchange)
        return exchange

    async def replay(self, original: Exchange) -> Exchange:
        """Send the same fields to the same address once more."""
        exchange = await self._client.send("replay", original.url, original.method, original.fields)
        self.exchanges.append(exchange)
        return exchange

    async def report_status(self, duration_s: float) -> None:
        """Send the number's status callback, as late and as often as the options say."""
        now = dt.datetime.now(dt.UTC)
        fields = [
            *self.standard_fields(),
            ("CallDuration", str(max(0, round(duration_s)))),
            ("Duration", str(-int(-duration_s // 60))),  # minutes, begun ones count
            ("Timestamp", email.utils.format_datetime(now)),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", "0"),
        ]
        for _ in range(self._options.status_copies):
            await self._clock.sleep(self._options.status_delay_s)
            url = self.public(self._options.status_path)
            self.exchanges.append(await self._client.send("status", url, "POST", fields))

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
