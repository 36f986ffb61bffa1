"""`callbot serve` with several workers: one port, one Redis, and calls whose webhook and stream meet different processes."""

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from callbot.simulators.gemini import GeminiStandIn, Parrot, StandInOptions
from callbot.simulators.gemini.voice import tone
from tests.live.plain_caller import PlainCall, call_fields, plain_call, post, sign
from tests.store.redis_server import redis_server

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
PUBLIC_URL, TOKEN = "https://bot.example", "f" * 32
WORKERS = 2
MOST_CALLS = 25
SHORTLY_S = 60.0  # for processes to start on a busy machine


@dataclass
class Exchange:
    """The parent and what its processes have said."""

    parent: Process
    port: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    def log(self, event: str, **wanted: object) -> list[dict[str, Any]]:
        return [
            line for line in self.lines if line["message"] == event and all(line.get(name) == it for name, it in wanted.items())
        ]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SHORTLY_S):
            while not condition():  # noqa: ASYNC110 - it happens in other processes
                await asyncio.sleep(0.02)

    def workers(self) -> list[int]:
        """The process ids of the workers that run."""
        children = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def worker_of(self, call_sid: str) -> int:
        """The number of the worker that carries the call."""
        [line] = self.log("call.started", call_sid=call_sid)
        number: int = line["worker"]
        return number

    def pid_of(self, worker: int) -> int:
        """The newest process of a worker."""
        [pid] = [pid for pid in self.workers() if self._is(pid, worker)]
        return pid

    def _is(self, pid: int, worker: int) -> bool:
        place = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2].decode()
        return place.split(":")[1] == str(worker)

    @property
    def is_up(self) -> bool:
        """Whether the parent and all workers have said so."""
        return bool(self.log("workers.started")) and len(self.log("server.loaded")) >= WORKERS

    async def logged(self, event: str, count: int = 1, **wanted: object) -> list[dict[str, Any]]:
        """So many lines of this kind; they may still be in the pipe."""
        await self.until(lambda: len(self.log(event, **wanted)) >= count)
        return self.log(event, **wanted)

    async def ended(self) -> int:
        """The parent's exit code, once it is gone and everything that it and its workers wrote has been read."""
        async with asyncio.timeout(SHORTLY_S):
            await asyncio.gather(*self.readers)
            return await self.parent.wait()

    async def stop(self) -> int:
        self.parent.send_signal(signal.SIGTERM)
        return await self.ended()


@asynccontextmanager
async def served(folder: Path, standin: GeminiStandIn, redis_url: str, **more: str) -> AsyncIterator[Exchange]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "SSL_CERT_FILE": str(standin.ca_pem_path),
        "GOOGLE_GEMINI_BASE_URL": standin.base_url,
        "GEMINI_API_KEY": "stand-in",
        "PORT": "0",
        "CALLBOT_HOST": "127.0.0.1",
        "SERVICE_URL": PUBLIC_URL,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "REDIS_URL": redis_url,
        "CALLBOT_REDIS_TIMEOUT_S": "20",
        "CALLBOT_WORKERS": str(WORKERS),
        "CALLBOT_MAX_CALLS_PER_CALLER_PER_MINUTE": "1000",
    } | more
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callbot", "serve", cwd=folder, env=environment, stdout=PIPE, stderr=PIPE
    )
    exchange = Exchange(parent)

    async def read_log(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            exchange.lines.append(json.loads(line))

    async def read_errors(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            exchange.errors.append(line.decode())

    assert parent.stdout is not None
    assert parent.stderr is not None
    async with asyncio.TaskGroup() as readers:
        exchange.readers = [readers.create_task(read_log(parent.stdout)), readers.create_task(read_errors(parent.stderr))]
        try:
            await exchange.until(lambda: exchange.is_up or parent.returncode is not None)
            [started] = exchange.log("workers.started")
            exchange.port = started["port"]
            yield exchange
        finally:
            if parent.returncode is None:
                parent.kill()  # the workers see it, and end
            await parent.wait()


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    options = StandInOptions(
        brain=Parrot(greeting=tone(440.0, 0.3), min_answer_s=0.8), answer_delay_s=0.0, burst=inf, delay_turn_complete=False
    )
    with redis_server() as redis:
        async with GeminiStandIn(options) as standin, served(tmp_path, standin, redis.url) as running:
            yield running


@asynccontextmanager
async def calls_at_all(exchange: Exchange) -> AsyncIterator[list[PlainCall]]:
    """Calls that are heard, at every worker one or more. Which worker takes a call is nobody's promise, so dial on."""
    async with AsyncExitStack() as lines:
        live: list[PlainCall] = []
        while {exchange.worker_of(call.call_sid) for call in live} != set(range(WORKERS)):
            assert len(live) < MOST_CALLS, "all at one worker"
            call = await lines.enter_async_context(plain_call(exchange.port, PUBLIC_URL, TOKEN))
            await call.until(lambda call=call: call.count("media"), SHORTLY_S)  # type: ignore[misc]  # a default
            await exchange.logged("call.started", call_sid=call.call_sid)
            live.append(call)
        yield live


async def test_calls_fall_on_all_workers_and_a_token_is_good_at_one_of_them_once(exchange: Exchange) -> None:
    async with calls_at_all(exchange) as live:
        carried = [exchange.worker_of(call.call_sid) for call in live]
        answered = {line["call_sid"]: line["worker"] for line in await exchange.logged("webhook.answered", len(live))}
        assert len(answered) == len(live)

        # One scrape, all workers.
        figures = await asyncio.to_thread(scrape, exchange.port)
        counted = dict(re.findall(r'callbot_calls_live\{worker="(\d)"\} ([\d.]+)', figures))
        assert {int(worker): float(count) for worker, count in counted.items()} == {
            worker: carried.count(worker) for worker in range(WORKERS)
        }
        assert figures.count("# TYPE callbot_calls_live ") == 1

    # The same webhook many times, over many connections: whichever worker answers, the token is the same.
    call_sid = "CA" + "e" * 32
    documents = [
        await asyncio.to_thread(post, exchange.port, PUBLIC_URL, TOKEN, "/twiml", call_fields(call_sid)) for _ in range(8)
    ]
    tokens = {found for _, document in documents for found in re.findall(r'name="token" value="([^"]+)"', document)}
    assert len(tokens) == 1
    [token] = tokens
    closes = await asyncio.gather(*(show(exchange.port, call_sid, token, number) for number in range(6)))
    assert closes.count(None) == 1, "one of six is let in, wherever they came"
    assert closes.count(1008) == 5
    assert await exchange.stop() == 0
    assert exchange.errors == []


async def show(port: int, call_sid: str, token: str, number: int) -> int | None:
    """Open a stream with this token; the code with which it is refused, None once it is let in."""
    headers = {"X-Twilio-Signature": sign(TOKEN, "wss://bot.example/ws/twilio")}
    async with connect(f"ws://127.0.0.1:{port}/ws/twilio", additional_headers=headers, compression=None) as socket:
        stream_sid = f"MZ{number:032x}"
        call = PlainCall(call_sid, stream_sid, socket)
        await call.start({"token": token, "stream_no": "1"})
        try:
            async with asyncio.timeout(SHORTLY_S):
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
    return None


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


async def test_sigterm_drains_the_calls_of_all_workers(exchange: Exchange) -> None:
    async with calls_at_all(exchange) as live:
        exchange.parent.send_signal(signal.SIGTERM)
        for call in live:
            await call.until(lambda call=call: call.closed is not None, SHORTLY_S)  # type: ignore[misc]  # a default
        assert await exchange.ended() == 0
    assert {call.closed[0] for call in live if call.closed} <= {1000, 1001}
    assert len(exchange.log("call.summary")) == len(live)
    assert [line["cancelled"] for line in exchange.log("server.stopped")] == [0] * WORKERS
    assert exchange.lines[-1]["message"] == "workers.stopped"
    assert exchange.errors == []


async def test_a_worker_that_is_killed_is_replaced_and_the_others_calls_go_on(exchange: Exchange) -> None:
    async with calls_at_all(exchange) as live:
        by_worker = {
            worker: [call for call in live if exchange.worker_of(call.call_sid) == worker] for worker in range(WORKERS)
        }
        os.kill(exchange.pid_of(0), signal.SIGKILL)
        await exchange.until(lambda: all(call.closed is not None for call in by_worker[0]))
        # Twilio asks what to do next; a worker that is alive finds no ending, and opens another stream.
        lost = by_worker[0][0]
        status, document = await asyncio.to_thread(
            post, exchange.port, PUBLIC_URL, TOKEN, "/twiml/next?stream_no=1", call_fields(lost.call_sid, "in-progress")
        )
        assert status == 200
        assert 'name="stream_no" value="2"' in document
        [answered] = await exchange.logged("webhook.answered", path="/twiml/next")
        assert (answered["answer"], answered["worker"]) == ("connect", 1)
        # The other worker's calls have noticed nothing.
        for call in by_worker[1]:
            frames = call.frames_sent
            await exchange.until(lambda call=call, frames=frames: call.frames_sent > frames + 25)  # type: ignore[misc]  # defaults
            assert call.closed is None
        assert len(await exchange.logged("server.loaded", 2, worker=0)) == 2
        assert [line["code"] for line in exchange.log("worker.ended", worker=0)] == [-signal.SIGKILL]
    assert await exchange.stop() == 0


async def test_workers_end_when_their_parent_is_killed(exchange: Exchange) -> None:
    workers = exchange.workers()
    assert len(workers) == WORKERS
    exchange.parent.kill()
    await exchange.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert await exchange.ended() == -signal.SIGKILL
    assert [line["cancelled"] for line in exchange.log("server.stopped")] == [0] * WORKERS
