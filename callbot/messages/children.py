"""What the child actors are told, grouped by the actor that receives it; each group's union is its whole protocol."""

from dataclasses import dataclass
from typing import Any

# --- to Transcoder -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """A chunk of the caller: mu-law, 8 kHz, any length."""

    mulaw: bytes
    at_s: float


@dataclass(frozen=True, slots=True)
class CallerGap:
    """Time of the caller's line for which no frame came: lost ones, or silence that was not sent.

    `is_over`: frames come again, and the time stamps say how much is missing; else it goes on, at `at_s`.
    """

    gap_ms: int
    at_s: float
    is_over: bool = True


@dataclass(frozen=True, slots=True)
class ModelAudio:
    """A chunk of the model's turn: s16le mono at `rate_hz`, any length, odd bytes included."""

    turn: int
    pcm: bytes
    rate_hz: int


@dataclass(frozen=True, slots=True)
class ModelAudioEnded:
    """The turn has no more audio: flush what the converter holds."""

    turn: int


@dataclass(frozen=True, slots=True)
class DropTurns:
    """Forget all audio of turns up to and including `through_turn`."""

    through_turn: int


TranscoderMessage = CallerAudio | CallerGap | ModelAudio | ModelAudioEnded | DropTurns


# --- to TwilioIO -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayFrames:
    """Whole 20 ms frames of a turn: mu-law, 8 kHz, a multiple of 160 bytes."""

    turn: int
    mulaw: bytes


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """All frames of the turn have been handed over: mark its end."""

    turn: int


@dataclass(frozen=True, slots=True)
class PlayComfort:
    """A short soft sound, so that the caller knows the line is alive. Belongs to no turn; not played over speech."""


@dataclass(frozen=True, slots=True)
class ClearPlayback:
    """Drop everything unheard of turns up to `through_turn`, here and at Twilio."""

    through_turn: int


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close the WebSocket."""

    code: int
    reason: str


TwilioIOMessage = PlayFrames | PlayEnded | PlayComfort | ClearPlayback | CloseStream


# --- to GeminiSession --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SayText:
    """Give the model a text as the user's turn: the greeting's request, a nudge, keys, a late result.

    A nudge is `until_interrupted`: it asks for an answer, and once the caller speaks it is not to be asked for any more.
    """

    text: str
    until_interrupted: bool = False


@dataclass(frozen=True, slots=True)
class AnswerTool:
    """The result of a function for the model."""

    call_id: str
    name: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndSpeech:
    """The caller's stream pauses: `audioStreamEnd`."""


@dataclass(frozen=True, slots=True)
class SendSilence:
    """Keep an idle session alive with `duration_ms` of zero samples; never beside live speech."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class ProbeLink:
    """Send a WebSocket ping; its pong is a sign of life."""


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End the session in order; what was given to it before is sent first."""


GeminiSessionMessage = SayText | AnswerTool | EndSpeech | SendSilence | ProbeLink | CloseSession


# --- to Heartbeat ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watch:
    """The session to watch from now on; None while there is none."""

    session_no: int | None


HeartbeatMessage = Watch
