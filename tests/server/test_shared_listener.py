"""Who takes the next connection at a common socket, and what the workers tell each other for it."""

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from callbot.server.transport.shared_listener import (
    EMPTY,
    STALE_S,
    YOUNG_S,
    LoadBoard,
    Slot,
    Taker,
    WorkerShare,
    shared_listener_loop,
    who_takes,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def board() -> Iterator[LoadBoard]:
    descriptor = LoadBoard.make(2)
    yield LoadBoard(descriptor, 2)
    os.close(descriptor)


def worker(load: int, *, full: bool = False) -> Slot:
    return Slot(load, int(full), 1000.0)


@pytest.mark.parametrize(
    ("load", "full", "others", "turn"),
    [
        (0, False, [], Taker.TAKE),
        (3, False, [worker(3)], Taker.TAKE),
        (3, False, [worker(4), worker(3)], Taker.TAKE),
        (3, False, [worker(4), worker(2)], Taker.LET_OTHERS_FIRST),
        (3, False, [worker(2, full=True)], Taker.TAKE),
        (3, True, [worker(9)], Taker.LEAVE),
        (3, True, [worker(9, full=True)], Taker.TAKE),  # somebody must say that all lines are busy
        (3, True, [], Taker.TAKE),
    ],
)
def test_the_emptiest_takes_it_and_a_full_one_only_when_all_are(load: int, full: bool, others: list[Slot], turn: Taker) -> None:
    assert who_takes(load, others, full=full) is turn


def test_a_connection_counts_from_its_accept_on_and_calls_as_long_as_they_last(board: LoadBoard) -> None:
    clock, calls = Clock(), 2
    share = WorkerShare(board, 0, clock)
    share.watch(lambda: calls, lambda: False)
    assert board.read(0) == EMPTY
    share.took_one()
    assert board.read(0) == Slot(3, 0, clock.now_s)
    clock.now_s += YOUNG_S + 0.01
    assert share.say() == Slot(2, 0, clock.now_s)


def test_a_worker_that_says_nothing_is_not_waited_for(board: LoadBoard) -> None:
    clock = Clock()
    stuck, other = WorkerShare(board, 0, clock), WorkerShare(board, 1, clock)
    other.watch(lambda: 5, lambda: True)
    stuck.say()
    assert other.turn() is Taker.LEAVE
    clock.now_s += STALE_S
    assert other.turn() is Taker.TAKE
    stuck.say()
    assert other.turn() is Taker.LEAVE
    board.write(0, EMPTY)  # the parent, when the process has ended
    assert other.turn() is Taker.TAKE


class Desk:
    """A worker of a test: counts who came, on a loop of its own kind."""

    def __init__(self, board: LoadBoard, number: int) -> None:
        self.came = 0
        self.full = False
        self.share = WorkerShare(board, number)
        self.share.watch(lambda: self.came, lambda: self.full)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        writer.write(b"hello\n")
        await reader.read()
        writer.close()


def test_a_full_worker_leaves_connections_to_the_others_until_it_has_room_again(board: LoadBoard) -> None:
    one, two = Desk(board, 0), Desk(board, 1)
    one.full = True
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    port = listener.getsockname()[1]

    async def connect() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readline() == b"hello\n"
        writer.close()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        servers = []
        for desk in (one, two):  # two workers in one loop: each has its own descriptor of the common socket
            loop.share = desk.share  # type: ignore[attr-defined]  # a SharedListenerLoop
            servers.append(await asyncio.start_server(desk.answer, sock=listener.dup(), backlog=50))
        listener.close()
        await asyncio.gather(*(connect() for _ in range(10)))
        assert (one.came, two.came) == (0, 10)
        one.full, two.full = False, True
        for desk in (one, two):
            desk.share.say()  # as each does ten times a second
        await asyncio.gather(*(connect() for _ in range(10)))
        assert (one.came, two.came) == (10, 10)
        one.full = True
        await asyncio.gather(*(connect() for _ in range(10)))
        assert one.came + two.came == 30
        for server in servers:
            server.close()
            await server.wait_closed()

    faults: list[dict[str, object]] = []
    with asyncio.Runner(loop_factory=lambda: shared_listener_loop(one.share)) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: faults.append(context))
        runner.run(asyncio.wait_for(scenario(), 60))
    assert faults == []


def test_calls_that_stay_fall_evenly_on_workers_that_keep_up(board: LoadBoard) -> None:
    desks = [Desk(board, 0), Desk(board, 1)]
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    port = listener.getsockname()[1]

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        servers = []
        for desk in desks:
            loop.share = desk.share  # type: ignore[attr-defined]  # a SharedListenerLoop
            servers.append(await asyncio.start_server(desk.answer, sock=listener.dup(), backlog=50))
        streams = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.readline()
            streams.append(writer)
        # Both wake in the same loop, so nobody is late: only what is young is counted twice.
        assert abs(desks[0].came - desks[1].came) <= 2
        for stream in streams:
            stream.close()
        for server in servers:
            server.close()

    with asyncio.Runner(loop_factory=lambda: shared_listener_loop(desks[0].share)) as runner:
        runner.run(asyncio.wait_for(scenario(), 60))
    listener.close()
