"""Closed: everything released, one summary written. Final: nothing that comes after has an effect."""

from callbot.effects import Report, StopTimer
from callbot.messages import CallMessage, Timer
from callbot.states.record import CallRecord, Step


def enter(record: CallRecord, event: CallMessage) -> Step:  # noqa: ARG001 - every state's `enter` has this shape
    """Write the summary."""
    return Step(record, (StopTimer(Timer.DRAIN), StopTimer(Timer.FAREWELL), Report(record.outcome, record.reason)))


def on_event(record: CallRecord, event: CallMessage) -> Step | None:  # noqa: ARG001 - every state's `on_event` has this shape
    """Everything is late here."""
    return Step(record)
