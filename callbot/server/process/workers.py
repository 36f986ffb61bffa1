"""Several processes behind one port: `callbot serve` with CALLBOT_WORKERS over 1 starts them and carries no call itself.

A worker is `callbot serve` started anew, not forked: nothing of the parent's threads, locks and connections is in it. It
inherits the listening socket, the board on which the workers say how busy they are (`share`), a socket on which the others
ask for its metrics, and the reading end of a pipe that nobody writes to: when it ends, the parent is gone, and the worker
drains. One that dies is started again; its calls come back through `/twiml/next` to any other.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Final, Self

import structlog

from callbot.server.transport.shared_listener import EMPTY, LoadBoard, open_listener
from callbot.settings import Settings

OK, FAILED, MISUSED = 0, 1, 2
KILL_AFTER_S: Final = 2.8  # after drain_s: a worker's own last resort is at 2.5, Cloud Run's at 3
LONG_ENOUGH_S: Final = 60.0  # a worker that lived so long is started again at once
PAUSE_MIN_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """What a worker is told on its command line: which it is, of how many, and the descriptors that it inherits.

    `name` is the beginning of the abstract names of all workers' metrics sockets.
    """

    worker: int
    workers: int
    name: str
    listener_fd: int
    board_fd: int
    life_fd: int
    metrics_fd: int

    def argument(self) -> str:
        """The place as one word of a command line."""
        numbers = (self.worker, self.workers, self.listener_fd, self.board_fd, self.life_fd, self.metrics_fd)
        return ":".join((self.name, *map(str, numbers)))

    @classmethod
    def read(cls, argument: str) -> Self:
        """The place from a command line; raises ValueError."""
        name, *numbers = argument.split(":")
        worker, workers, listener_fd, board_fd, life_fd, metrics_fd = map(int, numbers)
        return cls(worker, workers, name, listener_fd, board_fd, life_fd, metrics_fd)

    def own_settings(self, settings: Settings) -> Settings:
        """This worker's share of the instance's calls. A session that is prepared here is of no use to a stream that comes
        to another worker, so none is prepared.
        """
        share, more = divmod(settings.max_calls, self.workers)
        return settings.model_copy(update={"max_calls": share + (self.worker < more), "prewarm": False})

    def metrics_address(self, worker: int) -> str:
        """The abstract name of a worker's metrics socket."""
        return f"\0{self.name}-{worker}"

    def end_with_parent(self) -> None:
        """From now on the parent's end is a SIGTERM to this process, even when its loop has not begun or is stuck."""

        def wait() -> None:
            os.read(self.life_fd, 1)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="parent", daemon=True).start()


def serve_by_workers(settings: Settings) -> int:
    """Serve until told to stop; returns the exit code. Raises OSError when the port cannot be had."""
    with open_listener(settings.host, settings.port) as listener:
        return asyncio.run(_Workers(settings, listener).run())


class _Workers:
    """The parent: starts the workers, hands signals on, starts again what dies."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._workers = settings.worker_count
        self._log = structlog.get_logger()
        self._listener = listener
        self._board_fd = LoadBoard.make(self._workers)
        self._board = LoadBoard(self._board_fd, self._workers)
        self._life_fd, self._life_end = os.pipe()
        place = WorkerPlace(
            0, self._workers, f"callbot-{secrets.token_hex(8)}", listener.fileno(), self._board_fd, self._life_fd, -1
        )
        self._places: list[WorkerPlace] = []
        self._metrics: list[socket.socket] = []
        for worker in range(self._workers):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.bind(place.metrics_address(worker))
            sock.listen()
            self._metrics.append(sock)
            self._places.append(replace(place, worker=worker, metrics_fd=sock.fileno()))
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._some_served = False
        self._exit = OK

    async def run(self) -> int:
        """Keep the workers going until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._log.info(
            "workers.started",
            port=self._listener.getsockname()[1],
            workers=self._workers,
            max_calls=[place.own_settings(self._settings).max_calls for place in self._places],
        )
        if self._settings.prewarm:
            self._log.info("workers.no_prewarming", reason="a session of one worker is of no use to a stream at another")
        async with asyncio.TaskGroup() as keeping:
            limit = keeping.create_task(self._kill_late())
            keepers = [keeping.create_task(self._keep(place)) for place in self._places]
            await asyncio.wait(keepers)
            limit.cancel()
        for descriptor in (self._life_fd, self._life_end, self._board_fd):
            os.close(descriptor)
        for sock in self._metrics:
            sock.close()
        self._log.info("workers.stopped", code=self._exit)
        return self._exit

    def _stop(self) -> None:
        """The first time: drain. Again: do not wait for the calls. The workers know the same."""
        if not self._stopping.is_set():
            self._log.info("workers.draining", workers=len(self._processes), limit_s=self._settings.drain_s)
        self._stopping.set()
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)

    async def _kill_late(self) -> None:
        await self._stopping.wait()
        await asyncio.sleep(self._settings.drain_s + KILL_AFTER_S)
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)

    async def _keep(self, place: WorkerPlace) -> None:
        """Start one worker, again and again; a pause between that grows while it does not live long."""
        pause_s = PAUSE_MIN_S
        while not self._stopping.is_set():
            began_s = time.monotonic()
            code = await self._run_once(place)
            self._some_served |= self._board.read(place.worker).at_s > 0
            self._board.write(place.worker, EMPTY)
            if self._stopping.is_set():
                if code not in {OK, -signal.SIGTERM}:
                    self._exit = self._exit or FAILED
                return
            if not self._some_served:  # none ever came up: what starts us must hear of it
                self._exit = MISUSED if code == MISUSED else FAILED
                self._log.error("worker.ended", worker=place.worker, code=code, restart_in_s=None)
                self._stop()
                return
            pause_s = 0.0 if time.monotonic() - began_s > LONG_ENOUGH_S else min(max(2 * pause_s, PAUSE_MIN_S), PAUSE_MAX_S)
            self._log.error("worker.ended", worker=place.worker, code=code, restart_in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _run_once(self, place: WorkerPlace) -> int:
        inherited = (place.listener_fd, place.board_fd, place.life_fd, place.metrics_fd)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "callbot", "serve", "--worker", place.argument()),
            pass_fds=inherited,
            process_group=0,  # Ctrl-C in a terminal is for the parent, which tells the workers
        )
        self._processes[place.worker] = process
        if self._stopping.is_set():
            _signal(process, signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            del self._processes[place.worker]


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
