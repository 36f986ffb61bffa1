"""Connecting: the stream has started, the model session is opening, the caller's audio is kept.

Left for Streaming when the session is ready, for Draining when the ladder or the time is used up or the caller goes.
"""

from callbot.effects import StartTimer
from callbot.messages import (
    CallMessage,
    Child,
    ChildExited,
    Decision,
    Reason,
    SessionLost,
    SessionReady,
    StreamStarted,
    Timer,
    TimerFired,
)
from callbot.states import common, ladder
from callbot.states.record import CallRecord, Session, Step, Trigger

# Children that a call starts with; GeminiSession joins with the first OpenSession.
_FIRST_CHILDREN = frozenset({Child.TWILIO_IO, Child.TRANSCODER, Child.HEARTBEAT})


def on_event(record: CallRecord, event: CallMessage) -> Step | None:
    """Answer one event; None when it has no meaning here."""
    match event:
        case StreamStarted() if record.session_no == 0:
            return _begin(record)
        case StreamStarted():
            return None
        case SessionReady(session_no=session_no, at_s=at_s):
            if session_no != record.session_no:
                return Step(record)
            record = record.but(session=Session.OPEN, opening_failures=0, ready_s=at_s)
            return Step(record, trigger=Trigger.READY, reason=Reason.SESSION_READY)
        case SessionLost():
            return _lost(record, event)
        case ChildExited(child=Child.GEMINI_SESSION):
            crash = common.crashed_session(record, event)
            if crash is None:
                return Step(record)
            if crash.decision is Decision.GIVE_UP:
                return common.give_up(record.but(session=Session.NONE), crash.cause)
            return _lost(record.but(restarts=record.restarts + 1), crash)
        case TimerFired(name=Timer.UNREACHABLE):
            return common.give_up(record, Reason.GREETING_TIME_OUT)
        case TimerFired(name=Timer.COMFORT):
            return Step(record, common.comfort(record))
        case _:
            return common.endings(record, event) or common.bookkeeping(record, event)


def _begin(record: CallRecord) -> Step:
    limits = record.limits
    timers = (
        StartTimer(Timer.MAX_CALL, limits.max_call_s),
        StartTimer(Timer.UNREACHABLE, limits.greeting_timeout_s),
    )
    record, waiting = common.await_sound(record.but(children=_FIRST_CHILDREN))
    record, opening = ladder.first(record)
    return Step(record, timers + waiting + opening)


def _lost(record: CallRecord, lost: SessionLost) -> Step:
    if lost.session_no != record.session_no:
        return Step(record)
    rung = ladder.next_rung(record, lost)
    if rung is None:
        return common.give_up(record.but(session=Session.NONE), lost.cause)
    return Step(*rung)
