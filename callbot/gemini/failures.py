"""What each way for a session to fail calls for, what was refused, and what the operator can do about it.

Three families of exceptions, none derived from another, come out of google-genai 3.4: `errors.APIError` with `.code` = the
WebSocket close code (or an HTTP one), `websockets` exceptions from sends and from the handshake, and OSError and
TimeoutError from the way there. The texts of reasons are judged in `reasons`; what they leave open, the code decides.
"""

import ssl
from dataclasses import dataclass
from typing import Final, NamedTuple

from google.auth.exceptions import GoogleAuthError, TransportError
from google.genai import errors
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from callbot.gemini import reasons
from callbot.messages.terms import Decision, Refusal, RefusedPart

# What a log line or a state may carry of the peer's words.
_DETAIL_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, judged.

    `detail` is the peer's text, cut. `refusal` is set when the service looked at the request and said no: the same request
    will have the same answer. `remedy` says what the operator can do; empty when there is nothing but to wait.
    """

    decision: Decision
    cause: str
    code: int | None = None
    detail: str = ""
    retry_after_s: float | None = None
    refusal: Refusal | None = None
    remedy: str = ""


class CloseCode(NamedTuple):
    """What a close code calls for before and after setupComplete, when its reason says nothing better."""

    opening: Decision
    open: Decision
    name: str


_R = Decision
# As Google uses them; the reports are named beside the rows.
CLOSE_CODES: Final[dict[int, CloseCode]] = {
    1000: CloseCode(_R.RESUME, _R.RESUME, "1000"),  # Vertex's lifetime end: "The operation was cancelled." (pipecat#3112)
    1001: CloseCode(_R.RESUME, _R.RESUME, "1001_going_away"),
    1006: CloseCode(_R.RESUME, _R.RESUME, "1006_link_lost"),
    1007: CloseCode(_R.FRESH, _R.RESUME_WITHOUT_REPLAY, "1007_bad_input"),  # replaying loops (voiceclaw#397)
    1008: CloseCode(_R.FRESH, _R.RESUME, "1008_policy"),
    1009: CloseCode(_R.FRESH, _R.RESUME_WITHOUT_REPLAY, "1009_too_big"),
    1011: CloseCode(_R.RESUME, _R.RESUME, "1011_internal"),  # resume once, then fresh: the ladder counts
    1012: CloseCode(_R.RESUME, _R.RESUME, "1012_restart"),
    1013: CloseCode(_R.WAIT, _R.WAIT, "1013_try_later"),
}
# Before setupComplete these say that the set-up itself was judged.
_JUDGES_SETUP: Final = frozenset({1007, 1008, 1009})


class Status(NamedTuple):
    """What an HTTP status in place of 101 calls for; `part` is what was refused, None when nothing was judged."""

    decision: Decision
    part: RefusedPart | None = None
    remedy: str = ""


_REDIRECT: Final = (
    "the address redirects, and a key is sent to no other host: set the base URL to the address that answers itself"
)
_KEY: Final = reasons.KEY_REMEDY
HTTP_STATUSES: Final[dict[int, Status]] = {
    400: Status(_R.GIVE_UP, RefusedPart.SETUP, "check the base URL and GOOGLE_GENAI_API_VERSION"),
    401: Status(_R.GIVE_UP, RefusedPart.KEY, _KEY),
    403: Status(_R.GIVE_UP, RefusedPart.KEY, _KEY),
    404: Status(_R.GIVE_UP, RefusedPart.MODEL, "check the base URL, GOOGLE_GENAI_API_VERSION and the location"),
    407: Status(_R.GIVE_UP, None, "the proxy wants a user and a password: set them in HTTPS_PROXY, or unset it"),
    408: Status(_R.WAIT),
    429: Status(_R.WAIT, None, reasons.QUOTA_REMEDY),
    500: Status(_R.WAIT),
    502: Status(_R.WAIT),
    503: Status(_R.WAIT),
    504: Status(_R.WAIT),
}


class SetupRefusedError(Exception):
    """The service's first message was not setupComplete."""


class LinkSilentError(Exception):
    """A message that had to come within a time did not."""


def classify(error: BaseException, *, opened: bool) -> Failure:
    """Judge a failure of opening a session (`opened` False) or of one that was open."""
    detail = _cut(str(error))
    match error:
        case errors.APIError():
            code, reason = _code_and_reason(error)
            return _closed(code, reason, opened=opened)
        case ConnectionClosed():
            code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")
            return _closed(code, reason, opened=opened)
        case InvalidStatus():
            return _http(error, detail)
        case InvalidHandshake():
            return Failure(Decision.WAIT, "handshake_failed", None, detail)
        case SetupRefusedError():
            return _refused(Decision.FRESH, "setup_refused", detail, RefusedPart.SETUP)
        case LinkSilentError():
            return Failure(Decision.RESUME, "link_silent", None, detail)
        case TimeoutError():
            return Failure(Decision.RESUME if opened else Decision.WAIT, "timed_out", None, detail)
        case ssl.SSLCertVerificationError():
            return Failure(
                Decision.GIVE_UP, "tls_certificate", None, detail, remedy="check SSL_CERT_FILE and the base URL's host name"
            )
        case OSError():
            return Failure(Decision.RESUME if opened else Decision.WAIT, "unreachable", None, detail)
        case GoogleAuthError():
            return _credentials(error, detail)
        case ValueError() if not opened and detail.startswith("Failed to parse response"):  # the SDK's words, 3.4.0
            return _refused(Decision.FRESH, "setup_unreadable", detail, RefusedPart.SETUP)
        case ValueError() if not opened:  # before any I/O: a setting that this SDK refuses; pydantic's errors are ValueErrors
            part, name = reasons.part_named(detail)
            decision = Decision.RESUME if part is not RefusedPart.SETUP else Decision.GIVE_UP
            return _refused(decision, "setup_invalid", detail, part, name)
        case _:
            return Failure(Decision.RESUME, f"crashed_{type(error).__name__}", None, detail)


def _closed(code: int, reason: str, *, opened: bool) -> Failure:
    detail = _cut(reason)
    known = reasons.judge(reason, opening=not opened)
    row = CLOSE_CODES.get(code, CloseCode(_R.RESUME, _R.RESUME, str(code)))
    if known is not None and (decision := known.opening if not opened else known.open) is not None:
        cause = f"close_{code}_{known.name}"
        judges = known.part is not None and not (opened and known.part is RefusedPart.SETUP)
        refusal = Refusal(known.part, known.refused_name, reasons.plain(reason)) if judges and known.part else None
        return Failure(decision, cause, code, detail, None, refusal, known.remedy)
    if opened or code not in _JUDGES_SETUP:
        return Failure(row.open if opened else row.opening, f"close_{row.name}", code, detail)
    return _refused(row.opening, f"close_{row.name}", reason, RefusedPart.SETUP, code=code)


def _refused(
    decision: Decision, cause: str, reason: str, part: RefusedPart, name: str = "", *, code: int | None = None
) -> Failure:
    refusal = Refusal(part, name, reasons.plain(reason))
    return Failure(decision, cause, code, _cut(reason), None, refusal, reasons.remedy_for(part, name))


def _http(error: InvalidStatus, detail: str) -> Failure:
    code = error.response.status_code
    usual = Status(_R.GIVE_UP, None, _REDIRECT) if 300 <= code < 400 else Status(_R.WAIT if code >= 500 else _R.GIVE_UP)
    status = HTTP_STATUSES.get(code, usual)
    body = bytes(error.response.body or b"").decode(errors="replace")
    known = reasons.judge(body, opening=True) if body else None
    part, remedy = status.part, status.remedy
    if known is not None and known.part is not None and status.decision is Decision.GIVE_UP:
        part, remedy = known.part, known.remedy
    refusal = None if part is None else Refusal(part, "", reasons.plain(body))
    text = _cut(f"{detail}: {' '.join(body.split())}") if body else detail
    return Failure(status.decision, f"http_{code}", code, text, _retry_after_s(error), refusal, remedy)


def _credentials(error: GoogleAuthError, detail: str) -> Failure:
    """What may pass is a TransportError or marked `retryable` by google-auth (a 5xx there); the rest is final."""
    if error.retryable or isinstance(error, TransportError):
        return Failure(Decision.WAIT, "credentials_unreachable", None, detail, remedy="check the way to the token endpoint")
    return _refused(Decision.GIVE_UP, "credentials", detail, RefusedPart.CREDENTIALS)


def _code_and_reason(error: errors.APIError) -> tuple[int, str]:
    code = error.code if isinstance(error.code, int) else 1006
    return code, error.details if isinstance(error.details, str) else str(error.message or "")


def _retry_after_s(error: InvalidStatus) -> float | None:
    text = error.response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def _cut(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text[: 2 * _DETAIL_CHARS])
    return printable[:_DETAIL_CHARS]
