"""The first client message: what it asks for, and the refusals of the service."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .vad import VadSettings

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

INVALID_ARGUMENT = "Request contains an invalid argument."
PRECONDITION = "Precondition check failed."

_KNOWN_FIELDS = frozenset(
    {
        "model",
        "generationConfig",
        "systemInstruction",
        "tools",
        "sessionResumption",
        "inputAudioTranscription",
        "outputAudioTranscription",
        "realtimeInputConfig",
        "contextWindowCompression",
        "proactivity",
        "explicitVadSignal",
        "historyConfig",
        "avatarConfig",
        "safetySettings",
        "labels",
    }
)


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
    family: Literal["2.5", "3.1", "3.8", ""]
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
        return declared != "NON_BLOCKING" if declared else self.family != "3.8"


def read_setup(body: Mapping[str, Any], *, mode: str, version: str, vad: VadSettings, extra_models: frozenset[str]) -> Setup:
    """Return the setup in a normalised `setup` object.

    Raises:
        SetupRefusedError: the service would close, with this code and text.
    """
    for name in body:
        if name not in _KNOWN_FIELDS:
            text = f"Invalid JSON payload received. Unknown name \"{name}\" at 'setup': Cannot find field."
            raise SetupRefusedError(1007, text)
    model = _model(body, mode, version, extra_models)
    family: Literal["2.5", "3.1", "3.8", ""] = ""
    for known in ("2.5", "3.1", "3.8"):
        if known in model:
            family = known
    behaviors = {
        str(function.get("name")): str(function["behavior"])
        for tool in body.get("tools") or []
        for function in tool.get("functionDeclarations") or []
        if function.get("behavior")
    }
    _check_rules(body, model, family, mode, behaviors)
    realtime = body.get("realtimeInputConfig") or {}
    resumption = body.get("sessionResumption")
    return Setup(
        model=model,
        family=family,
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
    path = body.get("model")
    if not isinstance(path, str) or not path:
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


def _check_rules(body: Mapping[str, Any], model: str, family: str, mode: str, behaviors: Mapping[str, str]) -> None:
    generation = body.get("generationConfig") or {}
    modalities = generation.get("responseModalities") or ["AUDIO"]
    if len(modalities) != 1:
        raise SetupRefusedError(1007, INVALID_ARGUMENT)
    if modalities != ["AUDIO"] and "transcribe" not in model:
        raise SetupRefusedError(1007, PRECONDITION)
    proactive = (body.get("proactivity") or {}).get("proactiveAudio")
    extended = "extended-thinking" in model
    refused = (
        (family == "3.8" and not extended and "thinkingConfig" in generation)
        or (family == "3.8" and "enableAffectiveDialog" in generation)
        or (family == "3.8" and proactive is False)
        or (family == "3.1" and ("enableAffectiveDialog" in generation or proactive is not None))
        or (extended and "BLOCKING" in behaviors.values())
        # The two fields that only Vertex knows.
        or (mode == "gemini" and bool(body.get("explicitVadSignal")))
        or (mode == "gemini" and "transparent" in (body.get("sessionResumption") or {}))
    )
    if refused:
        raise SetupRefusedError(1007, INVALID_ARGUMENT)


def _vad(wanted: Mapping[str, Any], base: VadSettings, mode: str) -> VadSettings:
    default = "LOW" if mode == "vertex" else "HIGH"
    start = str(wanted.get("startOfSpeechSensitivity") or "").removeprefix("START_SENSITIVITY_")
    end = str(wanted.get("endOfSpeechSensitivity") or "").removeprefix("END_SENSITIVITY_")
    unset = {"", "UNSPECIFIED"}
    if start not in unset | {"HIGH", "LOW"} or end not in unset | {"HIGH", "LOW"}:
        raise SetupRefusedError(1007, INVALID_ARGUMENT)
    prefix_ms, silence_ms = wanted.get("prefixPaddingMs"), wanted.get("silenceDurationMs")
    return replace(
        base,
        disabled=bool(wanted.get("disabled", base.disabled)),
        prefix_padding_ms=base.prefix_padding_ms if prefix_ms is None else int(prefix_ms),
        silence_duration_ms=base.silence_duration_ms if silence_ms is None else int(silence_ms),
        start_sensitivity=(base.start_sensitivity or default) if start in unset else start,
        end_sensitivity=(base.end_sensitivity or default) if end in unset else end,
    )
