"""The real google-genai client, pointed at a stand-in."""

import contextlib
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from google import genai
from google.genai import live, types
from google.oauth2.credentials import Credentials

from callbot.simulators.gemini import GeminiStandIn, StandInOptions
from callbot.simulators.gemini.voice import murmur

GEMINI_MODEL = "gemini-3.8-live"


class Line:
    """One stand-in and one client for it."""

    def __init__(self, standin: GeminiStandIn, client: genai.Client) -> None:
        self.standin = standin
        self.client = client

    def connect(
        self, config: dict[str, Any] | None = None, model: str = GEMINI_MODEL
    ) -> contextlib.AbstractAsyncContextManager[live.AsyncSession]:
        return self.client.aio.live.connect(model=model, config=config or {})

    @property
    def last(self) -> Any:
        return self.standin.sessions[-1]


def client_for(standin: GeminiStandIn, *, vertex: bool = False, **socket: Any) -> genai.Client:
    # Ready contexts make a Client a hundred times cheaper than those it would make itself.
    context = standin.client_ssl_context()
    options = types.HttpOptions(
        base_url=standin.base_url,
        api_version="v1beta1" if vertex else "v1beta",
        client_args={"verify": context},
        async_client_args={"ssl": context, "verify": context, "close_timeout": 1, "proxy": None, **socket},
    )
    if vertex:
        return genai.Client(
            vertexai=True,
            project="p",
            location="us-central1",
            credentials=Credentials(token="x"),
            http_options=options,
        )
    return genai.Client(api_key="any", http_options=options)


@pytest.fixture
def open_line() -> Callable[..., contextlib.AbstractAsyncContextManager[Line]]:
    """A stand-in in which nothing waits in real time, unless the options say otherwise."""

    @contextlib.asynccontextmanager
    async def _open(*, vertex: bool = False, socket: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Line]:
        chosen = {"time_scale": 1000.0, "burst": math.inf, **options}
        async with GeminiStandIn(StandInOptions(**chosen)) as standin:
            yield Line(standin, client_for(standin, vertex=vertex, **(socket or {})))

    return _open


@pytest.fixture
def utterance() -> bytes:
    """1.44 s of speech-like sound and 0.6 s of silence at 16 kHz: one turn for the default detector."""
    return murmur(6, rate_hz=16_000) + bytes(int(16_000 * 0.6) * 2)


@pytest.fixture
def speak() -> Callable[..., Any]:
    async def _speak(session: live.AsyncSession, pcm: bytes, chunk_ms: int = 40) -> None:
        step = chunk_ms * 32
        for offset in range(0, len(pcm), step):
            blob = types.Blob(data=pcm[offset : offset + step], mime_type="audio/pcm;rate=16000")
            await session.send_realtime_input(audio=blob)

    return _speak


@pytest.fixture
def one_turn() -> Callable[..., Any]:
    async def _one_turn(session: live.AsyncSession) -> list[types.LiveServerMessage]:
        return [message async for message in session.receive()]

    return _one_turn


def audio_of(messages: list[types.LiveServerMessage]) -> bytes:
    return b"".join(
        part.inline_data.data or b""
        for message in messages
        if message.server_content and message.server_content.model_turn
        for part in message.server_content.model_turn.parts or []
        if part.inline_data
    )


@pytest.fixture(name="audio_of")
def audio_of_fixture() -> Callable[..., bytes]:
    return audio_of
