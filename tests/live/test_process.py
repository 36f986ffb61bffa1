"""`callbot serve` as it is deployed: a process of its own, told by nothing but its environment, called by a caller that
shares no code with it.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import audioop
import pytest

from callbot.simulators import voices
from callbot.simulators.gemini import GeminiStandIn, Parrot, StandInOptions
from callbot.simulators.gemini.voice import tone
from tests.live.plain_caller import PlainCall, call_fields, plain_call, post

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
PUBLIC_URL, TOKEN = "https://bot.example", "f" * 32
IN_A_ROW, WARM_UP = 100, 20
# What the allocator takes or keeps is a matter of luck, some 3 MiB over a run; a call that stays behind is 300 kB and more.
FLAT_KB = 8_000


@dataclass
class Served:
    """The process, and its log so far."""

    process: Process
    port: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def log(self, event: str, call_sid: str = "") -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message"] == event and call_sid in {"", line.get("call_sid")}]

    def moves(self, call_sid: str) -> list[tuple[str, str]]:
        return [(line["from"], line["to"]) for line in self.log("call.state", call_sid)]

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def open_descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())


@asynccontextmanager
async def served(standin: GeminiStandIn, folder: Path, **more: str) -> AsyncIterator[Served]:
    """`python -m callbot serve` with an environment and nothing else."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "SSL_CERT_FILE": str(standin.ca_pem_path),
        "GOOGLE_GEMINI_BASE_URL": standin.base_url,
        "GEMINI_API_KEY": "stand-in",
        "PORT": "0",
        "SERVICE_URL": PUBLIC_URL,
        "TWILIO_AUTH_TOKEN": TOKEN,
    } | more
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callbot", "serve", cwd=folder, env=environment, stdout=PIPE, stderr=PIPE
    )
    server = Served(process)
    started = asyncio.Event()

    async def read_log(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            server.lines.append(json.loads(line))  # anything else on stdout fails the test
            if server.lines[-1]["message"] == "server.started":
                server.port = server.lines[-1]["port"]
                started.set()

    async def read_errors(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            server.errors.append(line.decode())

    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as readers:
        readers.create_task(read_log(process.stdout))
        readers.create_task(read_errors(process.stderr))
        try:
            async with asyncio.timeout(60):  # importing google-genai takes ten seconds on a busy machine
                await started.wait()
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def hear_and_hang_up(server: Served) -> PlainCall:
    async with plain_call(server.port, PUBLIC_URL, TOKEN) as call:
        await call.until(lambda: call.count("media"))
        await call.hang_up()
    return call


async def logged(server: Served, event: str, call_sid: str) -> dict[str, Any]:
    """The call's one line of this kind; it may still be in the pipe."""
    async with asyncio.timeout(10):
        while not server.log(event, call_sid):  # noqa: ASYNC110 - the pipe's reader announces nothing
            await asyncio.sleep(0.02)
    [line] = server.log(event, call_sid)
    return line


async def test_a_process_told_by_its_environment_serves_a_caller_and_ends_in_order(tmp_path: Path) -> None:
    options = StandInOptions(
        brain=Parrot(greeting=tone(440.0, 0.3), min_answer_s=0.8), answer_delay_s=0.0, burst=inf, delay_turn_complete=False
    )
    many = {"CALLBOT_MAX_CALLS_PER_CALLER_PER_MINUTE": "1000"}
    async with GeminiStandIn(options) as standin, served(standin, tmp_path, **many) as server:
        # A conversation.
        voice = voices.caller("number")
        mulaw = audioop.lin2ulaw(voice, 2)
        async with plain_call(server.port, PUBLIC_URL, TOKEN) as call:
            await call.until(lambda: sum(map(len, call.media())) >= 0.3 * 8000)
            call.to_say.extend(mulaw[at : at + 160].ljust(160, b"\xff") for at in range(0, len(mulaw), 160))
            await call.until(lambda: sum(map(len, call.media())) >= 1.1 * 8000)
            # Sent is not heard: an answer's latency is known by its first mark.
            async with asyncio.timeout(20):
                while all(line["latency_ms"] is None for line in server.log("turn.heard", call.call_sid)):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.02)
            await call.hang_up()
        summary = await logged(server, "call.summary", call.call_sid)
        assert summary["outcome"] == "completed"
        assert summary["turns"] >= 2  # the caller pauses within the number
        assert summary["latency_p50_ms"] is not None
        assert server.moves(call.call_sid) == [("connecting", "streaming"), ("streaming", "draining"), ("draining", "closed")]
        status, body = await asyncio.to_thread(
            post, server.port, PUBLIC_URL, TOKEN, "/twiml/next?stream_no=1", call_fields(call.call_sid, "completed")
        )
        assert (status, "<Connect" in body) == (200, False)

        # Many calls.
        held_kb = [server.resident_kb()]
        descriptors = server.open_descriptors()
        for _ in range(IN_A_ROW):
            await hear_and_hang_up(server)
            held_kb.append(server.resident_kb())
        await standin.wait_for(lambda: standin.connections_open == 0)
        async with asyncio.timeout(10):  # a moment later the process has closed its own end, too
            while server.open_descriptors() > descriptors:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        grown_kb = held_kb[-1] - held_kb[WARM_UP]
        print(
            f"\n{IN_A_ROW} calls in a row: {held_kb[0]} kB resident, {grown_kb:+d} kB after the first {WARM_UP}; "
            f"{descriptors} descriptors open before, {server.open_descriptors()} after"
        )
        assert grown_kb < FLAT_KB
        assert server.open_descriptors() <= descriptors

        # The end, with a call in it.
        async with plain_call(server.port, PUBLIC_URL, TOKEN) as call:
            await call.until(lambda: call.count("media"))
            server.process.send_signal(signal.SIGTERM)
            await call.until(lambda: call.closed is not None)
        assert await asyncio.wait_for(server.process.wait(), 20) == 0
    assert call.closed is not None
    assert call.closed[0] in {1000, 1001}
    assert server.moves(call.call_sid)[-1] == ("draining", "closed")
    assert len(server.log("call.summary")) == IN_A_ROW + 2
    assert server.lines[-1]["message"] == "server.stopped"
    assert server.errors == []
