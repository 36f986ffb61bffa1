"""The set-up message of one session, per model and back end.

Configuration is not carried over a resumption: every session gets the whole of it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.genai import types

from callbot.gemini.capabilities import Capabilities, History
from callbot.settings import Settings

# What a fresh session is told of an earlier one, in the instruction. Worded so that it greets nobody twice and does not
# answer an old question or an old goodbye again (sonichi/sutando#67, #257).
_HISTORY_HEAD = (
    "\n\nThis telephone call has been going on for a while; only the technical link to you was renewed. Below is what has "
    "been said so far. It is context: do not greet the caller again, do not repeat or answer anything in it again, and do "
    "not end the call because of an earlier goodbye. Go on naturally with what the caller says next.\n"
)


@dataclass(frozen=True, slots=True)
class SaidLine:
    """One line of the conversation so far. `role` is "caller" or "bot"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """What one session is to be opened with."""

    model: str
    handle: str | None = field(default=None, repr=False)
    history: tuple[SaidLine, ...] = ()


def build(
    order: SessionOrder,
    settings: Settings,
    capabilities: Capabilities,
    tools: Sequence[types.FunctionDeclaration] = (),
) -> types.LiveConnectConfig:
    """A new `LiveConnectConfig`; the SDK changes the one that it is given, so each session has its own."""
    in_content = capabilities.history is History.INITIAL_CONTENT and bool(order.history)
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        system_instruction=_instruction(order, settings, in_content=in_content),
        temperature=settings.temperature if capabilities.temperature else None,
        speech_config=_speech(settings, capabilities),
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        realtime_input_config=_realtime_input(settings, capabilities),
        context_window_compression=_compression(settings),
        # Asked for on every connect, or no handles come; a null handle is never sent.
        session_resumption=types.SessionResumptionConfig(handle=order.handle)
        if order.handle
        else types.SessionResumptionConfig(),
        history_config=types.HistoryConfig(initial_history_in_client_content=True) if in_content else None,
        tools=[types.Tool(function_declarations=list(tools))] if tools else None,
    )


def unsupported(settings: Settings, capabilities: Capabilities) -> list[str]:
    """Names of settings that are set and will be left out for this model."""
    left_out = []
    if settings.temperature is not None and not capabilities.temperature:
        left_out.append("CALLBOT_TEMPERATURE")
    if settings.language and not capabilities.language_code:
        left_out.append("CALLBOT_LANGUAGE")
    return left_out


def _instruction(order: SessionOrder, settings: Settings, *, in_content: bool) -> str:
    instruction = settings.system_instruction
    if settings.language:
        instruction += f"\nSpeak {settings.language} unless the caller asks for another language."
    if order.history and not in_content:
        lines = (f"{'Caller' if line.role == 'caller' else 'You'}: {line.text}" for line in order.history)
        instruction += _HISTORY_HEAD + "\n".join(lines)
    return instruction


def _speech(settings: Settings, capabilities: Capabilities) -> types.SpeechConfig | None:
    language_code = settings.language if settings.language and capabilities.language_code else None
    if not settings.voice and language_code is None:
        return None
    voice = None
    if settings.voice:
        voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=settings.voice))
    return types.SpeechConfig(voice_config=voice, language_code=language_code)


def _realtime_input(settings: Settings, capabilities: Capabilities) -> types.RealtimeInputConfig:
    start, end = settings.vad_start_sensitivity, settings.vad_end_sensitivity
    detection = types.AutomaticActivityDetection(
        prefix_padding_ms=settings.vad_prefix_padding_ms, silence_duration_ms=settings.vad_silence_ms
    )
    if capabilities.sensitivities and start != "default":
        detection.start_of_speech_sensitivity = types.StartSensitivity(f"START_SENSITIVITY_{start.upper()}")
    if capabilities.sensitivities and end != "default":
        detection.end_of_speech_sensitivity = types.EndSensitivity(f"END_SENSITIVITY_{end.upper()}")
    return types.RealtimeInputConfig(automatic_activity_detection=detection)


def _compression(settings: Settings) -> types.ContextWindowCompressionConfig | None:
    if not settings.compression_trigger_tokens:
        return None
    return types.ContextWindowCompressionConfig(
        trigger_tokens=settings.compression_trigger_tokens,
        sliding_window=types.SlidingWindow(target_tokens=settings.compression_target_tokens),
    )
