"""What one message of the Gemini Live server says, in the fields that callbot uses.

One message may carry several things at once (audio and a transcription, `turnComplete` and the usage), so it is one
flat struct and not a union; a field that the message did not have keeps its default.
"""

from typing import Any

import msgspec


class AudioPart(msgspec.Struct, frozen=True):
    """A piece of the model's voice: s16 little-endian mono at `rate_hz`. May end in the middle of a sample."""

    pcm: bytes
    rate_hz: int


class Transcription(msgspec.Struct, frozen=True):
    """A fragment of what was said; fragments are joined as they are. `language` is BCP 47's name, empty if there was none."""

    text: str
    language: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    """A function that the model wants called. Vertex may leave the id out."""

    id: str | None
    name: str
    args: dict[str, Any]


class ResumptionUpdate(msgspec.Struct, frozen=True):
    """Where the session could be taken up again. `handle` is None if there is none or it is empty."""

    handle: str | None = None
    resumable: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, under Gemini's names or Vertex's. The modalities are as the server spells them ("AUDIO", "TEXT")."""

    prompt_tokens: int | None = None
    response_tokens: int | None = None
    thoughts_tokens: int | None = None
    tool_tokens: int | None = None
    cached_tokens: int | None = None
    prompt_by_modality: dict[str, int] = {}
    response_by_modality: dict[str, int] = {}


class Grounding(msgspec.Struct, frozen=True):
    """What an answer rests on: the searches that were made, and the addresses of what they found."""

    queries: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class ModelMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One server message. Enumerations are plain strings: the server's next version may have new values."""

    setup_complete: bool = False

    audio: tuple[AudioPart, ...] = ()
    """In order."""
    text: tuple[str, ...] = ()
    """In order, thoughts left out."""
    interrupted: bool = False
    generation_complete: bool = False
    """The turn has no more audio; `turn_complete` waits until the server believes it played."""
    turn_complete: bool = False
    turn_complete_reason: str | None = None
    interaction_status: str | None = None
    input_transcription: Transcription | None = None
    output_transcription: Transcription | None = None
    grounding: Grounding | None = None

    tool_calls: tuple[ToolCall, ...] = ()
    cancelled_tool_ids: tuple[str, ...] = ()

    go_away: bool = False
    go_away_time_left_s: float | None = None
    """None if the server did not say, or not in a way that could be read."""
    resumption: ResumptionUpdate | None = None
    usage: Usage | None = None

    unknown_keys: tuple[str, ...] = ()
    """Keys new to this decoder: at the top, or as "serverContent.key". At most 16, cut to 64 characters."""
    faults: tuple[str, ...] = ()
    """Kinds of fault, each once: "bad_base64", "not_pcm", "bad_rate", "bad_time_left", "tool_call_without_name" and
    "wrong_type_<field>". The field was left out for it; the rest of the message is good."""
