"""Draining: nothing new starts. What the caller should still hear plays out, children stop, then the call is closed.

Two limits end it whatever happens: `farewell` for the playout, `drain` for the children.
"""

from callbot.effects import CancelChildren, Effect, RecordEnding, StartTimer, StopChildren, StopTimer, Tell
from callbot.messages import (
    CallerGone,
    CallMessage,
    Child,
    ChildExited,
    CloseSession,
    CloseStream,
    Decision,
    ModelInterrupted,
    Outcome,
    PlayoutEmpty,
    Reason,
    SessionReady,
    StreamSilent,
    StreamStarted,
    Timer,
    TimerFired,
)
from callbot.states import common
from callbot.states.record import CallRecord, Session, Step, Trigger

_TIMERS = (
    Timer.MAX_CALL,
    Timer.IDLE,
    Timer.GOODBYE,
    Timer.KEYS,
    Timer.UNREACHABLE,
    Timer.COMFORT,
    Timer.FIRST_AUDIO,
    Timer.TURN_GAP,
    Timer.TURN_COMPLETE,
    Timer.MOVE,
    Timer.ROTATE,
)
_NORMAL, _GOING_AWAY = 1000, 1001  # RFC 6455 section 7.4.1


def enter(record: CallRecord, event: CallMessage) -> Step:
    """Record how the stream ends before it can end; close the session; let the rest play out."""
    effects: list[Effect] = [StopTimer(name) for name in _TIMERS]
    effects += [RecordEnding(record.ending), StartTimer(Timer.DRAIN, record.limits.drain_s)]
    children = record.children - {Child.GEMINI_SESSION}
    if record.session is not Session.NONE:
        children |= {Child.GEMINI_SESSION}
        effects.append(Tell(CloseSession()))
    record = record.but(children=children, session=Session.NONE, handle=None, moving="", after_close=Decision.RESUME)
    nobody_listens = isinstance(event, CallerGone | StreamSilent) or Child.TWILIO_IO not in children
    if nobody_listens or not record.unheard:
        finish = _finish(record)
        return Step(finish.record, (*effects, *finish.effects), finish.trigger, finish.reason)
    effects.append(StartTimer(Timer.FAREWELL, record.limits.farewell_s))
    return Step(record, tuple(effects))


def on_event(record: CallRecord, event: CallMessage) -> Step | None:
    """Answer one event; None when it has no meaning here. Almost everything is late by now, and so of no matter."""
    match event:
        case StreamStarted():
            return None
        case PlayoutEmpty() | TimerFired(name=Timer.FAREWELL) | CallerGone() | StreamSilent():
            return Step(record) if record.finishing else _finish(record)
        case ModelInterrupted(turn=turn):  # the caller spoke over the last words, just before the session closed
            return Step(record, common.drop_turns(turn))
        case SessionReady():
            return Step(record, (Tell(CloseSession()),))
        case ChildExited(child=Child.GEMINI_SESSION, session_no=session_no) if session_no != record.session_no:
            return Step(record)
        case ChildExited(child=child):
            record = record.but(children=record.children - {child})
            if child is Child.TWILIO_IO and not record.finishing:
                return _finish(record)
            return _done_if_alone(record, ())
        case TimerFired(name=Timer.DRAIN):
            return Step(record, (CancelChildren(),), Trigger.DRAINED, Reason.DRAIN_TIME_OUT)
        case _:
            return Step(record)


def _finish(record: CallRecord) -> Step:
    code = _NORMAL if record.outcome is Outcome.COMPLETED else _GOING_AWAY
    record = record.but(finishing=True)
    return _done_if_alone(record, (StopTimer(Timer.FAREWELL), Tell(CloseStream(code, record.reason)), StopChildren()))


def _done_if_alone(record: CallRecord, effects: tuple[Effect, ...]) -> Step:
    if record.children:
        return Step(record, effects)
    return Step(record, effects, Trigger.DRAINED, Reason.ALL_ENDED)
