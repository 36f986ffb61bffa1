"""`python -m bench.chaos --calls 200 --seed 1`: calls with faults drawn by seed, and what became of them.

Every call has an exchange of its own (the real server, the model's stand-in, Twilio's), so a fault strikes the call that it
was drawn for. Time is virtual, so how fast the machine is changes nothing. Limits are a fifth of the usual ones, so that a call
is short. The run fails when a call does not end in Closed with exactly one summary, when anything crashed, when a caller heard
nothing for longer than the limit while the stream was up, or when a task, a socket or a session is left.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from tests.virtual_time import VirtualTimeLoop  # before callbot, whose functions have `time.monotonic` for a default

# isort: split
from bench.chaos_faults import Trouble, draw_trouble
from callbot.actors.call import CallActor
from callbot.simulators import voices
from callbot.simulators.twilio import CallEndedError, CallReport, Line, WaitTimeoutError
from callbot.states import TABLE
from tests.live.exchange import Exchange, exchange

# A fifth of the usual, for the most part.
SETTINGS: dict[str, Any] = {
    "connect_timeout_s": 1.5,
    "greeting_timeout_s": 5.0,
    "unreachable_s": 5.0,
    "comfort_after_s": 0.6,
    "first_audio_s": 1.5,
    "turn_gap_s": 1.0,
    "turn_complete_s": 5.0,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 800,
    "twilio_silence_s": 2.0,
    "model_silence_s": 4.0,
    "model_probe_s": 1.0,
    "farewell_s": 3.0,
    "drain_s": 5.0,
    "vad_silence_ms": 300,
}
# The usual limit, although everything else is scaled down.
DEAD_AIR_MS = 4_000
WORDS = voices.caller("number")[:14_000]
LEGAL = {(row.source.value, row.dest.value) for row in TABLE}


@dataclass(frozen=True)
class Fate:
    """What became of one call."""

    number: int
    told: tuple[str, ...]
    outcomes: tuple[str, ...]  # and their reasons, one for each stream that was admitted
    breaches: tuple[str, ...]  # what must not happen; empty for a good call
    dead_air_ms: int
    frames_sent: int  # by the caller, while a stream was up
    frames_heard: int  # by the model, over all sessions
    dropped_ms: int  # what callbot says it dropped
    recoveries_ms: tuple[int, ...]
    sessions: int


@dataclass
class Tally:
    """All calls of a run."""

    fates: list[Fate] = field(default_factory=list)
    took_s: float = 0.0
    left: list[str] = field(default_factory=list)

    @property
    def breaches(self) -> list[str]:
        """Everything that must not happen, over the whole run."""
        return [
            f"call {fate.number} ({', '.join(fate.told)}): {what}" for fate in self.fates for what in fate.breaches
        ] + self.left


async def converse(line: Line, trouble: Trouble) -> None:
    """A caller who speaks, waits for an answer but not for ever, and hangs up."""
    for _ in range(trouble.exchanges):
        await _wait_for_voice(line)
        if trouble.barges_in:
            await line.silence(200)
        else:
            await _wait_for_quiet(line)
        await line.speak(WORDS)
    await _wait_for_voice(line)
    await line.silence(300)
    await line.hang_up(trouble.hang_up)


async def _wait_for_voice(line: Line) -> None:
    try:
        await line.wait_until_bot_speaks(8.0)
    except WaitTimeoutError:
        return


async def _wait_for_quiet(line: Line) -> None:
    try:
        await line.wait_until_bot_quiet(240, 8.0)
    except WaitTimeoutError:
        return


async def one_call(number: int, seed: int) -> Fate:
    """One call, from its dialling to its record."""
    trouble = draw_trouble(Random(f"{seed}/{number}"))
    carrier = {"say_ms_per_character": 2.0, "linger_s": 4.0, "max_call_s": 60.0, "setup_ms": (0, 50)}
    async with exchange(trouble.options, carrier=carrier, **SETTINGS) as line_up:

        async def script(line: Line) -> None:
            try:
                await converse(line, trouble)
            except CallEndedError:
                return

        report = await line_up.carrier.call(script, faults=trouble.twilio, line=trouble.line)
        await _until_closed(line_up)
    return _judge(number, trouble, line_up, report)


async def _until_closed(line_up: Exchange) -> None:
    """Streams that the caller's side has dropped are noticed within `twilio_silence_s`; then their calls end."""
    deadline_s = time.monotonic() + 15
    while len(line_up.log("call.summary")) < len(line_up.log("call.started")) and time.monotonic() < deadline_s:  # noqa: ASYNC110 - log lines are not announced
        await asyncio.sleep(0.05)


def _judge(number: int, trouble: Trouble, line_up: Exchange, report: CallReport) -> Fate:
    breaches = list(_breaches(line_up, report))
    dead_air_ms = 0 if trouble.half_open else dead_air(report)
    if dead_air_ms > DEAD_AIR_MS:
        breaches.append(f"{dead_air_ms} ms without a sound")
    summaries = line_up.log("call.summary")
    return Fate(
        number=number,
        told=trouble.told,
        outcomes=tuple(f"{summary['outcome']} ({summary['reason']})" for summary in summaries),
        breaches=tuple(breaches),
        dead_air_ms=dead_air_ms,
        frames_sent=sum(summary["frames_in"] for summary in summaries),
        frames_heard=sum(session.samples for session in line_up.standin.sessions) // 320,
        dropped_ms=sum(summary["caller_dropped_ms"] for summary in summaries),
        recoveries_ms=tuple(
            line["after_ms"]
            for line in line_up.log("call.state")
            if (line["from"], line["to"]) == ("reconnecting", "streaming")
        ),
        sessions=len(line_up.standin.sessions),
    )


def _breaches(line_up: Exchange, report: CallReport) -> list[str]:
    found = []
    streams = [line["stream_sid"] for line in line_up.log("call.started")]
    for stream in streams:
        moves = [(line["from"], line["to"]) for line in line_up.log("call.state") if line["stream_sid"] == stream]
        summaries = [line for line in line_up.log("call.summary") if line["stream_sid"] == stream]
        if len(summaries) != 1:
            found.append(f"{len(summaries)} summaries")
        if not moves or moves[-1] != ("draining", "closed"):
            found.append(f"ended after {moves[-1:]}")
        if any(move not in LEGAL for move in moves) or any(a[1] != b[0] for a, b in pairwise(moves)):
            found.append(f"illegal moves {moves}")
    found += [
        f"{line['event']} {line.get('child', '')} {line.get('error', '')}"
        for kind in ("child.crashed", "call.crashed")
        for line in line_up.log(kind)
    ]
    found += [f"to Twilio: {fault.kind}: {fault.explanation}" for fault in report.protocol_faults]
    # By callbot's socket, not by when a stand-in that was told to be deaf has read of its end.
    if any(session.overlapped_by_client for session in line_up.standin.sessions):
        found.append("a resume was tried while the old socket was open")
    if line_up.standin.connections_open:
        found.append(f"{line_up.standin.connections_open} model sessions left open")
    return found


def dead_air(report: CallReport) -> int:
    """The longest time in which neither side made a sound, while a stream was up."""
    speaking = [False] * len(report.audible)
    for utterance in report.utterances:
        for frame in range(int(utterance.start_s * 50), min(int(utterance.end_s * 50) + 1, len(speaking))):
            speaking[frame] = True
    up = [False] * len(report.audible)
    for stream in report.streams:
        if stream.started_s is not None:
            for frame in range(max(0, int(stream.started_s * 50)), min(int(stream.ended_s * 50), len(up))):
                up[frame] = True
    longest = silent = 0
    for sound, voice, is_up in zip(report.audible, speaking, up, strict=True):
        silent = 0 if sound or voice or not is_up else silent + 20
        longest = max(longest, silent)
    return longest


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def run(calls: int, seed: int, at_once: int) -> Tally:
    """Make the calls, some at once; the same seed draws the same faults."""
    tally = Tally()
    began_s = time.perf_counter()
    tasks, descriptors = len(asyncio.all_tasks()), _descriptors()
    places = asyncio.Semaphore(at_once)

    async def place(number: int) -> None:
        async with places:
            try:
                async with asyncio.timeout(120):
                    tally.fates.append(await one_call(number, seed))
            except TimeoutError:
                told = draw_trouble(Random(f"{seed}/{number}")).told
                tally.left.append(f"call {number} ({', '.join(told)}): did not end within 120 s")

    async with asyncio.TaskGroup() as group:
        for number in range(1, calls + 1):
            group.create_task(place(number))
    tally.took_s = time.perf_counter() - began_s
    for _ in range(2):
        gc.collect()  # google-genai's clients, one for each exchange here, close themselves in tasks when they are collected
        await asyncio.sleep(0.2)  # and transports close in the loop's next turns
    if (now := len(asyncio.all_tasks())) > tasks:
        tally.left.append(f"{now - tasks} tasks are left: {[str(task.get_coro()) for task in asyncio.all_tasks()][:9]}")
    if (now := _descriptors()) > descriptors:
        tally.left.append(f"{now - descriptors} descriptors are left")
    if kept := [thing for thing in gc.get_objects() if isinstance(thing, CallActor)]:
        tally.left.append(f"{len(kept)} calls are left in memory")
    return tally


def quantile(values: Sequence[float], share: float) -> float:
    """The value at `share` of the sorted values; 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def describe(tally: Tally) -> str:
    """The figures, for a person."""
    fates = tally.fates
    recoveries = [ms for fate in fates for ms in fate.recoveries_ms]
    sent, heard = sum(fate.frames_sent for fate in fates), sum(fate.frames_heard for fate in fates)
    kept = [100 * min(1.0, fate.frames_heard / fate.frames_sent) for fate in fates if fate.frames_sent >= 50]
    outcomes = Counter(outcome for fate in fates for outcome in fate.outcomes)
    silences = [fate.dead_air_ms for fate in fates]
    streams, sessions = sum(len(fate.outcomes) for fate in fates), sum(fate.sessions for fate in fates)
    faults = sum(len(fate.told) for fate in fates)
    dropped_ms = sum(fate.dropped_ms for fate in fates)

    def spread(values: Sequence[int]) -> str:
        return f"p50 {quantile(values, 0.5):.0f} ms, p95 {quantile(values, 0.95):.0f} ms, worst {max(values, default=0)} ms"

    kept_text = f"p50 {quantile(kept, 0.5):.1f} %, p5 {quantile(kept, 0.05):.1f} %"
    lines = [
        f"{len(fates)} calls in {tally.took_s:.0f} s, {streams} streams, {sessions} model sessions, {faults} faults",
        f"outcomes: {', '.join(f'{name} {count}' for name, count in outcomes.most_common())}",
        f"caller's frames: {sent} to callbot, {heard} to the model ({100 * heard / max(1, sent):.2f} %)",
        f"frames kept per call: {kept_text}; dropped on purpose: {dropped_ms} ms",
        f"time to recover: {len(recoveries)} times, {spread(recoveries)}",
        f"dead air: {spread(silences)} (limit {DEAD_AIR_MS})",
        f"breaches: {len(tally.breaches) or 'none'}",
    ]
    return "\n".join([*lines, *(f"  - {breach}" for breach in tally.breaches[:40])])


def _in_virtual_time[T](work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def main() -> int:
    """Run, print, and fail when anything happened that must not."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--only", type=int, help="this call of the seed alone")
    chosen = parser.parse_args()
    if chosen.only is not None:
        fate = _in_virtual_time(one_call(chosen.only, chosen.seed))
        print(fate)
        return 1 if fate.breaches else 0
    tally = _in_virtual_time(run(chosen.calls, chosen.seed, chosen.at_once))
    print(describe(tally))
    return 1 if tally.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
