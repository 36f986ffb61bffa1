"""The log never stops the loop: readers that stop, that go away, disks that are full, and what is said of it."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callbot.telemetry.log_writer import LogWriter

SERVING = {
    "SERVICE_URL": "https://bot.example",
    "TWILIO_AUTH_TOKEN": "0" * 32,
    "GEMINI_API_KEY": "key",
    "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9",
    "CALLBOT_HOST": "127.0.0.1",
    "CALLBOT_PREWARM": "0",
    "CALLBOT_DRAIN_S": "30",  # there are no calls: none of it is used, however slow the machine
    "PYTHONUNBUFFERED": "1",
}


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(end)


def fill(writer: int) -> int:
    """Fill a pipe to its last byte, with spaces and a line's end."""
    os.set_blocking(writer, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(writer, b"\n" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(writer, b"\n")
    os.set_blocking(writer, True)
    return filled


def tell(lines: int) -> bytes:
    return b"dropped %d\n" % lines


def read_until(reader: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        assert select.select([reader], [], [], 60)[0], f"nothing more was written; so far: {said[-200:]!r}"
        said += os.read(reader, 65_536)
    return said


def test_lines_come_out_whole_and_in_order_from_many_threads(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    writer = LogWriter(end, tell)

    def write(who: int) -> None:
        for number in range(500):
            writer.write(b"%d %d " % (who, number) + b"x" * 200 + b"\n")

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    said = b""
    while said.count(b"\n") < 2000:
        said += os.read(reader, 65_536)
    numbers: dict[int, list[int]] = {who: [] for who in range(4)}
    for line in said.splitlines():
        who, number, rest = line.split(b" ")
        assert rest == b"x" * 200
        numbers[int(who)].append(int(number))
    assert all(seen == list(range(500)) for seen in numbers.values())
    assert writer.dropped == 0
    assert writer.flush(10)


def test_what_finds_no_room_is_dropped_counted_and_said(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    fill(end)
    writer = LogWriter(end, tell, queue_bytes=1000)

    for number in range(100):
        writer.write(b"%02d" % number + b"x" * 97 + b"\n")
    assert not writer.flush(0.05)
    assert writer.dropped == 90

    said = read_until(reader, b"dropped 90\n").strip(b"\n").splitlines()
    assert [line[:2] for line in said] == [b"%02d" % number for number in range(10)] + [b"dr"]
    writer.write(b"after\n")
    assert read_until(reader, b"after\n") == b"after\n"
    assert writer.dropped == 90


def test_lines_that_were_dropped_behind_a_write_are_told_without_another_line(pipe: tuple[int, int]) -> None:
    """The writer had taken all lines before the first was dropped: nothing was said until somebody wrote again."""
    reader, end = pipe
    filled = fill(end)
    writer = LogWriter(end, tell, queue_bytes=1000)
    writer.write(b"z" * 999 + b"\n")
    while writer._lines:  # the writer's thread takes it, and stays in its write
        threading.Event().wait(0.001)
    writer.write(b"no room\n")
    assert len(read_until(reader, b"dropped 1\n")) == filled + 1000 + len(tell(1))
    assert writer.flush(60)


def test_a_pipe_that_somebody_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    os.set_blocking(end, False)
    writer = LogWriter(end, tell)
    lines = [b"%06d" % number + b"y" * 93 + b"\n" for number in range(3000)]

    for line in lines:
        writer.write(line)
    said = read_until(reader, lines[-1])

    assert said == b"".join(lines)


def test_a_reader_that_has_gone_costs_lines_only(pipe: tuple[int, int]) -> None:
    reader, end = pipe
    os.close(reader)
    writer = LogWriter(end, tell)

    writer.write(b"one\n")
    assert writer.flush(10)
    assert writer.dropped == 1


@contextlib.asynccontextmanager
async def serving(stdout: Any, tmp_path: Path, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`callbot serve` with this stdout, and its address."""
    port = _free_port()
    kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "callbot", "serve"),
        cwd=tmp_path,
        env=kept | SERVING | {"PORT": str(port)} | more,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def _answers(url: str) -> int:
    """The status of `/healthz`, once it answers."""
    async with aiohttp.ClientSession() as http:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/healthz") as answer:
                        return answer.status
                await asyncio.sleep(0.05)


async def _end(process: asyncio.subprocess.Process) -> tuple[int, str]:
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        said = await process.stderr.read()
        return await process.wait(), said.decode()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_whose_log_nobody_reads_serves_and_ends(pipe: tuple[int, int], tmp_path: Path, workers: str) -> None:
    fill(pipe[1])  # before its first line
    more = {} if workers == "1" else {"CALLBOT_WORKERS": workers, "REDIS_URL": "redis://127.0.0.1:1"}
    async with serving(pipe[1], tmp_path, **more) as (process, url):
        assert await _answers(url) == 200
        code, said = await _end(process)
    assert (code, said) == (0, "")


async def test_what_waited_for_a_reader_is_there_when_it_reads_again(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, end = pipe
    filled = fill(end)
    async with serving(end, tmp_path) as (process, url):
        assert await _answers(url) == 200
        while filled:
            filled -= len(await asyncio.to_thread(os.read, reader, filled))
        code, _ = await _end(process)
    os.close(end)
    with os.fdopen(reader, "rb", closefd=False) as lines:
        names = [json.loads(line)["message"] for line in lines]
    assert code == 0
    assert names[0] == "server.started"
    assert names[-1] == "server.stopped"


async def test_a_full_disk_under_the_log_stops_no_call(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230 - a device
        async with serving(full, tmp_path) as (process, url):
            assert await _answers(url) == 200
            assert await _end(process) == (0, "")


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_streams_that_are_closed_from_the_start_are_no_fault(tmp_path: Path, closed: str) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "{sys.executable}" -m callbot check --offline {closed}'],
        cwd=tmp_path,
        env=kept | SERVING,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


async def test_on_a_terminal_the_log_is_for_people(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        async with serving(slave, tmp_path) as (process, url):
            assert await _answers(url) == 200
            said = await asyncio.to_thread(os.read, master, 4096)
            code, _ = await _end(process)
    finally:
        os.close(slave)
        os.close(master)
    assert code == 0
    assert b"server.started  port=" in said
    assert not said.startswith(b"{")
