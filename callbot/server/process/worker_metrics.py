"""`/metrics` of several workers: whichever is asked tells the figures of all, each with its `worker`.

A scrape meets any of the workers, so it must get all of them. They ask each other over Unix sockets with abstract names,
which are no files (the container has nowhere to write) and answer only processes of the same user.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from callbot.server.process.workers import WorkerPlace

ANSWER_S: Final = 1.0  # a worker whose loop is stuck is left out, and said to be
_PEER: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


class WorkerMetrics:
    """One worker's part: tells its own figures to the others, and all of them to a scrape."""

    def __init__(self, place: WorkerPlace, registry: CollectorRegistry) -> None:
        self._place = place
        self._registry = registry

    async def start(self) -> asyncio.Server:
        """Answer the other workers. What is returned is to be closed."""
        return await asyncio.start_unix_server(self._answer, sock=socket.socket(fileno=self._place.metrics_fd))

    async def all_figures(self) -> bytes:
        """The exposition of all workers."""
        others = [worker for worker in range(self._place.workers) if worker != self._place.worker]
        answers = await asyncio.gather(*(self._ask(worker) for worker in others))
        return joined({self._place.worker: self._own(), **dict(zip(others, answers, strict=True))})

    def _own(self) -> str:
        return generate_latest(self._registry).decode()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        if _PEER.unpack(peer)[1] == os.getuid():
            writer.write(self._own().encode())
        writer.close()

    async def _ask(self, worker: int) -> str | None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.setblocking(False)
        try:
            async with asyncio.timeout(ANSWER_S):
                line.connect(self._place.metrics_address(worker))  # at once, or never; uvloop knows no abstract names
                reader, writer = await asyncio.open_unix_connection(sock=line)
                try:
                    return (await reader.read()).decode() or None
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            line.close()
            return None


def joined(told: Mapping[int, str | None]) -> bytes:
    """One exposition of several: families once, samples with their worker's number; who did not answer has a 0."""
    families: dict[str, list[str]] = {}
    for worker, text in sorted(told.items()):
        head = ""
        for line in (text or "").splitlines():
            if line.startswith("# HELP"):
                head = line
            elif line.startswith("# TYPE"):
                families.setdefault(f"{head}\n{line}", [])
                head = f"{head}\n{line}"
            else:
                families[head].append(_with_worker(line, worker))
    lines = ["# HELP callbot_worker_scraped 1 when the worker's figures are here", "# TYPE callbot_worker_scraped gauge"]
    lines += [f'callbot_worker_scraped{{worker="{worker}"}} {int(text is not None)}' for worker, text in sorted(told.items())]
    for head, samples in families.items():
        lines += [head, *samples]
    return ("\n".join(lines) + "\n").encode()


def _with_worker(sample: str, worker: int) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
