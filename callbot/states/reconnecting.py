"""Reconnecting: no model session; the caller's audio is kept with an age cap, oldest dropped first.

Entered with a session that is gone (`SessionLost`) or one that was told to close (a move, a watchdog); the next session is
opened only when the old one is gone. Left for Streaming when a session is ready, for Draining when nothing is left to try.
"""

from callbot.effects import Effect, StartTimer, StopTimer
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


def enter(record: CallRecord, event: CallMessage) -> Step:
    """Stop what watches a session; go down the ladder, or wait for the old session's end."""
    timers: tuple[Effect, ...] = (
        *(StopTimer(name) for name in (Timer.FIRST_AUDIO, Timer.TURN_GAP, Timer.TURN_COMPLETE, Timer.MOVE, Timer.ROTATE)),
        StartTimer(Timer.UNREACHABLE, record.limits.unreachable_s),
    )
    record, waiting = common.await_sound(record)
    timers += waiting
    owed = record.answer_due or record.generating
    record = record.but(answer_due=owed, spoke_in_gap=False, generating=False, completion_due=False, tools=frozenset())
    record = record.but(lost_s=getattr(event, "at_s", record.lost_s))
    if record.session is Session.CLOSING:
        return Step(record, timers)
    step = _next(record, event) if isinstance(event, SessionLost) else None
    if step is None:  # the session crashed: its loss was put together in Streaming
        record, opening = ladder.reopen(record, record.after_close)
        step = Step(record, opening)
    return Step(step.record, timers + step.effects, step.trigger, step.reason)


def on_event(record: CallRecord, event: CallMessage) -> Step | None:
    """Answer one event; None when it has no meaning here."""
    match event:
        case StreamStarted():
            return None
        case SessionReady(session_no=session_no, at_s=at_s):
            if session_no != record.session_no or record.session is not Session.OPENING:
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
            return common.give_up(record, Reason.MODEL_UNREACHABLE)
        case TimerFired(name=Timer.COMFORT):
            return Step(record, common.comfort(record))
        case _:
            return common.endings(record, event) or common.bookkeeping(record, event)


def _lost(record: CallRecord, lost: SessionLost) -> Step:
    if lost.session_no != record.session_no:
        return Step(record)
    if record.session is Session.CLOSING:
        return Step(*ladder.reopen(record, record.after_close))
    return _next(record, lost)


def _next(record: CallRecord, lost: SessionLost) -> Step:
    rung = ladder.next_rung(record, lost)
    if rung is None:
        return common.give_up(record.but(session=Session.NONE), lost.cause)
    return Step(*rung)
