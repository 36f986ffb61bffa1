"""What an operator sets is what the service reads: the set-up through the real google-genai client, over TLS."""

from typing import Any

import pytest
import structlog

from callbot.default_brief import brief_of
from callbot.gemini.capabilities import Backend
from callbot.gemini.connector import Connector
from callbot.gemini.session_config import SessionOrder
from callbot.settings_loading import SettingsError, load
from callbot.simulators.gemini import GeminiStandIn, StandInOptions

EXTENDED, LIVE_3_8, LIVE_3_1 = "gemini-3.8-live-extended-thinking", "gemini-3.8-live", "gemini-3.1-flash-live-preview"
NATIVE_2_5, ON_VERTEX_2_5 = "gemini-2.5-flash-native-audio-preview-12-2025", "gemini-live-2.5-flash-native-audio"


async def set_up(
    model: str, *, backend: Backend = "gemini", without: frozenset[str] = frozenset(), **values: Any
) -> tuple[dict[str, Any], list[str]]:
    """The set-up that the service took, in camelCase, and the settings that the one warning names."""
    async with GeminiStandIn(StandInOptions()) as standin:
        way: dict[str, Any] = (
            {"gemini_api_key": "k", "gemini_base_url": standin.base_url}
            if backend == "gemini"
            else {
                "use_vertexai": True,
                "google_cloud_project": "p",
                "vertex_access_token": "t",
                "vertex_base_url": standin.base_url,
            }
        )
        settings = load(_env_file=None, model=model, ssl_cert_file=str(standin.ca_pem_path), **way, **values)
        with structlog.testing.capture_logs() as lines:
            connector = Connector(settings, brief_of(settings))
        link = await connector.open(SessionOrder("CA1", brief_of(settings), without=without))
        await link.close(1.0)
        (session,) = standin.sessions
        assert session.setup is not None
        warnings = [line["settings"] for line in lines if line["event"] == "model.settings_left_out"]
        assert len(warnings) <= 1
        return session.setup, warnings[0] if warnings else []


def at(setup: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = setup
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


TAKEN = [
    (LIVE_3_8, {"top_p": 0.9}, "generationConfig.topP", 0.9),
    (LIVE_3_8, {"max_output_tokens": 300}, "generationConfig.maxOutputTokens", 300),
    (LIVE_3_8, {"labels": "team=phone, env=prod"}, "labels", {"team": "phone", "env": "prod"}),
    (
        LIVE_3_8,
        {"safety_threshold": "none"},
        "safetySettings",
        [
            {"category": f"HARM_CATEGORY_{harm}", "threshold": "BLOCK_NONE"}
            for harm in ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
        ],
    ),
    (LIVE_3_8, {"activity_handling": "no_interruption"}, "realtimeInputConfig.activityHandling", "NO_INTERRUPTION"),
    (LIVE_3_8, {"turn_coverage": "all_input"}, "realtimeInputConfig.turnCoverage", "TURN_INCLUDES_ALL_INPUT"),
    (
        LIVE_3_8,
        {"transcription_languages": "de-DE, fr-FR"},
        "inputAudioTranscription.languageCodes",
        ["de-DE", "fr-FR"],
    ),
    (LIVE_3_8, {"transcription_words": "Zubenelgenubi"}, "inputAudioTranscription.customVocabulary", ["Zubenelgenubi"]),
    (LIVE_3_8, {"proactive_audio": True}, "proactivity.proactiveAudio", True),
    (LIVE_3_1, {"thinking_level": "high"}, "generationConfig.thinkingConfig.thinkingLevel", "HIGH"),
    (EXTENDED, {}, "generationConfig.thinkingConfig.thinkingLevel", "LOW"),
    (EXTENDED, {"thinking_level": "medium"}, "generationConfig.thinkingConfig.thinkingLevel", "MEDIUM"),
    (NATIVE_2_5, {"thinking_budget": 0}, "generationConfig.thinkingConfig.thinkingBudget", 0),
    (NATIVE_2_5, {"affective_dialog": True, "api_version": "v1alpha"}, "generationConfig.enableAffectiveDialog", True),
    (NATIVE_2_5, {"proactive_audio": False, "api_version": "v1alpha"}, "proactivity.proactiveAudio", False),
]


@pytest.mark.parametrize(("model", "values", "path", "expected"), TAKEN)
async def test_what_a_model_takes_is_in_its_set_up(model: str, values: dict[str, Any], path: str, expected: Any) -> None:
    setup, warned = await set_up(model, **values)
    assert at(setup, path) == expected
    assert warned == []


LEFT_OUT = [
    (LIVE_3_8, "gemini", {"thinking_level": "low"}, "generationConfig.thinkingConfig", ["CALLBOT_THINKING_LEVEL"]),
    (LIVE_3_8, "gemini", {"thinking_budget": 5}, "generationConfig.thinkingConfig", ["CALLBOT_THINKING_BUDGET"]),
    (LIVE_3_8, "gemini", {"affective_dialog": True}, "generationConfig.enableAffectiveDialog", ["CALLBOT_AFFECTIVE_DIALOG"]),
    (LIVE_3_8, "gemini", {"proactive_audio": False}, "proactivity", ["CALLBOT_PROACTIVE_AUDIO"]),
    (
        LIVE_3_1,
        "gemini",
        {"transcription_words": "Ada"},
        "inputAudioTranscription.customVocabulary",
        ["CALLBOT_TRANSCRIPTION_WORDS"],
    ),
    (
        NATIVE_2_5,
        "gemini",
        {"affective_dialog": True, "proactive_audio": True},
        "proactivity",
        ["CALLBOT_AFFECTIVE_DIALOG", "CALLBOT_PROACTIVE_AUDIO"],
    ),
    (ON_VERTEX_2_5, "vertex", {"thinking_level": "low"}, "generationConfig.thinkingConfig", ["CALLBOT_THINKING_LEVEL"]),
]


@pytest.mark.parametrize(("model", "backend", "values", "path", "named"), LEFT_OUT)
async def test_what_it_does_not_take_is_left_out_with_one_warning(
    model: str, backend: Backend, values: dict[str, Any], path: str, named: list[str]
) -> None:
    setup, warned = await set_up(model, backend=backend, **values)
    assert at(setup, path) is None
    assert warned == named


async def test_a_level_that_extended_thinking_does_not_have_gives_way_to_its_default() -> None:
    setup, warned = await set_up(EXTENDED, thinking_level="minimal")
    assert at(setup, "generationConfig.thinkingConfig.thinkingLevel") == "LOW"
    assert warned == ["CALLBOT_THINKING_LEVEL"]


async def test_without_settings_the_service_keeps_its_own_defaults() -> None:
    setup, warned = await set_up(LIVE_3_8)
    assert set(setup["generationConfig"]) == {"responseModalities"}
    assert setup["inputAudioTranscription"] == setup["outputAudioTranscription"] == {}
    assert set(setup["realtimeInputConfig"]) == {"automaticActivityDetection"}
    assert not {"safetySettings", "labels", "proactivity", "tools"} & set(setup)
    assert warned == []


@pytest.mark.parametrize(
    ("name", "values", "path"),
    [
        ("voice", {"voice": "Kore"}, "generationConfig.speechConfig"),
        ("top_p", {"top_p": 0.5}, "generationConfig.topP"),
        ("labels", {"labels": "a=b"}, "labels"),
        (
            "sensitivities",
            {"vad_start_sensitivity": "low"},
            "realtimeInputConfig.automaticActivityDetection.startOfSpeechSensitivity",
        ),
        ("compression", {}, "contextWindowCompression"),
    ],
)
async def test_a_part_that_was_refused_is_not_in_the_next_set_up(name: str, values: dict[str, Any], path: str) -> None:
    assert at((await set_up(LIVE_3_8, **values))[0], path) is not None
    assert at((await set_up(LIVE_3_8, without=frozenset({name}), **values))[0], path) is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"labels": "a"}, "name=value"),
        ({"safety_threshold": "some"}, "only_high"),
        ({"price_per_mtok": "audio_in=cheap"}, "number"),
        ({"price_per_mtok": "video_in=3"}, "text_in"),
        ({"top_p": 1.5}, "TOP_P"),
        ({"thinking_level": "a lot"}, "THINKING_LEVEL"),
        ({"thinking_budget": -2}, "THINKING_BUDGET"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_can(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(_env_file=None, **values)
    assert words in str(refused.value)
    assert f"CALLBOT_{next(iter(values)).upper()}" in str(refused.value)
