"""What the tests of this room start from."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import uvloop
from phone_line import AUTH_TOKEN, CALLER, GEMINI_KEY, METRICS_TOKEN, OTHER_TOKEN, SOCKET_URL, Line, open_line
from socket_server import Run
from street import Street, open_street
from twilio.request_validator import RequestValidator


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """The running server that most tests of this room call."""
    async with open_line() as opened:
        yield opened


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def _runner(loop: str) -> Run:
    """Run a scenario, bounded in time, on a loop that must report no fault."""

    def run_on_loop(scenario: Coroutine[Any, Any, None]) -> None:
        faults: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: faults.append(context))
            runner.run(asyncio.wait_for(scenario, 20))
        assert not faults

    return run_on_loop


@pytest.fixture
async def street(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> AsyncIterator[Street]:
    caplog.set_level(logging.DEBUG)
    async with open_street() as opened:
        yield opened
    printed = capfd.readouterr()
    said = opened.line.everything_said() + printed.out + printed.err + caplog.text
    signature = RequestValidator(AUTH_TOKEN).compute_signature(SOCKET_URL, {})
    for secret in (AUTH_TOKEN, OTHER_TOKEN, GEMINI_KEY, METRICS_TOKEN, CALLER, CALLER[1:], signature, *opened.tokens):
        assert secret not in said


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario on either loop."""
    return _runner(request.param)
