"""Secrets are planted in every setting that takes one, and looked for in everything that the commands print."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args
from urllib.parse import urlencode

import aiohttp
import pytest
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from callbot.cli import main
from callbot.preflight import problems_before_serving
from callbot.settings import Settings
from callbot.settings_loading import SettingsError, environment_names, load, secrets_of

ORIGIN = "https://bot.example"
SECRETS = {
    "TWILIO_AUTH_TOKEN": "planted-auth-token-1,planted-auth-token-2",
    "GEMINI_API_KEY": "planted-gemini-key",
    "CALLBOT_METRICS_TOKEN": "planted-metrics-token",
    "CALLBOT_STATE_KEY": "planted-state-key",
    "CALLBOT_VERTEX_ACCESS_TOKEN": "planted-vertex-token",
}
PLANTED = [value for values in SECRETS.values() for value in values.split(",")]
CALLER = "+14158675310"
FORM = {
    "CallSid": "CA" + "1" * 32,
    "AccountSid": "AC" + "a" * 32,
    "From": CALLER,
    "CallerName": "Zo\x1b[31m\r\n",
    "CallStatus": "ringing",
}


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
    return kept | SECRETS | {"SERVICE_URL": ORIGIN, "PYTHONUNBUFFERED": "1"} | more


def run(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "callbot", *arguments],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_clean(text: str) -> None:
    for secret in PLANTED:
        assert secret not in text


def is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(is_secret, get_args(annotation)))


def test_every_setting_that_holds_a_secret_is_planted_and_is_kept_out_of_the_log() -> None:
    names = {name for name, field in Settings.model_fields.items() if is_secret(field.annotation)}
    assert names == {"twilio_auth_token", "gemini_api_key", "metrics_token", "vertex_access_token", "redis_url", "state_key"}
    values = {name: f"planted-{name}" for name in names}
    assert sorted(secrets_of(load(_env_file=None, **values))) == sorted(values.values())


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_checking_offline_prints_no_secret(tmp_path: Path, log_format: str) -> None:
    done = run("check", "--offline", cwd=tmp_path, LOG_FORMAT=log_format)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_clean(done.stdout + done.stderr)


def test_what_keeps_the_server_from_starting_is_told_without_secrets(tmp_path: Path) -> None:
    done = run("serve", cwd=tmp_path, K_SERVICE="callbot", CALLBOT_INSECURE="1", CALLBOT_MAX_CALLS="5")
    assert done.returncode == 2
    assert_clean(done.stdout + done.stderr)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="SERVICE_URL: leave the user and the password out") as refused:
        load(_env_file=None, service_url="https://user:planted-password@bot.example")
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("address", ["https://h:99999", "https://h:x", "https://h:0", "https://[::1", "https://"])
def test_an_address_that_cannot_be_is_a_sentence(address: str) -> None:
    with pytest.raises(SettingsError, match="SERVICE_URL: "):
        load(_env_file=None, service_url=address)


SECRET = "PLANTED-0123456789abcdef"
GOOD = {"SERVICE_URL": ORIGIN, "TWILIO_AUTH_TOKEN": SECRET + "-1", "GEMINI_API_KEY": SECRET + "-2"}
WRONG = [
    *({name: SECRET} for name in environment_names().values()),  # a secret that was pasted into the wrong setting
    *(
        {"REDIS_URL": url}
        for url in (
            f"redis://:{SECRET}/x@host",
            f"redis://u:{SECRET}?x@host",
            f"redis://:{SECRET}@host:99999",
            f"redis://:{SECRET}@host:{SECRET}",
            f"http://:{SECRET}@host",
            f"redis://[{SECRET}@host",
        )
    ),
    *({name: f"socks9://u:{SECRET}@h:1"} for name in ("HTTPS_PROXY", "all_proxy")),
    {"ALL_PROXY": f"http://u:{SECRET}@h:x"},
    {"SERVICE_URL": f"https://user:{SECRET}@bot.example"},
    {"SERVICE_URL": f"https://[{SECRET}"},
    {"SERVICE_URL": f"https://bot.example/{SECRET}"},
    {"CALLBOT_GEMINI_API_KEY": SECRET},
    {"CALLBOT_TWILIO_AUTH_TOKEN": SECRET, "TWILIO_AUTH_TOKEN": ""},
    {"REQUESTS_CA_BUNDLE": SECRET},
    {"GOOGLE_APPLICATION_CREDENTIALS": SECRET, "GOOGLE_GENAI_USE_VERTEXAI": "1"},
    {"CALLBOT_INSECURE": "1", "K_SERVICE": "callbot"},
    {"CALLBOT_WORKERS": "4"},
    {"GEMINI_API_KEY": ""},
]


@pytest.mark.parametrize("wrong", WRONG, ids=",".join)
def test_a_wrong_configuration_is_told_without_anything_of_its_values(
    wrong: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*environment_names().values(), "GOOGLE_API_KEY", *("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        monkeypatch.delenv(name, raising=False)
    for name, value in (GOOD | wrong).items():
        monkeypatch.setenv(name, value)
    code = main(["check", "--offline"])
    said = "".join(capfd.readouterr())
    if code == 2:
        assert main(["serve"]) == 2
        said += "".join(capfd.readouterr())
    assert code in {0, 2}
    assert said
    assert "PLANTED" not in said
    assert "Traceback" not in said


def test_there_are_thirty_wrong_configurations_and_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = 0
    for wrong in WRONG:
        with monkeypatch.context() as environment:
            for name, value in (GOOD | wrong).items():
                environment.setenv(name, value)
            try:
                refused += bool(problems_before_serving(load()))
            except SettingsError:
                refused += 1
    assert refused >= 30


async def test_a_server_at_its_most_talkative_prints_no_secret_no_token_and_no_number(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "callbot", "serve"),
        cwd=tmp_path,
        env=environment(PORT="0", CALLBOT_HOST="127.0.0.1", LOG_LEVEL="debug", CALLBOT_PREWARM="0", CALLBOT_DRAIN_S="0.1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            while b"server.started" not in said:
                line = await process.stdout.readline()
                assert line, said.decode()
                said += line
            port = json.loads(said.splitlines()[-1])["port"]
            signature = RequestValidator("planted-auth-token-2").compute_signature(f"{ORIGIN}/twiml", FORM)
            token = await _ring_and_rattle(port, signature)
            process.send_signal(signal.SIGTERM)
            said += await process.stdout.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = said.decode()
    assert "webhook.answered" in text
    assert "signature_malformed" in text
    assert_clean(text)
    for private in (token, signature, CALLER, "\x1b", "planted-bearer"):
        assert private not in text


async def _ring_and_rattle(port: int, signature: str) -> str:
    """A signed call and two strangers; the token that the call was given."""
    base = f"http://127.0.0.1:{port}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{base}/twiml", data=urlencode(FORM), headers=form | {"X-Twilio-Signature": signature}) as answer:
            found = re.search(r'name="token" value="([^"]+)"', await answer.text())
        async with http.post(f"{base}/twiml", data="x", headers=form | {"X-Twilio-Signature": "planted-gemini-key"}) as answer:
            assert answer.status == 403
        async with http.get(f"{base}/metrics", headers={"Authorization": "Bearer planted-bearer"}) as answer:
            assert answer.status == 401
    assert found
    return found[1]
