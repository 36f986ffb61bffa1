"""Who takes the next connection, where several processes listen on one socket.

The kernel wakes all of them and the first one has it: on a quiet machine that is often the same one (`bench.evenness` has the
figures; SO_REUSEPORT's hash is even on the average only, and knows nothing of who is full). So each worker writes on a board,
memory that all of them see, how many calls it has and whether it is full. The one with the fewest accepts at once, the
others a moment later what is still there, and a full one not at all while another has a place. Nobody has to be alive
for this: what a worker wrote counts for a second.
"""

import asyncio
import contextlib
import mmap
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

import uvloop

BACKLOG: Final = 512  # Hypercorn's 100 is small for a burst of calls
POLITE_S: Final = 0.01  # for a worker with fewer calls to come first; an idle loop needs a tenth of it
LOOK_AGAIN_S: Final = 0.02  # a full worker's pause
TICK_S: Final = 0.1
STALE_S: Final = 1.0  # no word for so long: its loop is stuck, or the process is gone
YOUNG_S: Final = 0.1  # a connection counts from the accept on; by then a stream is counted as one
NO_DESCRIPTORS_S: Final = 0.1

_SLOT: Final = struct.Struct("=qqd")


class Slot(NamedTuple):
    """What one worker said last. `at_s` is the machine's monotonic clock; 0 is never."""

    load: int
    full: int
    at_s: float


class LoadBoard:
    """One slot a worker, in memory that its processes share. A torn read costs a moment's politeness."""

    def __init__(self, descriptor: int, workers: int) -> None:
        self._memory = mmap.mmap(descriptor, _SLOT.size * workers)
        self.workers = workers

    @staticmethod
    def make(workers: int) -> int:
        """A descriptor of an empty board."""
        descriptor = os.memfd_create("callbot-board", 0)
        os.ftruncate(descriptor, _SLOT.size * workers)
        return descriptor

    def read(self, worker: int) -> Slot:
        """A worker's slot."""
        return Slot(*_SLOT.unpack_from(self._memory, worker * _SLOT.size))

    def write(self, worker: int, slot: Slot) -> None:
        """Say how it stands; empty when the worker has gone."""
        _SLOT.pack_into(self._memory, worker * _SLOT.size, *slot)

    def others(self, worker: int, now_s: float) -> list[Slot]:
        """The slots of the other workers that are alive."""
        slots = (self.read(other) for other in range(self.workers) if other != worker)
        return [slot for slot in slots if now_s - slot.at_s < STALE_S]


EMPTY: Final = Slot(0, 0, 0.0)


class Taker(Enum):
    """What to do about a connection that waits."""

    TAKE = "take"
    LET_OTHERS_FIRST = "let others first"
    LEAVE = "leave"


def who_takes(load: int, others: list[Slot], *, full: bool) -> Taker:
    """Whether a worker with this load takes the next connection."""
    with_room = [slot for slot in others if not slot.full]
    if full:
        return Taker.LEAVE if with_room else Taker.TAKE  # somebody must say that all lines are busy
    return Taker.LET_OTHERS_FIRST if any(slot.load < load for slot in with_room) else Taker.TAKE


class WorkerShare:
    """One worker's place at the common socket. `watch` says where its load is read."""

    def __init__(self, board: LoadBoard, worker: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._worker = worker
        self._clock = clock
        self._young: deque[float] = deque()
        self._calls: Callable[[], int] = int
        self._full: Callable[[], bool] = bool

    def watch(self, calls: Callable[[], int], full: Callable[[], bool]) -> None:
        """Where the calls are counted, and who says that there is no place."""
        self._calls, self._full = calls, full

    def took_one(self) -> None:
        """A connection was accepted here."""
        self._young.append(self._clock())
        self.say()

    def say(self) -> Slot:
        """Write on the board how it stands here."""
        now_s = self._clock()
        while self._young and now_s - self._young[0] > YOUNG_S:
            self._young.popleft()
        slot = Slot(self._calls() + len(self._young), int(self._full()), now_s)
        self._board.write(self._worker, slot)
        return slot

    def turn(self) -> Taker:
        """What to do about a connection that waits."""
        slot = self.say()
        return who_takes(slot.load, self._board.others(self._worker, slot.at_s), full=bool(slot.full))


class SharedListener:
    """Accepts on a common socket, one connection at a time and only when it is its turn: what Hypercorn takes for a server."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        share: WorkerShare,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._factory = factory
        self._gate = share
        self._opening: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        listener.setblocking(False)
        self._listen()
        self._tick = loop.call_later(TICK_S, self._say)
        share.say()

    def close(self) -> None:
        """Accept nothing more."""
        if self._closed:
            return
        self._closed = True
        self._tick.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def wait_closed(self) -> None:
        """Connections have an end of their own."""

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listener, self._ready)

    def _say(self) -> None:
        self._gate.say()
        self._tick = self._loop.call_later(TICK_S, self._say)

    def _ready(self) -> None:
        match self._gate.turn():
            case Taker.TAKE:
                self._accept()
            case Taker.LET_OTHERS_FIRST:
                self._pause(POLITE_S, self._accept)
            case Taker.LEAVE:
                self._pause(LOOK_AGAIN_S)

    def _pause(self, for_s: float, then: Callable[[], None] | None = None) -> None:
        self._loop.remove_reader(self._listener)

        def go_on() -> None:
            self._listen()
            if then is not None:
                then()

        self._timer = self._loop.call_later(for_s, go_on)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker has it
        except OSError:  # no descriptor is free: the connection goes on waiting
            if self._timer is None:
                self._pause(NO_DESCRIPTORS_S)
            return
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # the peer may be gone already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._gate.took_one()
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:
            connection.close()


class SharedListenerLoop(uvloop.Loop):
    """uvloop, but its servers share their listening socket with other processes."""

    share: WorkerShare

    async def create_server(  # type: ignore[override]  # of uvloop's ways only the one with a listening socket is meant
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *_: Any, sock: socket.socket, **__: Any
    ) -> SharedListener:
        """A server on `sock`, which is listening already."""
        return SharedListener(self, sock, protocol_factory, self.share)


def shared_listener_loop(share: WorkerShare) -> SharedListenerLoop:
    """A loop whose server asks this share."""
    loop = SharedListenerLoop()
    loop.share = share
    return loop


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket; with port 0 the system chooses, `getsockname()[1]` says which. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
