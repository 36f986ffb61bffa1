"""The real google-genai session on a WebSocket made of two lists: what it writes, and what it makes of what it reads."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, cast

import google.oauth2.credentials
from google import genai
from google.genai.live import AsyncSession
from google.genai.types import LiveServerMessage

type Backend = Literal["gemini", "vertex"]
BACKENDS: tuple[Backend, ...] = ("gemini", "vertex")


class MemorySocket:
    """As much of a websockets connection as the session uses."""

    def __init__(self, to_receive: Iterable[bytes] = ()) -> None:
        self.sent: list[str] = []
        self._to_receive = list(to_receive)

    async def send(self, message: str) -> None:
        self.sent.append(message)

    async def recv(self, *, decode: bool) -> bytes:
        assert decode is False
        return self._to_receive.pop(0)


class SdkSession:
    """Sessions of both backends; clients are dear to make, so make one of these per module."""

    def __init__(self) -> None:
        credentials = google.oauth2.credentials.Credentials(token="t")  # type: ignore[no-untyped-call]
        self._clients = {
            "gemini": genai.Client(api_key="k", vertexai=False),
            "vertex": genai.Client(vertexai=True, project="p", location="l", credentials=credentials),
        }

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    async def sent(self, backend: Backend, send: Callable[[AsyncSession], Awaitable[None]]) -> Any:
        """The JSON that the SDK writes for this call."""
        socket = MemorySocket()
        await send(self._session(backend, socket))
        (message,) = socket.sent
        return json.loads(message)

    async def received(self, backend: Backend, frame: bytes) -> LiveServerMessage:
        """What the SDK reads in this frame: the step that its `receive()` takes for each message."""
        return await self._session(backend, MemorySocket([frame]))._receive()

    def _session(self, backend: Backend, socket: MemorySocket) -> AsyncSession:
        return AsyncSession(api_client=self._clients[backend]._api_client, websocket=cast("Any", socket))
