"""What Connecting, Streaming and Reconnecting answer alike: the ways a call ends, and the bookkeeping of who speaks."""

from callbot.effects import Effect, RestartChild, RunTool, StartTimer, StopTimer, Tell
from callbot.messages import (
    Beat,
    CallerGone,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    Child,
    ChildExited,
    ClearPlayback,
    Decision,
    DrainRequested,
    DropTurns,
    Ending,
    GoAway,
    HandleRenewed,
    KeyPressed,
    ModelInterrupted,
    ModelSilent,
    ModelUsage,
    Outcome,
    PlayComfort,
    PlayoutEmpty,
    PlayoutResumed,
    Reason,
    SessionLost,
    StreamFault,
    StreamSilent,
    Timer,
    TimerFired,
    ToolCalled,
    ToolFinished,
    ToolsCancelled,
    Transcribed,
    TurnAudible,
    TurnCompleted,
    TurnFirstHeard,
    TurnGenerated,
    TurnPlayed,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states.record import CallRecord, Session, Step, Trigger


def end(record: CallRecord, reason: str, *, outcome: Outcome = Outcome.COMPLETED, ending: Ending = Ending.HANG_UP) -> Step:
    """Go to Draining."""
    return Step(record.but(reason=reason, outcome=outcome, ending=ending), trigger=Trigger.END, reason=reason)


def give_up(record: CallRecord, reason: str) -> Step:
    """No model is to be had: Draining, and words for the caller from TwiML."""
    record = record.but(reason=reason, outcome=Outcome.MODEL_UNREACHABLE, ending=Ending.APOLOGISE)
    return Step(record, trigger=Trigger.GIVE_UP, reason=reason)


def endings(record: CallRecord, event: CallMessage) -> Step | None:
    """The events that end a call in whatever state it is; None for all others."""
    match event:
        case CallerGone(how=how):
            return end(record, Reason.CALLER_HUNG_UP if how == "stop" else Reason.STREAM_CLOSED)
        case StreamSilent():
            return end(record, Reason.STREAM_SILENT, outcome=Outcome.FAILED, ending=Ending.CONTINUE)
        case DrainRequested():
            return end(record, Reason.INSTANCE_STOPPING, outcome=Outcome.MOVED, ending=Ending.CONTINUE)
        case TimerFired(name=Timer.MAX_CALL):
            return end(record, Reason.CALL_LIMIT)
        case TimerFired(name=Timer.IDLE):
            return end(record, Reason.NOBODY_SPOKE)
        case TimerFired(name=Timer.GOODBYE):
            return end(record, Reason.BOT_SAID_GOODBYE)
        case ChildExited(child=Child.TWILIO_IO, error=error):
            record = record.but(children=record.children - {Child.TWILIO_IO})
            if error is None:
                return end(record, Reason.STREAM_CLOSED)
            return end(record, Reason.TWILIO_IO_CRASHED, outcome=Outcome.FAILED, ending=Ending.CONTINUE)
        case ChildExited(child=Child.TRANSCODER):
            record = record.but(children=record.children - {Child.TRANSCODER})
            return end(record, Reason.TRANSCODER_CRASHED, outcome=Outcome.FAILED, ending=Ending.CONTINUE)
        case ChildExited(child=Child.HEARTBEAT):
            if record.restarts >= record.limits.max_restarts:
                record = record.but(children=record.children - {Child.HEARTBEAT})
                return end(record, Reason.HEARTBEAT_CRASHED, outcome=Outcome.FAILED, ending=Ending.CONTINUE)
            return Step(record.but(restarts=record.restarts + 1), (RestartChild(Child.HEARTBEAT),))
        case _:
            return None


def crashed_session(record: CallRecord, event: ChildExited) -> SessionLost | None:
    """The loss that a session's unannounced end amounts to; None when that session was not ours any more.

    A session says `SessionLost` before it ends; one that ends without a word has crashed.
    """
    if event.session_no != record.session_no or record.session is Session.NONE:
        return None
    return SessionLost(
        session_no=event.session_no,
        decision=Decision.RESUME if record.restarts < record.limits.max_restarts else Decision.GIVE_UP,
        cause=Reason.SESSION_CRASHED,
        code=None,
        detail=event.error or "",
        at_s=event.at_s,
    )


def bookkeeping(record: CallRecord, event: CallMessage) -> Step | None:
    """What is only remembered, in every state before Draining; None for what this does not know."""
    match event:
        case HandleRenewed(session_no=session_no, handle=handle):
            if session_no != record.session_no:
                return Step(record)
            # Vertex calls every update resumable, in mid-answer too: what is resumed from there has lost the answer.
            kept = record.handle if record.generating or record.tools else handle
            record = record.but(handle=kept)
            if event.at_s - record.ready_s < record.limits.stable_s:
                return Step(record)  # one that hands out a handle and is gone again is no sign of health
            return Step(record.but(tries=0, opening_failures=0, bad_audio=0))
        case Transcribed():
            return Step(record.but(talked=True))
        case CallerSpoke():
            return Step(record.but(caller_speaking=True), (StartTimer(Timer.IDLE, record.limits.caller_silence_s),))
        case CallerPaused(ended_s=ended_s, speech_ms=speech_ms):
            record = record.but(caller_speaking=False)
            if speech_ms < record.limits.word_ms:
                return Step(record)
            # What was said before the loss went to the session that is gone: the next one answers what it hears itself.
            heard_next = (ended_s - record.lost_s) * 1000 >= record.limits.word_ms
            return Step(record.but(answer_due=True, spoke_in_gap=record.spoke_in_gap or heard_next))
        case PlayoutEmpty():
            return Step(record.but(unheard=False))
        case TurnSpeaking():
            return Step(record.but(talked=True, unheard=True))
        case PlayoutResumed():
            return Step(record.but(unheard=True))
        case TurnStarted(turn=turn):
            return Step(record.but(turn=turn, generating=True, audible=False))
        case TurnGenerated() | TurnCompleted():
            return Step(record.but(generating=False))
        case ModelInterrupted(turn=turn):
            return Step(record.but(generating=False), drop_turns(turn))
        case ToolsCancelled(call_ids=call_ids):
            return Step(record.but(tools=record.tools - set(call_ids)))
        case ToolFinished(call_id=call_id):
            return Step(record.but(tools=record.tools - {call_id}))
        case ToolCalled():  # from a session that is on its way out: the next one will ask again
            return Step(record)
        case KeyPressed(digit=digit):
            return Step(add_key(record, digit), (StartTimer(Timer.KEYS, record.limits.keys_s),))
        case TimerFired(name=Timer.KEYS):  # kept until a session can be told
            return Step(record, (StartTimer(Timer.KEYS, record.limits.keys_s),))
        case TurnAudible() | TurnFirstHeard() | TurnPlayed() | GoAway() | ModelSilent() | ModelUsage():
            return Step(record)
        case StreamFault() | Beat() | TimerFired():  # a timer stopped too late is late, not wrong
            return Step(record)
        case _:
            return None


def drop_turns(through_turn: int) -> tuple[Effect, ...]:
    """Everything unheard goes, everywhere: the converter's state, our queue, Twilio's buffer."""
    return (
        Tell(DropTurns(through_turn)),
        Tell(ClearPlayback(through_turn)),
        StopTimer(Timer.TURN_GAP),
        StopTimer(Timer.TURN_COMPLETE),
    )


def add_key(record: CallRecord, digit: str) -> CallRecord:
    """Keys of one entry are collected; 32 are more than any account number."""
    return record if len(record.keys) >= 32 else record.but(keys=record.keys + digit)


def await_sound(record: CallRecord) -> tuple[CallRecord, tuple[Effect, ...]]:
    """The caller waits to hear something: from the first moment on, whatever is tried and fails meanwhile."""
    if record.comforting:
        return record, ()
    return record.but(comforting=True), (StartTimer(Timer.COMFORT, record.limits.comfort_after_s),)


def sound_came(record: CallRecord) -> tuple[CallRecord, tuple[Effect, ...]]:
    """The caller hears something, speaks, or waits for nothing."""
    if not record.comforting:
        return record, ()
    return record.but(comforting=False), (StopTimer(Timer.COMFORT),)


def comfort(record: CallRecord) -> tuple[Effect, ...]:
    """A sound for a caller who hears nothing, and the next one after as long again."""
    again = StartTimer(Timer.COMFORT, record.limits.comfort_after_s)
    return (again,) if record.unheard else (Tell(PlayComfort()), again)


def run_tool(record: CallRecord, event: ToolCalled) -> Step:
    """Open a tool call."""
    return Step(record.but(tools=record.tools | {event.call_id}), (RunTool(event),))
