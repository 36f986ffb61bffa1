"""Streaming: audio flows both ways.

Left for Reconnecting when the session is lost, silent or to be moved; for Draining when the call ends. What is the case is
in the regions; here is what is done about it.
"""

from dataclasses import replace

from callbot.conversation import ToolStatus, result_text
from callbot.effects import Effect, Tell
from callbot.messages.call import CallMessage, ChildExited, ModelSilent, PlayoutEmpty, StreamStarted, TimerFired, ToolFinished
from callbot.messages.children import AnswerTool, CloseSession, SayText
from callbot.messages.session import SessionLost, ToolCalled, TurnCompleted, TurnGenerated
from callbot.messages.terms import Child, Decision, Reason, Timer
from callbot.states import common
from callbot.states.record import CallRecord, Step, Trigger, notice_wait
from callbot.states.regions import session as sessions
from callbot.states.regions.floor import AnswerDue, CallerSpeaking, Nobody
from callbot.states.regions.goodbye import Due, NoGoodbye
from callbot.states.regions.keys import NoKeys
from callbot.states.regions.playback import Playing, Silent
from callbot.states.regions.session import Closing, Open
from callbot.states.regions.turn import Working, is_generating


def enter(before: CallRecord, record: CallRecord, event: CallMessage) -> Step:  # noqa: ARG001 - every state's `enter` has this shape
    """A session is ready: greet on the first, and tell it the results that came while there was none."""
    effects: tuple[Effect, ...] = ()
    conversation = record.conversation
    if not conversation.greeted and conversation.brief.greeting:  # a handle from before the greeting knows nothing of it
        effects = (Tell(SayText(conversation.brief.greeting)),)
    for entry in conversation.tools:
        if entry.status is ToolStatus.FINISHED:
            conversation = conversation.set_tool(entry.call_id, status=ToolStatus.ANSWERED)
            effects += (Tell(SayText(_late_result(record, entry.name, entry.result or {}))),)
    return Step(replace(record, conversation=conversation), effects)


def on_event(before: CallRecord, record: CallRecord, event: CallMessage) -> Step | None:
    """Answer one event; None when it has no meaning here."""
    if isinstance(event, StreamStarted):
        return None
    step = _session(before, record, event) or _silence(before, record, event) or _told(record, event)
    step = step or common.everywhere(record, event)
    if step.trigger is not None:
        return step
    record = step.record
    if isinstance(record.goodbye, Due) and _goodbye_is_over(before, record, event):
        ended = common.end(record, record.goodbye.reason)
        return Step(ended.record, step.effects, ended.trigger, ended.reason)
    session = record.session
    if isinstance(session, Open) and session.move is not None and (record.is_settled or session.move.by_s <= record.now_s):
        return _close(record, Decision.RESUME, session.move.reason, step.effects, Trigger.MOVE)
    return step


def _session(before: CallRecord, record: CallRecord, event: CallMessage) -> Step | None:
    """How the session fares."""
    match event:
        case SessionLost() | ChildExited(child=Child.GEMINI_SESSION):
            loss = common.loss_of(record, before.session, event)
            if loss is None:
                return Step(record)
            if isinstance(event, ChildExited) and loss.decision is Decision.GIVE_UP:
                return common.give_up(record, loss.cause)
            return Step(record, trigger=Trigger.LOST, reason=loss.cause)
        case ModelSilent(session_no=session_no) if sessions.is_of(record.session, session_no):
            return _close(record, Decision.RESUME, Reason.MODEL_SOCKET_SILENT)
        case TimerFired(timer=Timer.MOVE) if isinstance(record.session, Open) and record.session.move is not None:
            return _close(record, Decision.RESUME, record.session.move.reason, trigger=Trigger.MOVE)
        case _:
            return None


def _silence(before: CallRecord, record: CallRecord, event: CallMessage) -> Step | None:
    """The model owes something and is silent; or the caller is."""
    if not isinstance(record.goodbye, NoGoodbye):
        return None
    match event:
        case TimerFired(timer=Timer.FIRST_AUDIO) if isinstance(record.floor, AnswerDue):
            return _silent(record, Reason.NO_ANSWER)
        case TimerFired(timer=Timer.TURN_GAP) if not isinstance(record.floor, CallerSpeaking):
            return _silent(record, Reason.TURN_GAP)
        case TimerFired(timer=Timer.WORK) if isinstance(record.turn, Working):
            # One question, and a short wait for it: the work itself has had its time.
            since_s = record.now_s - record.limits.work_s + record.limits.nudge_s
            return _silent(replace(record, turn=replace(record.turn, since_s=since_s)), Reason.WORK_TIME_OUT)
        case TurnCompleted(audible=False) if isinstance(record.floor, AnswerDue) and not record.conversation.tools_running:
            return _silent(record, Reason.SILENT_TURN)
        case TimerFired(timer=Timer.IDLE):
            return _idle(before, record)
        case _:
            return None


def _told(record: CallRecord, event: CallMessage) -> Step | None:
    """What the model is told: keys, results."""
    conversation = record.conversation
    match event:
        case TimerFired(timer=Timer.KEYS) if conversation.keys:
            text = conversation.brief.words.keys.format(keys=" ".join(conversation.keys))
            record = replace(record, conversation=replace(conversation, keys=""), keys=NoKeys())
            return _expect(record, SayText(text), record.limits.first_audio_s)
        case ToolCalled():
            return common.run_tool(record, event)
        case ToolFinished(call_id=call_id, name=name, result=result):
            entry = conversation.tool(call_id)
            if entry is None or entry.status is not ToolStatus.FINISHED:
                return Step(record)
            record = replace(record, conversation=conversation.set_tool(call_id, status=ToolStatus.ANSWERED))
            if sessions.is_of(record.session, entry.session_no):
                return Step(record, (Tell(AnswerTool(call_id, name, result)),))
            return _expect(record, SayText(_late_result(record, name, result)), record.limits.first_audio_s)
        case _:
            return None


def _late_result(record: CallRecord, name: str, result: dict[str, object]) -> str:
    """A result in words, for a session that does not know the call's id."""
    return record.conversation.brief.words.late_result.format(name=name, result=result_text(result))


def _goodbye_is_over(before: CallRecord, record: CallRecord, event: CallMessage) -> bool:
    """Whether this is the end of the model's last words: they were heard, it has no more, and the caller does not speak."""
    match event:
        case PlayoutEmpty():
            ends = isinstance(before.playback, Playing)  # else it is a comfort sound's end
        case TurnGenerated(turn=turn, audible=True):
            # A short goodbye is generated before its first frame is on its way: then its playout's end is still to come.
            ends = record.playback.turn == turn
        case _:
            ends = False
    rests = isinstance(record.playback, Silent) and not is_generating(record.turn) and not record.conversation.tools_running
    return ends and rests and not isinstance(record.floor, CallerSpeaking)


def _expect(record: CallRecord, text: SayText, within_s: float) -> Step:
    """Give the model a text; from now on somebody waits for its voice."""
    floor = record.floor
    owed = replace(floor, owed=True) if isinstance(floor, CallerSpeaking) else AnswerDue(record.now_s + within_s)
    return Step(replace(record, floor=owed), (Tell(text),))


def _silent(record: CallRecord, reason: str) -> Step:
    """The model owes an answer and is silent: ask once, then move the session, then a fresh one, then give up."""
    outage = record.outage
    if outage.since_s is None:
        outage = replace(outage, since_s=record.now_s)
    if not outage.asked:
        words = record.conversation.brief.words
        nudge = words.resume_nudge if record.session_no > 1 else words.nudge
        record = replace(record, outage=replace(outage, asked=True))
        return _expect(record, SayText(nudge, until_interrupted=True), record.limits.nudge_s)
    if outage.silent_moves >= record.limits.max_silent_moves or outage.beginnings >= record.limits.max_beginnings:
        return common.give_up(record, reason)
    decision = Decision.RESUME if outage.silent_moves == 0 else Decision.FRESH
    outage = replace(outage, silent_moves=outage.silent_moves + 1, asked=False)
    return _close(replace(record, outage=outage), decision, reason)


def _idle(before: CallRecord, record: CallRecord) -> Step:
    """Nobody says anything: ask, ask again, say goodbye, end."""
    limits, words = record.limits, record.conversation.brief.words
    asks = limits.idle_ask_s > 0 and isinstance(record.floor, Nobody) and before.idle.asked <= limits.idle_asks
    if not asks:
        return common.end(record, Reason.NOBODY_SPOKE)
    if before.idle.asked < limits.idle_asks:
        return _expect(record, SayText(words.idle_ask, until_interrupted=True), limits.first_audio_s)
    goodbye = Due("", record.now_s + limits.first_audio_s, Reason.NOBODY_SPOKE)
    return Step(replace(record, goodbye=goodbye), (Tell(SayText(words.idle_goodbye, until_interrupted=True)),))


def _close(
    record: CallRecord,
    decision: Decision,
    reason: str,
    effects: tuple[Effect, ...] = (),
    trigger: Trigger = Trigger.LOST,
) -> Step:
    """Close this session; the next is opened when it is gone, because a resume is refused while an older socket is open."""
    session = record.session
    if isinstance(session, Open):
        closing = Closing(session.session_no, session.since_s, decision)
        record = replace(record, session=closing, lost_s=record.now_s)
    return Step(notice_wait(record), (*effects, Tell(CloseSession())), trigger, reason)
