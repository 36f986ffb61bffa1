"""The set-up message of one session, per model and back end.

Configuration is not carried over a resumption: every session gets the whole of it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from google.genai import types

from callbot.brief import Brief, Generation
from callbot.conversation import SaidLine
from callbot.gemini.capabilities import Capabilities, History

# What a fresh session is told of an earlier one, in the instruction. Worded so that it greets nobody twice and does not
# answer an old question or an old goodbye again (sonichi/sutando#67, #257).
_HISTORY_HEAD = (
    "\n\nThis telephone call has been going on for a while; only the technical link to you was renewed. Below is what has "
    "been said so far. It is context: do not greet the caller again, do not repeat or answer anything in it again, and do "
    "not end the call because of an earlier goodbye. Go on naturally with what the caller says next.\n"
)

_ACTIVITY_HANDLING: Final = {
    "interrupts": types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS,
    "no_interruption": types.ActivityHandling.NO_INTERRUPTION,
}
_TURN_COVERAGE: Final = {
    "only_activity": types.TurnCoverage.TURN_INCLUDES_ONLY_ACTIVITY,
    "all_input": types.TurnCoverage.TURN_INCLUDES_ALL_INPUT,
}
_THRESHOLDS: Final = {
    "low_and_above": types.HarmBlockThreshold.BLOCK_LOW_AND_ABOVE,
    "medium_and_above": types.HarmBlockThreshold.BLOCK_MEDIUM_AND_ABOVE,
    "only_high": types.HarmBlockThreshold.BLOCK_ONLY_HIGH,
    "none": types.HarmBlockThreshold.BLOCK_NONE,
}
_HARMS: Final = (
    types.HarmCategory.HARM_CATEGORY_HARASSMENT,
    types.HarmCategory.HARM_CATEGORY_HATE_SPEECH,
    types.HarmCategory.HARM_CATEGORY_SEXUALLY_EXPLICIT,
    types.HarmCategory.HARM_CATEGORY_DANGEROUS_CONTENT,
)


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """What one session of a call is to be opened with. `is_first`: the first of its stream."""

    call_sid: str
    brief: Brief = field(repr=False)
    model_index: int = 0
    handle: str | None = field(default=None, repr=False)
    history: tuple[SaidLine, ...] = field(default=(), repr=False)
    is_first: bool = False
    without: frozenset[str] = frozenset()  # parts that the model has refused by name: `Capabilities.without`

    @property
    def model(self) -> str:
        """The model's entry in the brief."""
        return self.brief.models[self.model_index]


def build(
    order: SessionOrder,
    capabilities: Capabilities,
    tools: Sequence[types.FunctionDeclaration] = (),
) -> types.LiveConnectConfig:
    """A new `LiveConnectConfig`; the SDK changes the one that it is given, so each session has its own."""
    brief = order.brief
    generation = brief.generation
    in_content = capabilities.history is History.INITIAL_CONTENT and bool(order.history)
    proactive = generation.proactive_audio
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        system_instruction=_instruction(order, in_content=in_content),
        temperature=generation.temperature if capabilities.temperature else None,
        top_p=generation.top_p if capabilities.top_p else None,
        max_output_tokens=(generation.max_output_tokens or None) if capabilities.max_output_tokens else None,
        thinking_config=_thinking(generation, capabilities),
        enable_affective_dialog=True if generation.affective_dialog and capabilities.affective_dialog else None,
        proactivity=types.ProactivityConfig(proactive_audio=proactive) if proactive in capabilities.proactive_audio else None,
        safety_settings=_safety(generation, capabilities),
        labels=dict(generation.labels) if generation.labels and capabilities.labels else None,
        speech_config=_speech(brief, capabilities),
        input_audio_transcription=_transcription(brief, capabilities),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        realtime_input_config=_realtime_input(brief, capabilities),
        context_window_compression=_compression(brief) if capabilities.compression else None,
        # Asked for on every connect, or no handles come; a null handle is never sent.
        session_resumption=types.SessionResumptionConfig(handle=order.handle)
        if order.handle
        else types.SessionResumptionConfig(),
        history_config=types.HistoryConfig(initial_history_in_client_content=True) if in_content else None,
        tools=[types.Tool(function_declarations=list(tools))] if tools else None,
    )


def unsupported(brief: Brief, capabilities: Capabilities) -> list[str]:
    """Names of settings that are set and will be left out for this model."""
    generation, vad, transcription = brief.generation, brief.vad, brief.transcription
    level, proactive = generation.thinking_level, generation.proactive_audio
    left_out = {
        "CALLBOT_TEMPERATURE": generation.temperature is not None and not capabilities.temperature,
        "CALLBOT_TOP_P": generation.top_p is not None and not capabilities.top_p,
        "CALLBOT_MAX_OUTPUT_TOKENS": generation.max_output_tokens and not capabilities.max_output_tokens,
        "CALLBOT_THINKING_LEVEL": level and level not in capabilities.thinking_levels,
        "CALLBOT_THINKING_BUDGET": generation.thinking_budget is not None and not capabilities.thinking_budget,
        "CALLBOT_AFFECTIVE_DIALOG": generation.affective_dialog and not capabilities.affective_dialog,
        "CALLBOT_PROACTIVE_AUDIO": proactive is not None and proactive not in capabilities.proactive_audio,
        "CALLBOT_SAFETY_THRESHOLD": generation.safety_threshold and not capabilities.safety_settings,
        "CALLBOT_LABELS": generation.labels and not capabilities.labels,
        "CALLBOT_LANGUAGE": brief.language and not capabilities.language_code,
        "CALLBOT_ACTIVITY_HANDLING": vad.activity_handling != "default" and not capabilities.activity_handling,
        "CALLBOT_TURN_COVERAGE": vad.turn_coverage != "default" and not capabilities.turn_coverage,
        "CALLBOT_TRANSCRIPTION_LANGUAGES": transcription.languages and not capabilities.transcription_languages,
        "CALLBOT_TRANSCRIPTION_WORDS": transcription.words and not capabilities.custom_words,
    }
    return [name for name, is_left_out in left_out.items() if is_left_out]


def _instruction(order: SessionOrder, *, in_content: bool) -> str:
    instruction, language = order.brief.prompt, order.brief.language
    if language:
        instruction += f"\nSpeak {language} unless the caller asks for another language."
    if order.history and not in_content:
        lines = (f"{'Caller' if line.role == 'caller' else 'You'}: {line.text}" for line in order.history)
        instruction += _HISTORY_HEAD + "\n".join(lines)
    return instruction


def _speech(brief: Brief, capabilities: Capabilities) -> types.SpeechConfig | None:
    language_code = brief.language if brief.language and capabilities.language_code else None
    if not (brief.voice and capabilities.voice) and language_code is None:
        return None
    voice = None
    if brief.voice and capabilities.voice:
        voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=brief.voice))
    return types.SpeechConfig(voice_config=voice, language_code=language_code)


def _realtime_input(brief: Brief, capabilities: Capabilities) -> types.RealtimeInputConfig:
    vad = brief.vad
    start, end = vad.start_sensitivity, vad.end_sensitivity
    detection = types.AutomaticActivityDetection(prefix_padding_ms=vad.prefix_padding_ms, silence_duration_ms=vad.silence_ms)
    if capabilities.sensitivities and start != "default":
        detection.start_of_speech_sensitivity = types.StartSensitivity(f"START_SENSITIVITY_{start.upper()}")
    if capabilities.sensitivities and end != "default":
        detection.end_of_speech_sensitivity = types.EndSensitivity(f"END_SENSITIVITY_{end.upper()}")
    handling = vad.activity_handling if capabilities.activity_handling else "default"
    coverage = vad.turn_coverage if capabilities.turn_coverage else "default"
    return types.RealtimeInputConfig(
        automatic_activity_detection=detection,
        activity_handling=None if handling == "default" else _ACTIVITY_HANDLING[handling],
        turn_coverage=None if coverage == "default" else _TURN_COVERAGE[coverage],
    )


def _thinking(generation: Generation, capabilities: Capabilities) -> types.ThinkingConfig | None:
    level: str | None = generation.thinking_level
    if level not in capabilities.thinking_levels:
        level = capabilities.default_thinking_level
    budget = generation.thinking_budget if capabilities.thinking_budget else None
    if level is None and budget is None:
        return None
    return types.ThinkingConfig(
        thinking_level=None if level is None else types.ThinkingLevel(level.upper()), thinking_budget=budget
    )


def _safety(generation: Generation, capabilities: Capabilities) -> list[types.SafetySetting] | None:
    if not generation.safety_threshold or not capabilities.safety_settings:
        return None
    threshold = _THRESHOLDS[generation.safety_threshold]
    return [types.SafetySetting(category=category, threshold=threshold) for category in _HARMS]


def _transcription(brief: Brief, capabilities: Capabilities) -> types.AudioTranscriptionConfig:
    asked = brief.transcription
    return types.AudioTranscriptionConfig(
        language_codes=list(asked.languages) if asked.languages and capabilities.transcription_languages else None,
        custom_vocabulary=list(asked.words) if asked.words and capabilities.custom_words else None,
    )


def _compression(brief: Brief) -> types.ContextWindowCompressionConfig | None:
    if not brief.generation.compression_trigger_tokens:
        return None
    return types.ContextWindowCompressionConfig(
        trigger_tokens=brief.generation.compression_trigger_tokens,
        sliding_window=types.SlidingWindow(target_tokens=brief.generation.compression_target_tokens),
    )
