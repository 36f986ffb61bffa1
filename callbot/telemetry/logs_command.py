"""`callbot logs`: which calls of a log are wanted, and how they are shown."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from rich.console import Console
from rich.text import Text

from callbot.telemetry.live import LiveCall
from callbot.telemetry.log_file import LogFile
from callbot.telemetry.story import SID_SHOWN, print_call, print_overview
from callbot.telemetry.timeline import Call, calls_of, text

SHOWN, MISUSED = 0, 2  # exit codes, as `cli` has them
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which calls to show. `since` is an RFC 3339 time in UTC, as the log's; "" is no limit, `last` 0 is all."""

    call: str = ""
    since: str = ""
    failed: bool = False
    last: int = 0

    @classmethod
    def of(cls, *, call: str | None, since: str | None, failed: bool, last: int | None, now: datetime | None = None) -> Self:
        """From the words of a command line; raises ValueError with a sentence."""
        if last is not None and last < 1:
            raise ValueError("--last takes a number of calls, 1 or more.")
        return cls(call or "", _begin(since, now or datetime.now(UTC)) if since else "", failed, last or 0)

    def of_calls(self, calls: list[Call]) -> list[Call]:
        """The calls that are wanted, in their order."""
        chosen = [call for call in calls if call.call_sid.startswith(self.call) and self._in_time(call.began)]
        if self.failed:
            chosen = [call for call in chosen if call.failed]
        return chosen[-self.last :] if self.last else chosen

    def takes(self, event: dict[str, Any]) -> bool:
        """Whether an event may belong to a wanted call, as far as one line tells."""
        return text(event, "call_sid").startswith(self.call) and self._in_time(text(event, "time"))

    def _in_time(self, moment: str) -> bool:
        return moment[:19] >= self.since[:19]


def _begin(since: str, now: datetime) -> str:
    if ago := re.fullmatch(r"(\d{1,6})\s*([smhd])", since.strip()):
        moment = now - timedelta(seconds=int(ago[1]) * _UNITS_S[ago[2]])
    else:
        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            raise ValueError("--since takes a time ago, as 30m, 2h or 1d, or a moment, as 2026-11-27T10:00 (UTC).") from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def show_logs(file: str, wanted: Wanted, console: Console) -> int:
    """Print the wanted calls of `file` ("-" is standard input): one in full, of several a line each; returns the exit code."""
    log = LogFile(file)
    name = "standard input" if file == "-" else file
    try:
        calls = calls_of(log.events())
    except OSError as error:
        return _misused(f"{file} cannot be read ({error.strerror}).")
    if log.failure:
        sys.stderr.write(f"callbot: {name}: {log.failure}; what was before it is shown.\n")
    if log.bad_lines:
        lines = "1 line is" if log.bad_lines == 1 else f"{log.bad_lines} lines are"
        sys.stderr.write(f"callbot: {lines} no JSON object and left out.\n")
    if not calls:
        return _misused(f"there is no call in {name}; it takes the JSON log of `callbot serve` (LOG_FORMAT=json).")
    chosen = wanted.of_calls(calls)
    if not chosen:
        if wanted == Wanted(call=wanted.call):
            return _misused(f"no call in {name} has a CallSid that begins with {wanted.call}; without --call all are listed.")
        console.print(f"None of the {len(calls)} calls in {name} is wanted by these options.", soft_wrap=True, markup=False)
        return SHOWN
    if len({call.call_sid for call in chosen}) > 1:
        print_overview(console, chosen)
        console.print()
        hint = f"{len(chosen)} calls; for the story of one of them add --call {chosen[0].call_sid[:SID_SHOWN]}"
        console.print(Text(hint, style="dim"), soft_wrap=True)
        return SHOWN
    for index, call in enumerate(chosen):  # one call can have several streams
        if index:
            console.print()
        print_call(console, call)
    return SHOWN


def follow_logs(file: str, wanted: Wanted, console: Console) -> int:
    """Print events of wanted calls as they come, until interrupted; returns the exit code."""
    try:
        with LiveCall(console, several=True) as live:
            for event in _wanted_events(LogFile(file).follow(), wanted):
                live.feed(event)
    except OSError as error:
        return _misused(f"{file} cannot be read ({error.strerror}).")
    except KeyboardInterrupt:
        pass
    return SHOWN


def _wanted_events(events: Iterator[dict[str, Any]], wanted: Wanted) -> Iterator[dict[str, Any]]:
    return (event for event in events if wanted.takes(event))


def _misused(sentence: str) -> int:
    sys.stderr.write(f"callbot: {sentence}\n")
    return MISUSED
