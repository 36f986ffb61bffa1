"""What each model family takes, per back end, as one table.

A setting that a model refuses closes the session with 1007 at set-up, so what is unsupported is left out, with one
warning. Source: Google's Live API model and migration pages, and the reports cited in the comments, as of November 2026.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

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
    """How the model is made to speak without having heard anything."""

    REALTIME_TEXT = "realtime_text"
    CLIENT_CONTENT = "client_content"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One row: what may be set, how history is given, how tools run."""

    temperature: bool
    language_code: bool  # native-audio models choose the language themselves
    thinking_budget: bool
    history: History
    opening: Opening
    blocking_tools: bool  # whether a function may be declared BLOCKING
    tool_scheduling: bool  # whether an answer may carry `scheduling`
    sensitivities: bool


_2_5: Final = Capabilities(
    temperature=True,
    language_code=False,
    thinking_budget=True,
    # A seeded history is not recalled by a first audio input on 2.5 (forum 111617): told in words instead.
    history=History.INSTRUCTION,
    opening=Opening.CLIENT_CONTENT,
    blocking_tools=True,
    tool_scheduling=True,
    sensitivities=True,
)
_3_1: Final = Capabilities(
    temperature=True,
    language_code=False,
    thinking_budget=False,
    history=History.INITIAL_CONTENT,
    opening=Opening.REALTIME_TEXT,
    blocking_tools=True,
    tool_scheduling=False,
    sensitivities=True,
)
_3_8: Final = Capabilities(
    temperature=True,
    language_code=False,
    thinking_budget=False,
    # 3.8-live lost a pre-filled history on resume in two of three trials (livekit/agents-js#2507).
    history=History.INSTRUCTION,
    opening=Opening.REALTIME_TEXT,
    blocking_tools=True,
    tool_scheduling=True,
    sensitivities=True,
)
_3_8_EXTENDED: Final = Capabilities(
    temperature=True,
    language_code=False,
    thinking_budget=False,
    history=History.INSTRUCTION,
    opening=Opening.REALTIME_TEXT,
    blocking_tools=False,  # a hard error there
    tool_scheduling=False,
    sensitivities=True,
)
# A name that nobody here has met: only what every Live model has taken so far.
_UNKNOWN: Final = Capabilities(
    temperature=False,
    language_code=False,
    thinking_budget=False,
    history=History.INSTRUCTION,
    opening=Opening.REALTIME_TEXT,
    blocking_tools=False,
    tool_scheduling=False,
    sensitivities=True,
)

# Vertex: scheduling and initial history are sent by the SDK, but treated as unsupported there by LiveKit and Pipecat;
# `scheduling` was seen to close with 1007 (livekit/agents#3853).
TABLE: Final[dict[tuple[Family, Backend], Capabilities]] = {
    (Family.NATIVE_2_5, "gemini"): _2_5,
    (Family.NATIVE_2_5, "vertex"): Capabilities(
        temperature=True,
        language_code=True,
        thinking_budget=True,
        history=History.INSTRUCTION,
        opening=Opening.CLIENT_CONTENT,
        blocking_tools=True,
        tool_scheduling=False,
        sensitivities=True,
    ),
    (Family.LIVE_3_1, "gemini"): _3_1,
    (Family.LIVE_3_1, "vertex"): Capabilities(
        temperature=True,
        language_code=False,
        thinking_budget=False,
        history=History.INSTRUCTION,
        opening=Opening.REALTIME_TEXT,
        blocking_tools=True,
        tool_scheduling=False,
        sensitivities=True,
    ),
    (Family.LIVE_3_8, "gemini"): _3_8,
    (Family.LIVE_3_8, "vertex"): Capabilities(
        temperature=True,
        language_code=False,
        thinking_budget=False,
        history=History.INSTRUCTION,
        opening=Opening.REALTIME_TEXT,
        blocking_tools=True,
        tool_scheduling=False,
        sensitivities=True,
    ),
    (Family.EXTENDED_3_8, "gemini"): _3_8_EXTENDED,
    (Family.EXTENDED_3_8, "vertex"): _3_8_EXTENDED,
    (Family.UNKNOWN, "gemini"): _UNKNOWN,
    (Family.UNKNOWN, "vertex"): _UNKNOWN,
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


def capabilities_of(model: str, backend: Backend) -> Capabilities:
    """The table's row for a model on a back end."""
    return TABLE[family_of(model), backend]
