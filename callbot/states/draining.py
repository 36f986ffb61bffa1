"""Draining: nothing new starts. What the caller should still hear plays out, children stop, then the call is closed.

Two limits end it whatever happens: `farewell` for the playout, `drain` for the children.
"""

from dataclasses import replace

from callbot.effects import CancelChildren, Effect, RecordEnding, StopChildren, Tell
from callbot.messages.call import CallerGone, CallMessage, ChildExited, PlayoutEmpty, StreamSilent, StreamStarted, TimerFired
from callbot.messages.children import CloseSession, CloseStream
from callbot.messages.session import ModelInterrupted, SessionReady
from callbot.messages.terms import Child, Ending, Outcome, Reason, Timer
from callbot.states import common
from callbot.states.record import CallRecord, End, Step, Trigger
from callbot.states.regions.floor import Nobody
from callbot.states.regions.playback import Silent
from callbot.states.regions.session import NoSession
from callbot.states.regions.turn import is_generating

_NORMAL, _GOING_AWAY = 1000, 1001  # RFC 6455 section 7.4.1


def enter(before: CallRecord, record: CallRecord, event: CallMessage) -> Step:  # noqa: ARG001 - every state's `enter` has this shape
    """Record how the stream ends before it can end; close the session; let the rest play out."""
    end = _end(record)
    effects: list[Effect] = [RecordEnding(end.ending)]
    children = record.children - {Child.GEMINI_SESSION}
    if not isinstance(record.session, NoSession):
        children |= {Child.GEMINI_SESSION}
        effects.append(Tell(CloseSession()))
    nobody_listens = isinstance(event, CallerGone | StreamSilent) or Child.TWILIO_IO not in children
    conversation = replace(
        record.conversation,
        ending=end.ending,
        outcome=end.outcome,
        reason=end.reason,
        # Whoever was speaking when the stream went is owed the rest: the caller an answer, the bot to be heard.
        answer_due=not isinstance(record.floor, Nobody)
        or is_generating(record.turn)
        or (nobody_listens and not isinstance(record.playback, Silent)),
        handle=record.conversation.handle if end.ending is Ending.CONTINUE else None,  # a secret: kept as long as it is of use
    )
    record = replace(record, children=children, session=NoSession(), conversation=conversation)
    if nobody_listens or isinstance(record.playback, Silent):
        finish = _finish(record)
        return Step(finish.record, (*effects, *finish.effects), finish.trigger, finish.reason)
    return Step(record, tuple(effects))


def on_event(before: CallRecord, record: CallRecord, event: CallMessage) -> Step | None:  # noqa: ARG001 - one shape for all
    """Answer one event; None when it has no meaning here."""
    match event:
        case StreamStarted():
            return None
        case PlayoutEmpty() | TimerFired(timer=Timer.FAREWELL) | CallerGone() | StreamSilent():
            return Step(record) if record.finishing else _finish(record)
        case ModelInterrupted(turn=turn):  # the caller spoke over the last words, just before the session closed
            return Step(record, common.drop_turns(turn))
        case SessionReady():
            return Step(record, (Tell(CloseSession()),))
        case ChildExited(child=Child.GEMINI_SESSION, session_no=session_no) if session_no != record.session_no:
            return Step(record)
        case ChildExited(child=child):
            record = replace(record, children=record.children - {child})
            if child is Child.TWILIO_IO and not record.finishing:
                return _finish(record)
            return _done_if_alone(record, ())
        case TimerFired(timer=Timer.DRAIN):
            return Step(record, (CancelChildren(),), Trigger.DRAINED, Reason.DRAIN_TIME_OUT)
        case _:
            return Step(record)


def _end(record: CallRecord) -> End:
    if record.end is None:
        raise AssertionError("a call drains only once its end is known")
    return record.end


def _finish(record: CallRecord) -> Step:
    end = _end(record)
    code = _NORMAL if end.outcome is Outcome.COMPLETED else _GOING_AWAY
    return _done_if_alone(replace(record, finishing=True), (Tell(CloseStream(code, end.reason)), StopChildren()))


def _done_if_alone(record: CallRecord, effects: tuple[Effect, ...]) -> Step:
    if record.children:
        return Step(record, effects)
    return Step(record, effects, Trigger.DRAINED, Reason.ALL_ENDED)
