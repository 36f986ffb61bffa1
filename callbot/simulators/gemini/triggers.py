"""The moments at which a fault can happen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OnConnect:
    """The upgrade request has arrived and is not answered yet. Only actions "before the upgrade" fit here."""


@dataclass(frozen=True, slots=True)
class OnSetup:
    """A valid setup has arrived and is not answered yet."""


@dataclass(frozen=True, slots=True)
class OnReady:
    """setupComplete has been sent."""


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """So much caller audio has arrived on this connection."""

    ms: int


@dataclass(frozen=True, slots=True)
class ModelAudio:
    """At least so much audio of this turn has been sent; fires between two messages."""

    ms: int
    turn: int = 1


@dataclass(frozen=True, slots=True)
class OnText:
    """A realtimeInput.text has arrived."""


@dataclass(frozen=True, slots=True)
class OnSpeech:
    """The caller has begun to speak."""


@dataclass(frozen=True, slots=True)
class OnSpeechEnd:
    """The caller has stopped speaking; the answer has not begun."""


@dataclass(frozen=True, slots=True)
class OnInterrupted:
    """`interrupted` has been sent, the turnComplete after it has not."""


@dataclass(frozen=True, slots=True)
class OnToolCall:
    """A toolCall has been sent."""


@dataclass(frozen=True, slots=True)
class OnToolResponse:
    """A toolResponse has arrived."""


@dataclass(frozen=True, slots=True)
class OnGenerationComplete:
    """generationComplete of this turn has been sent; None: of any."""

    turn: int | None = None


@dataclass(frozen=True, slots=True)
class OnTurnComplete:
    """turnComplete of this turn has been sent; None: of any."""

    turn: int | None = None


@dataclass(frozen=True, slots=True)
class OnGoAway:
    """goAway has been sent."""


@dataclass(frozen=True, slots=True)
class After:
    """So many simulated seconds have passed since setupComplete."""

    delay_s: float


type Trigger = (
    OnConnect
    | OnSetup
    | OnReady
    | CallerAudio
    | ModelAudio
    | OnText
    | OnSpeech
    | OnSpeechEnd
    | OnInterrupted
    | OnToolCall
    | OnToolResponse
    | OnGenerationComplete
    | OnTurnComplete
    | OnGoAway
    | After
)
