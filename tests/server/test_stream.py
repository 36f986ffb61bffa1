"""The life of an admitted stream, over real sockets: in order, to the end, and alone with its faults."""

import asyncio

import aiohttp
import pytest
from phone_line import CALL, METRICS_TOKEN, STREAM, CrashingCall, EchoCall, Line, connected, media, open_line, start, token_in
from websockets.exceptions import ConnectionClosed

from callbot.actors.ports import StreamClosed, StreamSocket
from callbot.messages.call import StreamStarted
from callbot.messages.terms import Ending
from callbot.server.calls.socket import QuartStreamSocket
from callbot.server.limits.buckets import stream_bucket
from callbot.server.transport.websocket import MediaWebsocket
from callbot.store.memory import MemoryCallStore
from callbot.store.protocol import Minted, StreamGrant

OTHER_CALL = "CA" + "7" * 32
STOP = f'{{"event":"stop","sequenceNumber":"9","streamSid":"{STREAM}","stop":{{"callSid":"{CALL}"}}}}'


async def test_a_call_is_admitted_and_hears_what_follows_start_in_order(line: Line) -> None:
    token = await line.token()
    async with line.stream(token) as websocket:
        for chunk in range(1, 4):
            await websocket.send(media(chunk))
        assert [await websocket.recv() for _ in range(3)] == [media(1), media(2), media(3)]
        call = await line.call()
    await call.ended.wait()
    assert call.how == "stream closed"
    assert (call.started.call_sid, call.started.stream_sid, call.started.stream_no) == (CALL, STREAM, 1)
    assert call.started.caller == "***5310"


async def test_parameters_reach_the_call_cleaned_and_without_the_token(line: Line) -> None:
    token = await line.token()
    async with line.socket() as websocket:
        await websocket.send(start(token, greeting="a\x00b\n\u202ec  d", token_hint="x"))
        call = await line.call()
    assert call.started.parameters == {"greeting": "ab c d", "token_hint": "x"}


async def test_stop_and_close_in_one_read_are_not_lost(line: Line) -> None:
    token = await line.token()
    async with line.stream(token) as websocket:
        await line.call()
        for chunk in range(1, 24):
            await websocket.send(media(chunk))
        await websocket.send(STOP)
        await websocket.close()
    call = await line.call()
    await call.ended.wait()
    assert call.heard == [*(media(chunk) for chunk in range(1, 24)), STOP]


async def test_a_whole_call_sent_at_once_with_its_close_is_heard_to_the_end(line: Line) -> None:
    token = await line.token()
    async with line.socket() as websocket:
        for message in (connected(), start(token), media(1), media(2), STOP):
            await websocket.send(message)
        await websocket.close()
    call = await line.call()
    await call.ended.wait()
    assert call.heard == [media(1), media(2), STOP]


async def test_a_crash_closes_with_1011_is_logged_with_its_context_and_touches_no_other_call() -> None:
    classes = iter([CrashingCall])

    def first_crashes(started: StreamStarted, socket: StreamSocket) -> EchoCall:
        return next(classes, EchoCall)(started, socket)

    async with open_line(first_crashes) as line:
        first, second = await line.token(), await line.token(OTHER_CALL)
        async with line.stream(first) as crashing:
            await line.call(0)
            async with line.stream(second, OTHER_CALL) as healthy:
                await line.call(1)
                await crashing.send(media(1))
                with pytest.raises(ConnectionClosed) as closed:
                    await crashing.recv()
                await healthy.send(media(1))
                assert await healthy.recv() == media(1)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        assert closed.value.rcvd.reason == "internal error"
        (crash,) = line.events("call.crashed")
        assert (crash["call_sid"], crash["stream_sid"]) == (CALL, STREAM)
        assert "a bug in the call" in crash["exception"]


async def test_a_call_that_ends_by_itself_closes_with_1000(line: Line) -> None:
    token = await line.token()
    async with line.stream(token) as websocket:
        call = await line.call()
        await call.socket.close(1000, "bye")
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        await call.socket.close(1011, "a second close does nothing")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "bye")
    await call.ended.wait()


async def test_the_next_stream_of_a_call_takes_over_from_one_that_hangs(line: Line) -> None:
    """Twilio asked what to do next, so the older stream is over although its socket here is open."""
    first = await line.token()
    async with line.stream(first):
        older = await line.call(0)
        status, document = await line.post("/twiml/next?stream_no=1", line.form(CallStatus="in-progress"))
        assert status == 200
        assert 'name="stream_no" value="2"' in document
        second = token_in(document)
        async with line.stream(second, stream_no="2") as websocket:
            newer = await line.call(1)
            assert older.ended.is_set()
            assert older.how == "stream closed"
            await websocket.send(media(1))
            assert await websocket.recv() == media(1)
            assert newer.started.stream_no == 2
            assert line.services.registry.live == 1
            assert await line.services.store.ending(CALL) is Ending.CONTINUE


class DeafCall(EchoCall):
    """A call that reads nothing, so that it does not notice the end of its stream."""

    async def _echo(self) -> None:
        await asyncio.Event().wait()


async def test_an_older_stream_that_does_not_end_by_itself_is_cancelled() -> None:
    classes = iter([DeafCall])

    def first_is_deaf(started: StreamStarted, stream: StreamSocket) -> EchoCall:
        return next(classes, EchoCall)(started, stream)

    async with open_line(first_is_deaf) as line, line.stream(await line.token()):
        older = await line.call(0)
        _, document = await line.post("/twiml/next?stream_no=1", line.form(CallStatus="in-progress"))
        async with line.stream(token_in(document), stream_no="2"):
            await line.call(1)
            assert older.how == "cancelled"


async def test_a_peer_that_reads_nothing_stalls_one_send_and_no_more() -> None:
    class FullPeer(MediaWebsocket):
        def __init__(self) -> None:
            self.sends = 0

        def send_now(self, message: str) -> bool:
            return False

        async def send(self, message: str | bytes) -> None:
            self.sends += 1
            await asyncio.Event().wait()

    peer = FullPeer()
    reasons: list[str] = []
    socket = QuartStreamSocket(
        peer,
        max_message_bytes=65_536,
        max_json_depth=16,
        bucket=stream_bucket(250),
        on_refused=reasons.append,
        send_stall_s=0.01,
    )
    for _ in range(3):
        with pytest.raises(StreamClosed):
            await socket.send("x")
    with pytest.raises(StreamClosed):
        await socket.receive()
    await socket.close(1000, "")
    assert peer.sends == 1


async def test_a_fault_of_a_route_is_logged_whole_and_shown_to_nobody(line: Line) -> None:
    class BrokenStore(MemoryCallStore):
        async def mint(self, grant: StreamGrant, ttl_s: float) -> Minted:
            raise RuntimeError("the store is down")

    object.__setattr__(line.services, "store", BrokenStore())
    assert await line.post("/twiml", line.form()) == (500, "")
    (crash,) = line.events("server.crashed")
    assert crash["path"] == "/twiml"
    assert "the store is down" in crash["exception"]


async def test_registry_is_empty_after_the_calls(line: Line) -> None:
    token = await line.token()
    async with line.stream(token):
        await line.call()
        assert (line.services.registry.live, line.services.registry.pending) == (1, 0)
        over = line.services.registry._calls[CALL].over
    await over.wait()
    assert line.services.registry.live == 0


async def test_strangers_see_no_version_no_trace_and_no_body_on_unknown_paths(line: Line) -> None:
    for path in ("/", "/nothing", "/twiml/", "//twiml", "/ws/twilio", "/static/x", "/%2e%2e/etc/passwd"):
        async with line.http.get(f"http://127.0.0.1:{line.port}{path}", allow_redirects=False) as answer:
            assert answer.status in {400, 404, 405}, path
            assert await answer.read() == b""
            assert "Server" not in answer.headers
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE"):
        async with line.http.request(method, f"http://127.0.0.1:{line.port}/twiml") as answer:
            assert answer.status == 405
            assert await answer.read() == b""


@pytest.mark.parametrize("target", ["*", "?x", "http://bot.example/twiml", "x"])
async def test_a_target_that_is_no_path_is_refused_plainly(line: Line, target: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 403", b"HTTP/1.1 400"))
    assert not line.events("server.crashed")


async def test_probes_answer_and_readiness_fails_while_draining(line: Line) -> None:
    for path, status in (("/healthz", 200), ("/readyz", 200)):
        async with line.http.get(f"http://127.0.0.1:{line.port}{path}") as answer:
            assert answer.status == status
    line.services.registry.draining = True
    for path, status in (("/healthz", 200), ("/readyz", 503)):
        async with line.http.get(f"http://127.0.0.1:{line.port}{path}") as answer:
            assert answer.status == status


async def fetch_metrics(line: Line, **headers: str) -> tuple[int, str]:
    request: aiohttp.ClientResponse
    async with line.http.get(f"http://127.0.0.1:{line.port}/metrics", headers=headers) as request:
        return request.status, await request.text()


async def test_metrics_without_a_token_are_for_this_machine_only(line: Line) -> None:
    await line.token()
    status, text = await fetch_metrics(line)
    assert status == 200
    assert 'callbot_webhooks_total{answer="connect",path="/twiml"} 1.0' in text
    assert "callbot_calls_live 0.0" in text
    assert (await fetch_metrics(line, **{"X-Forwarded-For": "127.0.0.1"}))[0] == 404


async def test_metrics_are_never_open_on_cloud_run() -> None:
    async with open_line(k_service="callbot") as line:
        assert await fetch_metrics(line) == (404, "")


async def test_metrics_with_a_token_are_for_whoever_shows_it() -> None:
    async with open_line(metrics_token=METRICS_TOKEN, k_service="callbot") as line:
        assert (await fetch_metrics(line))[0] == 401
        assert (await fetch_metrics(line, Authorization=f"Bearer {METRICS_TOKEN}x"))[0] == 401
        assert (await fetch_metrics(line, Authorization="Bearer"))[0] == 401
        assert (await fetch_metrics(line, Authorization=f"Bearer {METRICS_TOKEN}"))[0] == 200
        assert METRICS_TOKEN not in line.everything_said()


@pytest.mark.parametrize(
    ("usual", "given"),
    [
        ('"audio/x-mulaw"', '"audio/x-alaw"'),
        ('"audio/x-mulaw"', '"audio/L16"'),
        ('"sampleRate":8000', '"sampleRate":16000'),
        ('"sampleRate":8000', '"sampleRate":"16000"'),
        ('"channels":1', '"channels":2'),
    ],
)
async def test_audio_of_another_format_is_refused_with_1003_and_a_line(line: Line, usual: str, given: str) -> None:
    token = await line.token()
    message = start(token)
    assert usual in message
    async with line.socket() as websocket:
        await websocket.send(message.replace(usual, given))
        await websocket.wait_closed()
        assert (websocket.close_code, websocket.close_reason) == (1003, "media_format")
    (refused,) = line.events("stream.refused")
    assert refused["reason"] == "media_format"
    assert {"encoding", "rate_hz", "channels"} <= refused.keys()
    assert line.calls == []


@pytest.mark.parametrize("spelling", ['"AUDIO/X-MULAW"', '"audio/PCMU"'])
async def test_mulaw_is_known_by_its_other_names(line: Line, spelling: str) -> None:
    token = await line.token()
    async with line.socket() as websocket:
        await websocket.send(start(token).replace('"audio/x-mulaw"', spelling))
        assert await line.call()
