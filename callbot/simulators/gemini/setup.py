"""The first client message: what it asks for, and the refusals of the service."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .families import RULES, Family, ModelRules, family_of
from .vad import VadSettings
from .wire_reader import INVALID_ARGUMENT, snake, unknown_name

# Live models at the end of 2026. Only 3.8 has the same id in both modes.
GEMINI_MODELS = frozenset(
    {
        "gemini-3.8-live",
        "gemini-3.8-live-extended-thinking",
        "gemini-3.1-flash-live-preview",
        "gemini-2.5-flash-native-audio-preview-12-2025",
        "gemini-2.5-flash-native-audio-latest",
        "gemini-3.5-live-translate-preview",
        "gemini-3.5-transcribe-live",
    }
)
VERTEX_MODELS = frozenset({"gemini-3.8-live", "gemini-live-2.5-flash-native-audio", "gemini-3.5-transcribe-live-preview"})

PRECONDITION = "Precondition check failed."

# The thirty prebuilt voices (live-api guide). The service takes their names in any case.
VOICES = frozenset({
    "zephyr", "puck", "charon", "kore", "fenrir", "leda", "orus", "aoede", "callirrhoe", "autonoe", "enceladus", "iapetus",
    "umbriel", "algieba", "despina", "erinome", "algenib", "rasalgethi", "laomedeia", "achernar", "alnilam", "schedar",
    "gacrux", "pulcherrima", "achird", "zubenelgenubi", "vindemiatrix", "sadachbia", "sadaltager", "sulafat",
})  # fmt: skip
# What the extended-thinking model may be told to think; it refuses a setup that tells it nothing.
THINKING_LEVELS = frozenset({"LOW", "MEDIUM", "HIGH"})


class SetupRefusedError(Exception):
    """The setup is not acceptable; the connection closes with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Setup:
    """What a session was asked to be."""

    model: str  # without any path
    family: Family
    rules: ModelRules
    mode: str
    wants_handles: bool
    handle: str | None
    transparent: bool
    vad: VadSettings
    interrupts: bool
    transcribes_input: bool
    transcribes_output: bool
    history_first: bool
    explicit_vad: bool
    behaviors: Mapping[str, str]  # function name -> declared behavior

    @property
    def extended(self) -> bool:
        """Whether the model thinks in the background and completes several turns for one request."""
        return "extended-thinking" in self.model

    def blocks(self, function: str) -> bool:
        """Whether a call of this function holds up the turn: the declaration decides, then the model."""
        declared = self.behaviors.get(function)
        return declared != "NON_BLOCKING" if declared else self.rules.tools_block


def read_setup(
    body: Mapping[str, Any],
    *,
    mode: str,
    version: str,
    vad: VadSettings,
    extra_models: frozenset[str],
    rules: Mapping[str, ModelRules] = RULES,
) -> Setup:
    """Return what a `setup` object, as `wire_reader` returns it, asks for.

    Raises:
        SetupRefusedError: the service would close, with this code and text.
    """
    model = _model(body, mode, version, extra_models)
    family = family_of(model)
    behaviors = {
        str(function.get("name")): str(function["behavior"])
        for tool in body.get("tools", ())
        for function in tool.get("functionDeclarations", ())
        if function.get("behavior", "UNSPECIFIED") != "UNSPECIFIED"
    }
    _check_fields(body, family, mode, version)
    _check_rules(body, model, family, behaviors)
    realtime = body.get("realtimeInputConfig") or {}
    resumption = body.get("sessionResumption")
    return Setup(
        model=model,
        family=family,
        rules=rules.get(family) or ModelRules(),
        mode=mode,
        wants_handles=resumption is not None,
        handle=(resumption or {}).get("handle") or None,
        transparent=bool((resumption or {}).get("transparent")),
        vad=_vad(realtime.get("automaticActivityDetection") or {}, vad, mode),
        interrupts=realtime.get("activityHandling") != "NO_INTERRUPTION",
        transcribes_input=body.get("inputAudioTranscription") is not None,
        transcribes_output=body.get("outputAudioTranscription") is not None,
        history_first=bool((body.get("historyConfig") or {}).get("initialHistoryInClientContent")),
        explicit_vad=bool(body.get("explicitVadSignal")),
        behaviors=behaviors,
    )


def _model(body: Mapping[str, Any], mode: str, version: str, extra: frozenset[str]) -> str:
    path: str = body.get("model", "")
    if not path:
        raise SetupRefusedError(1007, INVALID_ARGUMENT)
    prefix, _, name = path.rpartition("models/")
    known = VERTEX_MODELS if mode == "vertex" else GEMINI_MODELS
    # Gemini names are models/X, Vertex names [projects/P/locations/L/]publishers/google/models/X.
    right_place = prefix.endswith("publishers/google/") if mode == "vertex" else prefix == ""
    if not right_place or name not in known | extra:
        text = (
            f"models/{name} is not found for API version {version or 'v1beta1'}, "
            "or is not supported for bidiGenerateContent. Call ListModels to see the list of available models"
        )
        raise SetupRefusedError(1008, text)
    return name


def _check_fields(body: Mapping[str, Any], family: str, mode: str, version: str) -> None:
    """Refuse fields that exist elsewhere: in the other mode, or in another version of the API."""
    absent: list[tuple[str, str]] = []  # path and field
    if mode == "gemini":
        absent += [("", "explicitVadSignal"), ("sessionResumption", "transparent")]
        if version != "v1alpha":
            absent.append(("generationConfig", "enableAffectiveDialog"))
            if family == "2.5":  # 3.x takes it in every version, to say what is always so
                absent.append(("", "proactivity"))
    for place, field in absent:
        if field in (body.get(place, {}) if place else body):
            path = ".".join(filter(None, ("setup", snake(place))))
            raise SetupRefusedError(1007, unknown_name(field, path))


def _check_rules(body: Mapping[str, Any], model: str, family: str, behaviors: Mapping[str, str]) -> None:
    generation = body.get("generationConfig", {})
    modalities = generation.get("responseModalities") or ["AUDIO"]
    if len(modalities) != 1:
        raise SetupRefusedError(1007, INVALID_ARGUMENT)
    if modalities != ["AUDIO"] and "transcribe" not in model:
        raise SetupRefusedError(1007, PRECONDITION)
    voice = generation.get("speechConfig", {}).get("voiceConfig", {}).get("prebuiltVoiceConfig", {}).get("voiceName")
    if voice is not None and voice.lower() not in VOICES:
        text = f"Requested voice api_name '{voice[:30]}' is not available for model models/{model}"
        raise SetupRefusedError(1007, text)
    proactive = body.get("proactivity", {}).get("proactiveAudio")
    thinking = generation.get("thinkingConfig")
    extended = "extended-thinking" in model
    refused = (
        (family == "3.8" and not extended and thinking is not None)
        or (extended and (thinking or {}).get("thinkingLevel") not in THINKING_LEVELS)
        or (family == "3.8" and "enableAffectiveDialog" in generation)
        or (family == "3.8" and proactive is False)
        or (family == "3.1" and ("enableAffectiveDialog" in generation or proactive is not None))
        or (extended and "BLOCKING" in behaviors.values())
    )
    if refused:
        raise SetupRefusedError(1007, INVALID_ARGUMENT)


def _vad(wanted: Mapping[str, Any], base: VadSettings, mode: str) -> VadSettings:
    default = "LOW" if mode == "vertex" else "HIGH"
    start = wanted.get("startOfSpeechSensitivity", "").removeprefix("START_SENSITIVITY_")
    end = wanted.get("endOfSpeechSensitivity", "").removeprefix("END_SENSITIVITY_")
    prefix_ms, silence_ms = wanted.get("prefixPaddingMs"), wanted.get("silenceDurationMs")
    if min(prefix_ms or 0, silence_ms or 0) < 0:
        raise SetupRefusedError(1007, INVALID_ARGUMENT)
    unset = {"", "UNSPECIFIED"}
    return replace(
        base,
        disabled=wanted.get("disabled", base.disabled),
        prefix_padding_ms=base.prefix_padding_ms if prefix_ms is None else prefix_ms,
        silence_duration_ms=base.silence_duration_ms if silence_ms is None else silence_ms,
        start_sensitivity=(base.start_sensitivity or default) if start in unset else start,
        end_sensitivity=(base.end_sensitivity or default) if end in unset else end,
    )
