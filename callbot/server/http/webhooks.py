"""What Twilio is told when it asks: the voice webhook, the question after a stream, the callbacks.

Every request is checked before one of its fields is believed. Nothing here waits for the model: a caller hears silence
until the answer has come. `/twiml` may be delivered twice for one call, so it answers the same twice.
"""

import asyncio
import re
from urllib.parse import parse_qsl

import orjson
from quart import Request
from quart.wrappers.base import ClientDisconnectedError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from callbot.messages.terms import Ending
from callbot.server.calls.callers import clean_text
from callbot.server.http import twiml
from callbot.server.http.signatures import SignatureFault, body_digest
from callbot.server.http.target import raw_target
from callbot.server.limits.buckets import is_deeper
from callbot.server.services import ServerServices
from callbot.store.protocol import MintOutcome, StreamGrant
from callbot.wire.twilio import is_account_sid, is_call_sid, is_stream_sid
from callbot.wire.twilio.party import party

MAX_FIELDS = 200  # Twilio sends about forty
RETRY_PAUSE_S = 1  # before a third stream; a first new one is opened at once
FORM = b"application/x-www-form-urlencoded"
ENDED = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})  # CallStatus of a call that is over
REACHED = frozenset({"completed", "answered"})  # DialCallStatus of a dialled person who has answered
_STREAM_NO = re.compile(r"[1-9][0-9]{0,2}")

Fields = MultiDict[str, str]
Headers = list[tuple[bytes, bytes]]


class WebhookRefused(Exception):
    """A request that is answered with `status` and no body. `reason` is stable and holds nothing of the peer's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def read_signed(services: ServerServices, request: Request) -> Fields:
    """The request's fields, once its signature has been found right; raises `WebhookRefused`."""
    headers = list(request.scope["headers"])
    path, query = raw_target(request.scope["raw_path"], request.scope["query_string"])
    check_header(services, headers)
    body = await _read_body(request, services.settings.max_form_bytes, services.settings.request_timeout_s)
    return signed_fields(services, request.method, headers, path, query, body)


def check_header(services: ServerServices, headers: Headers) -> None:
    """Raises `WebhookRefused` for a signature that cannot be one, before the body: a stranger's is not read."""
    fault = services.signatures.header(headers)
    if fault is not None:
        raise WebhookRefused(403, fault)


def signed_fields(services: ServerServices, method: str, headers: Headers, path: str, query: str, body: bytes) -> Fields:
    """The fields of a request that has come whole; raises `WebhookRefused`. `path` and `query` as they came, undecoded."""
    signatures = services.signatures
    content_type = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    mimetype = content_type.partition(b";")[0].strip().lower()
    if method == "GET":
        fields = _pairs(query)
        fault = signatures.get(headers, path, query)
    elif body_digest(query):
        fields = MultiDict()
        fault = signatures.body(headers, path, query, body)
        if fault is None and mimetype == b"application/json":
            fields = _json_fields(body, services.settings.max_json_depth)
    elif mimetype == FORM or not body:
        fields = _pairs(body.decode("utf-8", "replace"))
        fault = signatures.form(headers, path, query, fields)
    else:
        fields, fault = MultiDict(), SignatureFault.UNSIGNED_BODY
    if fault is not None:
        raise WebhookRefused(403, fault)
    return fields


async def answer_call(services: ServerServices, fields: Fields) -> str:
    """The TwiML for a call that comes in."""
    call_sid, account_sid = _sids(services, fields)
    caller = party(fields.get("From", ""))
    if _is_over(fields):
        return _answered(services, twiml.CALL_PATH, "nothing", twiml.nothing(), call_sid=call_sid)
    reason = services.callers.refusal(caller)
    if reason is not None:
        services.note_refusal("webhook", reason, call_sid=call_sid, caller=caller.masked)
        return _answered(services, twiml.CALL_PATH, "reject", twiml.reject(), call_sid=call_sid)
    reason = _no_place(services)
    # Withheld callers are many people; the limit of calls is theirs.
    if reason is None and caller.key is not None and not services.caller_rate.admit(caller.number or caller.key, call_sid):
        reason = "caller_rate"
    if reason is not None:
        services.note_refusal("webhook", reason, call_sid=call_sid, caller=caller.masked)
        return _answered(services, twiml.CALL_PATH, "busy", twiml.busy(services.settings), call_sid=call_sid)
    services.stream_rate.admit(call_sid, "1")
    answer, outcome = await _open_stream(services, twiml.CALL_PATH, StreamGrant(call_sid, account_sid, 1, caller.masked))
    if outcome is MintOutcome.FRESH:
        _prepare(services, call_sid)
    return answer


async def answer_next(services: ServerServices, fields: Fields, query: str) -> str:
    """The TwiML for a call whose stream has ended: by how it ended and how many streams there have been of late."""
    call_sid, account_sid = _sids(services, fields)
    stream_no = _stream_no(query)
    settings = services.settings
    if _is_over(fields):
        return _answered(services, twiml.NEXT_PATH, "nothing", twiml.nothing(), call_sid=call_sid)
    if twiml.is_after_dialling(query):
        return _after_dialling(services, fields, call_sid, stream_no)
    caller, called = (party(fields.get(name, "")) for name in ("From", "To"))
    ending = await services.store.ending(call_sid)
    context: dict[str, str | int] = {"call_sid": call_sid, "stream_no": stream_no, "ending": str(ending or "unknown")}
    if ending is Ending.HANG_UP:
        return _answered(services, twiml.NEXT_PATH, "hang_up", twiml.hang_up(), **context)
    if ending is Ending.APOLOGISE or not services.stream_rate.admit(call_sid, str(stream_no + 1)):
        number = twiml.number_to_dial(settings, caller, called)
        if number is None:
            return _answered(services, twiml.NEXT_PATH, "apology", twiml.apology(settings), **context)
        document = twiml.dial(settings, number, stream_no)
        return _answered(services, twiml.NEXT_PATH, "dial", document, **context)
    if services.registry.draining:
        # A token minted here would die with this process: by the next question another instance answers.
        again = twiml.ask_again(settings, stream_no, pause_s=RETRY_PAUSE_S)
        return _answered(services, twiml.NEXT_PATH, "ask_again", again, **context)
    if services.registry.full and not services.registry.stream_no_of(call_sid):
        services.note_refusal("webhook", "too_many_calls", call_sid=call_sid)
        return _answered(services, twiml.NEXT_PATH, "busy", twiml.busy(settings), **context)
    answer, _ = await _open_stream(
        services,
        twiml.NEXT_PATH,
        StreamGrant(call_sid, account_sid, stream_no + 1, caller.masked),
        pause_s=RETRY_PAUSE_S if stream_no > 1 else 0,
    )
    return answer


def _after_dialling(services: ServerServices, fields: Fields, call_sid: str, stream_no: int) -> str:
    """The TwiML after a person was dialled: the end if somebody was reached, else the apology."""
    status = clean_text(fields.get("DialCallStatus", ""))
    reached = status in REACHED
    document = twiml.hang_up() if reached else twiml.apology(services.settings)
    answer = "hang_up" if reached else "apology"
    return _answered(
        services, twiml.NEXT_PATH, answer, document, call_sid=call_sid, stream_no=stream_no, dial_status=status or "unknown"
    )


async def take_status(services: ServerServices, fields: Fields) -> None:
    """A callback about a stream or a call. May come late, twice or out of order: it never revives anything."""
    call_sid, _ = _sids(services, fields)
    event = clean_text(fields.get("StreamEvent", ""))
    if event:
        stream_sid = fields.get("StreamSid", "")
        services.metrics.webhooks.labels(twiml.STATUS_PATH, "stream_error" if event == "stream-error" else "stream").inc()
        log = services.log.warning if event == "stream-error" else services.log.info
        log(
            "stream.status",
            call_sid=call_sid,
            stream_sid=stream_sid if is_stream_sid(stream_sid) else "",
            stream_event=event,
            error=clean_text(fields.get("StreamError", "")),
        )
        return
    services.metrics.webhooks.labels(twiml.STATUS_PATH, "call").inc()
    status = clean_text(fields.get("CallStatus", ""))
    services.log.info("call.status", call_sid=call_sid, status=status, duration_s=clean_text(fields.get("CallDuration", ""), 8))
    if status in ENDED:
        await services.store.forget(call_sid)
        services.on_call_over(call_sid)


async def _open_stream(
    services: ServerServices,
    path: str,
    grant: StreamGrant,
    *,
    pause_s: int = 0,
) -> tuple[str, MintOutcome]:
    minted = await services.store.mint(grant, services.settings.token_ttl_s)
    if minted.outcome is MintOutcome.SPENT:
        # Twilio asks for a stream once; a second time, after its token was used, is a replay.
        services.note_refusal("webhook", "replayed", call_sid=grant.call_sid, stream_no=grant.stream_no)
        return _answered(services, path, "hang_up", twiml.hang_up(), call_sid=grant.call_sid), minted.outcome
    document = twiml.connect(services.settings, minted.token, grant.stream_no, pause_s=pause_s)
    context: dict[str, str | int] = {"call_sid": grant.call_sid, "stream_no": grant.stream_no, "caller": grant.caller}
    repeated = minted.outcome is MintOutcome.REPEATED
    return _answered(services, path, "connect", document, repeated=repeated, **context), minted.outcome


def _prepare(services: ServerServices, call_sid: str) -> None:
    try:
        services.on_webhook(call_sid)
    except Exception:  # a session that was not prepared is opened later; the caller must be answered now
        services.log.exception("webhook.prepare_failed", call_sid=call_sid)


def _answered(services: ServerServices, path: str, answer: str, document: str, **context: str | int) -> str:
    services.metrics.webhooks.labels(path, answer).inc()
    services.log.info("webhook.answered", path=path, answer=answer, **context)
    return document


def _no_place(services: ServerServices) -> str | None:
    if services.registry.draining:
        return "draining"
    return "too_many_calls" if services.registry.full else None


def _sids(services: ServerServices, fields: Fields) -> tuple[str, str]:
    call_sid, account_sid = fields.get("CallSid", ""), fields.get("AccountSid", "")
    if not (is_call_sid(call_sid) and is_account_sid(account_sid)):
        raise WebhookRefused(400, "bad_sid")
    ours = services.settings.twilio_account_sid
    if ours and account_sid != ours:
        raise WebhookRefused(403, "wrong_account")
    return call_sid, account_sid


def _is_over(fields: Fields) -> bool:
    return fields.get("CallStatus", "") in ENDED


def _stream_no(query: str) -> int:
    """The number of the stream that has ended, from the address that we gave to Twilio and Twilio has signed."""
    text = dict(parse_qsl(query)).get("stream_no", "")
    if not _STREAM_NO.fullmatch(text):
        raise WebhookRefused(400, "bad_stream_no")
    return int(text)


async def _read_body(request: Request, max_bytes: int, timeout_s: float) -> bytes:
    """The body, read piece by piece: Quart's own limit looks at a chunked body only once it is whole."""
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.body:
                body += piece
                if len(body) > max_bytes:
                    raise WebhookRefused(413, "body_too_large")
    except RequestEntityTooLarge:
        raise WebhookRefused(413, "body_too_large") from None
    except TimeoutError:
        raise WebhookRefused(408, "body_too_slow") from None
    except ClientDisconnectedError:
        raise WebhookRefused(400, "body_cut") from None
    return bytes(body)


def _pairs(text: str) -> Fields:
    """A form's or a query's pairs, blank ones and repeated ones included: both are signed."""
    try:
        return MultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise WebhookRefused(403, "too_many_fields") from None  # not yet known to be Twilio's: told like any stranger


def _json_fields(body: bytes, max_depth: int) -> Fields:
    """The texts of a JSON object's first level; nested values are nothing that a call is made of."""
    if is_deeper(body.decode("utf-8", "replace"), max_depth):
        raise WebhookRefused(400, "json_too_deep")
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise WebhookRefused(400, "bad_json") from None
    if not isinstance(tree, dict):
        raise WebhookRefused(400, "bad_json")
    return MultiDict([(name, value) for name, value in tree.items() if isinstance(value, str)])
