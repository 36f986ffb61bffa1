"""The way to the model, through the real google-genai client: addresses are raced, redirects are not followed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import google.genai.live
import pytest
from websockets.exceptions import InvalidStatus

from callbot.default_brief import brief_of
from callbot.gemini.connector import Connector
from callbot.gemini.dialling import ModelConnect
from callbot.gemini.failures import classify
from callbot.gemini.session_config import SessionOrder
from callbot.messages.terms import Decision
from callbot.settings_loading import load
from callbot.simulators.gemini import GeminiStandIn, StandInOptions
from callbot.simulators.gemini.faults import Fault, Refuse
from callbot.simulators.gemini.triggers import OnConnect

KEY = "AIza-goes-to-one-host-only"


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """`::1` at this port takes no connection and refuses none: its queue is full, so the kernel drops what asks (Linux)."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET6))
        listener.bind(("::1", port))
        listener.listen(0)
        while True:
            filler = stack.enter_context(socket.socket(socket.AF_INET6))
            filler.settimeout(0.3)
            try:
                filler.connect(("::1", port))
            except TimeoutError:
                break
        yield


def two_addresses(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != name:
            return real(host, port, *arguments, **options)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def connector_to(standin: GeminiStandIn, base_url: str, timeout_s: float) -> Connector:
    settings = load(
        _env_file=None,
        gemini_api_key=KEY,
        gemini_base_url=base_url,
        ssl_cert_file=str(standin.ca_pem_path),
        connect_timeout_s=timeout_s,
    )
    return Connector(settings, brief_of(settings))


async def test_an_address_that_swallows_everything_does_not_keep_the_good_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with GeminiStandIn(StandInOptions()) as standin:
        port = urlsplit(standin.base_url).port
        assert port is not None
        two_addresses(monkeypatch, "localhost")
        with black_hole(port):
            connector = connector_to(standin, f"https://localhost:{port}", 30.0)
            link = await connector.open(SessionOrder("CA1", connector._brief))
            assert link.is_open
            await link.close(1.0)
        assert len(standin.sessions) == 1


async def test_a_host_without_any_address_that_answers_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async with GeminiStandIn(StandInOptions()) as standin:
        port = urlsplit(standin.base_url).port
        two_addresses(monkeypatch, "localhost")
        standin.stop_listening()
        await asyncio.sleep(0)
        connector = connector_to(standin, f"https://localhost:{port}", 30.0)
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which errno depends on the system
            await connector.open(SessionOrder("CA1", connector._brief))
        assert classify(caught.value, opened=False).cause == "unreachable"


@asynccontextmanager
async def another_host() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that keeps what it is sent."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_the_handshake_is_final_and_takes_the_key_nowhere(status: int) -> None:
    async with another_host() as (port, heard):
        refusal = Refuse(status, location=f"https://127.0.0.1:{port}/elsewhere")
        async with GeminiStandIn(StandInOptions(faults=(Fault(at=OnConnect(), do=refusal),))) as standin:
            connector = connector_to(standin, standin.base_url, 10.0)
            with pytest.raises(InvalidStatus) as caught:
                await connector.open(SessionOrder("CA1", connector._brief))
            assert len(standin.upgrades) == 1
    failure = classify(caught.value, opened=False)
    assert (failure.decision, failure.cause) == (Decision.GIVE_UP, f"http_{status}")
    assert "redirects" in failure.remedy
    assert heard == []


def test_the_sdk_still_dials_by_the_name_that_is_replaced() -> None:
    assert google.genai.live.ws_connect is ModelConnect  # type: ignore[attr-defined]
    assert "ws_connect" in google.genai.live.AsyncLive.connect.__wrapped__.__code__.co_names  # type: ignore[attr-defined]
