"""The table of failures, row by row, with the exceptions that the libraries really raise."""

import ssl
from itertools import pairwise
from typing import Any

import pytest
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.genai import errors, types
from pydantic import ValidationError
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidMessage, InvalidStatus, InvalidUpgrade
from websockets.frames import Close
from websockets.http11 import Response

from callbot.gemini.failures import CLOSE_CODES, HTTP_STATUSES, LinkSilentError, SetupRefusedError, classify
from callbot.messages.terms import Decision, RefusedPart

RESUME, NO_REPLAY, FRESH = Decision.RESUME, Decision.RESUME_WITHOUT_REPLAY, Decision.FRESH
WAIT, GIVE_UP = Decision.WAIT, Decision.GIVE_UP

QUOTA = "You exceeded your current quota, please check your plan and billing details. For more information on this error, he"
# (code, the reason as it comes) -> (before set-up, after it, cause)
CLOSES: dict[tuple[int, str], tuple[Decision, Decision, str]] = {
    (1000, ""): (RESUME, RESUME, "close_1000"),
    (1000, "The operation was cancelled."): (RESUME, RESUME, "close_1000"),
    (1001, "going away"): (RESUME, RESUME, "close_1001_going_away"),
    (1006, ""): (RESUME, RESUME, "close_1006_link_lost"),
    (1007, "API key not valid. Please pass a valid API key."): (GIVE_UP, GIVE_UP, "close_1007_key"),
    (1007, "API key expired. Please renew the API key."): (GIVE_UP, GIVE_UP, "close_1007_key"),
    (1007, "BidiGenerateContent session expired"): (FRESH, FRESH, "close_1007_handle_refused"),
    (1007, "Request contains an invalid argument."): (FRESH, NO_REPLAY, "close_1007_bad_input"),
    (1008, "BidiGenerateContent session not found"): (FRESH, FRESH, "close_1008_handle_refused"),
    (1008, "models/x is not found for API version v1beta"): (GIVE_UP, GIVE_UP, "close_1008_model"),
    (1008, "Publisher Model projects/p/x was not found"): (GIVE_UP, GIVE_UP, "close_1008_model"),
    (1008, "Operation is not implemented, or supported, or enabled."): (FRESH, RESUME, "close_1008_not_implemented"),
    (1008, "Requested entity was not found."): (FRESH, FRESH, "close_1008_not_found"),
    (1008, "The operation was aborted."): (RESUME, RESUME, "close_1008_aborted"),
    (1008, "Something new"): (FRESH, RESUME, "close_1008_policy"),
    (1009, "message too big"): (FRESH, NO_REPLAY, "close_1009_too_big"),
    (1011, QUOTA): (WAIT, WAIT, "close_1011_quota"),
    (1011, "RESOURCE_EXHAUSTED: too many sessions"): (WAIT, WAIT, "close_1011_quota"),
    (1011, "The service is currently unavailable."): (WAIT, WAIT, "close_1011_overloaded"),
    (1011, "Deadline expired before operation could complete."): (RESUME, RESUME, "close_1011_deadline"),
    (1011, "keepalive ping timeout"): (RESUME, RESUME, "close_1011_keepalive"),
    (1011, "Internal error encountered."): (RESUME, RESUME, "close_1011_internal"),
    (1012, "service restart"): (RESUME, RESUME, "close_1012_restart"),
    (1013, "try again later"): (WAIT, WAIT, "close_1013_try_later"),
    (4999, "who knows"): (RESUME, RESUME, "close_4999"),
}


def from_sdk(code: int, reason: str) -> errors.APIError:
    """As `AsyncSession._receive` raises it: the close code and the reason, without a response."""
    with pytest.raises(errors.APIError) as caught:
        errors.APIError.raise_error(code, reason, None)
    return caught.value


def from_websockets(code: int, reason: str) -> Exception:
    """As a send or a receive raises it; 1006 is what is said of a connection that ended without a close frame."""
    if code == 1006:
        return ConnectionClosedError(None, None)
    frame = Close(code, reason)
    return ConnectionClosedOK(frame, frame, True) if code in {1000, 1001} else ConnectionClosedError(frame, None)


@pytest.mark.parametrize("raised", [from_sdk, from_websockets])
@pytest.mark.parametrize(("code", "reason"), list(CLOSES), ids=[f"{code}-{reason[:24]}" for code, reason in CLOSES])
def test_each_close_code_and_reason_calls_for_what_the_table_says(raised: Any, code: int, reason: str) -> None:
    opening, opened, cause = CLOSES[code, reason]
    before, after = (classify(raised(code, reason), opened=was_open) for was_open in (False, True))
    assert (before.decision, before.cause, before.code) == (opening, cause, code)
    assert (after.decision, after.cause, after.code) == (opened, cause, code)


def test_every_close_code_is_tested_above() -> None:
    assert {code for code, _ in CLOSES} >= set(CLOSE_CODES)


def test_reasons_cut_to_what_a_close_frame_carries_are_still_known() -> None:
    # RFC 6455 section 5.5: a control frame carries 125 bytes, two of them the code.
    for (code, reason), (_, opened, cause) in CLOSES.items():
        cut = reason.encode()[:123].decode()
        failure = classify(from_sdk(code, cut), opened=True)
        assert (failure.decision, failure.cause, failure.code, failure.detail) == (opened, cause, code, cut)


@pytest.mark.parametrize("status", [*HTTP_STATUSES, 418, 507, 302])
def test_each_http_status_calls_for_what_the_table_says(status: int) -> None:
    expected = {418: GIVE_UP, 302: GIVE_UP, 507: WAIT}.get(status) or HTTP_STATUSES[status].decision
    failure = classify(InvalidStatus(Response(status, "", Headers())), opened=False)
    assert (failure.decision, failure.cause, failure.code, failure.retry_after_s) == (expected, f"http_{status}", status, None)


def test_what_will_not_change_is_given_up_and_what_may_is_waited_for() -> None:
    decisions = {status: row.decision for status, row in HTTP_STATUSES.items()}
    assert {status for status, decision in decisions.items() if decision is GIVE_UP} == {400, 401, 403, 404, 407}
    assert {status for status, decision in decisions.items() if decision is WAIT} == {408, 429, 500, 502, 503, 504}


@pytest.mark.parametrize(("header", "retry_after_s"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)])
def test_retry_after_is_taken_in_seconds_only(header: str, retry_after_s: float | None) -> None:
    failure = classify(InvalidStatus(Response(503, "", Headers({"Retry-After": header}))), opened=False)
    assert failure.retry_after_s == retry_after_s


def _bad_config() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        types.LiveConnectConfig.model_validate({"temperature": "hot"})
    return caught.value


def _auth_error(kind: Any) -> Exception:
    error = kind("no credentials")
    assert isinstance(error, Exception)
    return error


def _unreadable_setup() -> Exception:
    """What the SDK makes of a reply to the set-up that is no JSON (google-genai 3.4.0, live.py)."""
    return ValueError("Failed to parse response: b'{oops'")


@pytest.mark.parametrize(
    ("error", "opening", "opened", "cause"),
    [
        (InvalidMessage("did not receive a valid HTTP response"), WAIT, WAIT, "handshake_failed"),
        (InvalidUpgrade("Upgrade", "h2c"), WAIT, WAIT, "handshake_failed"),
        (SetupRefusedError("not setupComplete"), FRESH, FRESH, "setup_refused"),
        (LinkSilentError("nothing for 60 s"), RESUME, RESUME, "link_silent"),
        (TimeoutError(), WAIT, RESUME, "timed_out"),
        (ssl.SSLCertVerificationError("self-signed certificate"), GIVE_UP, GIVE_UP, "tls_certificate"),
        (ssl.SSLError("wrong version number"), WAIT, RESUME, "unreachable"),
        (ConnectionRefusedError(111, "refused"), WAIT, RESUME, "unreachable"),
        (ConnectionResetError(104, "reset"), WAIT, RESUME, "unreachable"),
        (OSError("no route to host"), WAIT, RESUME, "unreachable"),
        (_auth_error(DefaultCredentialsError), GIVE_UP, GIVE_UP, "credentials"),
        (_auth_error(RefreshError), GIVE_UP, GIVE_UP, "credentials"),
        (_bad_config(), RESUME, RESUME, None),
        (TransportError("reset"), WAIT, WAIT, "credentials_unreachable"),
        (RefreshError("the endpoint answered 503", retryable=True), WAIT, WAIT, "credentials_unreachable"),
        (ValueError("x parameter is not supported in Gemini API."), GIVE_UP, RESUME, None),
        (KeyError("x"), RESUME, RESUME, "crashed_KeyError"),
        (_unreadable_setup(), FRESH, RESUME, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_family_of_exceptions_is_judged(error: Exception, opening: Decision, opened: Decision, cause: str | None) -> None:
    before, after = (classify(error, opened=was_open) for was_open in (False, True))
    assert (before.decision, after.decision) == (opening, opened)
    assert before.cause == (cause or ("setup_unreadable" if opening is FRESH else "setup_invalid"))
    assert after.cause == (cause or f"crashed_{type(error).__name__}")
    assert (before.code, after.code) == (None, None)


def test_an_error_message_of_the_service_without_a_code_is_a_lost_link() -> None:
    odd = errors.APIError(None, {"error": {"message": "odd"}})  # type: ignore[arg-type]
    failure = classify(odd, opened=True)
    assert (failure.decision, failure.code, failure.cause) == (RESUME, 1006, "close_1006_link_lost")


def test_a_rate_limit_that_came_as_an_http_error_of_the_sdk_keeps_its_number() -> None:
    response = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    assert classify(errors.ClientError(429, response), opened=False).code == 429


def test_what_the_peer_said_is_cut_and_holds_no_line_breaks() -> None:
    failure = classify(from_sdk(1011, "bad\nnews\x1b[31m" + "x" * 500), opened=True)
    assert failure.detail.startswith("bad news [31mxxx")
    assert len(failure.detail) == 160


TRACE = "Request trace id: 7f3a9c0e51b2d4, [ORIGINAL ERROR] "
# The words of a refusal, as reports quote them and as others of their kind -> what was refused, and how to go on.
REFUSALS: dict[str, tuple[RefusedPart, str, Decision]] = {
    "API Key not found. Please pass a valid API key.": (RefusedPart.KEY, "", GIVE_UP),
    "api key expired": (RefusedPart.KEY, "", GIVE_UP),
    "Your API key was reported as leaked. Please use another API key.": (RefusedPart.KEY, "", GIVE_UP),
    "Request had invalid authentication credentials. Expected OAuth 2 access token": (RefusedPart.KEY, "", GIVE_UP),
    "generic::permission_denied: Permission 'aiplatform.endpoints.predict' denied": (RefusedPart.KEY, "", GIVE_UP),
    "Your prepayment credits are depleted. Please go to AI Studio": (RefusedPart.BILLING, "", GIVE_UP),
    "RESOURCE_EXHAUSTED: Your prepayment credits are depleted.": (RefusedPart.BILLING, "", GIVE_UP),
    "generic::resource_exhausted: RESOURCE_EXHAUSTED: Maximum concurrent se": (RefusedPart.QUOTA, "", WAIT),
    QUOTA: (RefusedPart.QUOTA, "", WAIT),
    "User location is not supported for the API use.": (RefusedPart.LOCATION, "", GIVE_UP),
    "models/nope is not found for API version v1beta, or is not supported for bidi": (RefusedPart.MODEL, "", GIVE_UP),
    "Publisher Model `projects/p/locations/l/publishers/google/models/x` was not found": (RefusedPart.MODEL, "", GIVE_UP),
    "Requested voice api_name 'Nobody' is not available for model gemini": (RefusedPart.VOICE, "voice", RESUME),
    "Invalid value at 'setup.generation_config.speech_config.voice_config'": (RefusedPart.VOICE, "voice", RESUME),
    "Unsupported language code 'xx-YY' for model models/gemini-2.5": (RefusedPart.FIELD, "language_code", RESUME),
    "Invalid JSON payload received. Unknown name \"topP\" at 'setup': Cannot find field.": (RefusedPart.FIELD, "top_p", RESUME),
    "Thinking level is not supported for this model.": (RefusedPart.FIELD, "thinking", RESUME),
    "enable_affective_dialog is not supported": (RefusedPart.FIELD, "affective_dialog", RESUME),
    "BidiGenerateContent session not found": (RefusedPart.HANDLE, "", FRESH),
}


@pytest.mark.parametrize("code", [1007, 1008, 1011])
@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refusal_is_read_anywhere_in_its_text_without_case_or_trace_whatever_its_code(code: int, reason: str) -> None:
    part, name, decision = REFUSALS[reason]
    for said in (reason, reason.upper(), TRACE + reason, TRACE.lower() + reason):
        failure = classify(from_sdk(code, said), opened=False)
        assert failure.refusal is not None, said
        assert (failure.refusal.part, failure.refusal.name, failure.decision) == (part, name, decision), said
        assert failure.cause.startswith(f"close_{code}_")
        assert failure.remedy or part is RefusedPart.HANDLE, "the operator is told what to do"


def test_the_same_refusal_has_one_identity_whatever_its_trace_id_and_another_has_another() -> None:
    exhausted = "RESOURCE_EXHAUSTED: Maximum concurrent sessions"
    said = [
        f"Request trace id: 7f3a9c0e51b2d4, [ORIGINAL ERROR] generic::resource_exhausted: {exhausted}",
        f"Request trace id: 00ff00ff00ff00, [ORIGINAL ERROR] generic::resource_exhausted: {exhausted}",
    ]
    identities = [classify(from_sdk(1011, reason), opened=False).refusal for reason in said]
    assert all(one == other for one, other in pairwise(identities))
    other = classify(from_sdk(1007, "Request contains an invalid argument."), opened=False).refusal
    assert other not in identities


def test_a_setup_that_is_refused_without_a_named_part_is_a_refusal_and_one_that_lacks_something_names_none() -> None:
    for reason in ("Request contains an invalid argument.", "Thinking level is required for this model.", ""):
        refusal = classify(from_sdk(1007, reason), opened=False).refusal
        assert refusal is not None
        assert (refusal.part, refusal.can_be_left_out) == (RefusedPart.SETUP, False)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013])
def test_what_may_pass_by_itself_is_no_refusal(code: int) -> None:
    assert classify(from_sdk(code, "Internal error encountered."), opened=False).refusal is None


def test_an_open_session_that_ends_with_words_about_a_voice_refuses_no_setup() -> None:
    failure = classify(from_sdk(1007, "the voice input is not valid"), opened=True)
    assert (failure.decision, failure.refusal) == (NO_REPLAY, None)


def test_the_body_of_a_refused_handshake_says_what_was_refused() -> None:
    body = b'{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}'
    failure = classify(InvalidStatus(Response(400, "", Headers(), body)), opened=False)
    assert failure.refusal is not None
    assert (failure.refusal.part, failure.decision) == (RefusedPart.KEY, GIVE_UP)
    assert "GEMINI_API_KEY" in failure.remedy
