"""The commands as a person meets them: exit codes, and sentences that say what to do."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from callbot.cli import main


def callbot(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m callbot` with these variables and no others of ours."""
    inherited = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "COVERAGE_PROCESS_START") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "callbot", *arguments],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_serving_without_a_way_to_check_signatures_exits_2_and_says_what_to_set(tmp_path: Path) -> None:
    done = callbot("serve", cwd=tmp_path, SERVICE_URL="https://bot.example", GEMINI_API_KEY="key")

    assert done.returncode == 2
    assert "TWILIO_AUTH_TOKEN is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_setting_that_cannot_be_used_has_its_own_sentence(tmp_path: Path) -> None:
    done = callbot("serve", cwd=tmp_path, SERVICE_URL="bot.example", CALLBOT_MAX_CALLS="many", PORT="99999")

    assert done.returncode == 2
    assert "SERVICE_URL: that is no origin; write it as https://bot.example" in done.stderr
    assert "CALLBOT_MAX_CALLS: " in done.stderr
    assert "PORT: " in done.stderr


def test_insecure_settings_are_refused_on_cloud_run(tmp_path: Path) -> None:
    done = callbot(
        "serve",
        cwd=tmp_path,
        K_SERVICE="callbot",
        CALLBOT_INSECURE="1",
        SERVICE_URL="https://bot.example",
        GEMINI_API_KEY="key",
    )

    assert done.returncode == 2
    assert "CALLBOT_INSECURE is set on Cloud Run" in done.stderr


def test_a_port_that_is_taken_is_a_sentence_and_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = callbot(
            "serve",
            cwd=tmp_path,
            PORT=str(taken.getsockname()[1]),
            CALLBOT_HOST="127.0.0.1",
            SERVICE_URL="https://bot.example",
            TWILIO_AUTH_TOKEN="0" * 32,
            GEMINI_API_KEY="key",
        )

    assert done.returncode == 1
    assert "cannot be had" in done.stderr
    assert "set PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_not_this_machines_exits_2_and_says_which_setting_it_is(tmp_path: Path) -> None:
    serving = {"SERVICE_URL": "https://bot.example", "TWILIO_AUTH_TOKEN": "0" * 32, "GEMINI_API_KEY": "key"}
    for command in (("serve",), ("check", "--offline")):
        done = callbot(*command, cwd=tmp_path, CALLBOT_HOST="192.0.2.1", **serving)
        assert done.returncode == 2
        assert "CALLBOT_HOST is no address of this machine" in done.stdout + done.stderr
        assert "set PORT" not in done.stdout + done.stderr


def test_several_workers_without_what_they_share_exit_2_and_say_what_to_set(tmp_path: Path) -> None:
    serving = {"SERVICE_URL": "https://bot.example", "TWILIO_AUTH_TOKEN": "0" * 32, "GEMINI_API_KEY": "key"}
    done = callbot("serve", cwd=tmp_path, CALLBOT_WORKERS="2", **serving)

    assert done.returncode == 2
    assert "REDIS_URL is not set: 2 workers share the calls' tokens there" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_the_same_sentence_for_several_workers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = callbot(
            "serve",
            cwd=tmp_path,
            PORT=str(taken.getsockname()[1]),
            CALLBOT_HOST="127.0.0.1",
            CALLBOT_WORKERS="2",
            REDIS_URL="redis://127.0.0.1:1",
            SERVICE_URL="https://bot.example",
            TWILIO_AUTH_TOKEN="0" * 32,
            GEMINI_API_KEY="key",
        )

    assert done.returncode == 1
    assert "set PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_come_from_a_dotenv_file_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "SERVICE_URL=https://bot.example\nTWILIO_AUTH_TOKEN=secret-of-the-file\nGEMINI_API_KEY=key\n"
    )

    done = callbot("check", "--offline", cwd=tmp_path)

    assert done.returncode == 0
    assert "gemini back end" in done.stdout
    assert "secret-of-the-file" not in done.stdout + done.stderr


def test_checking_offline_names_what_is_missing_and_exits_2(tmp_path: Path) -> None:
    done = callbot("check", "--offline", cwd=tmp_path)

    assert done.returncode == 2
    assert "TWILIO_AUTH_TOKEN is not set" in done.stdout
    assert "SERVICE_URL is not set" in done.stdout
    assert "GEMINI_API_KEY is not set" in done.stdout


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "serve" in capsys.readouterr().out


def test_an_unknown_log_file_is_a_sentence_and_exit_code_2(tmp_path: Path) -> None:
    done = callbot("logs", str(tmp_path / "missing.jsonl"), cwd=tmp_path)

    assert done.returncode == 2
    assert "missing.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
