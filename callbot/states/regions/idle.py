"""How long nobody has said anything, from the moment the bot's last words were heard, and how often the caller was asked."""

from dataclasses import dataclass, replace

from callbot.messages.call import CallerSpoke, CallMessage, KeyPressed, PlayoutEmpty, TimerFired, TurnSpeaking
from callbot.messages.terms import Timer


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody has said anything since `since_s`; the caller was asked `asked` times whether they are still there."""

    since_s: float = 0.0
    asked: int = 0


def advance(idle: Idle, event: CallMessage, *, playing: bool) -> Idle:
    """What the event makes of it; `playing`: words were being heard before it."""
    match event:
        case CallerSpoke(at_s=at_s) | KeyPressed(at_s=at_s):
            return Idle(at_s)
        case TurnSpeaking(at_s=at_s):
            return replace(idle, since_s=at_s)
        case PlayoutEmpty(at_s=at_s) if playing:
            return replace(idle, since_s=at_s)
        case TimerFired(timer=Timer.IDLE, at_s=at_s):
            return Idle(at_s, idle.asked + 1)
        case _:
            return idle
