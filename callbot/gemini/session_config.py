"""The set-up message of one session, per model and back end.

Configuration is not carried over a resumption: every session gets the whole of it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.genai import types

from callbot.brief import Brief
from callbot.conversation import SaidLine
from callbot.gemini.capabilities import Capabilities, History

# What a fresh session is told of an earlier one, in the instruction. Worded so that it greets nobody twice and does not
# answer an old question or an old goodbye again (sonichi/sutando#67, #257).
_HISTORY_HEAD = (
    "\n\nThis telephone call has been going on for a while; only the technical link to you was renewed. Below is what has "
    "been said so far. It is context: do not greet the caller again, do not repeat or answer anything in it again, and do "
    "not end the call because of an earlier goodbye. Go on naturally with what the caller says next.\n"
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
    in_content = capabilities.history is History.INITIAL_CONTENT and bool(order.history)
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        system_instruction=_instruction(order, in_content=in_content),
        temperature=brief.generation.temperature if capabilities.temperature else None,
        speech_config=_speech(brief, capabilities),
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        realtime_input_config=_realtime_input(brief, capabilities),
        context_window_compression=_compression(brief),
        # Asked for on every connect, or no handles come; a null handle is never sent.
        session_resumption=types.SessionResumptionConfig(handle=order.handle)
        if order.handle
        else types.SessionResumptionConfig(),
        history_config=types.HistoryConfig(initial_history_in_client_content=True) if in_content else None,
        tools=[types.Tool(function_declarations=list(tools))] if tools else None,
    )


def unsupported(brief: Brief, capabilities: Capabilities) -> list[str]:
    """Names of settings that are set and will be left out for this model."""
    left_out = []
    if brief.generation.temperature is not None and not capabilities.temperature:
        left_out.append("CALLBOT_TEMPERATURE")
    if brief.language and not capabilities.language_code:
        left_out.append("CALLBOT_LANGUAGE")
    return left_out


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
    if not brief.voice and language_code is None:
        return None
    voice = None
    if brief.voice:
        voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=brief.voice))
    return types.SpeechConfig(voice_config=voice, language_code=language_code)


def _realtime_input(brief: Brief, capabilities: Capabilities) -> types.RealtimeInputConfig:
    start, end = brief.vad.start_sensitivity, brief.vad.end_sensitivity
    detection = types.AutomaticActivityDetection(
        prefix_padding_ms=brief.vad.prefix_padding_ms, silence_duration_ms=brief.vad.silence_ms
    )
    if capabilities.sensitivities and start != "default":
        detection.start_of_speech_sensitivity = types.StartSensitivity(f"START_SENSITIVITY_{start.upper()}")
    if capabilities.sensitivities and end != "default":
        detection.end_of_speech_sensitivity = types.EndSensitivity(f"END_SENSITIVITY_{end.upper()}")
    return types.RealtimeInputConfig(automatic_activity_detection=detection)


def _compression(brief: Brief) -> types.ContextWindowCompressionConfig | None:
    if not brief.generation.compression_trigger_tokens:
        return None
    return types.ContextWindowCompressionConfig(
        trigger_tokens=brief.generation.compression_trigger_tokens,
        sliding_window=types.SlidingWindow(target_tokens=brief.generation.compression_target_tokens),
    )
