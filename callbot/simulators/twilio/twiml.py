"""The verbs of a call, as frozen dataclasses. `twiml_reader` makes them from a document."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text."""

    text: str
    voice: str = ""
    language: str = ""
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence, in whole seconds."""

    length_s: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    """Play a file, or key tones."""

    url: str = ""
    digits: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the media goes. `parameters` arrive in the `start` message."""

    url: str
    name: str = ""
    track: str = "inbound_track"
    status_callback: str = ""
    status_callback_method: str = "POST"
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Connect:
    """A bidirectional stream; the call waits in it until the stream ends."""

    stream: Stream
    action: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Redirect:
    """Hand over to another document."""

    url: str
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a <Dial> calls: a noun and what it holds. `url` is heard by them before they are connected."""

    noun: Literal["Number", "Sip", "Client", "WhatsApp", "Conference", "Queue", "Application", "Sim"]
    address: str
    url: str = ""
    method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    status_callback_events: tuple[str, ...] = ("completed",)
    starts_conference: bool = True
    ends_conference: bool = False


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect the caller with somebody else: all targets ring at once, or one after another."""

    targets: tuple[Target, ...]
    action: str = ""
    method: str = "POST"
    timeout_s: int = 30
    time_limit_s: int = 14_400
    caller_id: str = ""
    sequential: bool = False


@dataclass(frozen=True, slots=True)
class Gather:
    """Collect keys while `prompts` are heard; `finish_on_key` "" means that none does."""

    prompts: tuple[Say | Pause | Play, ...] = ()
    action: str = ""
    method: str = "POST"
    timeout_s: int = 5
    digits: int | None = None
    finish_on_key: str = "#"
    action_on_empty_result: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """Record the caller until a key, a pause of `timeout_s`, or the greatest length."""

    action: str = ""
    method: str = "POST"
    timeout_s: int = 5
    max_length_s: int = 3600
    finish_on_key: str = "1234567890*#"
    recording_status_callback: str = ""
    recording_status_callback_method: str = "POST"


@dataclass(frozen=True, slots=True)
class Start:
    """A unidirectional stream beside the call; the next verb begins at once."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Stop:
    """End the unidirectional stream of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the call before it is answered."""

    reason: str = "rejected"


@dataclass(frozen=True, slots=True)
class Unperformed:
    """A verb, or a noun in one, that is Twilio's and that the stand-in does not perform."""

    name: str


type Verb = (
    Say | Pause | Play | Connect | Redirect | Dial | Gather | Record | Start | Stop | Hangup | Reject | Unperformed
)  # fmt: skip
