"""Builds the image and places calls through it: `make image-test`.

Needs root, buildah, podman and runc; and mmdebstrap when the base image cannot be pulled. What it then uses in the base's place
is Debian's own Python, put together here: that proves the Dockerfile and the container, not the bytes of python:3.13-slim, and
it says so. Exit codes: 0 everything holds, 1 something does not, 2 a tool is missing.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from callbot.simulators import voices
from callbot.simulators.gemini import GeminiStandIn, Parrot, StandInOptions
from callbot.simulators.twilio import Carrier, CarrierOptions, Line, StreamEnd, problems

ROOT: Final = Path(__file__).resolve().parents[2]
BASE: Final = "python:3.13-slim"
STAND_IN: Final = "localhost/callbot-base-stand-in:3.13"
IMAGE: Final = "localhost/callbot-image-test:latest"
PUBLIC_URL: Final = "https://bot.example"
USER_ID: Final = 10001
STOP_LIMIT_S: Final = 8.0  # Cloud Run kills after 10
# Debian's crun fails where cgroups v1 and v2 are mixed, and without limits of its own a container asks for more than it may.
PODMAN_RUN: Final = (
    *("podman", "run", "--runtime", "runc", "--network", "host", "--no-healthcheck"),
    *("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:4096"),
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt", "no-new-privileges", "--memory", "2g"),
)


class Broken(Exception):
    """Something that the image must do and does not."""


def say(text: str) -> None:
    print(text, flush=True)


def holds(condition: object, claim: str, figure: str = "") -> None:
    """One line for a claim that was checked; raises `Broken` when it is not so."""
    if not condition:
        raise Broken(f"{claim}: no. {figure}")
    say(f"  ok  {claim}{'  (' + figure + ')' if figure else ''}")


def run(*command: str, limit_s: float = 600, check: bool = True) -> str:
    """A command's stdout; raises `Broken` with the end of its stderr when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    if check and done.returncode != 0:
        raise Broken(f"{' '.join(command[:3])} failed ({done.returncode}): {done.stderr[-2000:]}")
    return done.stdout


def missing_tools() -> list[str]:
    return [tool for tool in ("buildah", "podman", "runc") if shutil.which(tool) is None]


def base_image() -> str:
    """The base: the real one when it can be pulled, else the stand-in, made once."""
    if (
        subprocess.run(
            ["buildah", "pull", "-q", "--policy", "always", BASE], capture_output=True, timeout=600, check=False
        ).returncode
        == 0
    ):
        say(f"Base: {BASE}, pulled.")
        return BASE
    say(f"Base: {BASE} CANNOT BE PULLED HERE. In its place: Debian trixie's Python 3.13, put together by mmdebstrap.")
    if subprocess.run(["buildah", "inspect", STAND_IN], capture_output=True, check=False).returncode != 0:
        _make_stand_in()
    return STAND_IN


def _make_stand_in() -> None:
    if shutil.which("mmdebstrap") is None:
        raise Broken("mmdebstrap is needed for the stand-in of the base: install it")
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="callbot-base-") as folder:
        # /usr/local/bin/python3 is where the real image has it, and where the venv's interpreter is looked for.
        links = (
            'mkdir -p "$1/usr/local/bin"; for n in python3 python; do ln -sf /usr/bin/python3.13 "$1/usr/local/bin/$n"; done'
        )
        # The machine's certificates: where a proxy signs, pip must trust it. They stay in the stand-in.
        certificates = 'cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"'
        leave_out = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
        run(
            *("mmdebstrap", "--variant=minbase", "--include=ca-certificates,passwd,python3.13,python3.13-venv"),
            *("--keyring=/usr/share/keyrings/debian-archive-keyring.gpg", *leave_out),
            *(f"--customize-hook={links}", f"--customize-hook={certificates}", "trixie", f"{folder}/base.tar"),
        )
        container = run("buildah", "from", "scratch").strip()
        run("buildah", "add", "-q", container, f"{folder}/base.tar", "/")
        run("buildah", "config", "--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        run("buildah", "commit", "-q", "--rm", container, STAND_IN)
    say(f"  made in {time.monotonic() - began_s:.0f} s")


def build(base: str, planted: str) -> None:
    """Build from a copy of the checkout in which secrets lie about where people leave them."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="callbot-context-") as folder:
        context = Path(folder)
        for name in ("Dockerfile", ".dockerignore", "requirements.lock"):
            shutil.copy2(ROOT / name, context / name)
        shutil.copytree(ROOT / "callbot", context / "callbot")
        for place in (".env", "callbot/.env", "callbot/server/.env.production", "callbot/key.pem", "private.key", "notes.txt"):
            (context / place).write_text(f"TWILIO_AUTH_TOKEN={planted}\n")
        run(
            *("buildah", "build", "--isolation", "chroot", "--layers", "--format", "docker", "--pull-never"),
            *("--build-arg", f"PYTHON_IMAGE={base}", "-t", IMAGE, str(context)),
        )
    say(f"Built in {time.monotonic() - began_s:.0f} s.")


def check_contents(planted: str) -> None:
    """What is in the image, and what is not."""
    image = json.loads(run("podman", "image", "inspect", IMAGE))[0]
    config = image["Config"]
    holds(config["User"] == f"{USER_ID}:{USER_ID}", "the user is a number, and not root", config["User"])
    holds(config["Cmd"] == ["python", "-m", "callbot", "serve"], "the command is in exec form", str(config["Cmd"]))
    holds("8080/tcp" in config["ExposedPorts"], "port 8080 is exposed")
    holds(image.get("Healthcheck"), "there is a health check")
    say(f"      size {image['Size'] / 1e6:.0f} MB with its base")
    with tempfile.TemporaryDirectory(prefix="callbot-layers-") as folder:
        archive = Path(folder) / "image.tar"
        run("podman", "save", "-q", "-o", str(archive), IMAGE)
        known = (ROOT / "callbot/__init__.py").read_bytes()
        found = _contains(archive, known), _contains(archive, planted.encode())
        holds(
            found == (True, False), "no planted secret is in any layer or in the history", "callbot's own text is found there"
        )
        say(f"      {archive.stat().st_size / 1e6:.0f} MB as layers")
    inside = json.loads(run(*PODMAN_RUN, "--rm", IMAGE, "python", "-c", _INSIDE))
    holds(inside["uid"] == USER_ID and inside["capabilities"] == 0, "it runs as that user, without any capability")
    holds(inside["writable"] == [], "nothing in it can be written", f"{inside['python']}, {inside['tried']} places tried")
    holds(inside["resampled"] == 320, "libsamplerate, from its wheel, converts: 160 samples to 320", inside["libsamplerate"])
    holds(not inside["pip"], "there is no pip in the environment")
    holds(inside["tools"] == [], "there is no compiler")
    holds(not inside["simulators"], "the stand-ins are left out")
    holds(inside["compiled"], "callbot and what it loads are compiled")


# Runs in the container; prints one JSON object.
_INSIDE: Final = """
import importlib.util, json, os, pathlib, shutil, sys
import samplerate
tried = ["/", "/app", "/app/callbot", "/opt/venv", "/tmp", "/var/tmp", "/etc", os.path.expanduser("~")]
writable = []
for place in tried:
    try:
        (pathlib.Path(place) / "written").write_text("x")
        writable.append(place)
    except OSError:
        pass
status = pathlib.Path("/proc/self/status").read_text()
found = samplerate.Resampler("sinc_fastest", channels=1).process([0.0] * 160, 2.0, end_of_input=True)
import callbot.assembly
cached = [m for m in list(sys.modules.values()) if getattr(m, "__cached__", None)]
loaded = [m for m in cached if str(m.__file__).startswith(("/app", "/opt"))]
print(json.dumps({
    "uid": os.getuid(), "python": sys.version.split()[0], "tried": len(tried), "writable": writable,
    "capabilities": int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16),
    "resampled": len(found), "libsamplerate": samplerate.__libsamplerate_version__,
    "pip": importlib.util.find_spec("pip") is not None,
    "tools": [tool for tool in ("gcc", "cc", "make", "git", "curl") if shutil.which(tool)],
    "simulators": importlib.util.find_spec("callbot.simulators") is not None,
    "compiled": all(pathlib.Path(m.__cached__).exists() for m in loaded) and len(loaded) > 100,
}))
"""


def _contains(archive: Path, secret: bytes) -> bool:
    """Whether the bytes are anywhere in an uncompressed archive of layers."""
    overlap = b""
    with archive.open("rb") as file:
        while block := file.read(1 << 22):
            if secret in overlap + block:
                return True
            overlap = block[-len(secret) :]
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def container(environment: dict[str, str], mounts: dict[Path, str]) -> Iterator[str]:
    """A running container; removed at the end, whatever happens."""
    options = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
    options += [part for source, target in mounts.items() for part in ("--volume", f"{source}:{target}:ro")]
    name = run(*PODMAN_RUN, "--detach", *options, IMAGE).strip()
    try:
        yield name
    finally:
        run("podman", "rm", "--force", "--time", "1", name, check=False)


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own container
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


async def until_ready(origin: str, name: str) -> float:
    """Seconds from now until `/readyz` says so."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < 30:
        if await asyncio.to_thread(status_of, f"{origin}/readyz") == 200:
            return time.monotonic() - began_s
        await asyncio.sleep(0.05)
    raise Broken(f"not ready after 30 s; its log: {logs_of(name)}")


def logs_of(name: str) -> str:
    done = subprocess.run(["podman", "logs", name], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


async def check_calls() -> None:
    """A whole call; then one during which the container is told to stop."""
    token, api_key = secrets.token_hex(16), "planted-" + secrets.token_hex(12)
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    options = StandInOptions(brain=Parrot(greeting=voices.bot("greeting"), lead=voices.bot("answer"), min_answer_s=3.0))
    async with GeminiStandIn(options) as standin:
        environment = {
            "PORT": str(port),
            "SERVICE_URL": PUBLIC_URL,
            "TWILIO_AUTH_TOKEN": token,
            "GEMINI_API_KEY": api_key,
            "GOOGLE_GEMINI_BASE_URL": standin.base_url,
            "SSL_CERT_FILE": "/ca.pem",
        }
        carrier = Carrier(CarrierOptions(public_url=PUBLIC_URL, connect_to=origin, auth_token=token, seed=7))
        with container(environment, {standin.ca_pem_path: "/ca.pem"}) as name:
            ready_s = await until_ready(origin, name)
            holds(status_of(f"{origin}/healthz") == 200, "it is healthy and ready", f"{ready_s:.1f} s after its start")
            probe = json.loads(run("podman", "image", "inspect", IMAGE))[0]["Healthcheck"]["Test"]
            run("podman", "exec", name, *probe[1:])
            holds(probe[0] == "CMD", "the image's own health check passes, without a shell")
            await _whole_call(carrier)
            await _stopped_call(carrier, name)
            said = logs_of(name)
        check_log(said, (token, api_key))


async def _whole_call(carrier: Carrier) -> None:
    async def script(line: Line) -> None:
        await line.wait_until_bot_speaks()
        await line.wait_until_bot_quiet()
        await line.speak(voices.caller("three_cards"))
        await line.wait_until_bot_speaks()
        await line.barge_in(voices.caller("number"), after_ms=800)
        await line.wait_until_bot_speaks()
        await line.wait_until_bot_quiet()
        await line.hang_up()

    report = await carrier.call(script)
    holds(
        problems(report) == [], "a call through the container: greeted, answered, interrupted, answered", str(problems(report))
    )
    answered = ", ".join(f"{latency_ms:.0f}" for latency_ms in report.latencies_ms)
    say(f"      heard {report.heard_ms / 1000:.1f} s of the bot; answers after {answered} ms")


async def _stopped_call(carrier: Carrier, name: str) -> None:
    """SIGTERM while the bot is speaking."""
    speaking = asyncio.Event()

    async def script(line: Line) -> None:
        await line.wait_until_bot_speaks()
        speaking.set()
        await line.stay()

    async with asyncio.TaskGroup() as group:
        call = group.create_task(carrier.call(script))
        await speaking.wait()
        began_s = time.monotonic()
        await asyncio.to_thread(run, "podman", "kill", "--signal", "TERM", name)
        code = (await asyncio.to_thread(run, "podman", "wait", name, limit_s=30)).strip()
        took_s = time.monotonic() - began_s
    stream = call.result().streams[0]
    holds(code == "0", "SIGTERM during a call ends it with exit code 0", f"exit code {code}")
    holds(took_s < STOP_LIMIT_S, f"within {STOP_LIMIT_S:.0f} s", f"{took_s:.1f} s")
    closed = stream.end is StreamEnd.APP_CLOSED and stream.close_code is not None
    holds(closed, "the call's socket was closed properly", f"{stream.end.value}, code {stream.close_code}")


def check_log(said: str, planted: tuple[str, ...]) -> None:
    """The container's whole output: JSON, complete, and without a secret."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in said.splitlines() if line]
    names = [line["message"] for line in lines]
    holds(
        all({"time", "severity"} <= line.keys() for line in lines), "every line of output is a log entry", f"{len(lines)} lines"
    )
    holds(names.count("call.summary") == 2, "each call has its one summary")
    holds(names[-1] == "server.stopped", "the last line says that the server has stopped")
    holds(not any(secret in said for secret in planted), "no planted secret is in the output")


def main() -> int:
    missing = missing_tools()
    if missing:
        sys.stderr.write(
            f"image-test: {', '.join(missing)} not found; on Debian: apt-get install buildah podman runc mmdebstrap\n"
        )
        return 2
    planted = "planted-" + secrets.token_hex(16)
    try:
        build(base_image(), planted)
        say("In the image:")
        check_contents(planted)
        say("The container:")
        asyncio.run(check_calls())
    except Broken as broken:
        sys.stderr.write(f"image-test: {broken}\n")
        return 1
    say("Everything holds.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
