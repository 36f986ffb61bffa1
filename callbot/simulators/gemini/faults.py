"""The vocabulary of misbehaviour: when something goes wrong, and what.

    Fault(at=ModelAudio(500), do=Close(1011, "Internal error encountered."))
    Fault(at=OnConnect(), do=Refuse(503), times=2)
    Fault(at=OnReady(), do=DelayPongs(None), connection=2)

Connections are counted from 1 in the order in which their upgrade requests arrive, turns from 1 on each connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .triggers import OnConnect, OnSetup, Trigger

# ---- What: before the upgrade ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the upgrade with an HTTP status other than 101."""

    status: int
    retry_after: str | None = None
    body: str = ""
    location: str | None = None  # for redirects


@dataclass(frozen=True, slots=True)
class HangUpgrade:
    """Accept the connection and never answer the upgrade."""


@dataclass(frozen=True, slots=True)
class SlowUpgrade:
    """Answer the upgrade late."""

    delay_s: float


# ---- What: around setup ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoSetupReply:
    """Never answer setup; the socket stays open and answers pings."""


@dataclass(frozen=True, slots=True)
class SlowSetup:
    """Answer setup late."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class ReplyToSetup:
    """Send this instead of setupComplete."""

    body: bytes | str


# ---- What: at any time -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Close:
    """Close with a code and a reason, cut to 123 bytes. At OnConnect: right after the upgrade, before setup."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """End the TCP connection without a close frame; `reset` makes it an RST."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class Freeze:
    """Send no message any more; the socket stays open and pings are answered."""

    until_text: bool = False  # go on when the client sends realtimeInput.text


@dataclass(frozen=True, slots=True)
class Stall:
    """Let nothing happen in the running turn for a while: a gap in the audio."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class SendRaw:
    """Send this as it is. `as_text` chooses the frame type; None keeps the session's."""

    body: bytes | str
    as_text: bool | None = None


type Withholdable = Literal[
    "audio",
    "generationComplete",
    "turnComplete",
    "interrupted",
    "inputTranscription",
    "outputTranscription",
    "toolCall",
    "toolCallCancellation",
    "sessionResumptionUpdate",
    "goAway",
    "usageMetadata",
    "voiceActivity",
]


@dataclass(frozen=True, slots=True)
class Withhold:
    """Never send messages of this kind again."""

    kind: Withholdable


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Send each message of this kind twice from now on."""

    kind: Withholdable


@dataclass(frozen=True, slots=True)
class NeverResumable:
    """From now on every sessionResumptionUpdate says that the session is not resumable."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Say `interrupted` although nobody spoke, ending the running turn if there is one."""


@dataclass(frozen=True, slots=True)
class SendGoAway:
    """Send goAway, then close. `close_after_s` None takes it from `time_left`; without either, stay open."""

    time_left: str | None = "50s"
    close_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Cancel these calls, whether or not they exist."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextOnlyTurns:
    """Let so many turns to come be text parts without any audio, as native-audio models do now and then."""

    turns: int = 1


@dataclass(frozen=True, slots=True)
class OmitCallIds:
    """Leave the ids out of function calls from now on, as Vertex does; answers are then matched by name."""


@dataclass(frozen=True, slots=True)
class Flood:
    """Send so many messages of one kind at once: calls of functions, or keys that the protocol does not have."""

    kind: Literal["toolCall", "unknownKeys"]
    messages: int = 500


@dataclass(frozen=True, slots=True)
class StopReading:
    """Take nothing more from the socket, so that the client's send buffer fills. `for_s` None: for ever."""

    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReadSlowly:
    """Wait so long before each message is taken."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class DelayPongs:
    """Answer pings late; None: never."""

    delay_s: float | None


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Neither read nor write again, and leave the TCP connection open: a proxy that has stalled."""


@dataclass(frozen=True, slots=True)
class IgnoreClose:
    """Do not answer the closing handshake, and keep TCP open."""


@dataclass(frozen=True, slots=True)
class HalfOpenClose:
    """Send a close frame and leave TCP open after the client has answered it."""

    code: int = 1000
    reason: str = ""


type Action = (
    Refuse
    | HangUpgrade
    | SlowUpgrade
    | NoSetupReply
    | SlowSetup
    | ReplyToSetup
    | Close
    | Abort
    | Freeze
    | Stall
    | SendRaw
    | Withhold
    | Duplicate
    | NeverResumable
    | Interrupt
    | SendGoAway
    | CancelTools
    | TextOnlyTurns
    | OmitCallIds
    | Flood
    | StopReading
    | ReadSlowly
    | DelayPongs
    | BlackHole
    | IgnoreClose
    | HalfOpenClose
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    at: Trigger
    do: Action
    connection: int | None = None  # only on this connection; None: on any
    every: int | None = None  # only on every Nth connection
    times: int | None = 1  # how often in the life of the stand-in; None: whenever it is due

    def __post_init__(self) -> None:
        early = isinstance(self.do, Refuse | HangUpgrade | SlowUpgrade)
        if early and not isinstance(self.at, OnConnect):
            raise ValueError(f"{type(self.do).__name__} needs at=OnConnect(): later the upgrade is over")
        if isinstance(self.at, OnConnect) and not (early or isinstance(self.do, Abort | Close)):
            raise ValueError(f"{type(self.do).__name__} needs an open session: choose another trigger")
        at_setup = isinstance(self.do, NoSetupReply | SlowSetup | ReplyToSetup)
        if at_setup and not isinstance(self.at, OnSetup):
            raise ValueError(f"{type(self.do).__name__} needs at=OnSetup(): later setup has been answered")


class FaultScript:
    """The faults of a stand-in and how often each has happened."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._waiting: list[tuple[Fault, int]] = [(fault, 0) for fault in faults]

    def add(self, fault: Fault) -> None:
        """Arm one more fault."""
        self._waiting.append((fault, 0))

    def forget(self, kind: type[Action]) -> None:
        """Disarm every fault that does this, for connections to come."""
        self._waiting = [(fault, done) for fault, done in self._waiting if not isinstance(fault.do, kind)]

    def for_connection(self, number: int) -> list[Fault]:
        """Return the faults that may still happen on this connection, in the order of the script."""
        return [
            fault
            for fault, done in self._waiting
            if (fault.times is None or done < fault.times)
            and (fault.connection is None or fault.connection == number)
            and (fault.every is None or number % fault.every == 0)
        ]

    def take(self, fault: Fault) -> bool:
        """Count one happening of a fault; False if it has happened often enough."""
        for index, (known, done) in enumerate(self._waiting):
            if known is fault:
                if fault.times is not None and done >= fault.times:
                    return False
                self._waiting[index] = (fault, done + 1)
                return True
        return False
