"""The loop whose clock jumps: with real sockets, with threads and processes beside it, and with sums of sleeps."""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.virtual_time import NothingWillHappen, VirtualTimeLoop


def run_in_virtual_time[T](scenario: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(scenario)


def test_an_hour_passes_at_once_and_both_clocks_agree() -> None:
    async def scenario() -> tuple[float, float]:
        began_s = time.monotonic()
        await asyncio.sleep(3600)
        return time.monotonic() - began_s, asyncio.get_running_loop().time() - began_s

    assert run_in_virtual_time(scenario()) == (3600.0, 3600.0)


def test_what_is_sent_is_read_before_the_clock_moves() -> None:
    async def scenario() -> list[float]:
        arrived_s: list[float] = []
        all_there = asyncio.Event()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readline():
                arrived_s.append(asyncio.get_running_loop().time())
            writer.close()
            all_there.set()

        async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            began_s = asyncio.get_running_loop().time()
            for _ in range(100):
                writer.write(b"a frame\n")
                await asyncio.sleep(0.02)
            writer.close()
            await all_there.wait()
        return [at_s - began_s for at_s in arrived_s]

    assert run_in_virtual_time(scenario()) == pytest.approx([0.02 * number for number in range(100)])


def test_a_thread_is_waited_for() -> None:
    goes_on = threading.Event()

    async def scenario() -> str:
        asyncio.get_running_loop().call_later(0.01, goes_on.set)
        async with asyncio.timeout(3600):
            return await asyncio.to_thread(lambda: "done" if goes_on.wait(60) else "left alone")

    assert run_in_virtual_time(scenario()) == "done"


def test_a_process_is_waited_for() -> None:
    async def scenario() -> bytes:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(7)", stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        return said

    assert run_in_virtual_time(scenario()) == b"7\n"


def test_a_server_that_is_not_the_loops_own_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(connection.recv(100))

        thread = threading.Thread(target=answer)
        thread.start()

        async def scenario() -> bytes:
            reader, writer = await asyncio.open_connection(*other.getsockname())
            writer.write(b"echo")
            async with asyncio.timeout(60):
                said = await reader.read()
            writer.close()
            return said

        assert run_in_virtual_time(scenario()) == b"echo"
        thread.join()


def test_the_last_of_a_sum_of_sleeps_ends() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time() + 1e-14  # less than one step of a clock that stands at 100 can show
        while loop.time() <= due_s:  # noqa: ASYNC110 - what is tested
            await asyncio.sleep(1e-15)

    run_in_virtual_time(scenario())


def test_a_wait_for_what_never_comes_is_an_error() -> None:
    async def scenario() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingWillHappen):
        run_in_virtual_time(scenario())
