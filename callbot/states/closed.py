"""Closed: everything released, one summary written. Final: nothing that comes after has an effect."""

from callbot.effects import Report
from callbot.messages.call import CallMessage
from callbot.messages.terms import Outcome
from callbot.states.record import CallRecord, Step


def enter(before: CallRecord, record: CallRecord, event: CallMessage) -> Step:  # noqa: ARG001 - every state's `enter` has this shape
    """Write the summary."""
    end = record.end
    return Step(record, (Report(Outcome.FAILED if end is None else end.outcome, "" if end is None else end.reason),))


def on_event(before: CallRecord, record: CallRecord, event: CallMessage) -> Step | None:  # noqa: ARG001 - one shape for all
    """Everything is late here."""
    return Step(record)
