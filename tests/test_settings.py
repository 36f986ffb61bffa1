"""Settings: what is read from where, what is refused, what is never shown."""

import pytest

from callbot.settings import DEFAULT_PROMPT, Settings, SettingsError, load, serving_problems


def settings(**values: object) -> Settings:
    return load(_env_file=None, **values)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_URL", "TWILIO_AUTH_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY", "K_SERVICE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_an_origin_loses_its_slash_and_its_capitals() -> None:
    assert settings(service_url="https://Bot.Example/").public_url == "https://bot.example"


def test_the_stream_address_is_made_from_the_origin_alone() -> None:
    assert settings(service_url="https://bot.example").stream_url == "wss://bot.example/ws/twilio"


@pytest.mark.parametrize("text", ["bot.example", "ftp://bot.example", "https://bot.example/path", "https://u:p@bot.example"])
def test_what_is_more_or_less_than_an_origin_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(SettingsError, match="SERVICE_URL"):
        settings(service_url=text)


def test_several_tokens_and_origins_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "old-token, new-token")
    monkeypatch.setenv("SERVICE_URL", "https://a.example,https://b.example")
    loaded = settings()

    assert [token.get_secret_value() for token in loaded.twilio_auth_token] == ["old-token", "new-token"]
    assert loaded.service_url == ("https://a.example", "https://b.example")


def test_secrets_are_in_no_repr() -> None:
    loaded = settings(twilio_auth_token="hidden-token", gemini_api_key="hidden-key", redis_url="redis://:hidden-password@h")

    assert "hidden" not in repr(loaded) + str(loaded)


def test_a_bad_value_of_a_secret_setting_is_not_repeated_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOT_MAX_CALLS", "hidden-secret-pasted-here")
    with pytest.raises(SettingsError) as refused:
        settings()

    assert "hidden-secret" not in str(refused.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        settings().port = 1  # type: ignore[misc]


def test_the_prompt_is_the_files_text_then_the_settings_then_the_persona_that_ships(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "prompt.txt"
    file.write_text("from the file\n")

    assert settings(prompt="said", prompt_file=file).system_instruction == "from the file"
    assert settings(prompt="said").system_instruction == "said"
    assert settings().system_instruction == DEFAULT_PROMPT


def test_a_prompt_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"CALLBOT_PROMPT_FILE: there is no file"):
        settings(prompt_file="nowhere.txt")


def test_a_complete_configuration_can_serve() -> None:
    assert serving_problems(settings(service_url="https://a.example", twilio_auth_token="t", gemini_api_key="k")) == []


def test_an_insecure_one_can_serve_on_ones_own_machine_only() -> None:
    assert serving_problems(settings(insecure=True, gemini_api_key="k")) == []
    assert serving_problems(settings(insecure=True, gemini_api_key="k", k_service="callbot")) != []


def test_vertex_needs_a_project_instead_of_a_key() -> None:
    base = {"service_url": "https://a.example", "twilio_auth_token": "t", "use_vertexai": True}

    assert "GOOGLE_CLOUD_PROJECT" in serving_problems(settings(**base))[0]
    assert serving_problems(settings(**base, google_cloud_project="p")) == []


SERVING = {"service_url": "https://a.example", "twilio_auth_token": "t", "gemini_api_key": "k"}


def test_several_workers_need_what_they_share() -> None:
    assert serving_problems(settings(**SERVING, workers=1)) == []
    assert "REDIS_URL is not set: 3 workers" in serving_problems(settings(**SERVING, workers=3))[0]
    assert serving_problems(settings(**SERVING, workers=3, redis_url="redis://h")) == []


def test_auto_and_0_are_one_worker_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.process_cpu_count", lambda: 7)
    assert [settings(workers=value).worker_count for value in ("auto", "0", 0, 2)] == [7, 7, 7, 2]


def test_a_worker_without_a_call_is_refused() -> None:
    crowded = settings(**SERVING, workers=4, max_calls=3, redis_url="redis://h")
    assert "CALLBOT_MAX_CALLS is under CALLBOT_WORKERS (4)" in serving_problems(crowded)[0]


def test_an_address_of_redis_that_is_none_is_refused_and_not_shown() -> None:
    [problem] = serving_problems(settings(**SERVING, redis_url="hidden-password@somewhere"))
    assert problem.startswith("REDIS_URL is no address: ")
    assert "hidden-password" not in problem
