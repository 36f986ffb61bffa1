"""How evenly calls fall on the workers of one port: `python -m bench.evenness`.

Twenty calls, each a webhook and a stream on connections of their own; the streams stay. The workers are bare servers on uvloop,
so that nothing but the way of sharing the port differs: one socket inherited by all, a socket each with SO_REUSEPORT, and
one socket behind callbot's share. Told are the streams that the fullest worker has, over the rounds.
"""

import argparse
import asyncio
import os
import socket
import statistics
import sys
from collections import Counter

import uvloop

from callbot.server.transport.shared_listener import LoadBoard, WorkerShare, shared_listener_loop

WAYS = ("inherited", "reuseport", "share")
CALLS = 20


def listener(way: str, port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=512, reuse_port=way == "reuseport")


def work(way: str, worker: int, workers: int, port: int, listener_fd: int, board_fd: int) -> None:
    """One worker: tells its number to whoever connects; a connection that says `stream` is a call until it ends."""
    live = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal live
        stream = (await reader.readline()) == b"stream\n"
        live += stream
        writer.write(f"{worker}\n".encode())
        await reader.read()
        live -= stream
        writer.close()

    async def serve() -> None:
        sock = listener(way, port) if way == "reuseport" else socket.socket(fileno=listener_fd)
        await asyncio.start_server(answer, sock=sock, backlog=512)
        print("up", flush=True)
        await asyncio.Event().wait()

    share = WorkerShare(LoadBoard(board_fd, workers), worker)
    share.watch(lambda: live, bool)
    with asyncio.Runner(
        loop_factory=(lambda: shared_listener_loop(share)) if way == "share" else uvloop.new_event_loop
    ) as runner:
        runner.run(serve())


async def connect(port: int, kind: str) -> tuple[int, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{kind}\n".encode())
    return int(await reader.readline()), writer


async def one_round(port: int, pause_s: float) -> Counter[int]:
    streams: list[asyncio.StreamWriter] = []
    taken: Counter[int] = Counter()

    async def call(after_s: float) -> None:
        await asyncio.sleep(after_s)
        _, webhook = await connect(port, "webhook")
        webhook.close()
        await asyncio.sleep(0.02)  # Twilio's way back, at its shortest
        worker, stream = await connect(port, "stream")
        taken[worker] += 1
        streams.append(stream)

    await asyncio.gather(*(call(number * pause_s) for number in range(CALLS)))
    for stream in streams:
        stream.close()
    await asyncio.sleep(0.3)  # until no connection is young
    return taken


async def measure(way: str, workers: int, rounds: int, pause_s: float) -> list[int]:
    sock = listener(way)
    port = sock.getsockname()[1]
    board_fd = LoadBoard.make(workers)
    keep: tuple[int, ...] = (sock.fileno(), board_fd)
    if way == "reuseport":
        sock.close()
        keep = (board_fd,)
    processes = []
    for worker in range(workers):
        numbers = [str(number) for number in (worker, workers, port, -1 if way == "reuseport" else sock.fileno(), board_fd)]
        command = [sys.executable, "-m", "bench.evenness", "--work", way, *numbers]
        processes.append(await asyncio.create_subprocess_exec(*command, pass_fds=keep, stdout=asyncio.subprocess.PIPE))
    try:
        for process in processes:
            assert process.stdout is not None
            await process.stdout.readline()
        return [max((await one_round(port, pause_s)).values()) for _ in range(rounds)]
    finally:
        for process in processes:
            process.kill()
            await process.wait()
        os.close(board_fd)
        sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--work", nargs=6, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.work[0], *(int(number) for number in chosen.work[1:]))
        return
    print(
        f"streams of {CALLS} on the fullest of {chosen.workers} workers, "
        f"{chosen.rounds} rounds (even is {CALLS / chosen.workers:g})"
    )
    print(f"{'':12} {'one by one, 50 ms apart':>28} {'all at once':>28}")
    for way in WAYS:
        told = []
        for pause_s in (0.05, 0.0):
            most = asyncio.run(measure(way, chosen.workers, chosen.rounds, pause_s))
            told.append(f"median {statistics.median(most):g}, worst {max(most)}")
        print(f"{way:12} {told[0]:>28} {told[1]:>28}", flush=True)


if __name__ == "__main__":
    main()
