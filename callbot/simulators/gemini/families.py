"""How the families of Live models differ: one row of rules for each.

Where reports contradict each other the row has what is documented; `StandInOptions(rules=...)` takes other rows, for
instance `RULES | {"2.5": replace(RULES["2.5"], answers_history=True)}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

type Family = Literal["2.5", "3.1", "3.8", ""]


@dataclass(frozen=True, slots=True)
class ModelRules:
    """What the models of one family do where families differ."""

    # clientContent with turnComplete, also without turns, is answered (live-api reference; livekit/agents-js#2506).
    answers_content: bool = True
    # The same while the caller's audio comes in closes with 1007 (pipecat#4403, strands harness-sdk PR#2000).
    closes_on_content_amid_audio: bool = False
    # clientContent without historyConfig closes with 1007, as 3.1 did at its launch (pipecat#4168, agents-js#1199).
    closes_on_content: bool = False
    # The history that historyConfig announces is answered when it is complete (what pipecat reports of 2.5).
    answers_history: bool = False
    # turnComplete comes behind a blocking tool call, before its answer (google/adk-python gemini_llm_connection.py).
    completes_at_blocking_call: bool = False
    # The input transcription comes as one part that is `finished` (adk-python#6045), and not word by word.
    transcribes_input_at_once: bool = True
    # A turn of clientContent without a role closes with 1007 (livekit realtime_api.py); a wrong role always does.
    needs_roles: bool = True
    # Function calls hold up the turn unless declared NON_BLOCKING.
    tools_block: bool = True


RULES: Mapping[str, ModelRules] = {
    "2.5": ModelRules(
        closes_on_content_amid_audio=True,
        completes_at_blocking_call=True,
        transcribes_input_at_once=False,
        needs_roles=False,
    ),
    "3.1": ModelRules(answers_content=False),
    "3.8": ModelRules(tools_block=False),
    "": ModelRules(answers_content=False),  # translation, transcription, models that a test has invented
}


def family_of(model: str) -> Family:
    """Return the family of a model's name, "" for one of none."""
    known: tuple[Family, ...] = ("2.5", "3.1", "3.8")
    return next((family for family in known if family in model), "")


def change_rule(rules: Mapping[str, ModelRules], text: str) -> dict[str, ModelRules]:
    """Return the rules with one changed by text such as `2.5.answers_history=yes`.

    Raises:
        ValueError: the text names no rule; the message says which there are.
    """
    place, _, value = text.partition("=")
    family, _, name = place.rpartition(".")
    names = [field.name for field in fields(ModelRules)]
    if family not in rules or name not in names or value not in {"yes", "no"}:
        families = ", ".join(sorted(filter(None, rules)))
        known = f"FAMILY of {families} and RULE of {', '.join(names)}"
        raise ValueError(f"--rule {text}: write FAMILY.RULE=yes or =no, with {known}")
    return {**rules, family: replace(rules[family], **{name: value == "yes"})}
