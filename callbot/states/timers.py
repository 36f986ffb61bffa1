"""When which timer is due: derived from state and record, and from nothing else. Nobody starts or stops one by hand."""

from typing import assert_never

from callbot.messages.terms import Timer
from callbot.states.record import CallRecord, State
from callbot.states.regions.floor import AnswerDue, CallerSpeaking, Nobody
from callbot.states.regions.goodbye import Due, NoGoodbye
from callbot.states.regions.keys import Entering
from callbot.states.regions.playback import Silent
from callbot.states.regions.session import Open
from callbot.states.regions.turn import Generated, Quiet, Speaking, Working
from callbot.states.regions.wait import Waiting


def due(state: State, record: CallRecord) -> dict[Timer, float]:
    """The timers that run now, with the moment of each in the loop's clock."""
    limits = record.limits
    match state:
        case State.CONNECTING:
            return _of_the_call(record) | {Timer.UNREACHABLE: record.entered_s + limits.greeting_timeout_s}
        case State.RECONNECTING:
            return _of_the_call(record) | {Timer.UNREACHABLE: record.entered_s + limits.unreachable_s}
        case State.STREAMING:
            return _of_the_call(record) | _of_the_session(record) | _of_the_turn(record)
        case State.DRAINING:
            timers = {Timer.DRAIN: record.entered_s + limits.drain_s}
            if not record.finishing:
                timers[Timer.FAREWELL] = record.entered_s + limits.farewell_s
            return timers
        case State.CLOSED:
            return {}
        case _:
            assert_never(state)


def _of_the_call(record: CallRecord) -> dict[Timer, float]:
    """What holds in every state before Draining."""
    limits, floor = record.limits, record.floor
    timers = {Timer.MAX_CALL: record.began_s + limits.max_call_s}
    if isinstance(floor, CallerSpeaking):
        timers[Timer.SPEECH] = floor.since_s + limits.speech_s
    elif isinstance(record.playback, Silent):
        asks = limits.idle_ask_s > 0 and isinstance(floor, Nobody) and isinstance(record.session, Open)
        timers[Timer.IDLE] = record.idle.since_s + (
            min(limits.idle_ask_s, limits.caller_silence_s) if asks else limits.caller_silence_s
        )
    if isinstance(record.goodbye, Due) and not isinstance(floor, CallerSpeaking):
        timers[Timer.GOODBYE] = record.goodbye.by_s
    if isinstance(record.playback, Silent) and isinstance(record.wait, Waiting):
        heard_s = max(record.wait.since_s, record.wait.sounded_s, record.playback.since_s)
        timers[Timer.COMFORT] = heard_s + limits.comfort_after_s
        if record.outage.since_s is not None and isinstance(record.turn, Quiet):
            timers[Timer.TROUBLE] = record.outage.since_s + limits.trouble_s
    return timers


def _of_the_session(record: CallRecord) -> dict[Timer, float]:
    session, timers = record.session, dict[Timer, float]()
    if isinstance(record.keys, Entering):
        timers[Timer.KEYS] = record.keys.by_s
    if not isinstance(session, Open):
        return timers
    if session.move is not None:
        timers[Timer.MOVE] = session.move.by_s
    elif record.limits.max_session_s:
        timers[Timer.ROTATE] = session.since_s + record.limits.max_session_s
    return timers


def _of_the_turn(record: CallRecord) -> dict[Timer, float]:
    """The watchdogs: they watch for sound that a person hears, and ask for nothing while a goodbye is due."""
    limits, turn, playback = record.limits, record.turn, record.playback
    timers = dict[Timer, float]()
    if isinstance(turn, Generated):
        timers[Timer.TURN_COMPLETE] = turn.since_s + limits.turn_complete_s
    if not isinstance(playback, Silent) or not isinstance(record.goodbye, NoGoodbye):
        return timers
    if isinstance(turn, Working):
        timers[Timer.WORK] = turn.since_s + limits.work_s
        return timers
    if isinstance(turn, Speaking) and playback.turn == turn.turn:
        timers[Timer.TURN_GAP] = playback.since_s + limits.turn_gap_s
    if isinstance(record.floor, AnswerDue) and not record.conversation.tools_running:
        timers[Timer.FIRST_AUDIO] = record.floor.by_s
    return timers
