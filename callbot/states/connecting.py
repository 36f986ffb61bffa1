"""Connecting: the stream has started, the model session is opening, the caller's audio is kept.

Left for Streaming when the session is ready, for Draining when the ladder or the time is used up or the caller goes.
"""

from dataclasses import replace

from callbot.messages.call import CallMessage, StreamStarted
from callbot.messages.terms import Child, Reason
from callbot.states import ladder, without_session
from callbot.states.record import CallRecord, Step, notice_wait
from callbot.states.regions.idle import Idle
from callbot.states.regions.session import NoSession

# Children that a call starts with; GeminiSession joins with the first OpenSession.
_FIRST_CHILDREN = frozenset({Child.TWILIO_IO, Child.TRANSCODER, Child.HEARTBEAT})


def on_event(before: CallRecord, record: CallRecord, event: CallMessage) -> Step | None:
    """Answer one event; None when it has no meaning here."""
    if isinstance(event, StreamStarted):
        return _begin(record, event) if not before.children else None
    patience_until_s = record.entered_s + record.limits.greeting_timeout_s
    return without_session.on_event(before, record, event, Reason.GREETING_TIME_OUT, patience_until_s)


def _begin(record: CallRecord, event: StreamStarted) -> Step:
    at_s = event.at_s
    record = replace(record, children=_FIRST_CHILDREN, began_s=at_s, entered_s=at_s, idle=Idle(at_s), session=NoSession())
    return Step(*ladder.first(notice_wait(record, event)))
