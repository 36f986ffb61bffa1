"""Whether the caller waits to hear something, for how long, and when there was last a comfort sound."""

from dataclasses import dataclass, replace

from callbot.messages.call import CallMessage, TimerFired
from callbot.messages.terms import Timer


@dataclass(frozen=True, slots=True)
class NotWaiting:
    """The caller speaks, hears words, or waits for nothing."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The caller waits since `since_s`, whatever is tried and fails meanwhile; a comfort sound came at `sounded_s`."""

    since_s: float
    sounded_s: float


type Wait = NotWaiting | Waiting


def advance(wait: Wait, event: CallMessage | None, *, waits: bool, at_s: float) -> Wait:
    """What the event makes of it; `waits` says whether there is anything to wait for after it."""
    if not waits:
        return NotWaiting()
    match event, wait:
        case _, NotWaiting():
            return Waiting(at_s, at_s)
        case TimerFired(timer=Timer.COMFORT, at_s=fired_s), Waiting():
            return replace(wait, sounded_s=fired_s)
        case _:
            return wait
