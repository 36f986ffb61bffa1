"""`python -m bench.storm --calls 10000 --seed 1`: a hostile model and a hostile line drawn by seed, in virtual time.

Each call is a real CallActor with its real machine; only the two sockets are stand-ins. The run fails when a call does not end
in Closed, when an actor crashed, when a model was dialled too often, when the caller heard the same beginning too often, when
trouble went on for too long without the apology, or when somebody who was speaking was hung up on. `--only` makes one call of
the seed again and prints its log.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from random import Random

from tests.virtual_time import VirtualTimeLoop  # before callbot, whose functions have `time.monotonic` for a default

# isort: split
from bench.storm_line import Caller, Mood, draw_mood
from bench.storm_model import HostileModel, HostileSession
from callbot.messages.terms import Ending
from callbot.states import TABLE
from tests.actors.whole_call import WholeCall

# What no call may exceed, whatever the model and the line do.
MAX_DIALS, DIALS_WITHIN_S = 12, 10.0
MAX_SAME_BEGINNINGS = 3
MAX_TROUBLE_S = 45.0
STABLE_S = 5.0  # a session that has lived so long is no part of the trouble before it
MAX_STREAMS = 3
WATCH_S = 0.25
ENDS_WITHIN_S = 60.0  # of the caller's hanging up; a stream that is silent is noticed and drained in less
LEGAL = {(row.source.value, row.dest.value) for row in TABLE}


@dataclass
class Fate:
    """What became of one call."""

    number: int
    mood: str
    model: str
    breaches: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)  # outcome and reason of each stream
    sessions: int = 0
    most_dials: int = 0  # within DIALS_WITHIN_S
    most_beginnings: int = 0  # of the same answer
    longest_trouble_s: float = 0.0
    lasted_s: float = 0.0


class Watch:
    """Looks at the call from outside, as it goes on: is it in trouble, and for how long already?"""

    def __init__(self, model: HostileModel, caller: Caller) -> None:
        self._model = model
        self._caller = caller
        self._lost = 0  # sessions whose loss has been seen
        self._asked = 0
        self._in_trouble_since_s = inf
        self._unanswered_since_s = inf
        self._spoke_s = 0.0  # so much of the time since then the caller spoke and did not wait
        self.longest_s = 0.0

    async def keep(self, call: WholeCall) -> None:
        """Look until the call drains: then it has decided, with or without an apology."""
        while call.actor.state not in {"draining", "closed"}:
            self.look(call.loop.time())
            await asyncio.sleep(WATCH_S)

    def look(self, now_s: float) -> None:
        """Trouble is a lost session, until a turn was heard or the next one has lived long; or a question without an answer."""
        model, caller = self._model, self._caller
        is_open = model.open_links > 0
        lost = len(model.dialled_s) - is_open
        if lost > self._lost:
            self._in_trouble_since_s = min(self._in_trouble_since_s, now_s)
        self._lost = lost
        newest = model.beginnings[-1] if model.beginnings else None
        if caller.questions > self._asked and self._unanswered_since_s == inf:
            self._unanswered_since_s, self._spoke_s = now_s, 0.0
        self._asked = caller.questions
        self._spoke_s += WATCH_S * (caller.spoke_from_s < inf)
        if newest is not None and newest.began_s >= self._unanswered_since_s:
            self._unanswered_since_s = inf
        answered = newest is not None and newest.complete and newest.began_s >= self._in_trouble_since_s
        link = model.links[-1] if is_open else None
        lives_long = isinstance(link, HostileSession) and now_s - link.opened_s >= STABLE_S
        if answered or lives_long:
            self._in_trouble_since_s = inf
        for since_s in (self._in_trouble_since_s, self._unanswered_since_s + self._spoke_s):
            if since_s < inf:
                self.longest_s = max(self.longest_s, now_s - since_s)


async def one_call(number: int, seed: int) -> tuple[Fate, list[WholeCall]]:
    """One call, over as many streams as it takes."""
    draw = Random(f"{seed}/{number}")
    mood, model = draw_mood(draw), HostileModel(f"{seed}/{number}/model")
    fate = Fate(number, _told(mood), model.told)
    caller = Caller(mood, draw, asyncio.get_running_loop().time())
    model.question = lambda: caller.questions
    watch, calls = Watch(model, caller), list[WholeCall]()
    while len(calls) < MAX_STREAMS:
        earlier = calls[-1].conversations if calls else None
        call = WholeCall(model, conversations=earlier, stream_no=len(calls) + 1, greeting="Say hello.")
        calls.append(call)
        await _one_stream(call, caller, watch, fate)
        ending = call.endings[-1][1] if call.endings else Ending.HANG_UP
        if fate.breaches or caller.has_hung_up or ending is not Ending.CONTINUE:
            break
    fate.sessions = len(model.dialled_s)
    fate.lasted_s = asyncio.get_running_loop().time() - caller.began_s
    fate.longest_trouble_s = watch.longest_s
    judge_model(fate, model)
    return fate, calls


async def _one_stream(call: WholeCall, caller: Caller, watch: Watch, fate: Fate) -> None:
    running = asyncio.ensure_future(call.actor.run())
    talking = asyncio.ensure_future(caller.talk(call.twilio))
    watching = asyncio.ensure_future(watch.keep(call))
    try:
        async with asyncio.timeout(max(0.0, caller.began_s + caller.mood.hangs_up_s - call.loop.time()) + ENDS_WITHIN_S):
            while call.twilio.closed is None and not running.done() and not talking.done():  # noqa: ASYNC110 - no one event
                await asyncio.sleep(0.02)
            if not talking.done() and caller.is_speaking(call.loop.time()):
                _judge_hang_up(fate, call)
            await running
    except TimeoutError:
        fate.breaches.append(f"not closed {ENDS_WITHIN_S:.0f} s after the caller had gone: {call.actor.state}")
    except Exception as error:  # noqa: BLE001 - whatever a call raises is what is looked for
        fate.breaches.append(f"raised {type(error).__name__}: {error}")
    for task in (running, talking, watching):
        task.cancel()
    await asyncio.gather(running, talking, watching, return_exceptions=True)
    _judge_end(fate, call)


def _judge_hang_up(fate: Fate, call: WholeCall) -> None:
    endings = [ending for _, ending, _ in call.endings]
    if endings[-1:] == [Ending.HANG_UP]:
        fate.breaches.append("somebody who was speaking was hung up on")


def _judge_end(fate: Fate, call: WholeCall) -> None:
    moves = [move[:2] for move in call.log.moves()]
    if not moves or moves[-1] != ("draining", "closed"):
        fate.breaches.append(f"ended after {moves[-1:]}")
    if any(move not in LEGAL for move in moves) or any(a[1] != b[0] for a, b in pairwise(moves)):
        fate.breaches.append(f"illegal moves {moves}")
    summaries = call.log.of("call.summary")
    if len(summaries) != 1:
        fate.breaches.append(f"{len(summaries)} summaries")
    fate.ends += [f"{line['outcome']} ({line['reason']})" for line in summaries]
    for event in ("child.crashed", "call.crashed"):
        fate.breaches += [f"{event} {line.get('child', '')}: {line.get('error', '')}" for line in call.log.of(event)]
    if call.model.open_links:
        fate.breaches.append("a session was left open")
    if any(not timer.cancelled() for timer in call.actor._timers.values()):
        fate.breaches.append("a timer was left")
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        fate.breaches.append(f"{len(left)} tasks were left")


def judge_model(fate: Fate, model: HostileModel) -> None:
    """Note what the model has seen too often."""
    times = model.dialled_s
    fate.most_dials = max((sum(at <= other < at + DIALS_WITHIN_S for other in times) for at in times), default=0)
    if fate.most_dials > MAX_DIALS:
        fate.breaches.append(f"{fate.most_dials} dials within {DIALS_WITHIN_S:.0f} s")
    begun = Counter(question for question, _ in {(one.question, one.session) for one in model.beginnings if not one.complete})
    fate.most_beginnings = max(begun.values(), default=0)
    if fate.most_beginnings > MAX_SAME_BEGINNINGS:
        fate.breaches.append(f"the same beginning {fate.most_beginnings} times")
    if fate.longest_trouble_s > MAX_TROUBLE_S + 2 * WATCH_S:
        fate.breaches.append(f"{fate.longest_trouble_s:.0f} s of trouble without the apology")


def _told(mood: Mood) -> str:
    usual = Mood(0.0)
    return ", ".join(f"{name} {getattr(mood, name)}" for name in Mood.__slots__ if getattr(mood, name) != getattr(usual, name))


def make(number: int, seed: int) -> Fate:
    """One call of the seed, in a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(one_call(number, seed))[0]


def _make(job: tuple[int, int]) -> Fate:
    return make(*job)


def storm(numbers: Iterable[int], seed: int, processes: int = 1) -> Iterable[Fate]:
    """The calls, as they end."""
    jobs = ((number, seed) for number in numbers)
    if processes == 1:
        yield from map(_make, jobs)
        return
    with multiprocessing.get_context("forkserver").Pool(processes) as pool:
        yield from pool.imap_unordered(_make, jobs, chunksize=8)


def describe(fates: list[Fate], took_s: float) -> str:
    """The figures, for a person."""
    ends = Counter(end for fate in fates for end in fate.ends)
    virtual_h = sum(fate.lasted_s for fate in fates) / 3600
    rows = [
        ("calls", f"{len(fates)} ({virtual_h:.1f} h of calls in {took_s:.0f} s)"),
        ("streams", f"{sum(len(fate.ends) for fate in fates)}"),
        ("sessions", f"{sum(fate.sessions for fate in fates)}, at most {max(fate.sessions for fate in fates)} in a call"),
        ("dials", f"at most {max(fate.most_dials for fate in fates)} within {DIALS_WITHIN_S:.0f} s (limit {MAX_DIALS})"),
        ("same beginning", f"at most {max(fate.most_beginnings for fate in fates)} times (limit {MAX_SAME_BEGINNINGS})"),
        ("trouble", f"at most {max(fate.longest_trouble_s for fate in fates):.1f} s (limit {MAX_TROUBLE_S:.0f} s)"),
        *((end, str(count)) for end, count in ends.most_common()),
        ("breaches", str(sum(len(fate.breaches) for fate in fates) or "none")),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    for fate in sorted((fate for fate in fates if fate.breaches), key=lambda fate: fate.number)[:40]:
        lines += [f"call {fate.number}: {'; '.join(fate.breaches)}", f"  caller: {fate.mood}", f"  model: {fate.model}"]
    return "\n".join(lines)


def _print_one(number: int, seed: int) -> int:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        fate, calls = runner.run(one_call(number, seed))
    for stream_no, call in enumerate(calls, 1):
        for level, event, fields in call.log.lines:
            told = {name: value for name, value in fields.items() if name not in {"call_sid", "stream_sid"}}
            print(f"{stream_no} {told.pop('t_ms', 0):>6} {told.pop('state', ''):<12} {level:<7} {event} {told}")
    print(describe([fate], 0.0))
    return 1 if fate.breaches else 0


def main() -> int:
    """Run, show how far it is, print, and fail when anything happened that must not."""
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, help="this call of the seed alone, with its log")
    chosen = parser.parse_args()
    if chosen.only is not None:
        return _print_one(chosen.only, chosen.seed)
    began_s, fates = time.perf_counter(), list[Fate]()
    for fate in storm(range(1, chosen.calls + 1), chosen.seed, chosen.processes):
        fates.append(fate)
        if sys.stderr.isatty() or len(fates) % max(1, chosen.calls // 10) == 0:
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{len(fates)} of {chosen.calls} calls", end=end, file=sys.stderr, flush=True)
    print(describe(fates, time.perf_counter() - began_s))
    return 1 if any(fate.breaches for fate in fates) else 0


if __name__ == "__main__":
    sys.exit(main())
