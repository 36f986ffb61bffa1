"""What is loaded before the first answer, and that a call which comes before the rest is there is carried all the same."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from callbot import assembly
from tests.live.exchange import AUTH_TOKEN, PUBLIC_URL, exchange
from tests.live.plain_caller import PlainCall, plain_call

# Each takes a tenth of a second or more, or belongs to a room that only a call needs.
HEAVY = {
    "google.genai",
    "google.auth",
    "aiohttp",
    "httpx2",
    "numpy",
    "samplerate",
    "redis",
    "cryptography",
    "requests",
    "transitions",
    "callbot.actors.call",
    "callbot.audio",
    "callbot.gemini",
    "callbot.simulators",
}

ANSWER_ONCE = """
import asyncio, json, sys
from callbot import assembly
from callbot.server.process.serve import Shutdown
from callbot.settings_loading import load
import callbot.cli, callbot.telemetry.logs

assembly.FIRST_ANSWERS_S = 3600.0
settings = load(_env_file=None, port=0, host="127.0.0.1", insecure=True, gemini_api_key="k", redis_url="redis://127.0.0.1:1")

async def main():
    shutdown, started = Shutdown(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(assembly.serve_calls(settings, on_started=started.set_result, shutdown=shutdown))
        port = await started
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.01)
        writer.write(b"GET /healthz HTTP/1.1\\r\\nHost: t\\r\\nConnection: close\\r\\n\\r\\n")
        answer = await reader.read()
        writer.close()
        print(json.dumps({"answer": answer.decode(), "modules": sorted(sys.modules)}))
        shutdown.request()

async def without_redis(*_):
    await asyncio.sleep(3600)
callbot.store.redis_client.RedisClient._load = without_redis

callbot.telemetry.logs.configure("json", "error")
asyncio.run(main())
"""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds the loading until it is set."""
    event = threading.Event()
    load: Callable[..., Any] = assembly._load_rooms

    def load_when_told(*arguments: Any) -> Any:
        event.wait(60)
        return load(*arguments)

    monkeypatch.setattr(assembly, "_load_rooms", load_when_told)
    yield event
    event.set()


async def frames_sent(call: PlainCall) -> None:
    """The caller has spoken for a moment; the app says nothing that could be waited for."""
    async with asyncio.timeout(30):
        while call.frames_sent < 5:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


def test_nothing_heavy_is_loaded_before_the_first_answer(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ANSWER_ONCE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["answer"].startswith("HTTP/1.1 200")
    assert "callbot.server.http.app" in told["modules"]
    assert HEAVY & set(told["modules"]) == set()


@pytest.mark.live
async def test_a_call_that_comes_before_everything_is_loaded_is_carried(gate: threading.Event) -> None:
    async with exchange() as line_up, plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN) as call:
        await frames_sent(call)
        assert line_up.log("webhook.answered", call.call_sid)
        assert line_up.log("server.loaded") == []
        assert line_up.log("call.started") == []
        gate.set()
        await call.until(lambda: call.count("media"))
        await call.hang_up()
    assert line_up.moves(call.call_sid)[0] == ("connecting", "streaming")
    assert [line["outcome"] for line in line_up.log("call.summary", call.call_sid)] == ["completed"]


@pytest.mark.live
async def test_a_process_that_must_go_before_everything_is_loaded_lets_the_call_go_to_another(gate: threading.Event) -> None:
    async with exchange() as line_up, plain_call(line_up.port, PUBLIC_URL, AUTH_TOKEN) as call:
        await frames_sent(call)
        line_up.shutdown.request()
        await call.until(lambda: call.closed is not None)
        gate.set()
    assert call.closed is not None
    assert call.closed[0] == 1000
    assert line_up.log("call.started") == []
    assert [line["cancelled"] for line in line_up.log("server.stopped")] == [0]


async def test_what_cannot_be_loaded_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ImportError("a part is missing")

    monkeypatch.setattr(assembly, "_load_rooms", broken)
    with pytest.RaisesGroup(pytest.RaisesExc(ImportError), flatten_subgroups=True):
        async with asyncio.timeout(30), exchange():
            await asyncio.sleep(3600)
