"""Strangers: what they are told, what of it is written down, and that a call loses nothing to them."""

import asyncio
import contextlib
from typing import Any

import pytest
from phone_line import (
    AUTH_TOKEN,
    CALL,
    METRICS_TOKEN,
    SOCKET_URL,
    Line,
    connected,
    media,
    open_line,
    start,
)
from street import OTHER, closed_with
from twilio.request_validator import RequestValidator
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from callbot.server.http.app import SECURITY_HEADERS
from callbot.server.limits.buckets import HEAD_START_MESSAGES
from callbot.server.process import serve

FORGED = "A" * 27 + "="


def text(content: str, **flags: Any) -> bytes:
    return Frame(Opcode.TEXT, content.encode(), **flags).serialize(mask=True)


async def talk(line: Line, request: bytes) -> bytes:
    """Send these bytes, read the answer to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    writer.write(request)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_strangers_are_refused() -> None:
    async with open_line(metrics_token=METRICS_TOKEN, max_form_bytes=4096, request_timeout_s=0.2, start_timeout_s=0.2) as line:
        fields = line.form()
        for signature in ("", "x", FORGED):
            for target in ("/twiml", "/twiml/next?stream_no=1", "/twilio/status"):
                assert await line.post(target, fields, signature=signature) == (403, "")
        for handshake_signature in (None, "", FORGED):
            with pytest.raises(InvalidStatus) as refused:
                async with line.socket(handshake_signature):
                    pass
            assert refused.value.response.status_code == 403
        assert (await talk(line, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
        assert (await talk(line, b"GET /wp-login.php HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        assert (await line.post("/twiml", {"a": "x" * 5000}))[0] == 413
        for first in ("no json", "[" * 30_000, "x" * 70_000, start(""), start("x" * 32), b"\x00"):
            async with line.socket() as websocket:
                await websocket.send(first)
                assert (await closed_with(websocket))[0] in {1003, 1008, 1009}
        async with line.socket() as websocket:
            assert await closed_with(websocket) == (1008, "start_timeout")
            assert len(line.events("webhook.refused")) == 11
        assert len(line.events("stream.refused")) == 10
        assert line.calls == []


async def test_a_refusal_looks_like_every_other_answer() -> None:
    async with open_line(metrics_token=METRICS_TOKEN) as line:
        refusal = await talk(line, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = refusal.partition(b"\r\n\r\n")
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in head.decode().splitlines()[1:])}
        for name, value in SECURITY_HEADERS.items():
            assert headers[name.lower()] == value
        assert (headers["www-authenticate"], headers["content-length"], headers["connection"]) == ("Bearer", "0", "close")
        assert "date" in headers
        assert "server" not in headers
        assert body == b""


@pytest.mark.parametrize(
    ("request_head", "status", "reason"),
    [
        (b"no http at all\r\n\r\n", b"400", "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", "bad_request"),  # TLS, where it ends before us
        (b"GET /twiml HTTP/1.1\r\n\r\n", b"400", "bad_request"),  # no Host
        (
            b"GET /ws/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: \x99, Upgrade\r\n\r\n",
            b"400",
            "bad_request",
        ),
        (b"GET /twiml HTTP/1.1\r\nX-Long: " + b"x" * 70_000, b"431", "headers_too_large"),
    ],
)
async def test_what_is_no_request_is_answered_and_written_down(request_head: bytes, status: bytes, reason: str) -> None:
    async with open_line() as line:
        assert (await talk(line, request_head)).split()[1] == status
        assert line.reasons("connection.refused") == [reason]


@pytest.mark.parametrize("missing", [b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"Sec-WebSocket-Version: 13\r\n"])
async def test_a_signed_handshake_that_is_none_is_a_bad_request(missing: bytes) -> None:
    async with open_line() as line:
        answer = await talk(line, handshake().replace(missing, b""))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert line.calls == []


def handshake() -> bytes:
    signature = RequestValidator(AUTH_TOKEN).compute_signature(SOCKET_URL, {})
    return (
        "GET /ws/twilio HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"X-Twilio-Signature: {signature}\r\n\r\n"
    ).encode()


async def test_what_comes_with_the_handshake_is_a_bad_request() -> None:
    async with open_line() as line:
        assert (await talk(line, handshake() + text("too early"))).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("split_at", [1, 40, 300])
async def test_a_request_in_pieces_comes_in_whole(split_at: int) -> None:
    async with open_line() as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        request = handshake()
        for piece in (request[:split_at], request[split_at:-2], request[-2:]):
            writer.write(piece)
            await asyncio.sleep(0.01)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # of this key (RFC 6455, 1.3)
        writer.close()


async def test_nothing_is_lost_between_the_handshake_and_the_call() -> None:
    """`start` and what follows it in the same read, and what comes while Hypercorn and Quart make the call."""
    messages = [media(chunk) for chunk in range(1, HEAD_START_MESSAGES + 1)]
    async with open_line() as line:
        token = await line.token()
        async with line.socket() as websocket:
            frames = [text(message) for message in (connected(), start(token), *messages)]
            websocket.transport.write(b"".join(frames[:15]) + frames[15][:7])
            for piece in (frames[15][7:], *frames[16:]):
                websocket.transport.write(piece)
                await asyncio.sleep(0)
            assert [await websocket.recv() for _ in messages] == messages
        assert (await line.call()).heard == messages


@pytest.mark.parametrize("unusual", ["ping", "ping first", "empty pong"])
async def test_a_peer_may_ask_whether_somebody_is_there(unusual: str) -> None:
    async with open_line() as line:
        token = await line.token()
        async with line.socket() as websocket:
            if unusual == "ping first":
                await (await websocket.ping())
            await websocket.send(connected())
            whole = start(token)
            match unusual:
                case "ping":
                    await (await websocket.ping(b"are you there"))
                    await websocket.send(whole)
                case "ping first":
                    await websocket.send(whole)
                case _:
                    await websocket.pong()
                    await websocket.send(whole)
            await websocket.send(media(1))
            assert await websocket.recv() == media(1)
        assert (await line.call()).how == "stream closed"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xc1\x85" + b"\0" * 4 + b"hello", 1002),  # an extension's bit, and none was agreed on
        (b"\x81\x05hello", 1002),  # without a mask
        (b"\x83\x80" + b"\0" * 4, 1002),  # an opcode that is none
        (b"\x89\xfe\x00\x80" + b"\0" * 132, 1002),  # a ping of 128 bytes
        (b"\x81\xfe\x00\x05" + b"\0" * 9, 1002),  # a short message with the longer length
        (b"\x81\x81" + b"\0" * 4 + b"\xff", 1007),
        (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1009),
    ],
)
async def test_a_frame_that_nobody_may_send_closes_with_its_code(frame: bytes, code: int) -> None:
    async with open_line() as line:
        async with line.socket() as websocket:
            websocket.transport.write(frame)
            assert (await closed_with(websocket))[0] == code
        assert line.calls == []


async def test_a_close_before_start_is_answered() -> None:
    async with open_line() as line:
        async with line.socket() as websocket:
            await websocket.send(connected())
            await websocket.close(1000)
            assert websocket.close_code == 1000
        await line.said("stream.closed")


async def test_a_flood_that_comes_with_its_start_stays_outside() -> None:
    async with open_line() as line:
        token = await line.token()
        async with line.socket() as websocket:
            flood = [start(token), *(media(chunk) for chunk in range(1, 200))]
            websocket.transport.write(b"".join(map(text, flood)))
            assert await closed_with(websocket) == (1008, "flood")
        assert (line.reasons(), line.calls) == (["flood"], [])


async def test_of_two_who_are_let_in_for_the_last_place_one_gets_it() -> None:
    async with open_line(max_calls=1) as line:
        tokens = {CALL: await line.token(), OTHER: await line.token(OTHER)}
        async with line.socket() as first, line.socket() as second:
            for websocket, call_sid in ((first, CALL), (second, OTHER)):
                websocket.transport.write(text(start(tokens[call_sid], call_sid)))
            refusal = await line.said("stream.refused")
            assert refusal["reason"] == "too_many_calls"
            winner, loser = (second, first) if refusal["call_sid"] == CALL else (first, second)
            assert await closed_with(loser) == (1013, "too_many_calls")
            await winner.send(media(1))
            assert await winner.recv() == media(1)
        assert len(line.calls) == 1


async def test_a_body_that_waits_to_be_asked_for_is_asked_for() -> None:
    async with open_line() as line:
        body = b"CallSid=x"
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(
            b"POST /twiml HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"X-Twilio-Signature: " + FORGED.encode() + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        writer.close()


async def test_http_2_is_spoken_to_nobody() -> None:
    async with open_line() as line:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        assert (await talk(line, preface)).startswith(b"HTTP/1.1 505 ")
        assert line.reasons("connection.refused") == ["http_2"]


async def test_a_wish_for_http_2_is_passed_over() -> None:
    async with open_line() as line:
        wish = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n"
        assert (await talk(line, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + wish)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("in_a_call", [False, True])
@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
async def test_a_flood_of_control_frames_is_dropped(in_a_call: bool, opcode: Opcode) -> None:
    async with open_line() as line:
        async with line.socket() as websocket:
            if in_a_call:
                await websocket.send(start(await line.token()))
                call = await line.call()
            await (await websocket.ping(b"are you there"))
            websocket.transport.write(Frame(opcode, b"").serialize(mask=True) * 40_000)
            assert (await closed_with(websocket))[0] == 1006
        assert line.reasons() == ["flood"]
        if in_a_call:
            await call.ended.wait()


async def test_whoever_has_no_call_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "GRACEFUL_S", 60.0)
    async with open_line(request_timeout_s=60, start_timeout_s=60) as line:
        peers = [await asyncio.open_connection("127.0.0.1", line.port) for _ in range(3)]
        peers[1][1].write(b"GET /healthz HTTP/1.1\r\n")
        async with line.socket() as websocket:
            line.shutdown.request()
            assert await closed_with(websocket) == (1001, "going away")
        for reader, writer in peers:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
