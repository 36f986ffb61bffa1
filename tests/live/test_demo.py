"""`callbot demo` as a newcomer runs it: in a process of its own, with and without a model that can be reached."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]


async def demo(out: Path, *options: str, **environment: str) -> tuple[int | None, str]:
    command = [sys.executable, "-m", "callbot", "demo", "--out", str(out), *options]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={"PATH": os.environ["PATH"], "COLUMNS": "200", **environment}, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def test_the_demo_dials_a_loaded_server_and_says_that_a_stand_in_answered(tmp_path: Path) -> None:
    code, output = await demo(tmp_path)
    lines = output.splitlines()
    found = [line for line in lines if line.startswith("Not as it should be")]
    assert all("hole(s)" in line for line in found), output  # a crowded machine leaves holes in anybody's speech
    assert code == bool(found)
    assert lines.index("The server is loading.") < lines.index("It is ready; the caller dials.")
    assert any(line.startswith("A stand-in answered") for line in lines)
    assert "Traceback" not in output


async def test_a_real_model_that_cannot_be_reached_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    address = f"https://127.0.0.1:{closed_port()}"
    code, output = await demo(tmp_path, "--real", GEMINI_API_KEY="any", GOOGLE_GEMINI_BASE_URL=address)
    assert code == 1, output
    last = output.splitlines()[-1]
    assert last.startswith("Gemini could not be reached (")
    assert last.endswith("look at the network and the key; `callbot check` tries both.")
    assert "Traceback" not in output


async def test_a_real_model_without_a_key_is_wrong_use(tmp_path: Path) -> None:
    code, output = await demo(tmp_path, "--real")
    assert code == 2
    assert "GEMINI_API_KEY" in output
    assert "Traceback" not in output
