"""The model's end of the load: a Live server that does nothing but talk, listen and take times."""

import asyncio
import base64
import contextlib
import json
import ssl
import time
from array import array
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import trustme
import uvloop  # noqa: F401 - the loop that both ends are meant to run on
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.sound import BurstFinder, model_loop
from bench.track import Arrivals, no_times

CHUNK_MS = 40
_OPENING_SAMPLES = 16_000


@dataclass(slots=True)
class ModelCall:
    """One session at the model's end."""

    number: int
    heard_s: list[float] = field(default_factory=list)  # when each burst of the caller's arrived
    said_s: deque[float] = field(default_factory=deque)  # when each of our bursts was sent
    samples: int = 0
    opening: list[np.ndarray] = field(default_factory=list)  # the first second of the caller, at 16 kHz
    sent_s: "array[float]" = field(default_factory=no_times)  # when each chunk was sent
    arrived: Arrivals = field(default_factory=Arrivals)  # the caller's audio, at 16 kHz
    first_audio_s: float = 0.0
    ended_s: float = 0.0
    socket: ServerConnection | None = None
    talking: asyncio.Event = field(default_factory=asyncio.Event)
    interrupted_s: float = 0.0


class ModelPeer:
    """A TLS server on a free port; sessions in the order in which they were opened."""

    def __init__(self, *, talk: bool = True) -> None:
        self._talk = talk
        self.calls: list[ModelCall] = []
        self.by_name: dict[str, ModelCall] = {}
        self._ca = trustme.CA()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert("127.0.0.1", "localhost").configure_cert(self._context)
        self.port = 0

    def write_ca(self, path: str) -> None:
        """The CA as PEM, for SSL_CERT_FILE."""
        self._ca.cert_pem.write_to_path(path)

    async def run(self, ready: asyncio.Event) -> None:
        """Serve until cancelled."""
        async with serve(
            self._session,
            "127.0.0.1",
            0,
            ssl=self._context,
            compression=None,
            ping_interval=None,
            close_timeout=0.5,
            backlog=512,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            ready.set()
            await asyncio.Future()

    async def _session(self, socket: ServerConnection) -> None:
        """One session to its end. A connection that breaks is a result here; whatever else is raised is a fault."""
        with contextlib.suppress(ConnectionClosed):  # out of the group too
            await socket.recv()
            call = ModelCall(len(self.calls), socket=socket)
            self.calls.append(call)
            try:
                await self._converse(call, socket)
            finally:
                call.ended_s = time.perf_counter()

    async def _converse(self, call: ModelCall, socket: ServerConnection) -> None:
        await socket.send(b'{"setupComplete":{}}')
        if self._talk:
            call.talking.set()
        async with asyncio.TaskGroup() as group:
            talker = group.create_task(self._say(call, socket))
            try:
                await self._listen(call, socket)
            finally:
                talker.cancel()

    async def _listen(self, call: ModelCall, socket: ServerConnection) -> None:
        finder = BurstFinder(gap_samples=16_000 // 5)
        async for message in socket:
            now_s = time.perf_counter()
            audio = json.loads(message).get("realtime_input", {}).get("audio")
            if audio is None:
                continue
            if not call.samples:
                call.first_audio_s = now_s
            samples = np.frombuffer(base64.urlsafe_b64decode(audio["data"]), "<i2")
            if call.samples < _OPENING_SAMPLES:
                call.opening.append(samples)
            call.samples += len(samples)
            call.arrived.note(now_s, len(samples))
            if finder.found(samples):
                call.heard_s.append(now_s)

    async def _say(self, call: ModelCall, socket: ServerConnection) -> None:
        await call.talking.wait()
        messages, bursts = model_loop(1000 + call.number, CHUNK_MS)
        begun_s = time.perf_counter()
        sent = 0
        while True:
            if not call.talking.is_set():  # a pause: the bench has cleared it
                await call.talking.wait()
                begun_s = time.perf_counter() - sent * CHUNK_MS / 1000
            due_s = begun_s + sent * CHUNK_MS / 1000
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            place = sent % len(messages)
            now_s = time.perf_counter()
            call.sent_s.append(now_s)
            if place in bursts:
                call.said_s.append(now_s)
            await socket.send(messages[place])
            sent += 1
