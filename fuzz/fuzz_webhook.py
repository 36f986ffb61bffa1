"""Fuzz the webhooks: any request goes through the app, from the ASGI scope to the answer, in this process.

The first bytes of an input choose path, method, kind of body and how it is signed; the rest is the query and the body.
Held for every input: the answer is one of a few, nothing crashes, whoever has not signed is told nothing, TwiML is well
formed, has our verbs and our addresses only, no secret is in an answer or in a log line, and what is remembered is bounded.
"""

import asyncio
import base64
import functools
import hashlib
import hmac
import json
import re
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import parse_qsl

from fuzz import campaign
from fuzz.campaign import BrokenPromise, require

ORIGIN = "https://bot.example"
AUTH_TOKEN = "planted-auth-token-5f1c"  # noqa: S105 - looked for in everything that comes out
GEMINI_KEY = "planted-gemini-key-93bd"
SID = "0123456789abcdef" * 2
CALL, ACCOUNT, STREAM = f"CA{SID}", f"AC{SID}", f"MZ{SID}"

PATHS = (b"/twiml", b"/twiml/next", b"/twilio/status", b"/ws/twilio", b"/metrics", b"/healthz", b"/twiml/", b"//twiml")
METHODS = ("POST", "GET", "PUT", "HEAD")
FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"
BODY_TYPES = (FORM, JSON, FORM + b"; charset=latin-1", b"multipart/form-data; boundary=x", b"", b"\xff")
UNSIGNED, SIGNED, SIGNED_JSON, FORGED, TWICE = range(5)
VERBS = {"Response", "Connect", "Stream", "Parameter", "Say", "Hangup", "Reject", "Pause", "Redirect", "Dial"}
STATUSES = {200, 204, 400, 401, 403, 404, 405, 413, 431}
MAX_REMEMBERED = 50  # calls in the fuzzed store; far fewer than an hour of fuzzing makes

_WORDS = f"""
CallSid= AccountSid= From= To= CallStatus= CallerName= StreamEvent= StreamSid= StreamError= CallDuration= & = %00 %0a %F0%9F
ringing in-progress completed busy stream-error stream-started anonymous stream_no=1 stream_no=2 stream_no=3 bodySHA256= # ? ;
%2B14158675310 {CALL} {ACCOUNT} {STREAM} %3CDial%3E ]]> &#0; + %
"""


def seeds() -> list[bytes]:
    """A request of each kind, as Twilio sends it."""
    form = (
        f"CallSid={CALL}&AccountSid={ACCOUNT}&From=%2B14158675310&To=%2B18005551212&CallStatus=ringing&Direction=inbound"
        "&ApiVersion=2010-04-01&FromCity=&CallerName=Zo%C3%AB"
    ).encode()
    stream = f"CallSid={CALL}&AccountSid={ACCOUNT}&StreamSid={STREAM}&StreamEvent=stream-error&StreamError=31921".encode()
    document = json.dumps({"CallSid": CALL, "AccountSid": ACCOUNT, "CallStatus": "completed", "nested": {"a": [1]}}).encode()
    return [
        _input((0, 0, 0, SIGNED), b"", form),
        _input((0, 0, 0, FORGED), b"", form),
        _input((0, 0, 0, UNSIGNED), b"", form),
        _input((0, 0, 0, TWICE), b"", form),
        _input((1, 0, 0, SIGNED), b"stream_no=1", form.replace(b"ringing", b"in-progress")),
        _input((1, 0, 0, SIGNED), b"stream_no=3", form.replace(b"ringing", b"in-progress")),
        _input((2, 0, 0, SIGNED), b"", stream),
        _input((2, 0, 0, SIGNED), b"", form.replace(b"ringing", b"completed")),
        _input((2, 0, 1, SIGNED_JSON), b"", document),
        _input((2, 1, 0, SIGNED), stream, b""),
        _input((4, 1, 0, UNSIGNED), b"", b""),
        _input((5, 1, 0, UNSIGNED), b"", b""),
    ]


def _input(head: tuple[int, int, int, int], query: bytes, body: bytes) -> bytes:
    """`head`: path, method, kind of body, signing."""
    return bytes([*head, len(query)]) + query + body


class Exchange:
    """The app on its own loop, with a clock that moves a second with each request."""

    def __init__(self) -> None:
        import structlog

        from callbot.server.http.app import create_app
        from callbot.server.services import ServerServices
        from callbot.settings_loading import load
        from callbot.store.memory import MemoryCallStore

        self.now_s = 0.0
        self.lines: list[dict[str, Any]] = []
        self.loop = asyncio.new_event_loop()
        log = structlog.wrap_logger(
            None,
            processors=[structlog.processors.format_exc_info, self._keep],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )
        settings = load(
            _env_file=None,
            service_url=ORIGIN,
            twilio_account_sid="",
            twilio_auth_token=AUTH_TOKEN,
            gemini_api_key=GEMINI_KEY,
            deny_callers="+1900*",
            max_calls_per_caller_per_minute=3,
        )
        self.store = MemoryCallStore(self.clock, max_calls=MAX_REMEMBERED)
        self.services = ServerServices.from_settings(
            settings, call_factory=_no_call, store=self.store, log=log, clock=self.clock
        )
        self.app = create_app(self.services)

    def clock(self) -> float:
        """Monotonic seconds."""
        return self.now_s

    def ask(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        """One request, answered; what it logged is in `lines`."""
        self.now_s += 1
        self.lines.clear()
        return self.loop.run_until_complete(self._ask(scope, body))

    async def _ask(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        status, answer = 0, bytearray()
        request = iter([{"type": "http.request", "body": body, "more_body": False}])
        answered = asyncio.Event()

        async def receive() -> dict[str, Any]:
            for message in request:
                return message
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            answer.extend(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                answered.set()

        async with asyncio.timeout(campaign.INPUT_TIMEOUT_S):
            await self.app(scope, receive, send)  # type: ignore[arg-type]
        return status, bytes(answer)

    def _keep(self, _logger: object, _method: str, line: Any) -> Any:
        import structlog

        self.lines.append(dict(line))
        raise structlog.DropEvent


def _no_call(started: object, socket: object) -> Any:  # noqa: ARG001
    raise BrokenPromise("a webhook opened a call")


@functools.cache
def _exchange() -> Exchange:
    return Exchange()


def check(text: bytes) -> str:
    """Send one request; path and status of its answer. Raises on anything that must not happen."""
    head, rest = text[:5].ljust(5, b"\0"), text[5:]
    path = PATHS[head[0] % len(PATHS)]
    method = METHODS[head[1] % len(METHODS)]
    signing = head[3] % 5
    query, body = bytes(byte for byte in rest[: head[4]] if 0x20 < byte < 0x7F), rest[head[4] :]
    content_type = BODY_TYPES[head[2] % len(BODY_TYPES)]
    if signing == SIGNED_JSON:
        query = (query + b"&" if query else b"") + b"bodySHA256=" + hashlib.sha256(body).hexdigest().encode()
    shown = signatures(signing, path + (b"?" + query if query else b""), method, body)
    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.3", "version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path.decode(),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"evil.example"), (b"content-type", content_type), *shown],
        "client": ("203.0.113.9", 1),
        "server": ("127.0.0.1", 8080),
        "state": {},
        "extensions": {},
    }
    exchange = _exchange()
    status, answer = exchange.ask(scope, body)
    _judge(exchange, path, status, answer, is_signed=signing in {SIGNED, SIGNED_JSON})
    return f"{path.decode()} {status}"


def signatures(signing: int, target: bytes, method: str, body: bytes, origin: str = ORIGIN) -> list[tuple[bytes, bytes]]:
    """What Twilio would send for this request, or what somebody else would. HMAC-SHA1 (Twilio, "Webhooks security")."""
    if signing == UNSIGNED:
        return []
    signed = origin + target.decode("ascii")
    if signing != SIGNED_JSON and method != "GET" and b"bodySHA256" not in target:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        signed += "".join(name + value for name, value in sorted(set(pairs)))
    if signing == FORGED:
        signed += "!"
    digest = hmac.new(AUTH_TOKEN.encode(), signed.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    header = (b"x-twilio-signature", base64.b64encode(digest))
    return [header, header] if signing == TWICE else [header]


def _judge(exchange: Exchange, path: bytes, status: int, answer: bytes, *, is_signed: bool) -> None:
    require(status in STATUSES, f"an answer of a few kinds, not {status}")
    if path.startswith(b"/twi") and path in PATHS[:3] and not is_signed:
        require(status in {403, 405} and not answer, "a stranger is told nothing")
    if path in PATHS[:2] and status == 200 and answer:
        _judge_twiml(answer)
    said = repr(exchange.lines)
    for secret in (AUTH_TOKEN, GEMINI_KEY):
        require(secret.encode() not in answer and secret not in said, "no secret comes out")
    for token in re.findall(rb'name="token" value="([^"]+)"', answer):
        require(token.decode() not in said, "no token is logged")
    require("server.crashed" not in said and "exception" not in said, "nothing crashes")
    require(len(exchange.lines) <= 3, "a request makes a line or two")
    require(all(len(str(value)) <= 200 for line in exchange.lines for value in line.values()), "lines are short")
    require(len(exchange.store) <= MAX_REMEMBERED, "what is remembered is bounded")


def _judge_twiml(answer: bytes) -> None:
    document = ET.fromstring(answer)  # noqa: S314 - our own answer
    for verb in document.iter():
        require(verb.tag in VERBS, f"no verb of a stranger's: {verb.tag}")
        for name in ("url", "action", "statusCallback"):
            address = verb.get(name, ORIGIN)
            require(address.startswith((ORIGIN, "wss://bot.example/")), f"no address of a stranger's: {address}")


def main() -> None:
    """Run one campaign."""

    def load() -> campaign.Check:
        _exchange()
        return check

    campaign.run("webhook", load, seeds(), _WORDS.split())


if __name__ == "__main__":
    main()
