"""The floor: who speaks, and who is owed an answer.

An answer is owed from the caller's last word, or from a request of ours (greeting, nudge, keys), until the model is heard.
What the local detector calls speech has a bound: a line that never pauses (music, a fan) loses the floor after `speech_s`.
"""

from dataclasses import dataclass, replace

from callbot.brief import Limits
from callbot.messages.call import CallerPaused, CallerSpoke, CallMessage, PlayoutEmpty, PlayoutResumed, TimerFired, ToolFinished
from callbot.messages.session import ModelInterrupted, SessionReady, TurnAudible, TurnWorking
from callbot.messages.terms import Timer
from callbot.states.regions.playback import Playback, Playing
from callbot.states.regions.turn import Quiet, Turn, is_generating


@dataclass(frozen=True, slots=True)
class Nobody:
    """Nobody speaks by our ears, and nothing is owed."""


@dataclass(frozen=True, slots=True)
class CallerSpeaking:
    """The caller speaks since `since_s`. `owed`: an answer to something earlier is still due, and was due by `by_s`."""

    since_s: float
    owed: bool = False
    by_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class AnswerDue:
    """The model is to be heard by `by_s`. `unheard_words`: the next session will hear what is to be answered."""

    by_s: float
    unheard_words: bool = False


type Floor = Nobody | CallerSpeaking | AnswerDue


def is_owed(floor: Floor) -> bool:
    """Whether an answer is due, now or as soon as the caller pauses."""
    return isinstance(floor, AnswerDue) or (isinstance(floor, CallerSpeaking) and floor.owed)


def advance(
    floor: Floor,
    event: CallMessage,
    *,
    limits: Limits,
    turn: Turn,
    playback: Playback,
    has_session: bool,
    ended: bool,
    lost_s: float,
    greets: bool,
) -> Floor:
    """What the event makes of the floor. `turn` and `playback` are as before it.

    `ended`: it ends the session with all that it was doing; `lost_s`: when the last one was lost; `greets`: a session that
    is ready now is asked for the greeting.
    """
    if ended:
        return _owe(floor, float("inf")) if is_owed(floor) or is_generating(turn) else floor
    match event:
        case CallerSpoke(at_s=at_s):
            return CallerSpeaking(at_s, is_owed(floor), _due_s(floor))
        case CallerPaused():
            return _paused(floor, event, limits, turn, playback, has_session=has_session, lost_s=lost_s)
        case TurnAudible():
            return _answered(floor)
        case TurnWorking(at_s=at_s):  # the filler was no answer
            return _owe(floor, at_s + limits.work_s)
        case PlayoutResumed() if turn.audible_s and has_session:
            # An answer, too, where the service did not say that the turn before had ended: no new turn begins then. But not
            # the last samples that a session leaves behind as it closes.
            return _answered(floor)
        case ModelInterrupted(at_s=at_s):
            # What was dropped has answered nothing. An interruption of nothing owes nothing.
            dropped = is_generating(turn) or isinstance(playback, Playing) or not isinstance(turn, Quiet)
            return _owe(floor, at_s + limits.first_audio_s) if dropped else floor
        case TimerFired(timer=Timer.TURN_GAP, at_s=at_s):
            return _owe(floor, at_s) if isinstance(floor, Nobody) else floor
        case TimerFired(timer=Timer.SPEECH, at_s=at_s) if isinstance(floor, CallerSpeaking):
            return AnswerDue(at_s + limits.first_audio_s) if floor.owed else Nobody()
        case SessionReady(at_s=at_s) if greets:
            return _owe(floor, at_s + limits.first_audio_s)
        case SessionReady(at_s=at_s) if isinstance(floor, AnswerDue):
            # What the caller said meanwhile is answered by itself; an answer that was cut off has to be asked for.
            return AnswerDue(at_s + (limits.first_audio_s if floor.unheard_words else limits.resume_nudge_s))
        case PlayoutEmpty(at_s=at_s) if isinstance(playback, Playing):  # else it is a comfort sound's end
            return _put_off(floor, at_s + limits.first_audio_s) if has_session else floor
        case ToolFinished(at_s=at_s) if has_session:
            return _put_off(floor, at_s + limits.first_audio_s)
        case _:
            return floor


def _owe(floor: Floor, by_s: float) -> Floor:
    match floor:
        case CallerSpeaking():
            return replace(floor, owed=True)
        case AnswerDue(unheard_words=unheard_words):
            return AnswerDue(by_s, unheard_words)
        case Nobody():
            return AnswerDue(by_s)


def _due_s(floor: Floor) -> float:
    return float("inf") if isinstance(floor, Nobody) else floor.by_s


def _put_off(floor: Floor, until_s: float) -> Floor:
    return replace(floor, by_s=max(floor.by_s, until_s)) if isinstance(floor, AnswerDue) else floor


def _answered(floor: Floor) -> Floor:
    return CallerSpeaking(floor.since_s) if isinstance(floor, CallerSpeaking) else Nobody()


def _paused(
    floor: Floor, paused: CallerPaused, limits: Limits, turn: Turn, playback: Playback, *, has_session: bool, lost_s: float
) -> Floor:
    owed = is_owed(floor)
    by_s = paused.at_s + limits.first_audio_s
    is_word = paused.speech_ms >= (limits.short_word_ms if _follows_words(paused, limits, playback) else limits.word_ms)
    if not has_session:
        if not is_word:
            return AnswerDue(by_s, isinstance(floor, AnswerDue) and floor.unheard_words) if owed else Nobody()
        # What was said before the loss went to the session that is gone: the next one answers what it hears itself.
        heard_next = (paused.ended_s - lost_s) * 1000 >= limits.word_ms
        return AnswerDue(by_s, heard_next or (isinstance(floor, AnswerDue) and floor.unheard_words))
    spoken_over = turn.audible_s > 0 and (is_generating(turn) or isinstance(playback, Playing))
    answered = turn.audible_s >= paused.ended_s  # the service heard the pause sooner than we did
    if not owed and (spoken_over or answered or not is_word):
        return Nobody()
    # Who asks again and again does not put off for ever the moment at which silence is noticed.
    return AnswerDue(min(by_s, max(_due_s(floor), paused.at_s + limits.nudge_s)) if owed else by_s)


def _follows_words(paused: CallerPaused, limits: Limits, playback: Playback) -> bool:
    """Whether the caller began soon after the bot's last word: what is as short as a cough is an answer then."""
    if isinstance(playback, Playing) or not playback.turn:
        return False
    return 0.0 <= paused.ended_s - paused.speech_ms / 1000 - playback.since_s <= limits.answer_within_s
