"""What each way for a session to fail calls for, as one table.

Three families of exceptions, none derived from another, come out of google-genai 3.4: `errors.APIError` with `.code` = the
WebSocket close code (or an HTTP one), `websockets` exceptions from sends and from the handshake, and OSError and
TimeoutError from the way there. Close reasons are cut to 123 bytes on the wire, so they are matched by prefix.
Source of the codes: the close codes as Google uses them, collected in the reports named beside the rows.
"""

import ssl
from dataclasses import dataclass
from typing import Final, NamedTuple

from google.auth.exceptions import GoogleAuthError
from google.genai import errors
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from callbot.messages import Decision

# What a log line or a state may carry of the peer's words.
_DETAIL_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, judged. `detail` is the peer's text, cut."""

    decision: Decision
    cause: str
    code: int | None = None
    detail: str = ""
    retry_after_s: float | None = None


class Row(NamedTuple):
    """A close code, the beginning of its reason, and what it calls for before and after setupComplete."""

    code: int
    prefix: str
    opening: Decision
    open: Decision
    cause: str


_R = Decision
# First match wins; an empty prefix matches every reason.
CLOSE_CODES: Final = (
    Row(1000, "", _R.RESUME, _R.RESUME, "close_1000"),  # Vertex's lifetime end: "The operation was cancelled." (pipecat#3112)
    Row(1001, "", _R.RESUME, _R.RESUME, "close_1001_going_away"),
    Row(1006, "", _R.RESUME, _R.RESUME, "close_1006_link_lost"),
    Row(1007, "API key", _R.GIVE_UP, _R.GIVE_UP, "close_1007_key"),  # not valid, expired (voiceclaw#155)
    Row(1007, "BidiGenerateContent session", _R.FRESH, _R.FRESH, "close_1007_handle_refused"),  # forum 186392
    Row(1007, "", _R.FRESH, _R.RESUME_WITHOUT_REPLAY, "close_1007_bad_input"),  # replaying loops (voiceclaw#397)
    Row(1008, "BidiGenerateContent session", _R.FRESH, _R.FRESH, "close_1008_handle_refused"),  # Youtube_demos#5
    Row(1008, "models/", _R.GIVE_UP, _R.GIVE_UP, "close_1008_model"),  # "is not found for API version" (livekit/agents#3747)
    Row(1008, "Publisher Model", _R.GIVE_UP, _R.GIVE_UP, "close_1008_model"),  # the same on Vertex
    Row(1008, "Operation is not implemented", _R.FRESH, _R.RESUME, "close_1008_not_implemented"),  # livekit/agents#4545
    Row(1008, "Requested entity was not found", _R.FRESH, _R.FRESH, "close_1008_not_found"),
    Row(1008, "The operation was aborted", _R.RESUME, _R.RESUME, "close_1008_aborted"),  # goAway's deadline, or a proxy's
    Row(1008, "", _R.FRESH, _R.RESUME, "close_1008_policy"),
    Row(1009, "", _R.FRESH, _R.RESUME_WITHOUT_REPLAY, "close_1009_too_big"),
    Row(1011, "You exceeded your current quota", _R.WAIT, _R.WAIT, "close_1011_quota"),
    Row(1011, "RESOURCE_EXHAUSTED", _R.WAIT, _R.WAIT, "close_1011_quota"),
    Row(1011, "The service is currently unavailable", _R.WAIT, _R.WAIT, "close_1011_overloaded"),  # python-genai#760
    Row(1011, "Deadline expired", _R.RESUME, _R.RESUME, "close_1011_deadline"),
    Row(1011, "keepalive ping timeout", _R.RESUME, _R.RESUME, "close_1011_keepalive"),
    Row(1011, "", _R.RESUME, _R.RESUME, "close_1011_internal"),  # resume once, then fresh: the ladder counts
    Row(1012, "", _R.RESUME, _R.RESUME, "close_1012_restart"),
    Row(1013, "", _R.WAIT, _R.WAIT, "close_1013_try_later"),
)

# What the upgrade is answered with instead of 101.
HTTP_STATUSES: Final[dict[int, Decision]] = {
    400: Decision.GIVE_UP,
    401: Decision.GIVE_UP,
    403: Decision.GIVE_UP,
    404: Decision.GIVE_UP,
    408: Decision.WAIT,
    429: Decision.WAIT,
    500: Decision.WAIT,
    502: Decision.WAIT,
    503: Decision.WAIT,
    504: Decision.WAIT,
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
            status = error.response.status_code
            decision = HTTP_STATUSES.get(status, Decision.WAIT if status >= 500 else Decision.GIVE_UP)
            return Failure(decision, f"http_{status}", status, detail, _retry_after_s(error))
        case InvalidHandshake():
            return Failure(Decision.WAIT, "handshake_failed", None, detail)
        case SetupRefusedError():
            return Failure(Decision.FRESH, "setup_refused", None, detail)
        case LinkSilentError():
            return Failure(Decision.RESUME, "link_silent", None, detail)
        case TimeoutError():
            return Failure(Decision.RESUME if opened else Decision.WAIT, "timed_out", None, detail)
        case ssl.SSLCertVerificationError():
            return Failure(Decision.GIVE_UP, "tls_certificate", None, detail)
        case OSError():
            return Failure(Decision.RESUME if opened else Decision.WAIT, "unreachable", None, detail)
        case GoogleAuthError():
            return Failure(Decision.GIVE_UP, "credentials", None, detail)
        case ValueError() if not opened and detail.startswith("Failed to parse response"):  # the SDK's words, 3.4.0
            return Failure(Decision.FRESH, "setup_unreadable", None, detail)
        case ValueError() if not opened:  # before any I/O: a setting that this SDK refuses; pydantic's errors are ValueErrors
            return Failure(Decision.GIVE_UP, "setup_invalid", None, detail)
        case _:
            return Failure(Decision.RESUME, f"crashed_{type(error).__name__}", None, detail)


def _closed(code: int, reason: str, *, opened: bool) -> Failure:
    for row in CLOSE_CODES:
        if row.code == code and reason.startswith(row.prefix):
            return Failure(row.open if opened else row.opening, row.cause, code, _cut(reason))
    return Failure(Decision.RESUME, f"close_{code}", code, _cut(reason))


def _code_and_reason(error: errors.APIError) -> tuple[int, str]:
    code = error.code if isinstance(error.code, int) else 1006
    return code, error.details if isinstance(error.details, str) else str(error.message or "")


def _retry_after_s(error: InvalidStatus) -> float | None:
    text = error.response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def _cut(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text[: 2 * _DETAIL_CHARS])
    return printable[:_DETAIL_CHARS]
