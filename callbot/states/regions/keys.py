"""Keys that the caller presses: one entry after another. The digits are the conversation's; here is when an entry ends."""

from dataclasses import dataclass
from typing import Final

from callbot.brief import Limits
from callbot.messages.call import CallMessage, KeyPressed

END_KEY: Final = "#"


@dataclass(frozen=True, slots=True)
class NoKeys:
    """Nothing was pressed that the model has not been told."""


@dataclass(frozen=True, slots=True)
class Entering:
    """Keys were pressed; they are one entry when no other has come by `by_s`."""

    by_s: float


type Keys = NoKeys | Entering


def advance(keys: Keys, event: CallMessage, limits: Limits) -> Keys:
    """What the event makes of it. An entry waits for a session that can be told; the state takes it away then."""
    match event:
        case KeyPressed(digit=digit, at_s=at_s):
            return Entering(at_s if digit == END_KEY and limits.hash_ends_keys else at_s + limits.keys_s)
        case _:
            return keys
