"""The deployment as code: bats, shellcheck, hadolint, gcloud's own parser, and that the files agree with the program.

A tool that is not on this machine is a skip that names it; `pytest -ra` lists them.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SHELL_FILES = sorted([ROOT / "deploy.sh", *HERE.glob("fakes/*"), *HERE.glob("*.bats")])
SID = "AC0123456789abcdef0123456789abcdef"
# What a user may ask for, so that together every command of the script is issued.
VARIANTS = (
    (f"--account-sid={SID}", "--number=+14155550100", "--monitoring"),
    ("--vertex", "--location=europe-west4", "--no-invoker-iam-check", "--cpu-throttling", "--no-session-affinity"),
    ("--redis-url-secret=r", "--network=n", "--subnet=s", "--max-instances=5", "--concurrency=50", "--env=CALLBOT_VOICE=Puck"),
    ("--rotate-secrets", "--monitoring"),
    ("--destroy",),
)


def tool(name: str) -> str:
    """Where the tool is: beside this Python (a wheel may bring it), else on the path; skips when it is nowhere."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def run(*command: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=env, cwd=cwd)


def test_deploy_sh_does_what_its_bats_files_say() -> None:
    bats = tool("bats")
    files = sorted(HERE.glob("*.bats"))
    assert len(files) == 2
    # Side by side: they share nothing, and most of their time is spent starting processes.
    running = [
        subprocess.Popen([bats, str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for file in files
    ]
    for file, process in zip(files, running, strict=True):
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{file.name}:\n" + "\n".join(re.findall(r"^(?:not ok|#).*$", said, re.MULTILINE))
        assert said.count("\nok ") == file.read_text().count("@test ")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = tool("shellcheck")
    for file in SHELL_FILES:  # deploy.sh brings its parts with it
        # bats runs each test in a subshell (SC2030, SC2031) and gives its files variables of its own.
        bats = file.suffix == ".bats"
        strict = ("--exclude=SC2030,SC2031",) if bats else ("--enable=check-unassigned-uppercase",)
        found = run(shellcheck, "--external-sources", *strict, str(file))
        assert (found.returncode, found.stdout) == (0, "")


def test_hadolint_finds_nothing() -> None:
    found = run(tool("hadolint"), str(ROOT / "Dockerfile"))
    assert (found.returncode, found.stdout) == (0, "")


@pytest.fixture(scope="module")
def issued_commands(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every gcloud command of the script, reading and changing, as it issues them."""
    commands: dict[str, str] = {}
    for number, options in enumerate(VARIANTS):
        cloud = tmp_path_factory.mktemp(f"cloud{number}")
        (cloud / "secrets").mkdir()
        env = {
            "PATH": f"{HERE / 'fakes'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(cloud),
            "CLOUD": str(cloud),
            "TWILIO_AUTH_TOKEN": "0" * 32,
            "GEMINI_API_KEY": "0" * 32,
            "REDIS_URL": "redis://10.0.0.3:6379",
        }
        # Twice: what is there already is looked at with other commands. Then removed, if that is what is asked.
        first = () if options == ("--destroy",) else options
        for arguments in (first, options):
            done = run(str(ROOT / "deploy.sh"), "--project=fake-project", "--yes", *arguments, env=env)
            assert done.returncode == 0, done.stderr
        for command in (cloud / "calls").read_text().splitlines():
            if command.startswith("gcloud "):
                commands.setdefault(_shape(command), command)
    return sorted(commands.values())


def _shape(command: str) -> str:
    """A command without its values: which words it begins with, and which flags it has. One of each shape is enough."""
    words = shlex.split(command)
    begin = next((at for at, word in enumerate(words) if word.startswith("--")), len(words))
    flags = [word.partition("=")[0] for word in words[begin:]]
    return " ".join([*words[: min(begin, 4)], *flags])


def test_gcloud_itself_accepts_every_command(issued_commands: list[str], tmp_path: Path) -> None:
    gcloud = tool("gcloud")
    batch = tmp_path / "commands.json"
    batch.write_text(json.dumps([{"command_string": shlex.join(shlex.split(command))} for command in issued_commands]))
    checked = run(gcloud, "meta", "lint-gcloud-commands", f"--commands-file={batch}", env={**os.environ, "HOME": str(tmp_path)})
    if "Invalid choice: 'lint-gcloud-commands'" in checked.stderr:
        pytest.skip("this gcloud has no lint-gcloud-commands")
    verdicts = json.loads(checked.stdout)
    assert len(verdicts) == len(issued_commands) > 30
    assert [(verdict["command_string"], verdict["error_message"]) for verdict in verdicts if not verdict["success"]] == []


def test_gclouds_parser_would_find_a_wrong_flag() -> None:
    checked = run(tool("gcloud"), "meta", "lint-gcloud-commands", "--command-string=gcloud run deploy x --no-cpu-throtling")
    if "Invalid choice: 'lint-gcloud-commands'" in checked.stderr:
        pytest.skip("this gcloud has no lint-gcloud-commands")
    assert [verdict["success"] for verdict in json.loads(checked.stdout)] == [False]


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
