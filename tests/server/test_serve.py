"""Starting and stopping: drains that end, drains that do not, on both event loops, and the process with its signals."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from phone_line import CALL, EchoCall, StubbornCall, make_settings, media, open_line
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callbot.actors.ports import StreamSocket
from callbot.messages.call import StreamStarted
from callbot.messages.terms import Ending
from callbot.server.http.app import create_app
from callbot.server.process.serve import LAST_RESORT_S, Shutdown, open_listener, serve_app
from callbot.server.services import ServerServices


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run_on_loop(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(scenario, 20))

    return run_on_loop


def test_a_call_that_says_goodbye_ends_the_drain_at_once(run: Any) -> None:
    async def scenario() -> None:
        async with open_line(drain_s=60) as line, line.stream(await line.token()) as websocket:
            call = await line.call()
            line.shutdown.request()
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "goodbye")
            await call.ended.wait()
        assert call.how == "stream closed"
        assert line.events("server.draining")[0]["calls"] == 1
        assert line.events("server.stopped")[0]["cancelled"] == 0

    run(scenario())


def test_a_call_that_does_not_end_is_cancelled_at_the_limit(run: Any) -> None:
    async def scenario() -> None:
        async with open_line(StubbornCall, drain_s=0.2) as line, line.stream(await line.token()) as websocket:
            call = await line.call()
            line.shutdown.request()
            await line.said("server.draining")
            await websocket.send(media(1))
            assert await websocket.recv() == media(1)  # until the limit it is served
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        assert call.how == "cancelled"
        assert line.events("server.stopped")[0]["cancelled"] == 1

    run(scenario())


class FaultyDrain(EchoCall):
    def request_drain(self) -> None:
        raise RuntimeError("a bug in the drain")


async def test_a_fault_in_one_calls_drain_keeps_no_other_from_saying_goodbye() -> None:
    classes = iter([FaultyDrain])

    def first_is_faulty(started: StreamStarted, stream: StreamSocket) -> EchoCall:
        return next(classes, EchoCall)(started, stream)

    other = "CA" + "8" * 32
    async with open_line(first_is_faulty, drain_s=60) as line:
        first, second = await line.token(), await line.token(other)
        async with line.stream(first), line.stream(second, other):
            calls = [await line.call(0), await line.call(1)]
            line.shutdown.request()
            for call in calls:
                await call.ended.wait()
    assert sorted(call.how for call in calls) == ["cancelled", "stream closed"]
    assert len(line.events("call.drain_failed")) == 1


def test_a_second_request_ends_the_waiting(run: Any) -> None:
    async def scenario() -> None:
        async with open_line(StubbornCall, drain_s=60) as line, line.stream(await line.token()) as websocket:
            await line.call()
            line.shutdown.request()
            await line.said("server.draining")
            line.shutdown.request()
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
        assert line.events("server.stopped")[0]["cancelled"] == 1

    run(scenario())


def test_sockets_that_have_shown_nothing_do_not_hold_up_the_drain(run: Any) -> None:
    async def scenario() -> None:
        async with open_line(drain_s=60, start_timeout_s=60) as line, line.socket() as websocket:
            line.shutdown.request()
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    run(scenario())


def test_a_peer_that_never_answers_the_close_does_not_hold_up_the_drain(run: Any) -> None:
    async def scenario() -> None:
        async with open_line(StubbornCall, drain_s=0.1) as line:
            token = await line.token()
            async with contextlib.AsyncExitStack() as stack:
                websocket = await stack.enter_async_context(line.stream(token))
                await line.call()
                websocket.transport.pause_reading()  # from here on it neither reads nor answers
                line.shutdown.request()
                await line.said("server.stopped")
                websocket.transport.abort()

    run(scenario())


async def test_while_draining_new_calls_are_told_that_all_lines_are_busy() -> None:
    async with open_line(StubbornCall, drain_s=60) as line, line.stream(await line.token()):
        await line.call()
        line.shutdown.request()
        await line.said("server.draining")
        status, document = await line.post("/twiml", line.form(CallSid="CA" + "9" * 32))
        assert (status, "<Say" in document, "<Connect" in document) == (200, True, False)
        async with line.http.get(f"http://127.0.0.1:{line.port}/readyz") as answer:
            assert answer.status == 503
        with pytest.raises(InvalidStatus) as refused:
            async with line.socket():
                pass
        assert refused.value.response.status_code == 503
        line.shutdown.request()
    assert line.reasons("webhook.refused") == ["draining"]
    assert line.reasons("stream.refused") == ["draining"]


async def test_while_draining_a_call_that_should_go_on_is_told_to_ask_again() -> None:
    """A token minted here would die with this process."""
    async with open_line(StubbornCall, drain_s=60) as line, line.stream(await line.token()):
        await line.call()
        line.shutdown.request()
        await line.said("server.draining")
        line.services.store.record_ending(CALL, Ending.CONTINUE)
        status, document = await line.post("/twiml/next?stream_no=1", line.form(CallStatus="in-progress"))
        assert status == 200
        assert '<Pause length="1" /><Redirect method="POST">https://bot.example/twiml/next?stream_no=1</Redirect>' in document
        line.services.store.record_ending(CALL, Ending.HANG_UP)
        assert "<Hangup />" in (await line.post("/twiml/next?stream_no=1", line.form(CallStatus="in-progress")))[1]
        line.shutdown.request()


def test_the_listener_tells_a_free_port() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        with pytest.raises(OSError, match="in use"):
            open_listener("127.0.0.1", port)


PROGRAM = """
import sys, asyncio
sys.path.insert(0, sys.argv[1])
from phone_line import StubbornCall, make_settings
from callbot.server.process.serve import serve
import uvloop
import structlog
structlog.configure(processors=[structlog.processors.JSONRenderer()])
asyncio.Runner(loop_factory=uvloop.new_event_loop).run(serve(
    make_settings(drain_s=float(sys.argv[2]), host="127.0.0.1", port=0, service_url="", insecure=True),
    call_factory=StubbornCall,
    on_started=lambda port: print(f"port={port}", flush=True),
))
"""


@contextlib.contextmanager
def program(drain_s: float) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(drain_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    with process:
        try:
            said = ""
            while "port=" not in said:
                said = process.stdout.readline()
                assert said, "the program ended before it served"
            yield process, int(said.split("port=")[1])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_once_and_twice(number: signal.Signals) -> None:
    shutdown = Shutdown()
    twice = asyncio.Event()
    with shutdown.on_signals():
        signal.raise_signal(number)
        await shutdown.wait(on_second=twice.set)
        assert not twice.is_set()
        signal.raise_signal(number)
        await twice.wait()


def test_sigterm_ends_the_process_in_order() -> None:
    with program(drain_s=5) as (process, port):
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert peer.recv(15) == b"HTTP/1.1 200 \r\n"
            process.send_signal(signal.SIGTERM)  # with an idle connection open
            rest = process.stdout.read()
        assert process.wait(10) == 0
    assert "server.draining" in rest
    assert "server.stopped" in rest


@pytest.mark.real_time
async def test_what_is_not_ended_in_time_is_ended_by_the_last_resort() -> None:
    assert make_settings(drain_s=7).drain_s + LAST_RESORT_S < 10  # Cloud Run kills after that
    services = ServerServices.from_settings(make_settings(drain_s=0.1), call_factory=EchoCall)
    app = create_app(services)
    called = asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.after_serving
    async def hang() -> None:
        await called.wait()

    def end_it() -> None:
        loop.call_soon_threadsafe(called.set)

    shutdown = Shutdown()
    shutdown.request()
    await serve_app(
        app,
        services,
        listener=open_listener("127.0.0.1", 0),
        shutdown=shutdown,
        last_resort=end_it,
        last_resort_s=0.1,
    )
    assert called.is_set()
