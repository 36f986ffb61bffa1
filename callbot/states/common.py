"""What states answer alike: how a call ends, what an interruption drops, how keys, tools and comfort are handled."""

from dataclasses import replace

from callbot.conversation import ToolStatus
from callbot.effects import CancelTools, Effect, RestartChild, RunTool, Tell
from callbot.messages.call import CallerGone, CallMessage, ChildExited, DrainRequested, StreamSilent, TimerFired
from callbot.messages.children import ClearPlayback, DropTurns, PlayComfort
from callbot.messages.session import ModelInterrupted, SessionLost, ToolCalled, ToolsCancelled
from callbot.messages.terms import Child, Decision, Ending, Outcome, Reason, Timer
from callbot.states.record import CallRecord, End, Step, Trigger
from callbot.states.regions import session as sessions
from callbot.states.regions.goodbye import Due
from callbot.states.regions.session import Session


def end(record: CallRecord, reason: Reason, outcome: Outcome = Outcome.COMPLETED, ending: Ending = Ending.HANG_UP) -> Step:
    """Go to Draining."""
    return Step(replace(record, end=End(reason, outcome, ending)), trigger=Trigger.END, reason=reason)


def give_up(record: CallRecord, reason: str) -> Step:
    """No model is to be had: Draining, and words for the caller from TwiML."""
    ended = End(reason, Outcome.MODEL_UNREACHABLE, Ending.APOLOGISE)
    return Step(replace(record, end=ended), trigger=Trigger.GIVE_UP, reason=reason)


def _left_alone(record: CallRecord) -> Ending:
    """What follows a stream that the other end has ended: only `CallStatus` ends a call, unless the goodbye was due anyway."""
    return Ending.HANG_UP if isinstance(record.goodbye, Due) else Ending.CONTINUE


def _broken(record: CallRecord) -> Step:
    """The stream's socket has gone without Twilio's `stop`."""
    return end(record, Reason.STREAM_CLOSED, Outcome.BROKEN, _left_alone(record))


def endings(record: CallRecord, event: CallMessage) -> Step | None:
    """The events that end a stream in whatever state it is; None for all others."""
    match event:
        case CallerGone(how="stop"):
            # Twilio's word that the stream is over, not that the call is: the operator may have redirected it.
            return end(record, Reason.CALLER_HUNG_UP, ending=_left_alone(record))
        case CallerGone():
            return _broken(record)
        case StreamSilent():
            return end(record, Reason.STREAM_SILENT, Outcome.FAILED, Ending.CONTINUE)
        case DrainRequested():
            return end(record, Reason.INSTANCE_STOPPING, Outcome.MOVED, Ending.CONTINUE)
        case TimerFired(timer=Timer.MAX_CALL):
            return end(record, Reason.CALL_LIMIT)
        case TimerFired(timer=Timer.IDLE):
            return end(record, Reason.NOBODY_SPOKE)
        case TimerFired(timer=Timer.GOODBYE):
            return end(record, getattr(record.goodbye, "reason", Reason.BOT_SAID_GOODBYE))
        case TimerFired(timer=Timer.TROUBLE):
            return give_up(record, Reason.MODEL_UNREACHABLE)
        case ChildExited(child=Child.TWILIO_IO, error=error):
            record = replace(record, children=record.children - {Child.TWILIO_IO})
            if error is None:
                return _broken(record)
            return end(record, Reason.TWILIO_IO_CRASHED, Outcome.FAILED, Ending.CONTINUE)
        case ChildExited(child=Child.TRANSCODER):
            record = replace(record, children=record.children - {Child.TRANSCODER})
            return end(record, Reason.TRANSCODER_CRASHED, Outcome.FAILED, Ending.CONTINUE)
        case ChildExited(child=Child.HEARTBEAT):
            if record.restarts >= record.limits.max_restarts:
                record = replace(record, children=record.children - {Child.HEARTBEAT})
                return end(record, Reason.HEARTBEAT_CRASHED, Outcome.FAILED, Ending.CONTINUE)
            return Step(replace(record, restarts=record.restarts + 1), (RestartChild(Child.HEARTBEAT),))
        case _:
            return None


def everywhere(record: CallRecord, event: CallMessage) -> Step:
    """What every state before Draining does alike, where it has nothing of its own to do."""
    if (ending := endings(record, event)) is not None:
        return ending
    match event:
        case ModelInterrupted(turn=turn):
            return Step(record, drop_turns(turn))
        case TimerFired(timer=Timer.COMFORT):
            return Step(record, (Tell(PlayComfort()),))
        case ToolsCancelled(call_ids=call_ids):
            return Step(record, (CancelTools(call_ids),))
        case _:
            return Step(record)


def loss_of(record: CallRecord, before: Session, event: SessionLost | ChildExited) -> SessionLost | None:
    """The loss of the session that was there before; None for news of an earlier one.

    A session says `SessionLost` before it ends; one that ends without a word has crashed.
    """
    if not sessions.is_of(before, event.session_no):
        return None
    if isinstance(event, SessionLost):
        return event
    return SessionLost(
        session_no=event.session_no,
        decision=Decision.RESUME if record.restarts < record.limits.max_restarts else Decision.GIVE_UP,
        cause=Reason.SESSION_CRASHED,
        code=None,
        detail=event.error or "",
        at_s=event.at_s,
    )


def count_crash(record: CallRecord, event: SessionLost | ChildExited) -> CallRecord:
    """The record with one crash more, where the event is one."""
    return replace(record, restarts=record.restarts + 1) if isinstance(event, ChildExited) else record


def drop_turns(through_turn: int) -> tuple[Effect, ...]:
    """Everything unheard goes, everywhere: the converter's state, our queue, Twilio's buffer."""
    return (Tell(DropTurns(through_turn)), Tell(ClearPlayback(through_turn)))


def run_tool(record: CallRecord, event: ToolCalled) -> Step:
    """Run a tool that the present session has called."""
    entry = record.conversation.tool(event.call_id)
    if entry is None or entry.session_no != event.session_no or entry.status is not ToolStatus.RUNNING:
        return Step(record)
    return Step(record, (RunTool(event),))
