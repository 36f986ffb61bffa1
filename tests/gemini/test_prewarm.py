"""The sessions that are opened with the webhook: whose they are, how many, for how long, and what is left of a failure.

Time is the loop's, moved by hand; the links are doubles at the network's edge.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from unittest.mock import patch

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from callbot.brief import Brief
from callbot.gemini.link import ModelLink
from callbot.gemini.prewarm import Prewarmer
from callbot.gemini.session_config import SessionOrder

SECRET = "AIza-not-for-the-log-7c1f"
KEEP_S = 5.0
BRIEF = Brief(models=("first-model", "second-model"))


class Link:
    """A session's socket, as far as the prewarmer sees it."""

    def __init__(self) -> None:
        self.is_open = True
        self.closed_within_s: list[float] = []

    async def close(self, timeout_s: float) -> None:
        self.is_open = False
        self.closed_within_s.append(timeout_s)


@dataclass
class Opener:
    """Opens links when it is told to, or fails."""

    at_once: bool = True
    failure: BaseException | None = None
    opened: list[Link] = field(default_factory=list)
    orders: list[SessionOrder] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    cancelled: int = 0

    async def open(self, order: SessionOrder) -> ModelLink:
        self.orders.append(order)
        if not self.at_once:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(gate)
            try:
                await gate
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.failure is not None:
            raise self.failure
        link = Link()
        self.opened.append(link)
        return cast("ModelLink", link)


class Log:
    """Log lines, as they were given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))


@dataclass
class Warm:
    """A prewarmer and what is around it."""

    prewarmer: Prewarmer
    opener: Opener
    log: Log
    now_s: float  # the loop's clock, which stands still but for this

    async def pass_time(self, duration_s: float) -> None:
        """Move the loop's clock on, and let what was waiting for it go on."""
        self.now_s += duration_s
        await turns()


@asynccontextmanager
async def warm(opener: Opener | None = None, *, max_waiting: int = 2) -> AsyncIterator[Warm]:
    """A prewarmer that is stopped at the end; its task group ends only when all its tasks have."""
    opener, log = opener or Opener(), Log()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        prewarmer = Prewarmer(opener, tasks, brief=BRIEF, keep_s=KEEP_S, max_waiting=max_waiting, log=log)
        around = Warm(prewarmer, opener, log, loop.time())
        with patch.object(loop, "time", lambda: around.now_s):
            yield around
            prewarmer.stop()
            await turns()


async def turns(count: int = 5) -> None:
    """Let the tasks go on until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_session_of_the_first_model_without_handle_or_history_is_opened_and_handed_over() -> None:
    async with warm() as line:
        line.prewarmer.prepare("CA1")
        assert line.opener.orders == [], "the webhook's answer waits for nothing"
        assert await line.prewarmer.take("CA1", BRIEF) is cast("Any", line.opener.opened[0])
    assert line.opener.orders == [SessionOrder("CA1", BRIEF)]
    assert line.opener.opened[0].is_open, "it is the call's now, which closes it"
    assert line.log.lines == []


async def test_a_session_is_handed_over_once() -> None:
    async with warm() as line:
        line.prewarmer.prepare("CA1")
        assert await line.prewarmer.take("CA1", BRIEF) is not None
        assert await line.prewarmer.take("CA1", BRIEF) is None


async def test_two_who_ask_at_once_for_one_session_do_not_share_it() -> None:
    async with warm(Opener(at_once=False)) as line:
        line.prewarmer.prepare("CA1")
        await turns()
        asking = [asyncio.create_task(line.prewarmer.take("CA1", BRIEF)) for _ in range(2)]
        await turns()
        line.opener.waiting[0].set_result(None)
        taken = await asyncio.gather(*asking)
    assert [link is not None for link in taken] == [True, False]


async def test_a_session_is_bound_to_its_call() -> None:
    async with warm() as line:
        line.prewarmer.prepare("CA1")
        line.prewarmer.prepare("CA2")
        await turns()
        first, second = line.opener.opened
        assert await line.prewarmer.take("CA3", BRIEF) is None
        assert await line.prewarmer.take("CA2", BRIEF) is cast("Any", second)
        assert await line.prewarmer.take("CA1", BRIEF) is cast("Any", first)


async def test_a_webhook_that_is_told_twice_opens_one_session() -> None:
    async with warm() as line:
        for _ in range(3):
            line.prewarmer.prepare("CA1")
            await turns()
    assert len(line.opener.opened) == 1


async def test_beyond_the_limit_none_is_opened_until_one_has_been_taken() -> None:
    async with warm(max_waiting=2) as line:
        for number in range(5):
            line.prewarmer.prepare(f"CA{number}")
        await turns()
        assert len(line.opener.opened) == 2
        assert await line.prewarmer.take("CA4", BRIEF) is None
        assert await line.prewarmer.take("CA0", BRIEF) is not None
        line.prewarmer.prepare("CA4")
        assert await line.prewarmer.take("CA4", BRIEF) is not None
    assert len(line.opener.opened) == 3


async def test_a_limit_of_none_opens_nothing() -> None:
    async with warm(max_waiting=0) as line:
        line.prewarmer.prepare("CA1")
        assert await line.prewarmer.take("CA1", BRIEF) is None
    assert line.opener.orders == []


async def test_what_nobody_takes_in_time_is_closed_and_makes_room() -> None:
    async with warm(max_waiting=1) as line:
        line.prewarmer.prepare("CA1")
        await turns()
        await line.pass_time(KEEP_S - 0.5)
        assert line.opener.opened[0].is_open
        await line.pass_time(1.0)
        assert line.opener.opened[0].closed_within_s == [1.0]
        assert line.log.lines == [("info", "session.prewarm_unused", {"call_sid": "CA1"})]
        assert await line.prewarmer.take("CA1", BRIEF) is None
        line.prewarmer.prepare("CA2")
        assert await line.prewarmer.take("CA2", BRIEF) is not None


async def test_an_opening_that_takes_too_long_is_broken_off() -> None:
    async with warm(Opener(at_once=False)) as line:
        line.prewarmer.prepare("CA1")
        await turns()
        await line.pass_time(KEEP_S + 1.0)
        assert line.opener.cancelled == 1
        assert await line.prewarmer.take("CA1", BRIEF) is None
    assert line.log.lines == [("warning", "session.prewarm_failed", {"call_sid": "CA1", "cause": "timed_out"})]


async def test_an_opening_that_its_call_waits_for_has_the_openers_own_time() -> None:
    async with warm(Opener(at_once=False)) as line:
        line.prewarmer.prepare("CA1")
        await turns()
        taking = asyncio.create_task(line.prewarmer.take("CA1", BRIEF))
        await turns()
        await line.pass_time(2 * KEEP_S)
        assert (line.opener.cancelled, taking.done()) == (0, False)
        line.opener.waiting[0].set_result(None)
        assert await taking is not None
    assert line.opener.opened[0].is_open


async def test_a_call_that_comes_before_its_session_has_begun_to_open_has_that_time_too() -> None:
    async with warm(Opener(at_once=False)) as line:
        line.prewarmer.prepare("CA1")
        taking = asyncio.create_task(line.prewarmer.take("CA1", BRIEF))
        await turns()
        await line.pass_time(2 * KEEP_S)
        line.opener.waiting[0].set_result(None)
        assert await taking is not None


async def test_a_call_that_ends_while_it_waits_leaves_no_session() -> None:
    async with warm(Opener(at_once=False)) as line:
        line.prewarmer.prepare("CA1")
        await turns()
        taking = asyncio.create_task(line.prewarmer.take("CA1", BRIEF))
        await turns()
        taking.cancel()
        await turns()
        line.opener.waiting[0].set_result(None)
        await turns()
        assert line.opener.opened[0].closed_within_s == [1.0]
    assert taking.cancelled()


async def test_a_session_that_died_while_it_waited_is_not_handed_over() -> None:
    async with warm() as line:
        line.prewarmer.prepare("CA1")
        await turns()
        line.opener.opened[0].is_open = False
        assert await line.prewarmer.take("CA1", BRIEF) is None
    assert line.opener.opened[0].closed_within_s == [1.0]


async def test_stop_closes_what_waits_breaks_off_what_opens_and_opens_nothing_more() -> None:
    async with warm() as line:
        line.prewarmer.prepare("CA1")
        await turns()
        line.opener.at_once = False
        line.prewarmer.prepare("CA2")
        await turns()
        line.prewarmer.stop()
        line.prewarmer.prepare("CA3")
        await turns()
        assert await line.prewarmer.take("CA1", BRIEF) is None
        assert await line.prewarmer.take("CA2", BRIEF) is None
    assert line.opener.opened[0].closed_within_s == [1.0]
    assert (line.opener.cancelled, len(line.opener.orders)) == (1, 2)


async def test_stop_leaves_a_session_to_the_call_that_has_it() -> None:
    async with warm() as line:
        line.prewarmer.prepare("CA1")
        assert await line.prewarmer.take("CA1", BRIEF) is not None
        line.prewarmer.stop()
    assert line.opener.opened[0].is_open


REFUSED = InvalidStatus(Response(403, "Forbidden", Headers({"x-goog-api-key": SECRET}), SECRET.encode()))


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (OSError(f"cannot reach wss://host/?key={SECRET}"), "unreachable"),
        (REFUSED, "http_403"),
        (RuntimeError(SECRET), "crashed_RuntimeError"),
    ],
    ids=["unreachable", "refused", "a fault of ours"],
)
async def test_a_session_that_cannot_be_opened_is_nothing_that_is_kept_and_its_log_line_has_no_secret(
    failure: Exception, cause: str
) -> None:
    async with warm(Opener(failure=failure), max_waiting=1) as line:
        line.prewarmer.prepare("CA1")
        await turns()
        assert await line.prewarmer.take("CA1", BRIEF) is None
        assert line.log.lines == [("warning", "session.prewarm_failed", {"call_sid": "CA1", "cause": cause})]
        assert SECRET not in str(line.log.lines)
        line.opener.failure = None
        line.prewarmer.prepare("CA2")  # its place is free again
        assert await line.prewarmer.take("CA2", BRIEF) is not None


async def test_a_call_that_waits_for_a_session_that_cannot_be_opened_is_told_so() -> None:
    async with warm(Opener(at_once=False, failure=OSError("no route"))) as line:
        line.prewarmer.prepare("CA1")
        await turns()
        taking = asyncio.create_task(line.prewarmer.take("CA1", BRIEF))
        await turns()
        line.opener.waiting[0].set_result(None)
        assert await taking is None
