"""The checks of the deployment that other programs make: bats, shellcheck, and gcloud's own parser.

They take most of a minute, nearly all of it in processes of their own, so `conftest.py` lets them begin with the run.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
BATS_FILES = sorted(HERE.glob("*.bats"))
SHELL_FILES = sorted([ROOT / "deploy.sh", *HERE.glob("fakes/*"), *BATS_FILES])
SID = "AC0123456789abcdef0123456789abcdef"
# What a user may ask for, so that together every command of the script is issued.
VARIANTS = (
    (f"--account-sid={SID}", "--number=+14155550100", "--monitoring"),
    ("--vertex", "--location=europe-west4", "--no-invoker-iam-check", "--cpu-throttling", "--no-session-affinity"),
    ("--redis-url-secret=r", "--network=n", "--subnet=s", "--max-instances=5", "--concurrency=50", "--env=CALLBOT_VOICE=Puck"),
    ("--rotate-secrets", "--monitoring", "--notify=me@example.com"),
    ("--destroy",),
)
WRONG_COMMAND = "gcloud run deploy x --no-cpu-throtling"

type Run = subprocess.CompletedProcess[str]
type Verdicts = tuple[list[dict[str, Any]], dict[str, Any]]  # on the script's commands, and on the wrong one


def tool(name: str) -> str:
    """Where the tool is: beside this Python (a wheel may bring it), else on the path; skips when it is nowhere."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def run(*command: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> Run:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=env, cwd=cwd)


def run_bats(file: Path) -> Run:
    return run(tool("bats"), str(file), env=os.environ | {"CALLBOT_PYTHON": sys.executable})


def run_shellcheck() -> dict[str, Run]:
    """By file; deploy.sh brings its parts with it."""
    found = {}
    for file in SHELL_FILES:
        # bats runs each test in a subshell (SC2030, SC2031) and gives its files variables of its own.
        bats = file.suffix == ".bats"
        strict = ("--exclude=SC2030,SC2031",) if bats else ("--enable=check-unassigned-uppercase",)
        found[file.name] = run(tool("shellcheck"), "--external-sources", *strict, str(file))
    return found


def gclouds_verdicts() -> Verdicts:
    """What gcloud's own parser says of every command of the script, and of a wrong one: it is started once for all."""
    gcloud = tool("gcloud")
    with tempfile.TemporaryDirectory() as home:
        batch = Path(home, "commands.json")
        commands = [*(shlex.join(shlex.split(command)) for command in issued_commands()), WRONG_COMMAND]
        batch.write_text(json.dumps([{"command_string": command} for command in commands]))
        checked = run(gcloud, "meta", "lint-gcloud-commands", f"--commands-file={batch}", env={**os.environ, "HOME": home})
    if "Invalid choice: 'lint-gcloud-commands'" in checked.stderr:
        pytest.skip("this gcloud has no lint-gcloud-commands")
    *verdicts, wrong = json.loads(checked.stdout)
    assert [verdict["command_string"] for verdict in (*verdicts, wrong)] == commands, "one verdict for each"
    return verdicts, wrong


def issued_commands() -> list[str]:
    """Every gcloud command of the script, reading and changing, as it issues them."""
    commands: dict[str, str] = {}
    for options in VARIANTS:
        with tempfile.TemporaryDirectory() as cloud:
            Path(cloud, "secrets").mkdir()
            env = {
                "PATH": f"{HERE / 'fakes'}{os.pathsep}{os.environ['PATH']}",
                "HOME": cloud,
                "CLOUD": cloud,
                "TWILIO_AUTH_TOKEN": "0" * 32,
                "GEMINI_API_KEY": "0" * 32,
                "REDIS_URL": "redis://10.0.0.3:6379",
            }
            # Twice: what is there already is looked at with other commands. Then removed, if that is what is asked.
            first = () if options == ("--destroy",) else options
            for arguments in (first, options):
                done = run(str(ROOT / "deploy.sh"), "--project=fake-project", "--yes", *arguments, env=env)
                assert done.returncode == 0, done.stderr
            for command in Path(cloud, "calls").read_text().splitlines():
                if command.startswith("gcloud "):
                    commands.setdefault(_shape(command), command)
    return sorted(commands.values())


def _shape(command: str) -> str:
    """A command without its values: which words it begins with, and which flags it has. One of each shape is enough."""
    words = shlex.split(command)
    begin = next((at for at, word in enumerate(words) if word.startswith("--")), len(words))
    flags = [word.partition("=")[0] for word in words[begin:]]
    return " ".join([*words[: min(begin, 4)], *flags])
