"""The trace that Cloud Run began for a request, on every log line that the request causes.

The webhook and the WebSocket are two requests with two traces; what joins the lines of one call is its CallSid.
Sources: W3C Trace Context (`traceparent`), Google Cloud's `X-Cloud-Trace-Context`, Cloud Logging's special fields.
"""

import re
from collections.abc import Iterable
from typing import Final

import structlog

_TRACEPARENT: Final = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_CLOUD_TRACE: Final = re.compile(r"^([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=([01]))?$")


def trace_fields(headers: Iterable[tuple[bytes, bytes]], project: str) -> dict[str, str | bool]:
    """Cloud Logging's trace fields for these raw headers; none where there is no trace, or one that cannot be read."""
    found = {name.lower(): value.decode("latin-1") for name, value in headers if name.lower() in _HEADERS}
    if match := _TRACEPARENT.match(found.get(b"traceparent", "")):
        trace, span, sampled = match[1], match[2], bool(int(match[3], 16) & 1)
    elif match := _CLOUD_TRACE.match(found.get(b"x-cloud-trace-context", "")):
        trace, span, sampled = match[1], f"{int(match[2]):016x}"[-16:] if match[2] else "", match[3] == "1"
    else:
        return {}
    fields: dict[str, str | bool] = {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{trace}" if project else trace,
        "logging.googleapis.com/trace_sampled": sampled,
    }
    if span:
        fields["logging.googleapis.com/spanId"] = span
    return fields


def follow_trace(headers: Iterable[tuple[bytes, bytes]], project: str) -> None:
    """Put the trace on every line that is logged from here on in this request's task and in those that it starts."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**trace_fields(headers, project))


_HEADERS: Final = frozenset({b"traceparent", b"x-cloud-trace-context"})
