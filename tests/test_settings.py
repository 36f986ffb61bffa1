"""Settings: what is read from where, what is refused, what is never shown."""

import re
from pathlib import Path

import pytest

from callbot.preflight import problems_before_serving
from callbot.settings import DEFAULT_PROMPT, Settings
from callbot.settings_loading import SettingsError, environment_names, load
from docs.reference import PAGES
from docs.reference import settings as documented_settings


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
    assert problems_before_serving(settings(service_url="https://a.example", twilio_auth_token="t", gemini_api_key="k")) == []


def test_an_insecure_one_can_serve_on_ones_own_machine_only() -> None:
    assert problems_before_serving(settings(insecure=True, gemini_api_key="k")) == []
    assert problems_before_serving(settings(insecure=True, gemini_api_key="k", k_service="callbot")) != []


def test_vertex_needs_a_project_instead_of_a_key() -> None:
    base = {"service_url": "https://a.example", "twilio_auth_token": "t", "use_vertexai": True}

    assert "GOOGLE_CLOUD_PROJECT" in problems_before_serving(settings(**base))[0]
    assert problems_before_serving(settings(**base, google_cloud_project="p")) == []


SERVING = {"service_url": "https://a.example", "twilio_auth_token": "t", "gemini_api_key": "k"}


def test_several_workers_need_what_they_share() -> None:
    assert problems_before_serving(settings(**SERVING, workers=1)) == []
    assert "REDIS_URL is not set: 3 workers" in problems_before_serving(settings(**SERVING, workers=3))[0]
    assert problems_before_serving(settings(**SERVING, workers=3, redis_url="redis://h")) == []


def test_auto_and_0_are_one_worker_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.process_cpu_count", lambda: 7)
    assert [settings(workers=value).worker_count for value in ("auto", "0", 0, 2)] == [7, 7, 7, 2]


def test_a_worker_without_a_call_is_refused() -> None:
    crowded = settings(**SERVING, workers=4, max_calls=3, redis_url="redis://h")
    assert "CALLBOT_MAX_CALLS is under CALLBOT_WORKERS (4)" in problems_before_serving(crowded)[0]


def test_an_address_of_redis_that_is_none_is_refused_and_not_shown() -> None:
    [problem] = problems_before_serving(settings(**SERVING, redis_url="hidden-password@somewhere"))
    assert problem.startswith("REDIS_URL is no address: ")
    assert "hidden-password" not in problem


def problem(**values: object) -> str:
    """The one sentence that these settings get, however they are refused."""
    try:
        found = problems_before_serving(settings(**SERVING | values), {})
    except SettingsError as error:
        found = error.problems
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"fallback_number": "555-0100"}, "CALLBOT_FALLBACK_NUMBER is no telephone number: write it with + and country code"),
        ({"fallback_number": "+0155501000"}, "CALLBOT_FALLBACK_NUMBER is no telephone number"),
        ({"model": "gemini-3.8-flash"}, "GOOGLE_GENAI_MODEL has a name that is no Live model's"),
        ({"fallback_models": "gemini-3.1-live,gemini-pro"}, "CALLBOT_FALLBACK_MODELS has a name that is no Live model's"),
        ({"compression_target_tokens": 30_000}, "CALLBOT_COMPRESSION_TARGET_TOKENS (30000) is not under CALLBOT_COMPRESSION"),
        ({"ssl_cert_file": "/nowhere/ca.pem"}, "SSL_CERT_FILE: the file cannot be read (No such file or directory)"),
        ({"host": "192.0.2.1"}, "CALLBOT_HOST is no address of this machine"),
        ({"twilio_account_sid": "SK" + "0" * 32}, "TWILIO_ACCOUNT_SID is no account"),
        (
            {"use_vertexai": True, "google_cloud_project": "p", "google_cloud_location": "global"},
            "GOOGLE_CLOUD_LOCATION is global",
        ),
        ({"redis_url": "unix:///nowhere.sock"}, "REDIS_URL: there is no socket of that name"),
        ({"redis_url": "rediss://h?ssl_ca_certs=/nowhere"}, "REDIS_URL: there is no file as its ssl_ca_certs says"),
    ],
)
def test_what_can_be_known_before_listening_is_a_sentence(values: dict[str, object], said: str) -> None:
    assert problem(**values).startswith(said)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:PLANTED/x@host",
        "redis://u:PLANTED#x@h:1",
        "redis://:PLANTED@h:99999",
        "PLANTED",
        "http://:PLANTED@h",
        "redis://h/PLANTED",
    ],
)
def test_no_part_of_a_password_in_the_address_of_redis_is_repeated(url: str) -> None:
    assert problem(redis_url=url).startswith("REDIS_URL is no address: write it as redis://")
    assert "PLANTED" not in problem(redis_url=url)


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://:p%2Fw@h:6380/3", "redis://[::1]:6379/0", "redis://u:p@h?socket_timeout=1"]
)
def test_addresses_of_redis_that_are_some_pass(url: str) -> None:
    assert problems_before_serving(settings(**SERVING, redis_url=url), {}) == []


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b" \n", "is empty"), ("caf\xe9".encode("latin-1"), "is not in UTF-8")]
)
def test_a_prompt_file_that_is_no_prompt_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(content)
    assert said in problem(prompt_file=file)


def test_a_prompt_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes("\ufeffHello".encode())
    assert settings(prompt_file=file).system_instruction == "Hello"


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_without_certificates_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    assert problem(ssl_cert_file=str(file)).startswith("SSL_CERT_FILE: the file holds no certificates")
    assert problems_before_serving(settings(**SERVING), {"REQUESTS_CA_BUNDLE": str(file)})[0].startswith("REQUESTS_CA_BUNDLE: ")


@pytest.mark.parametrize(
    ("name", "address", "good"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", False),
        ("all_proxy", "socks5h://u:PLANTED@127.0.0.1:1080", False),
        ("HTTPS_PROXY", "proxy:3128", False),
        ("HTTPS_PROXY", "ftp://u:PLANTED@proxy:3128", False),
        ("https_proxy", "http://u:PLANTED@proxy:x", False),
        ("HTTPS_PROXY", "http://u:PLANTED@proxy:3128", True),
        ("HTTPS_PROXY", "", True),
        ("HTTP_PROXY", "anything", True),
    ],
)
def test_a_proxy_that_the_models_client_cannot_use_is_said(name: str, address: str, good: bool) -> None:
    found = problems_before_serving(settings(**SERVING), {name: address})
    assert found == [] if good else found[0].startswith(f"{name} is ")
    assert "PLANTED" not in str(found)


@pytest.mark.parametrize(("content", "said"), [("{}", "has no type"), ("[]", "is no JSON object"), ("x", "is no JSON object")])
def test_credentials_of_google_that_are_none_are_said(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(content)
    loaded = settings(**SERVING, use_vertexai=True, google_cloud_project="p")
    assert said in problems_before_serving(loaded, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)})[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CALLBOT_MAX_CALL", "3", "CALLBOT_MAX_CALL is no setting of callbot's; did you mean CALLBOT_MAX_CALLS?"),
        ("callbot_promt", "x", "CALLBOT_PROMT is no setting of callbot's; did you mean CALLBOT_PROMPT?"),
        (
            "CALLBOT_GEMINI_API_KEY",
            "PLANTED",
            "CALLBOT_GEMINI_API_KEY is no setting of callbot's; did you mean GEMINI_API_KEY?",
        ),
        ("CALLBOT_PORT", "8081", "CALLBOT_PORT is no setting of callbot's; did you mean PORT?"),
        ("CALLBOT_QQQQQ", "x", "CALLBOT_QQQQQ is no setting of callbot's; .env.example has them all."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, said: str
) -> None:
    file = tmp_path / "env"
    file.write_text(f"{name}={value}\n")
    with pytest.raises(SettingsError) as refused:
        load(_env_file=file)
    assert refused.value.problems == [f"{said} (in {file})"]
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        settings()
    assert refused.value.problems == [said]


def test_what_kubernetes_says_of_services_is_not_taken_for_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    for name in ("PORT", "PORT_80_TCP", "VALKEY_PORT_6379_TCP"):
        monkeypatch.setenv(f"CALLBOT_{name}", "tcp://10.0.0.1:80")
    for name in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT_80_TCP_ADDR",
        "PORT_80_TCP_PROTO",
        "VALKEY_SERVICE_HOST",
    ):
        monkeypatch.setenv(f"CALLBOT_{name}", "10.0.0.1")
    assert settings().port == 8080


def test_a_file_of_settings_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes(b"GEMINI_API_KEY=\xff\xfe\n")
    with pytest.raises(SettingsError, match="cannot be read as a file of settings in UTF-8"):
        load(_env_file=file)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_pages_of_settings_are_as_make_docs_writes_them(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run: make docs"


def test_every_setting_is_documented_where_it_is() -> None:
    documented = documented_settings()
    assert {each.name for each in documented} == set(environment_names().values())
    assert [each.name for each in documented if len(each.description) < 5] == []


def test_the_example_sets_nothing_but_defaults_and_what_has_to_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With every line of it made real, the settings are those of an empty environment."""
    for name in environment_names().values():
        monkeypatch.delenv(name, raising=False)
    example = (Path(__file__).parents[1] / ".env.example").read_text()
    file = tmp_path / "env"
    file.write_text(re.sub(r"^# ([A-Z_]+=)", r"\1", example, flags=re.MULTILINE))
    assert load(_env_file=file) == settings(service_url="https://bot.example")
