"""Each limit by its setting: what it lets through, what it stops, and the count that tells of it."""

import asyncio
import contextlib
import hashlib
import json

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from phone_line import ACCOUNT, AUTH_TOKEN, CALL, ORIGIN, Line, StoppedClock, media, open_line
from twilio.request_validator import RequestValidator
from websockets.exceptions import ConnectionClosed

from callbot.server.limits.buckets import is_deeper
from callbot.server.limits.refusals import RefusalBook
from callbot.server.metrics import ServerMetrics

trees = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=8), st.sampled_from(['[{"', "\\", '\\"', "}]"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=30,
)


def depth_of(tree: object) -> int:
    match tree:
        case list():
            return 1 + max(map(depth_of, tree), default=0)
        case dict():
            return 1 + max(map(depth_of, tree.values()), default=0)
        case _:
            return 0


@given(tree=trees, limit=st.integers(0, 8), ascii_only=st.booleans())
def test_the_depth_of_json_is_its_brackets_outside_strings(tree: object, limit: int, ascii_only: bool) -> None:
    assert is_deeper(json.dumps(tree, ensure_ascii=ascii_only), limit) is (depth_of(tree) > limit)


@given(st.text(alphabet='[]{}"\\x\ud800', max_size=200), st.integers(0, 5))
def test_what_is_no_json_has_no_depth_that_raises(text: str, limit: int) -> None:
    assert is_deeper(text, limit) in {True, False}


@pytest.mark.parametrize("text", ["[" * 65_536, "[]" * 32_768, '"[" ' * 16_384, '{"a":' * 10_000, '"' + "\\" * 65_535])
def test_the_largest_messages_are_measured(text: str) -> None:
    assert is_deeper(text, 16) is (text.startswith(("[[", '{"a":')))


async def said_by_metrics(port: int, line_http: object) -> str:
    async with line_http.get(f"http://127.0.0.1:{port}/metrics") as answer:  # type: ignore[attr-defined]
        return str(await answer.text())


async def test_an_admitted_stream_is_closed_for_a_message_that_is_too_deep() -> None:
    async with open_line(max_json_depth=4) as line, line.stream(await line.token()) as websocket:
        await line.call()
        await websocket.send('{"event":"new","a":[[[1]]]}')
        await websocket.send(media(1))
        assert [await websocket.recv(), await websocket.recv()] == ['{"event":"new","a":[[[1]]]}', media(1)]
        await websocket.send('{"event":"new","a":[[[[1]]]]}')
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "too_deep")
        assert line.reasons() == ["too_deep"]
        assert line.events("stream.refused")[0]["call_sid"] == CALL
        assert 'callbot_refusals_total{kind="stream",reason="too_deep"} 1.0' in await said_by_metrics(line.port, line.http)


async def test_a_signed_json_document_that_is_too_deep_is_refused() -> None:
    async with open_line(max_json_depth=4) as line:
        for levels, status in ((3, 204), (4, 400)):
            nested = orjson.loads("[" * levels + "]" * levels)
            body = orjson.dumps({"CallSid": CALL, "AccountSid": ACCOUNT, "CallStatus": "in-progress", "nested": nested})
            target = f"/twilio/status?bodySHA256={hashlib.sha256(body).hexdigest()}"
            signature = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + target, {})
            headers = {"X-Twilio-Signature": signature, "Content-Type": "application/json"}
            async with line.http.post(f"http://127.0.0.1:{line.port}{target}", data=body, headers=headers) as answer:
                assert answer.status == status
        assert line.reasons("webhook.refused") == ["json_too_deep"]


async def test_the_form_has_its_limit_from_the_settings() -> None:
    async with open_line(max_form_bytes=4096) as line:
        assert (await line.post("/twiml", line.form(More="x" * 3000)))[0] == 200
        assert (await line.post("/twiml", line.form(More="x" * 4096)))[0] == 413
        assert line.reasons("webhook.refused") == ["body_too_large"]


async def test_messages_have_their_limit_from_the_settings() -> None:
    async with open_line(max_message_bytes=4096) as line, line.stream(await line.token()) as websocket:
        await line.call()
        await websocket.send("x" * 4096)
        assert await websocket.recv() == "x" * 4096
        await websocket.send("x" * 4097)
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1009, "oversize")


async def test_connections_are_capped_and_their_places_come_free() -> None:
    async with open_line(max_connections=8, max_calls=4, max_unauthenticated_sockets=4, request_timeout_s=60) as line:
        held = [await asyncio.open_connection("127.0.0.1", line.port) for _ in range(8)]
        for _, writer in held:
            writer.write(b"GET /healthz HTTP/1.1\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert line.reasons("connection.refused") == ["too_many_connections"]
        held[0][1].write(b"Host: x\r\n\r\n")
        assert (await held[0][0].read()).startswith(b"HTTP/1.1 200")
        async with line.http.get(f"http://127.0.0.1:{line.port}/healthz") as answer:
            assert answer.status == 200
        for _, writer in held:
            writer.close()


async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    """A platform's probe is no attack."""
    async with open_line(request_timeout_s=0.05) as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        assert await reader.read() == b""
        writer.close()
        assert line.events("connection.refused") == []


def book(clock: StoppedClock, lines_per_s: float) -> tuple[RefusalBook, ServerMetrics, structlog.testing.LogCapture]:
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    metrics = ServerMetrics()
    return RefusalBook(metrics, log, lines_per_s, clock), metrics, capture


def test_a_flood_of_refusals_is_counted_whole_and_written_at_a_pace() -> None:
    clock = StoppedClock()
    refusals, metrics, capture = book(clock, lines_per_s=2)
    for _ in range(1000):
        refusals.note("stream", "signature_wrong", status=403)
    refusals.note("stream", "flood")  # another reason has a pace of its own
    assert [line["reason"] for line in capture.entries] == ["signature_wrong"] * 20 + ["flood"]
    clock.now_s += 1
    refusals.note("stream", "signature_wrong", status=403)
    assert capture.entries[-1]["unlogged"] == 980
    refusals.note("stream", "signature_wrong", status=403)
    assert "unlogged" not in capture.entries[-1]
    counted = metrics.registry.get_sample_value("callbot_refusals_total", {"kind": "stream", "reason": "signature_wrong"})
    assert counted == 1002


async def test_a_form_of_too_many_fields_is_refused_like_any_strangers(line: Line) -> None:
    """Its signature would have to be made from all of them; it is not looked at, and the answer tells nobody so."""
    assert await line.post("/twiml", {f"field {number}": "x" for number in range(201)}) == (403, "")
    assert line.reasons("webhook.refused") == ["too_many_fields"]
