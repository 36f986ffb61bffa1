"""What the caller hears of the model's words: nothing, or a turn. Comfort sounds are no words."""

from dataclasses import dataclass

from callbot.messages.call import CallMessage, PlayoutEmpty, PlayoutResumed, TurnSpeaking


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing is unheard since `since_s`; `turn` is the newest turn of which anything was sent."""

    since_s: float = 0.0
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Playing:
    """Something of `turn` is unheard."""

    turn: int


type Playback = Silent | Playing


def advance(playback: Playback, event: CallMessage) -> Playback:
    """What the event makes of it."""
    match event:
        case TurnSpeaking(turn=turn) | PlayoutResumed(turn=turn):
            return Playing(turn)
        case PlayoutEmpty(at_s=at_s) if isinstance(playback, Playing):
            return Silent(at_s, playback.turn)
        case _:  # the end of a comfort sound among them
            return playback
