"""The set-up of a session: what is asked for, what is left out, and how an earlier conversation is told."""

import os
from pathlib import Path
from typing import Any

import pytest
from google.genai import types

from callbot.brief import Brief
from callbot.conversation import SaidLine
from callbot.default_brief import brief_of
from callbot.gemini.capabilities import Backend, capabilities_of
from callbot.gemini.session_config import SessionOrder, build, unsupported
from callbot.messages.terms import Role
from callbot.settings import Settings

HANDLE = "secret-handle-77"
SAID = (SaidLine(Role.CALLER, "My name is Ada."), SaidLine(Role.BOT, "Hello Ada."), SaidLine(Role.CALLER, "Goodbye."))


@pytest.fixture(autouse=True)
def _no_settings_from_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CALLBOT_")]:
        monkeypatch.delenv(name)


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


def sent(**values: Any) -> dict[str, Any]:
    return config(**values).model_dump(exclude_none=True, mode="json")


@pytest.mark.parametrize(
    ("model", "chosen", "path", "expected"),
    [
        ("gemini-3.8-live", {"top_p": 0.8}, ("top_p",), 0.8),
        ("gemini-3.8-live", {"max_output_tokens": 800}, ("max_output_tokens",), 800),
        ("gemini-3.1-flash-live", {"thinking_level": "high"}, ("thinking_config", "thinking_level"), "HIGH"),
        ("gemini-3.8-live-extended-thinking", {}, ("thinking_config", "thinking_level"), "LOW"),
        ("gemini-2.5-flash-native-audio", {"thinking_budget": 0}, ("thinking_config", "thinking_budget"), 0),
        ("gemini-3.8-live", {"proactive_audio": True}, ("proactivity", "proactive_audio"), True),
        ("gemini-3.8-live", {"labels": "team=night, site=berlin"}, ("labels",), {"team": "night", "site": "berlin"}),
        ("gemini-3.8-live", {"activity_handling": "no_interruption"}, ("realtime_input_config", "activity_handling"),
         "NO_INTERRUPTION"),
        ("gemini-3.8-live", {"turn_coverage": "all_input"}, ("realtime_input_config", "turn_coverage"),
         "TURN_INCLUDES_ALL_INPUT"),
        ("gemini-3.8-live", {"transcription_languages": "de-DE,en-US"}, ("input_audio_transcription", "language_codes"),
         ["de-DE", "en-US"]),
        ("gemini-3.8-live", {"transcription_words": "Kowalczyk"}, ("input_audio_transcription", "custom_vocabulary"),
         ["Kowalczyk"]),
    ],
)  # fmt: skip
def test_what_is_set_is_sent_where_the_model_takes_it(
    model: str, chosen: dict[str, Any], path: tuple[str, ...], expected: object
) -> None:
    found: Any = sent(model=model, **chosen)
    for name in path:
        found = found[name]
    assert found == expected
    assert unsupported(brief(**chosen), capabilities_of(model, "gemini")) == []


def test_safety_is_one_threshold_for_all_harms() -> None:
    settings = sent(safety_threshold="only_high")["safety_settings"]
    assert len(settings) == 4
    assert {one["threshold"] for one in settings} == {"BLOCK_ONLY_HIGH"}


def test_affective_dialog_is_asked_for_on_v1alpha_only() -> None:
    order = SessionOrder("CA1", brief(model="gemini-2.5-flash-native-audio", affective_dialog=True, proactive_audio=False))
    alpha, beta = (build(order, capabilities_of(order.model, "gemini", version)) for version in ("v1alpha", "v1beta"))
    assert (alpha.enable_affective_dialog, beta.enable_affective_dialog) == (True, None)
    assert alpha.proactivity == types.ProactivityConfig(proactive_audio=False)
    assert beta.proactivity is None
    assert unsupported(order.brief, capabilities_of(order.model, "gemini", "v1beta")) == [
        "CALLBOT_AFFECTIVE_DIALOG",
        "CALLBOT_PROACTIVE_AUDIO",
    ]


EVERYTHING: dict[str, Any] = {
    "temperature": 0.5, "top_p": 0.5, "max_output_tokens": 9, "thinking_level": "low", "thinking_budget": 1,
    "affective_dialog": True, "proactive_audio": False, "safety_threshold": "none", "labels": "a=b", "language": "de-DE",
    "voice": "Kore",
    "activity_handling": "interrupts", "turn_coverage": "only_activity", "transcription_languages": "de-DE",
    "transcription_words": "Ada",
}  # fmt: skip


def test_a_model_that_is_unknown_is_set_up_with_what_all_take_and_each_setting_left_out_is_named() -> None:
    unknown = capabilities_of("gemini-9-live", "gemini")
    assert build(SessionOrder("CA1", brief(**EVERYTHING)), unknown).model_dump(exclude_none=True).keys() == {
        "response_modalities", "system_instruction", "speech_config", "input_audio_transcription",
        "output_audio_transcription", "realtime_input_config", "context_window_compression", "session_resumption",
    }  # fmt: skip
    assert set(unsupported(brief(**EVERYTHING), unknown)) == {
        f"CALLBOT_{name.upper()}" for name in EVERYTHING if name != "voice"
    }


def test_what_a_model_has_refused_is_left_out_of_the_next_set_up() -> None:
    everything = capabilities_of("gemini-3.1-flash-live", "gemini")
    names = ("temperature", "top_p", "thinking", "voice", "labels", "turn_coverage", "compression", "transcription_languages")
    order = SessionOrder("CA1", brief(model="gemini-3.1-flash-live", **EVERYTHING))
    full = build(order, everything).model_dump(exclude_none=True)
    less = build(order, everything.without(frozenset(names))).model_dump(exclude_none=True)
    assert full.keys() - less.keys() == {
        "temperature", "top_p", "thinking_config", "speech_config", "labels", "context_window_compression"
    }  # fmt: skip
    assert "turn_coverage" in full["realtime_input_config"]
    assert "turn_coverage" not in less["realtime_input_config"]
    assert less["input_audio_transcription"] == {}


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
