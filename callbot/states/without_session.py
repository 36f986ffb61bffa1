"""What Connecting and Reconnecting do alike: wait for a session, and try the next one when it is lost."""

from callbot.messages.call import CallMessage, ChildExited, TimerFired
from callbot.messages.session import SessionLost, SessionReady
from callbot.messages.terms import Child, Decision, Reason, Timer
from callbot.states import common, ladder
from callbot.states.record import CallRecord, Step, Trigger
from callbot.states.regions.session import Closing, Open, Opening


def on_event(before: CallRecord, record: CallRecord, event: CallMessage, time_out: Reason, patience_until_s: float) -> Step:
    """Answer one event; `time_out` is the reason when no session is ready by `patience_until_s`."""
    match event:
        case SessionReady():
            if isinstance(before.session, Opening) and isinstance(record.session, Open):
                return Step(record, trigger=Trigger.READY, reason=Reason.SESSION_READY)
            return Step(record)
        case SessionLost():
            return lost(before, record, event, patience_until_s)
        case ChildExited(child=Child.GEMINI_SESSION):
            return lost(before, record, event, patience_until_s)
        case TimerFired(timer=Timer.UNREACHABLE):
            return common.give_up(record, time_out)
        case _:
            return common.everywhere(record, event)


def lost(before: CallRecord, record: CallRecord, event: SessionLost | ChildExited, patience_until_s: float) -> Step:
    """Open the next session after this loss, or give up."""
    loss = common.loss_of(record, before.session, event)
    if loss is None:
        return Step(record)
    if isinstance(event, ChildExited) and loss.decision is Decision.GIVE_UP:
        return common.give_up(record, loss.cause)
    record = common.count_crash(record, event)
    if isinstance(before.session, Closing):
        rung = ladder.reopen(record, before.session.then, patience_until_s=patience_until_s)
    else:
        rung = ladder.next_rung(record, loss, before.session, patience_until_s=patience_until_s)
    if rung is None:
        return common.give_up(record, Reason.MODEL_UNREACHABLE if isinstance(before.session, Closing) else loss.cause)
    return Step(*rung)
