"""Streaming: audio flows both ways.

Left for Reconnecting when the session is lost, silent or to be moved; for Draining when the call ends. The watchdogs live
here: a session can be silent without an error, so what is watched for is audible output, not messages.
"""

from callbot.effects import CancelTools, Effect, StartTimer, StopTimer, Tell
from callbot.messages import (
    AnswerTool,
    CallerPaused,
    CallerSpoke,
    CallMessage,
    Child,
    ChildExited,
    CloseSession,
    Decision,
    GoAway,
    KeyPressed,
    ModelInterrupted,
    ModelSilent,
    PlayoutEmpty,
    PlayoutResumed,
    Reason,
    SayText,
    SessionLost,
    SessionReady,
    StreamStarted,
    Timer,
    TimerFired,
    ToolCalled,
    ToolFinished,
    ToolsCancelled,
    TurnAudible,
    TurnCompleted,
    TurnGenerated,
    TurnSpeaking,
    TurnStarted,
)
from callbot.states import common
from callbot.states.record import CallRecord, Session, Step, Trigger


def enter(record: CallRecord, event: CallMessage) -> Step:  # noqa: ARG001 - every state's `enter` has this shape
    """A session is ready: greet on the first, ask for the answer that a lost one still owed."""
    limits = record.limits
    effects: list[Effect] = [StopTimer(Timer.UNREACHABLE), StartTimer(Timer.IDLE, limits.caller_silence_s)]
    record = record.but(nudged=False)  # this session has not been asked yet
    if limits.max_session_s:
        effects.append(StartTimer(Timer.ROTATE, limits.max_session_s))
    if not record.greeted and limits.greeting:  # a handle from before the greeting knows nothing of it
        record, waiting = _expect(record.but(answer_due=True), limits.first_audio_s)
        effects += [Tell(SayText(limits.greeting)), *waiting]
    elif record.answer_due and not record.caller_speaking:
        # What the caller said meanwhile is answered by itself; an answer that was cut off has to be asked for.
        record, waiting = _expect(record, limits.first_audio_s if record.spoke_in_gap else limits.resume_nudge_s)
        effects += waiting
    else:
        record, stopped = common.sound_came(record)
        effects += stopped
    return Step(record, tuple(effects))


def on_event(record: CallRecord, event: CallMessage) -> Step | None:
    """Answer one event; None when it has no meaning here."""
    if isinstance(event, StreamStarted):
        return None
    step = _session(record, event) or _turn(record, event) or _caller(record, event) or _tool(record, event)
    if step is None:
        step = common.endings(record, event) or common.bookkeeping(record, event)
    if step is None or step.trigger is not None:
        return step
    goodbye_over = _ends_goodbye(record, event)
    record = step.record
    if record.hang_up_due and goodbye_over and not record.unheard and not record.generating and not record.tools:
        ended = common.end(record, Reason.BOT_SAID_GOODBYE)
        return Step(ended.record, step.effects, ended.trigger, ended.reason)
    if record.moving and record.settled:
        return _move(record, step.effects)
    return step


def _session(record: CallRecord, event: CallMessage) -> Step | None:
    """How the session fares."""
    limits = record.limits
    match event:
        case SessionReady():  # of a session that is not wanted any more
            return Step(record)
        case SessionLost(session_no=session_no, cause=cause):
            if session_no != record.session_no:
                return Step(record)
            return Step(record, trigger=Trigger.LOST, reason=cause)
        case ChildExited(child=Child.GEMINI_SESSION):
            crash = common.crashed_session(record, event)
            if crash is None:
                return Step(record)
            if crash.decision is Decision.GIVE_UP:
                return common.give_up(record.but(session=Session.NONE), crash.cause)
            record = record.but(session=Session.NONE, restarts=record.restarts + 1, after_close=crash.decision)
            return Step(record, trigger=Trigger.LOST, reason=crash.cause)
        case ModelSilent(session_no=session_no) if session_no == record.session_no:
            return _close(record, Decision.RESUME, Reason.MODEL_SOCKET_SILENT)
        case GoAway(session_no=session_no, time_left_s=time_left_s) if session_no == record.session_no:
            left_s = limits.go_away_unknown_s if time_left_s is None else time_left_s
            deadline_s = max(0.0, left_s - limits.go_away_margin_s)
            record = record.but(moving=Reason.GO_AWAY)
            return _move(record) if deadline_s == 0.0 else Step(record, (StartTimer(Timer.MOVE, deadline_s),))
        case TimerFired(name=Timer.ROTATE) if not record.moving:  # a goAway's deadline is nearer
            return Step(record.but(moving=Reason.ROTATION), (StartTimer(Timer.MOVE, limits.rotation_patience_s),))
        case TimerFired(name=Timer.MOVE) if record.moving:
            return _move(record)
        case _:
            return None


def _turn(record: CallRecord, event: CallMessage) -> Step | None:
    """How the model's turn fares."""
    limits = record.limits
    match event:
        case TurnStarted(turn=turn):
            record = record.but(turn=turn, generating=True, completion_due=False, audible=False)
            return Step(record, (StopTimer(Timer.TURN_COMPLETE),))
        case TurnAudible(at_s=at_s):
            record = record.but(
                audible=True,
                audible_s=at_s,
                answer_due=False,
                greeted=True,
                talked=True,
                nudged=False,
                silent_moves=0,
                tries=0,
                opening_failures=0,
                bad_audio=0,
            )
            record, stopped = common.sound_came(record)
            return Step(record, (StopTimer(Timer.FIRST_AUDIO), *stopped))
        case TurnSpeaking(turn=turn):
            goodbye = (StartTimer(Timer.GOODBYE, limits.farewell_s),) if record.hang_up_due else ()
            return Step(record.but(unheard=True, spoken=turn), (StartTimer(Timer.IDLE, limits.caller_silence_s), *goodbye))
        case PlayoutResumed():
            if not record.audible:
                return Step(record.but(unheard=True), (StopTimer(Timer.TURN_GAP),))
            # An answer, too, where the service did not say that the turn before had ended: no new turn begins then.
            record, stopped = common.sound_came(record.but(unheard=True, answer_due=False))
            return Step(record, (StopTimer(Timer.TURN_GAP), StopTimer(Timer.FIRST_AUDIO), *stopped))
        case PlayoutEmpty():
            if not (record.generating and record.unheard):  # a comfort sound's end is no gap's beginning
                return Step(record.but(unheard=False))
            record, waiting = common.await_sound(record.but(unheard=False))
            return Step(record, (StartTimer(Timer.TURN_GAP, limits.turn_gap_s), *waiting))
        case TurnGenerated():
            return Step(
                record.but(generating=False, completion_due=True),
                (StopTimer(Timer.TURN_GAP), StartTimer(Timer.TURN_COMPLETE, limits.turn_complete_s)),
            )
        case TurnCompleted(audible=audible):
            record = record.but(generating=False, completion_due=False)
            done = (StopTimer(Timer.TURN_GAP), StopTimer(Timer.TURN_COMPLETE))
            if audible or not record.answer_due or record.tools or record.caller_speaking:
                return Step(record, done)
            return _silent(record, Reason.SILENT_TURN, done)
        case ModelInterrupted(turn=turn):
            dropped = common.drop_turns(turn)
            if record.hang_up_due:  # the caller has more to say: the goodbye is taken back
                dropped += (StopTimer(Timer.GOODBYE),)
            # What was dropped has answered nothing, so an answer is due again: to whoever speaks, when that is over, ...
            record = record.but(generating=False, completion_due=False, hang_up_due=False)
            record = record.but(audible=False, audible_s=0.0, answer_due=True)
            if record.caller_speaking:
                return Step(record, dropped)
            # ... or soon, where nobody is heard speaking: it may have been a phantom.
            record, waiting = _expect(record, limits.first_audio_s)
            return Step(record, (*dropped, *waiting))
        case TimerFired(name=Timer.TURN_GAP) if record.generating and not record.unheard:
            if record.caller_speaking:  # whose pause will make an answer due
                return Step(record.but(generating=False))
            return _silent(record.but(generating=False, answer_due=True), Reason.TURN_GAP)
        case TimerFired(name=Timer.TURN_COMPLETE) if record.completion_due and not record.moving:
            # It never said that the turn is over, so it may not take the next one: another session will.
            return Step(record.but(moving=Reason.NO_TURN_COMPLETE), (StartTimer(Timer.MOVE, limits.rotation_patience_s),))
        case _:
            return None


def _caller(record: CallRecord, event: CallMessage) -> Step | None:
    """What the caller does."""
    limits = record.limits
    match event:
        case CallerSpoke():
            record, stopped = common.sound_came(record.but(caller_speaking=True))
            return Step(record, (StopTimer(Timer.FIRST_AUDIO), *stopped, StartTimer(Timer.IDLE, limits.caller_silence_s)))
        case CallerPaused(ended_s=ended_s, speech_ms=speech_ms):
            record = record.but(caller_speaking=False)
            spoken_over = record.audible and (record.generating or record.unheard)
            answered = record.audible_s >= ended_s  # the service heard the pause sooner than we did
            if spoken_over or answered or (speech_ms < limits.word_ms and not record.answer_due):
                return Step(record)
            return Step(*_expect(record.but(answer_due=True), limits.first_audio_s))
        case KeyPressed(digit=digit):
            return Step(common.add_key(record, digit), (StartTimer(Timer.KEYS, limits.keys_s),))
        case TimerFired(name=Timer.KEYS) if record.keys:
            told = SayText(f"(The caller pressed these keys on the telephone: {' '.join(record.keys)})")
            record, waiting = _expect(record.but(keys="", answer_due=True), limits.first_audio_s)
            return Step(record, (Tell(told), *waiting))
        case TimerFired(name=Timer.FIRST_AUDIO) if record.answer_due and not record.caller_speaking:
            if record.tools or record.unheard:  # the caller hears something, or waits for something that is being done
                return Step(record, (StartTimer(Timer.FIRST_AUDIO, limits.first_audio_s),))
            return _silent(record, Reason.NO_ANSWER)
        case TimerFired(name=Timer.COMFORT):
            if record.answer_due or record.generating:
                return Step(record, common.comfort(record))
            return Step(record.but(comforting=False))
        case _:
            return None


def _tool(record: CallRecord, event: CallMessage) -> Step | None:
    """What the model wants done."""
    match event:
        case ToolCalled(session_no=session_no) if session_no == record.session_no:
            return common.run_tool(record, event)
        case ToolsCancelled(session_no=session_no, call_ids=call_ids) if session_no == record.session_no:
            return Step(record.but(tools=record.tools - set(call_ids)), (CancelTools(call_ids),))
        case ToolFinished(session_no=session_no, call_id=call_id) if (
            session_no == record.session_no and call_id in record.tools
        ):
            record = record.but(tools=record.tools - {call_id})
            effects: tuple[Effect, ...] = (Tell(AnswerTool(call_id, event.name, event.result)),)
            if event.ends_call:
                # The goodbye is being said, or still to come, or was said before: its end hangs up, or this timer.
                saying = record.unheard or record.generating
                effects += (StartTimer(Timer.GOODBYE, record.limits.farewell_s if saying else record.limits.goodbye_s),)
                record = record.but(hang_up_due=True)
            return Step(record, effects)
        case _:
            return None


def _ends_goodbye(record: CallRecord, event: CallMessage) -> bool:
    """Whether this can be the end of the model's last words: they were heard, and it has no more. `record` is as before it."""
    if isinstance(event, PlayoutEmpty):
        return record.unheard  # else it is a comfort sound's end
    # A short goodbye is generated before its first frame is on its way: then its playout's end is still to come.
    return isinstance(event, TurnGenerated) and event.audible and event.turn == record.spoken


def _expect(record: CallRecord, first_audio_s: float) -> tuple[CallRecord, tuple[Effect, ...]]:
    """From now on somebody waits for the model's voice."""
    record, waiting = common.await_sound(record)
    return record, (StartTimer(Timer.FIRST_AUDIO, first_audio_s), *waiting)


def _silent(record: CallRecord, reason: str, effects: tuple[Effect, ...] = ()) -> Step:
    """The model owes an answer and is silent: ask once, then move the session, then a fresh one, then give up."""
    limits = record.limits
    if not record.nudged:
        nudge = limits.resume_nudge if record.session_no > 1 else limits.nudge
        record, waiting = _expect(record.but(nudged=True), limits.nudge_s)
        return Step(record, (*effects, Tell(SayText(nudge)), *waiting))
    if record.silent_moves >= limits.max_silent_moves:
        given_up = common.give_up(record, reason)
        return Step(given_up.record, effects, given_up.trigger, given_up.reason)
    decision = Decision.RESUME if record.silent_moves == 0 else Decision.FRESH
    return _close(record.but(silent_moves=record.silent_moves + 1, nudged=False), decision, reason, effects)


def _move(record: CallRecord, effects: tuple[Effect, ...] = ()) -> Step:
    """Close this session and resume it on a new connection; the old socket is closed first, or the resume is refused."""
    step = _close(record, Decision.RESUME, record.moving, effects)
    return Step(step.record, step.effects, Trigger.MOVE, step.reason)


def _close(record: CallRecord, decision: Decision, reason: str, effects: tuple[Effect, ...] = ()) -> Step:
    record = record.but(session=Session.CLOSING, after_close=decision)
    return Step(record, (*effects, Tell(CloseSession())), Trigger.LOST, reason)
