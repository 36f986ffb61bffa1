"""The goodbye: whether the model has asked to end the call once what it says has been heard.

Nobody who speaks is hung up on: words of the caller's, an interruption or the model's own cancellation take it back.
"""

from dataclasses import dataclass, replace

from callbot.brief import Limits
from callbot.messages.call import CallerPaused, CallMessage, ToolFinished, TurnSpeaking
from callbot.messages.session import ModelInterrupted, ToolsCancelled
from callbot.messages.terms import Reason


@dataclass(frozen=True, slots=True)
class NoGoodbye:
    """The call goes on."""


@dataclass(frozen=True, slots=True)
class Due:
    """The call ends when the goodbye has been heard, at `by_s` at the latest. `call_id` is the tool call that asked for it."""

    call_id: str
    by_s: float
    reason: Reason = Reason.BOT_SAID_GOODBYE


type Goodbye = NoGoodbye | Due


def advance(goodbye: Goodbye, event: CallMessage, *, limits: Limits, saying: bool, is_void: bool) -> Goodbye:
    """What the event makes of it.

    `saying`: something is being said; `is_void`: the tool that finishes was of an interrupted turn.
    """
    match event:
        case ToolFinished(ends_call=True, call_id=call_id, at_s=at_s) if not is_void:
            # The goodbye is being said, or still to come, or was said before.
            return Due(call_id, at_s + (limits.farewell_s if saying else limits.goodbye_s))
        case TurnSpeaking(at_s=at_s) if isinstance(goodbye, Due):
            return replace(goodbye, by_s=at_s + limits.farewell_s)
        case ModelInterrupted():
            return NoGoodbye()
        case ToolsCancelled(call_ids=call_ids) if isinstance(goodbye, Due) and goodbye.call_id in call_ids:
            return NoGoodbye()
        case CallerPaused(speech_ms=speech_ms, at_s=at_s) if isinstance(goodbye, Due):
            if speech_ms >= limits.word_ms:
                return NoGoodbye()
            return replace(goodbye, by_s=max(goodbye.by_s, at_s + limits.goodbye_s))
        case _:
            return goodbye
