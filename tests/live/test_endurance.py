"""Twenty calls at once, and ten one after another: no task, socket or session of them stays behind.

What a process holds after a hundred calls is measured from outside, in `test_process.py`.
"""

import asyncio
import gc
from pathlib import Path

import pytest

from callbot.actors.call import CallActor
from callbot.actors.gemini_session import GeminiSession
from callbot.actors.twilio_io import TwilioIO
from callbot.simulators.gemini import Parrot, StandInOptions
from callbot.simulators.gemini.voice import tone
from callbot.simulators.twilio import CallReport, Line
from tests.live.exchange import Exchange, exchange

pytestmark = pytest.mark.live

AT_ONCE, IN_A_ROW = 20, 10

# A short beep as the greeting: the caller hears it begin and hangs up.
BEEP = StandInOptions(brain=Parrot(greeting=tone(440.0, 0.2)), answer_delay_s=0.0, record_audio=False)
QUICK_LINE = {"setup_ms": (0, 2)}
LEGAL = [("connecting", "streaming"), ("streaming", "draining"), ("draining", "closed")]


async def hear_and_hang_up(line: Line) -> None:
    await line.wait_until_bot_speaks()
    await line.hang_up()


def open_descriptors() -> set[str]:
    """Sockets and files that are open, by number and kind."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except OSError:  # the one that lists the directory
            continue
    return found


async def settle(line_up: Exchange, tasks: int, foreign: set[int]) -> None:
    """Wait until the server is as it was between calls: both sides close their sockets a moment after the call."""
    async with asyncio.timeout(10):
        while line_up.standin.connections_open or len(asyncio.all_tasks()) > tasks or actors_kept(foreign):  # noqa: ASYNC110 - no end is announced
            await asyncio.sleep(0.05)


def actors_kept(foreign: set[int]) -> list[object]:
    """Actors of calls that are over, and that something still holds; but for those that other tests have left."""
    gc.collect()
    kept = [thing for thing in gc.get_objects() if isinstance(thing, CallActor | GeminiSession | TwilioIO)]
    return [actor for actor in kept if id(actor) not in foreign]


async def check(line_up: Exchange, reports: list[CallReport]) -> None:
    for report in reports:
        [summary] = await line_up.logged("call.summary", call_sid=report.call_sid)
        assert line_up.moves(report.call_sid) == LEGAL
        assert summary["outcome"] == "completed"
        assert report.script_failure == ""
        assert report.protocol_faults == ()


async def test_calls_one_after_another_and_at_once_leave_nothing_behind() -> None:
    foreign = {id(actor) for actor in actors_kept(set())}
    async with exchange(BEEP, carrier=QUICK_LINE) as line_up:
        carrier = line_up.carrier
        first = await carrier.call(hear_and_hang_up)  # what is made once a process is made by the first call
        await check(line_up, [first])
        await asyncio.sleep(0.3)
        tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()

        together = await asyncio.gather(*(carrier.call(hear_and_hang_up) for _ in range(AT_ONCE)))
        await check(line_up, list(together))
        await settle(line_up, tasks, foreign)
        assert len(open_descriptors()) <= len(descriptors)

        in_row = [await carrier.call(hear_and_hang_up) for _ in range(IN_A_ROW)]
        await check(line_up, in_row)
        await settle(line_up, tasks, foreign)
        assert len(asyncio.all_tasks()) == tasks
        assert len(open_descriptors()) <= len(descriptors), sorted(open_descriptors() - descriptors)
        assert all(session.closed for session in line_up.standin.sessions)
        assert len(line_up.standin.sessions) == 1 + AT_ONCE + IN_A_ROW
        assert actors_kept(foreign) == []
