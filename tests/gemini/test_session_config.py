"""The set-up of a session: what is asked for, what is left out, and how an earlier conversation is told."""

from pathlib import Path
from typing import Any

import pytest
from google.genai import types

from callbot.brief import Brief
from callbot.conversation import SaidLine
from callbot.default_brief import brief_of
from callbot.gemini.capabilities import Backend, capabilities_of
from callbot.gemini.session_config import SessionOrder, build, unsupported
from callbot.messages import Role
from callbot.settings import Settings

HANDLE = "secret-handle-77"
SAID = (SaidLine(Role.CALLER, "My name is Ada."), SaidLine(Role.BOT, "Hello Ada."), SaidLine(Role.CALLER, "Goodbye."))


@pytest.fixture(autouse=True)
def _no_settings_from_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CALLBOT_PROMPT", "CALLBOT_VOICE", "CALLBOT_LANGUAGE", "CALLBOT_TEMPERATURE"):
        monkeypatch.delenv(name, raising=False)


def brief(**values: Any) -> Brief:
    return brief_of(Settings(**{"_env_file": None, **values}))


def config(
    *,
    model: str = "gemini-3.8-live",
    backend: Backend = "gemini",
    handle: str | None = None,
    history: tuple[SaidLine, ...] = (),
    **values: Any,
) -> types.LiveConnectConfig:
    order = SessionOrder("CA1", brief(model=model, **values), handle=handle, history=history)
    return build(order, capabilities_of(model, backend))


def test_every_session_asks_for_audio_both_transcriptions_and_handles() -> None:
    asked = config()
    assert asked.response_modalities == [types.Modality.AUDIO]
    assert asked.input_audio_transcription == types.AudioTranscriptionConfig()
    assert asked.output_audio_transcription == types.AudioTranscriptionConfig()
    assert asked.session_resumption == types.SessionResumptionConfig()


def test_a_handle_is_given_and_none_is_never_sent() -> None:
    resumed = config(handle=HANDLE).session_resumption
    assert resumed is not None
    assert resumed.handle == HANDLE
    fresh = config().session_resumption
    assert fresh is not None
    assert "handle" not in fresh.model_dump(exclude_unset=True)
    empty = config(handle="").session_resumption
    assert empty is not None
    assert "handle" not in empty.model_dump(exclude_unset=True)


def test_a_handle_is_in_no_printed_form_of_the_order() -> None:
    assert HANDLE not in repr(SessionOrder("CA1", brief(), handle=HANDLE))


def test_each_session_has_a_configuration_of_its_own() -> None:
    assert config() == config()
    assert config() is not config()


def test_a_resumed_session_is_configured_whole_again() -> None:
    resumed = config(handle=HANDLE, prompt="You are Bo.").model_dump()
    fresh = config(prompt="You are Bo.").model_dump()
    assert resumed.pop("session_resumption") != fresh.pop("session_resumption")
    assert resumed == fresh


def test_the_persona_is_the_instruction() -> None:
    assert config(prompt="You are Bo.").system_instruction == "You are Bo."
    assert "telephone" in str(config().system_instruction)


def test_a_prompt_file_comes_before_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("You are Cy.\n", encoding="utf-8")
    assert config(prompt="You are Bo.", prompt_file=path).system_instruction == "You are Cy."


def test_the_conversation_so_far_is_told_as_context_that_asks_for_nothing() -> None:
    instruction = str(config(history=SAID, prompt="You are Bo.").system_instruction)
    assert instruction.startswith("You are Bo.")
    assert instruction.endswith("Caller: My name is Ada.\nYou: Hello Ada.\nCaller: Goodbye.")
    for rule in ("do not greet the caller again", "do not repeat or answer", "earlier goodbye"):
        assert rule in instruction


def test_a_model_that_takes_its_history_as_content_is_told_so_and_not_in_the_instruction() -> None:
    asked = config(history=SAID, model="gemini-3.1-flash-live", prompt="You are Bo.")
    assert asked.system_instruction == "You are Bo."
    assert asked.history_config == types.HistoryConfig(initial_history_in_client_content=True)


def test_without_a_history_none_is_announced() -> None:
    assert config(model="gemini-3.1-flash-live").history_config is None
    assert "has been going on" not in str(config().system_instruction)


def test_voice_and_language_are_set_where_the_model_takes_them() -> None:
    assert config().speech_config is None
    speech = config(voice="Kore").speech_config
    assert speech is not None
    assert speech.voice_config is not None
    assert speech.voice_config.prebuilt_voice_config == types.PrebuiltVoiceConfig(voice_name="Kore")
    vertex = config(model="gemini-live-2.5-flash", backend="vertex", language="de-DE").speech_config
    assert vertex is not None
    assert (vertex.language_code, vertex.voice_config) == ("de-DE", None)


def test_a_language_that_cannot_be_set_is_asked_for_in_words() -> None:
    asked = config(language="de-DE")
    assert asked.speech_config is None
    assert "Speak de-DE unless" in str(asked.system_instruction)


def test_what_a_model_does_not_take_is_left_out_and_named() -> None:
    given = brief(temperature=0.4, language="de-DE", model="gemini-9-live")
    unknown = capabilities_of("gemini-9-live", "gemini")
    assert build(SessionOrder("CA1", given), unknown).temperature is None
    assert unsupported(given, unknown) == ["CALLBOT_TEMPERATURE", "CALLBOT_LANGUAGE"]
    assert unsupported(brief(), unknown) == []
    assert config(temperature=0.4).temperature == 0.4
    assert unsupported(brief(temperature=0.4), capabilities_of("gemini-3.8-live", "gemini")) == []


def test_the_services_ear_is_set_for_a_telephone() -> None:
    asked = config().realtime_input_config
    assert asked is not None
    detection = asked.automatic_activity_detection
    assert detection == types.AutomaticActivityDetection(
        start_of_speech_sensitivity=types.StartSensitivity.START_SENSITIVITY_LOW,
        prefix_padding_ms=20,
        silence_duration_ms=500,
    )


def test_sensitivities_follow_their_settings() -> None:
    asked = config(vad_start_sensitivity="default", vad_end_sensitivity="high", vad_silence_ms=300).realtime_input_config
    assert asked is not None
    assert asked.automatic_activity_detection == types.AutomaticActivityDetection(
        end_of_speech_sensitivity=types.EndSensitivity.END_SENSITIVITY_HIGH, prefix_padding_ms=20, silence_duration_ms=300
    )


def test_the_context_is_compressed_unless_that_is_turned_off() -> None:
    compression = config().context_window_compression
    assert compression is not None
    assert compression.trigger_tokens == 25_600
    assert compression.sliding_window == types.SlidingWindow(target_tokens=12_800)
    assert config(compression_trigger_tokens=0).context_window_compression is None


def test_functions_are_declared_when_there_are_any() -> None:
    assert config().tools is None
    declaration = types.FunctionDeclaration(name="end_call", description="End the call.")
    asked = build(SessionOrder("CA1", brief()), capabilities_of("gemini-3.8-live", "gemini"), [declaration])
    assert asked.tools == [types.Tool(function_declarations=[declaration])]
