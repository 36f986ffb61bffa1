"""A call as it happens: one aligned line on the terminal for every event that a person wants to know of.

It is fed the log's events. What it does not know it passes over, and an event with fields missing is told without them: the
onlooker never breaks the call.
"""

from typing import Any, Final, Self

from rich.console import Console
from rich.text import Text

from callbot.telemetry.timeline import Event, number, text

STATE_STYLES: Final = {
    "connecting": "yellow",
    "streaming": "green",
    "reconnecting": "red",
    "draining": "blue",
    "closed": "bright_black",
}
"""The colour of each state on a terminal; the picture uses the same hues."""

MARK: Final = 6  # characters of a CallSid, its last: two calls of an hour have the same in one case of 16 million
STATE_WIDTH: Final = max(len(name) for name in STATE_STYLES)
_WARNINGS: Final = frozenset({"session.lost", "stream.fault", "child.crashed"})

# What others tell better: a turn's by when it was heard, the counters' by the summary.
_NOT_TOLD: Final = frozenset({"turn.started", "turn.speaking", "turn.ended", "call.progress"})

_PLANS: Final = {"new": "a new session", "resume": "resuming the session", "history": "a new session that is told the history"}
_DECISIONS: Final = {
    "resume": "resume it",
    "resume_without_replay": "resume it, without what the caller said since",
    "fresh": "start anew and tell it the history",
    "wait": "try again later",
    "give_up": "give up",
}


class LiveCall:
    """Prints calls' events on `console` while they come; a context manager. Of `several` calls each line says whose it is."""

    def __init__(self, console: Console, *, several: bool = False) -> None:
        self._console = console
        self._several = several

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def feed(self, event: dict[str, Any]) -> None:
        """Print the line of one log event, if it has one."""
        told = tell(event)
        t_ms = number(event, "t_ms")
        if told is None or t_ms is None:
            return
        name, state = text(event, "message"), text(event, "state")
        line = Text(f"{t_ms / 1000:7.2f} s  ")
        if self._several:
            line = Text.assemble((f"{text(event, 'call_sid')[-MARK:]}  ", "bright_black"), line)
        line.append(f"{state:<{STATE_WIDTH}}", style=STATE_STYLES.get(state, ""))
        line.append("  ")
        line.append(told, style="bold" if name in _WARNINGS else "")
        self._console.print(line, soft_wrap=True)


def is_told(name: str) -> bool:
    """Whether an event of this name may be of interest to an onlooker."""
    return name not in _NOT_TOLD


def tell(event: Event) -> str | None:
    """What an event says, in words; None for one that is of no interest to an onlooker."""
    name = text(event, "message")
    if name.startswith(("turn.", "barge_in", "caller.", "transcript", "tool.")):
        return _of_conversation(name, event)
    if name.startswith("session."):
        return _of_session(name, event)
    match name:
        case "call.started":
            caller = text(event, "caller")
            return f"the caller is connected ({caller})" if caller else "the caller is connected"
        case "call.state":
            return f"{text(event, 'from')} -> {text(event, 'to')}{_because(event, 'reason')}"
        case "stream.fault":
            return f"something on the wire that should not be there: {text(event, 'fault')}"
        case "child.crashed":
            return f"{text(event, 'child')} has crashed: {text(event, 'error')}"
        case "call.summary":
            return f"the call is over: {text(event, 'outcome')}{_because(event, 'reason')}"
        case _:
            return None


def _of_conversation(name: str, event: Event) -> str | None:
    index = number(event, "turn")
    turn = "" if index is None else f" (turn {index:.0f})"
    match name:
        case "turn.heard":
            latency_ms = number(event, "latency_ms")
            after = "" if latency_ms is None else f", {latency_ms:.0f} ms after the caller's last word"
            return f"the bot is heard{turn}{after}"
        case "turn.ended" if event.get("interrupted") is not True:
            return f"the bot has finished{turn}: {seconds(number(event, 'heard_ms'))} were heard"
        case "barge_in":
            return f"the caller speaks over the bot{turn}: {seconds(number(event, 'unheard_ms'))} of its answer dropped"
        case "caller.speech":
            return f"the caller has spoken for {seconds(number(event, 'speech_ms'))}"
        case "caller.dtmf":
            return f"the caller presses {text(event, 'digit') or 'a key'}"
        case "transcript":
            return f"{text(event, 'role')}: {text(event, 'text', 2_000)}"
        case "tool.called":
            return f"the model calls the tool {text(event, 'tool')}"
        case _:
            return None


def _of_session(name: str, event: Event) -> str | None:
    match name:
        case "session.opening":
            plan = text(event, "plan")
            after_ms = number(event, "after_ms")
            wait = f", after {seconds(after_ms)}" if after_ms else ""
            return f"calling the model: {_PLANS.get(plan, plan)}{wait}"
        case "session.ready":
            setup_ms = number(event, "setup_ms")
            return "the model session is ready" + ("" if setup_ms is None else f" after {setup_ms:.0f} ms")
        case "session.lost":
            decision = text(event, "decision")
            detail = text(event, "detail", 300)
            why = f" [{detail}]" if detail else ""
            return f"the link to the model is lost{_because(event, 'cause')}: {_DECISIONS.get(decision, decision)}{why}"
        case "session.go_away":
            left_s = number(event, "time_left_s")
            return "the model will close the session" + ("" if left_s is None else f" in {left_s:.0f} s")
        case "session.closed":
            return "the model session is closed"
        case _:
            return None


def seconds(value_ms: float | None) -> str:
    """A length of time as people say it."""
    return "an unknown time" if value_ms is None else f"{value_ms / 1000:.1f} s"


def _because(event: Event, key: str) -> str:
    reason = text(event, key)
    return f" ({reason})" if reason else ""
