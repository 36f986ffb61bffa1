"""What each model family takes, per back end, as one table.

A setting that a model refuses closes the session with 1007 at set-up, so what is unsupported is left out, with one
warning. Source: Google's Live API model and migration pages, and the reports cited in the comments, as of November 2026.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal

Backend = Literal["gemini", "vertex"]


class Family(StrEnum):
    """Model families that differ in what they take."""

    NATIVE_2_5 = "2.5-native"
    LIVE_3_1 = "3.1-live"
    LIVE_3_8 = "3.8-live"
    EXTENDED_3_8 = "3.8-live-extended-thinking"
    UNKNOWN = "unknown"


class History(StrEnum):
    """How a fresh session is told an earlier conversation."""

    INSTRUCTION = "instruction"  # in the system instruction
    INITIAL_CONTENT = "initial_content"  # client content before the first turn, announced by historyConfig


class Opening(StrEnum):
    """How a session is given its first words, as long as it has heard nothing; later texts are realtime text everywhere."""

    REALTIME_TEXT = "realtime_text"
    CLIENT_CONTENT = "client_content"


class ThinkingLevel(StrEnum):
    """How much a model thinks before it answers, as the service names it."""

    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one model takes on one back end. The defaults are what every Live model has taken so far, and no more."""

    # Sampling and bounds of an answer.
    temperature: bool = False
    top_p: bool = False
    max_output_tokens: bool = False
    safety_settings: bool = False
    labels: bool = False
    # Thinking: a model has levels (3.x), a budget in tokens (2.5), or neither. A set-up without a level is refused where
    # `default_thinking_level` is set.
    thinking_levels: frozenset[ThinkingLevel] = frozenset()
    default_thinking_level: ThinkingLevel | None = None
    thinking_budget: bool = False
    # The ear.
    sensitivities: bool = True
    activity_handling: bool = False
    turn_coverage: bool = False
    transcription_languages: bool = False
    custom_words: bool = False
    # The voice.
    voice: bool = True
    language_code: bool = False  # native-audio models choose the language themselves
    affective_dialog: bool = False
    proactive_audio: frozenset[bool] = frozenset()  # the values that may be sent; empty: the field is refused
    alpha_only: bool = False  # affective dialog and proactive audio on API version v1alpha only
    # Texts, histories, tools.
    opening: Opening = Opening.REALTIME_TEXT  # 2.5 closes with 1007 for client content amid audio (pipecat#4403)
    history: History = History.INSTRUCTION
    compression: bool = True
    blocking_tools: bool = False  # whether a function may be declared BLOCKING

    def without(self, names: frozenset[str]) -> "Capabilities":
        """The same less what a service has refused by name: fields of this class, or "thinking" for all that is about it."""
        refused: dict[str, Any] = {}
        for name in names:
            refused |= _REFUSED.get(name) or {name: False}
        return replace(self, **refused) if refused else self


_REFUSED: Final[dict[str, dict[str, Any]]] = {
    "thinking": {"thinking_levels": frozenset(), "default_thinking_level": None, "thinking_budget": False},
    "proactive_audio": {"proactive_audio": frozenset()},
    "history": {"history": History.INSTRUCTION},
}


UNKNOWN: Final = Capabilities()
"""A name that nobody here has met."""

_KNOWN: Final = Capabilities(
    temperature=True,
    top_p=True,
    max_output_tokens=True,
    safety_settings=True,
    labels=True,
    activity_handling=True,
    turn_coverage=True,
    transcription_languages=True,
    custom_words=True,
    blocking_tools=True,
)
# On the Gemini API. A seeded history is not recalled by a first audio input on 2.5 (forum 111617): told in words instead.
_2_5: Final = replace(
    _KNOWN,
    thinking_budget=True,
    affective_dialog=True,
    proactive_audio=frozenset({True, False}),
    alpha_only=True,
    custom_words=False,
    opening=Opening.CLIENT_CONTENT,
)
# Its own default level is minimal, so none need be sent.
_3_1: Final = replace(_KNOWN, thinking_levels=frozenset(ThinkingLevel), custom_words=False, history=History.INITIAL_CONTENT)
# 3.8-live lost a pre-filled history on resume in two of three trials (livekit/agents-js#2507). Proactive audio is always on.
_3_8: Final = replace(_KNOWN, proactive_audio=frozenset({True}))
_EXTENDED: Final = replace(
    _3_8,
    # Sources differ on whether it takes MINIMAL; a set-up without a level is refused (NousResearch/hermes-agent#114116).
    thinking_levels=frozenset({ThinkingLevel.LOW, ThinkingLevel.MEDIUM, ThinkingLevel.HIGH}),
    default_thinking_level=ThinkingLevel.LOW,  # a caller waits
    blocking_tools=False,  # a hard error there
)


def _on_vertex(row: Capabilities, **differences: Any) -> Capabilities:
    """What differs there: LiveKit and Pipecat treat initial history as unsupported."""
    return replace(row, history=History.INSTRUCTION, alpha_only=False, **differences)


TABLE: Final[dict[tuple[Family, Backend], Capabilities]] = {
    (Family.NATIVE_2_5, "gemini"): _2_5,
    (Family.NATIVE_2_5, "vertex"): _on_vertex(_2_5, language_code=True),
    (Family.LIVE_3_1, "gemini"): _3_1,
    (Family.LIVE_3_1, "vertex"): _on_vertex(_3_1),
    (Family.LIVE_3_8, "gemini"): _3_8,
    (Family.LIVE_3_8, "vertex"): _on_vertex(_3_8),
    (Family.EXTENDED_3_8, "gemini"): _EXTENDED,
    (Family.EXTENDED_3_8, "vertex"): _on_vertex(_EXTENDED),
    (Family.UNKNOWN, "gemini"): UNKNOWN,
    (Family.UNKNOWN, "vertex"): UNKNOWN,
}


def family_of(model: str) -> Family:
    """The family of a model's name, with or without its `models/` or `publishers/` path."""
    name = model.rsplit("/", 1)[-1].lower()
    if name.startswith("gemini-3.8-live-extended-thinking"):
        return Family.EXTENDED_3_8
    if name.startswith("gemini-3.8") and "live" in name:
        return Family.LIVE_3_8
    if name.startswith("gemini-3.1") and "live" in name:
        return Family.LIVE_3_1
    if "2.5" in name and ("native-audio" in name or "live" in name):
        return Family.NATIVE_2_5
    return Family.UNKNOWN


def capabilities_of(model: str, backend: Backend, api_version: str = "") -> Capabilities:
    """The table's row for a model on a back end, less what its API version does not have."""
    row = TABLE[family_of(model), backend]
    if row.alpha_only and api_version != "v1alpha":
        return row.without(frozenset({"affective_dialog", "proactive_audio"}))
    return row
