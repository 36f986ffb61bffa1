"""The deployment as code: bats, shellcheck, hadolint, gcloud's own parser, and that the files agree with the program.

A tool that is not on this machine is a skip that names it; `pytest -ra` lists them.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from tools_at_work import BATS_FILES, HERE, ROOT, SHELL_FILES, WRONG_COMMAND, Run, Verdicts, run, tool


def test_deploy_sh_does_what_its_bats_files_say(bats_runs: list[Run]) -> None:
    assert len(bats_runs) == len(BATS_FILES) == 2
    for file, ran in zip(BATS_FILES, bats_runs, strict=True):
        said = ran.stdout + ran.stderr
        assert ran.returncode == 0, f"{file.name}:\n" + "\n".join(re.findall(r"^(?:not ok|#).*$", said, re.MULTILINE))
        assert ran.stdout.count("\nok ") == file.read_text().count("@test ")


def test_shellcheck_finds_nothing(shellcheck_runs: dict[str, Run]) -> None:
    assert len(shellcheck_runs) == len(SHELL_FILES)
    assert {name: (found.returncode, found.stdout) for name, found in shellcheck_runs.items()} == dict.fromkeys(
        shellcheck_runs, (0, "")
    )


def test_hadolint_finds_nothing() -> None:
    found = run(tool("hadolint"), str(ROOT / "Dockerfile"))
    assert (found.returncode, found.stdout) == (0, "")


def test_gcloud_itself_accepts_every_command(gcloud_verdicts: Verdicts) -> None:
    verdicts, _ = gcloud_verdicts
    assert len(verdicts) > 30
    assert [(verdict["command_string"], verdict["error_message"]) for verdict in verdicts if not verdict["success"]] == []


def test_gclouds_parser_would_find_a_wrong_flag(gcloud_verdicts: Verdicts) -> None:
    _, wrong = gcloud_verdicts
    assert (wrong["command_string"], wrong["success"]) == (WRONG_COMMAND, False)


def test_googles_own_types_know_every_name_in_the_monitoring_files() -> None:
    gcloud = tool("gcloud")
    known = run(gcloud, "info", "--format=value(installation.sdk_root,basic.python_location)").stdout.split()
    if len(known) != 2:
        pytest.skip("this gcloud does not say where it is installed")
    root, python = known
    files = [f"metric={file}" for file in sorted(ROOT.glob("deploy/log-metrics/*.yaml"))]
    files += [f"dashboard={ROOT / 'deploy/dashboard.json'}", f"policy={ROOT / 'deploy/alerts.yaml'}"]
    path = os.pathsep.join((f"{root}/lib", f"{root}/lib/third_party"))
    read = run(python, str(HERE / "read_definitions.py"), *files, env={**os.environ, "PYTHONPATH": path})
    assert (read.returncode, read.stdout) == (0, ""), read.stderr


def test_the_metrics_count_events_that_callbot_logs() -> None:
    source = "\n".join(file.read_text() for file in ROOT.glob("callbot/**/*.py") if "simulators" not in file.parts)
    for file in ROOT.glob("deploy/log-metrics/*.yaml"):
        text = file.read_text()
        events = re.findall(r'"([a-z_]+\.[a-z_]+|barge_in)"', text)
        assert events, file.name
        for event in events:
            kind, _, what = event.partition(".")
            written = f'"{event}"' in source or (f'"{{kind}}.{what}"' in source and f'"{kind}"' in source)
            assert written, f"{file.name} counts {event}, which callbot does not log"
        for name in re.findall(r"EXTRACT\(jsonPayload\.(\w+)\)", text):
            assert re.search(rf"\b{name}=|\"{name}\"", source), f"{file.name} reads {name}, which callbot does not log"


def test_dashboard_and_alerts_draw_on_metrics_that_are_made() -> None:
    made = {file.stem for file in ROOT.glob("deploy/log-metrics/*.yaml")}
    drawn = set()
    for name in ("dashboard.json", "alerts.yaml"):
        drawn |= set(re.findall(r"user/callbot/([a-z-]+)", (ROOT / "deploy" / name).read_text()))
    assert drawn == made


def test_cloud_build_is_sent_what_the_image_needs_and_nothing_else(tmp_path: Path) -> None:
    git = tool("git")
    wanted = {"Dockerfile", ".dockerignore", "requirements.lock", "callbot/cli.py", "callbot/server/app.py"}
    unwanted = {
        *(".env", "callbot/.env", "callbot/server/.env.production", "key.pem", "callbot/key.pem", "callbot/tls.key"),
        *(
            "README.md",
            "tests/test_x.py",
            "callbot/demo.py",
            "callbot/simulators/__init__.py",
            "deploy.sh",
            "deploy/lib/talk.sh",
        ),
        *("callbot/__pycache__/cli.cpython-313.pyc", ".git-credentials", "demo-out/call.wav"),
    }
    for name in wanted | unwanted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / ".gcloudignore", tmp_path)
    assert run(git, "init", "-q", cwd=tmp_path).returncode == 0
    # The syntax is git's, so git says what it means.
    listed = run(git, "ls-files", "--others", "--exclude-from=.gcloudignore", cwd=tmp_path).stdout.splitlines()
    assert set(listed) - {".gcloudignore"} == wanted


def test_docker_and_cloud_build_leave_the_same_out() -> None:
    def patterns(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.lstrip("!/").removeprefix("**/") for line in lines if line and not line.startswith("#")}

    assert patterns(".dockerignore") | {".dockerignore"} == patterns(".gcloudignore")


def test_serving_and_checking_need_none_of_what_the_image_leaves_out() -> None:
    program = (
        "import sys; sys.modules['callbot.simulators'] = sys.modules['callbot.demo'] = None\n"
        "import callbot.assembly, callbot.check, callbot.cli, callbot.telemetry.logs"
    )
    done = run(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr


def test_the_lock_of_the_image_names_no_host_and_has_a_hash_for_every_package() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    packages = re.findall(r"^[a-z0-9][\w.-]*==\S+.*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 30
