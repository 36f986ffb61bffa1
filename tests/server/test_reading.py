"""A request as the door reads it: cut anywhere it is the same, and what is none is told at once."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbot.server.reading import Asked, BadRequest, PeerGone, Reading
from callbot.server.turnstile import Turnstile
from callbot.server.webhooks import WebhookRefused

GET = b"GET /twilio/status?a=b%20c&d HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Wide:  a\tb \r\n\r\n"
FORM = b"POST /twiml HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nCallSid=x"
CHUNKED = b"POST /twiml HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nCall\r\n5\r\nSid=x\r\n0\r\n\r\n"
UPGRADE = b"GET /ws/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def run(read: Any, *pieces: bytes, max_header_bytes: int = 1000) -> Any:
    """What `read` makes of a reading to which these pieces come, each in turns of its own, then the end."""

    async def scenario() -> Any:
        reader = asyncio.StreamReader()

        async def bring() -> None:
            for piece in pieces:
                reader.feed_data(piece)
                for _ in range(5):
                    await asyncio.sleep(0)
            reader.feed_eof()

        bringing = asyncio.ensure_future(bring())
        try:
            return await read(Reading(reader, Turnstile(), max_header_bytes))
        finally:
            await bringing

    return asyncio.run(scenario())


async def whole(reading: Reading) -> tuple[Asked, bytes, bool, bool]:
    asked = await reading.head()
    body = await reading.body(100) if asked.method == "POST" else b""
    return asked, body, reading.is_whole, reading.has_left_over


def cut(request: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(request), *(place % len(request) for place in cuts)})
    return [request[begin:end] for begin, end in itertools.pairwise(places)]


@given(st.lists(st.integers(0, 200), max_size=4))
def test_a_head_is_told_as_it_came(cuts: list[int]) -> None:
    headers = [(b"host", b"x"), (b"x-empty", b""), (b"x-wide", b"a\tb")]
    asked = Asked("GET", "/twilio/status", "a=b%20c&d", "/twilio/status", headers, "1.1")
    assert run(whole, *cut(GET, cuts)) == (asked, b"", True, False)


@pytest.mark.parametrize("request_bytes", [FORM, CHUNKED])
@given(cuts=st.lists(st.integers(0, 200), max_size=4))
def test_a_body_is_the_same_however_it_comes(request_bytes: bytes, cuts: list[int]) -> None:
    asked, body, is_whole, has_left_over = run(whole, *cut(request_bytes, cuts))
    assert (asked.method, asked.route, body, is_whole, has_left_over) == ("POST", "/twiml", b"CallSid=x", True, False)


async def rest(reading: Reading) -> tuple[Any, ...]:
    asked = await reading.head()
    return asked.method, asked.route, asked.http_version, reading.is_whole, reading.has_left_over


@pytest.mark.parametrize(
    ("request_bytes", "told"),
    [
        (UPGRADE, ("GET", "/ws/twilio", "1.1", True, False)),
        (UPGRADE + b"\x81\x80", ("GET", "/ws/twilio", "1.1", True, True)),
        (FORM + b"more", ("POST", "/twiml", "1.1", True, True)),
        (FORM.replace(b"Host", b"Connection: close\r\nHost") + b"more", ("POST", "/twiml", "1.1", True, True)),
        # A second request in the same read changes nothing about the first.
        (FORM + b"DELETE /x HTTP/1.0\r\nX: y\r\n\r\n", ("POST", "/twiml", "1.1", True, False)),
        (b"GET /%77s HTTP/1.0\r\n\r\n", ("GET", "/ws", "1.0", True, False)),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", ("GET", "/", "1.1", True, False)),
        (FORM[:-1], ("POST", "/twiml", "1.1", False, False)),
    ],
)
def test_what_else_there_is_to_know(request_bytes: bytes, told: tuple[Any, ...]) -> None:
    assert run(rest, request_bytes) == told


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /\r\n\r\n",  # HTTP/0.9
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
    ],
)
@pytest.mark.parametrize("dripping", [False, True])
def test_what_is_no_request_is_a_bad_one(request_bytes: bytes, dripping: bool) -> None:
    drops = [bytes([byte]) for byte in request_bytes] if dripping else [request_bytes]
    with pytest.raises(BadRequest) as refused:
        run(whole, *drops)
    assert (refused.value.status, refused.value.reason) == (400, "bad_request")


@pytest.mark.parametrize("drops", [1, 5, len(PREFACE)])
def test_http_2_is_spoken_to_nobody(drops: int) -> None:
    with pytest.raises(BadRequest) as refused:
        run(whole, *(PREFACE[at : at + drops] for at in range(0, len(PREFACE), drops)))
    assert (refused.value.status, refused.value.reason) == (505, "http_2")


@pytest.mark.parametrize("request_bytes", [b"", GET[:-2], FORM[:-1]])
def test_a_peer_that_goes_in_the_middle_is_gone(request_bytes: bytes) -> None:
    with pytest.raises(PeerGone):
        run(whole, request_bytes)


def test_a_head_that_does_not_end_is_too_large() -> None:
    with pytest.raises(BadRequest) as refused:
        run(whole, GET[:-2], b"X-Long: " + b"x" * 1000)
    assert (refused.value.status, refused.value.reason) == (431, "headers_too_large")


def test_a_body_that_is_too_large_is_told_before_it_is_whole() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with pytest.raises(WebhookRefused) as refused:
        run(whole, head + b"x" * 101)
    assert (refused.value.status, refused.value.reason) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("request_bytes", "waits"),
    [
        (FORM[:-9].replace(b"Host", b"Expect: 100-Continue\r\nHost"), True),
        (FORM.replace(b"Host", b"Expect: 100-continue\r\nHost"), False),  # it has not waited
        (GET.replace(b"Host", b"Expect: 100-continue\r\nHost"), False),  # nothing to wait with
        (FORM[:-9], False),
    ],
)
def test_who_waits_to_be_asked_for_the_body(request_bytes: bytes, waits: bool) -> None:
    async def read(reading: Reading) -> bool:
        await reading.head()
        return reading.waits_to_be_asked

    assert run(read, request_bytes) is waits
