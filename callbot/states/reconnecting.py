"""Reconnecting: no model session; the caller's audio is kept with an age cap, oldest dropped first.

Entered with a session that is gone (`SessionLost`) or one that was told to close (a move, a watchdog); the next session is
opened only when the old one is gone. Left for Streaming when a session is ready, for Draining when nothing is left to try.
"""

from callbot.messages.call import CallMessage, ChildExited, StreamStarted
from callbot.messages.session import SessionLost
from callbot.messages.terms import Reason
from callbot.states import without_session
from callbot.states.record import CallRecord, Step
from callbot.states.regions.session import Closing


def enter(before: CallRecord, record: CallRecord, event: CallMessage) -> Step:
    """Go down the ladder, or wait for the old session's end."""
    if isinstance(record.session, Closing) or not isinstance(event, SessionLost | ChildExited):
        return Step(record)
    return without_session.lost(before, record, event, _patience_until_s(record))


def on_event(before: CallRecord, record: CallRecord, event: CallMessage) -> Step | None:
    """Answer one event; None when it has no meaning here."""
    if isinstance(event, StreamStarted):
        return None
    return without_session.on_event(before, record, event, Reason.MODEL_UNREACHABLE, _patience_until_s(record))


def _patience_until_s(record: CallRecord) -> float:
    return record.entered_s + record.limits.unreachable_s
