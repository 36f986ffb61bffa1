"""Cloud Run's trace of a request, on the lines that the request causes."""

import pytest

from callbot.server.http.trace import trace_fields

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_traceparent_names_trace_span_and_whether_it_is_sampled() -> None:
    fields = trace_fields([(b"Traceparent", f"00-{TRACE}-{SPAN}-01".encode())], "my-project")

    assert fields == {
        "logging.googleapis.com/trace": f"projects/my-project/traces/{TRACE}",
        "logging.googleapis.com/spanId": SPAN,
        "logging.googleapis.com/trace_sampled": True,
    }


def test_the_older_header_counts_its_span_in_decimal() -> None:
    fields = trace_fields([(b"x-cloud-trace-context", f"{TRACE}/{int(SPAN, 16)};o=0".encode())], "p")

    assert fields["logging.googleapis.com/spanId"] == SPAN
    assert fields["logging.googleapis.com/trace_sampled"] is False


def test_a_traceparent_comes_before_the_older_header() -> None:
    headers = [(b"x-cloud-trace-context", b"f" * 32), (b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())]

    assert trace_fields(headers, "p")["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE}"


def test_without_a_project_the_trace_stands_alone() -> None:
    assert trace_fields([(b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())], "")["logging.googleapis.com/trace"] == TRACE


@pytest.mark.parametrize("value", [b"", b"00-xyz", b"\xff\xfe", b"00-" + b"0" * 4000, b"a/b;o=9"])
def test_what_cannot_be_read_is_no_trace(value: bytes) -> None:
    assert trace_fields([(b"traceparent", value), (b"x-cloud-trace-context", value)], "p") == {}
