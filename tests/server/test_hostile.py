"""Attackers against a live server while a real call runs beside: nothing is opened, nothing is lost, nothing is said.

Each attack ends with a line in the log that has its own reason; afterwards the honest call still gets its audio back, and
no secret, token, signature or caller's number stands in anything that the process wrote.
"""

import asyncio
import contextlib

import orjson
import pytest
from phone_line import (
    ACCOUNT,
    AUTH_TOKEN,
    CALLER,
    GEMINI_KEY,
    METRICS_TOKEN,
    ORIGIN,
    OTHER_TOKEN,
    SOCKET_URL,
    STREAM,
    StoppedClock,
    connected,
    make_settings,
    media,
    open_line,
    start,
)
from street import HONEST, OTHER, VICTIM, Street, closed_with, open_street
from twilio.request_validator import RequestValidator
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from callbot.messages.terms import Ending
from callbot.server.limits.buckets import HEAD_START_MESSAGES


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (None, "signature_missing"),
        ("", "signature_malformed"),
        ("A" * 27 + "=", "signature_wrong"),
        (RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + "/ws/twilio", {}), "signature_wrong"),
        (RequestValidator(AUTH_TOKEN).compute_signature("wss://evil.example/ws/twilio", {}), "signature_wrong"),
        (RequestValidator("old token").compute_signature(SOCKET_URL, {}), "signature_wrong"),
    ],
)
async def test_a_forged_handshake_is_a_403_before_accepting(street: Street, signature: str | None, reason: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with street.line.socket(signature):
            pass
    assert (refused.value.response.status_code, refused.value.response.body) == (403, b"")
    assert street.line.reasons() == [reason]
    assert street.opened() == 0


async def test_a_handshake_that_never_ends_is_cut_off() -> None:
    async with open_line(request_timeout_s=0.1) as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(b"GET /ws/twilio HTTP/1.1\r\nHost: x\r\n")

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"X-A: b\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.03)  # never in the moment of the limit: its end would be a reset

        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            dripping = tasks.create_task(drip())
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            dripping.cancel()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert line.calls == []
        assert line.reasons("connection.refused") == ["request_slow"]


async def test_a_socket_that_never_starts_is_closed() -> None:
    async with open_street(start_timeout_s=0.1) as street:
        async with street.line.socket() as websocket:
            await websocket.send(connected())
            assert await closed_with(websocket) == (1008, "start_timeout")
        assert street.line.reasons() == ["start_timeout"]
        assert street.opened() == 0
        assert street.line.services.registry.pending == 0


async def test_sockets_without_a_token_are_capped() -> None:
    async with open_street(max_unauthenticated_sockets=3, start_timeout_s=60) as street, contextlib.AsyncExitStack() as stack:
        waiting = [await stack.enter_async_context(street.line.socket()) for _ in range(3)]
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(street.line.socket())
        assert refused.value.response.status_code == 503
        assert street.line.reasons() == ["too_many_unauthenticated"]
        await waiting[0].close()
        await street.line.said("stream.closed")
        await stack.enter_async_context(street.line.socket())


async def test_media_without_a_start_opens_nothing(street: Street) -> None:
    async with street.line.socket() as websocket:
        for chunk in range(1, 10):
            await websocket.send(media(chunk))
        assert await closed_with(websocket) == (1008, "not_started")
    assert street.line.reasons() == ["not_started"]
    assert street.opened() == 0


def text_frame(message: str) -> bytes:
    return Frame(Opcode.TEXT, message.encode()).serialize(mask=True)


async def test_a_flood_in_an_admitted_stream_is_closed_and_bounded() -> None:
    async with open_street(clock=StoppedClock()) as street:
        token = await street.steal_token()
        async with street.line.stream(token) as websocket:
            call = await street.line.call(1)
            with contextlib.suppress(ConnectionClosed):
                for chunk in range(1, 2500):  # fifty times a stream's pace
                    await websocket.send(media(chunk))
            assert await closed_with(websocket) == (1008, "flood")
            await call.ended.wait()
        assert street.line.reasons() == ["flood"]
        assert street.line.events("stream.refused")[0]["call_sid"] == VICTIM
        assert len(call.heard) <= HEAD_START_MESSAGES


async def test_a_stream_that_has_begun_may_send_its_share_and_not_one_more() -> None:
    async with open_street(clock=StoppedClock()) as street, street.line.stream(await street.steal_token()) as websocket:
        call = await street.line.call(1)
        # The clock stands still, so the beginning's share is all there is.
        share = [media(chunk) for chunk in range(1, HEAD_START_MESSAGES + 1)]
        websocket.transport.write(b"".join(map(text_frame, share)))
        assert [await websocket.recv() for _ in share] == share
        await websocket.send(media(100))
        assert await closed_with(websocket) == (1008, "flood")
        await call.ended.wait()
        assert call.heard == share


async def test_for_a_flood_that_comes_with_its_start_no_call_is_begun() -> None:
    async with open_street() as street:
        token = await street.steal_token()
        calls = len(street.line.calls)
        async with street.line.socket() as websocket:
            flood = [start(token, VICTIM), *(media(chunk) for chunk in range(1, 300))]
            websocket.transport.write(b"".join(map(text_frame, flood)))
            assert await closed_with(websocket) == (1008, "flood")
        assert street.line.reasons() == ["flood"]
        assert len(street.line.calls) == calls


async def test_what_comes_while_we_stall_at_its_beginning_is_no_flood() -> None:
    clock = StoppedClock()
    async with open_street(clock=clock) as street:
        token = await street.steal_token()
        async with street.line.socket() as websocket:
            clock.now_s += 1.0
            said = [media(chunk) for chunk in range(1, 51)]
            websocket.transport.write(b"".join(map(text_frame, [connected(), start(token, VICTIM), *said])))
            assert [await websocket.recv() for _ in said] == said
        assert street.line.reasons() == []


async def test_a_clump_after_a_stall_is_no_flood_and_a_longer_one_is() -> None:
    clock = StoppedClock()
    async with open_street(clock=clock) as street:
        token = await street.steal_token()
        async with street.line.stream(token) as websocket:
            await street.line.call(1)
            clock.now_s += 10.0
            for chunk in range(1, 501):  # ten seconds at once
                await websocket.send(media(chunk))
            assert [await websocket.recv() for _ in range(500)] == [media(chunk) for chunk in range(1, 501)]
            assert street.line.reasons() == []
            with contextlib.suppress(ConnectionClosed):
                for chunk in range(501, 801):
                    await websocket.send(media(chunk))
            assert await closed_with(websocket) == (1008, "flood")


@pytest.mark.parametrize("size", [65_537, 200_000])
async def test_an_oversized_message_closes_with_1009(street: Street, size: int) -> None:
    async with street.line.socket() as websocket:
        await websocket.send("x" * size)
        assert await closed_with(websocket) == (1009, "oversize")
    assert street.opened() == 0
    assert street.line.reasons() == ["oversize"]


async def test_a_huge_message_is_cut_off_before_it_is_whole() -> None:
    async with open_street(start_timeout_s=60) as street:
        async with street.line.socket() as websocket:
            with contextlib.suppress(ConnectionClosed):
                await websocket.send("x" * 4_000_000)
            assert (await closed_with(websocket))[0] == 1009
        assert (await street.line.said("stream.refused"))["reason"] == "oversize"
        assert street.opened() == 0


async def test_an_oversized_message_is_measured_in_bytes(street: Street) -> None:
    async with street.line.socket() as websocket:
        await websocket.send("é" * 40_000)
        assert await closed_with(websocket) == (1009, "oversize")


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (b"\x00\x01\x02", 1003, "binary"),
        (b"", 1003, "binary"),
        ("", 1008, "unreadable"),
        ("no json", 1008, "unreadable"),
        ("[" * 30_000, 1008, "too_deep"),
        ('{"event":' * 5_000 + "1" + "}" * 5_000, 1008, "too_deep"),
        ('{"event":"start","start":{}}', 1008, "unreadable"),
        (f'{{"event":"stop","streamSid":"{STREAM}","stop":{{}}}}', 1008, "not_started"),
    ],
)
async def test_rubbish_before_start_is_closed(street: Street, message: str | bytes, code: int, reason: str) -> None:
    async with street.line.socket() as websocket:
        await websocket.send(message)
        assert await closed_with(websocket) == (code, reason)
    assert street.line.reasons() == [reason]
    assert street.opened() == 0


async def test_invalid_utf8_ends_the_socket_and_nothing_else(street: Street) -> None:
    async with street.line.socket() as websocket:
        await websocket.send(b"\xff\xfe\xfa", text=True)
        await websocket.wait_closed()
    assert street.opened() == 0


async def test_an_unknown_event_before_start_is_tolerated(street: Street) -> None:
    token = await street.steal_token()
    async with street.line.socket() as websocket:
        await websocket.send(connected())
        await websocket.send('{"event":"new in 2027"}')
        await websocket.send(start(token))
        await street.line.call(1)


@pytest.mark.parametrize("signature", ["", "A" * 27 + "=", "L/OH5YylLD5NRKLltdqwSvS0BnU="])
async def test_forged_questions_and_callbacks_change_nothing(street: Street, signature: str) -> None:
    street.line.services.store.record_ending(HONEST, Ending.APOLOGISE)
    fields = street.line.form(CallSid=HONEST, CallStatus="completed")
    for target in ("/twiml", "/twiml/next?stream_no=1", "/twilio/status"):
        assert await street.line.post(target, fields, signature=signature) == (403, "")
    assert await street.line.services.store.ending(HONEST) is Ending.APOLOGISE
    assert len(street.line.reasons("webhook.refused")) == 3
    assert set(street.line.reasons("webhook.refused")) <= {"signature_malformed", "signature_wrong"}
    assert street.line.prepared == [HONEST]


async def test_a_signature_does_not_fit_another_address(street: Street) -> None:
    """A signed voice webhook shown to the other paths, and of another stream."""
    fields = street.line.form()
    signature = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + "/twiml/next?stream_no=1", fields)
    for target in ("/twiml", "/twilio/status", "/twiml/next?stream_no=2", "/twiml/next?stream_no=1&stream_no=2", "/twiml/next"):
        assert await street.line.post(target, fields, signature=signature) == (403, "")


async def test_one_call_too_many_is_refused_at_the_handshake_and_at_start() -> None:
    async with open_street(max_calls=2) as street:
        first, second = await street.steal_token(), await street.steal_token(OTHER)
        async with street.line.socket() as early, street.line.stream(first):
            await street.line.call(1)
            with pytest.raises(InvalidStatus) as refused:
                async with street.line.socket():
                    pass
            assert refused.value.response.status_code == 503
            await early.send(start(second, OTHER))
            assert await closed_with(early) == (1013, "too_many_calls")
        assert street.line.reasons() == ["too_many_calls", "too_many_calls"]
        assert street.opened() == 1


async def test_refusals_are_counted_by_reason(street: Street) -> None:
    with pytest.raises(InvalidStatus):
        async with street.line.socket(None):
            pass
    await street.line.post("/twiml", street.line.form(), signature="x")
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    async with street.line.http.get(f"http://127.0.0.1:{street.line.port}/metrics", headers=headers) as answer:
        text = await answer.text()
    assert 'callbot_refusals_total{kind="stream",reason="signature_missing"} 1.0' in text
    assert 'callbot_refusals_total{kind="webhook",reason="signature_malformed"} 1.0' in text
    assert CALLER not in text


def test_settings_show_no_secret() -> None:
    shown = repr(make_settings(metrics_token=METRICS_TOKEN))
    assert orjson.dumps(ACCOUNT).decode().strip('"') in shown
    for secret in (AUTH_TOKEN, OTHER_TOKEN, GEMINI_KEY, METRICS_TOKEN):
        assert secret not in shown
