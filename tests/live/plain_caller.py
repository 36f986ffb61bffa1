"""A Twilio caller in a hundred lines of `websockets` and `urllib`, written from Twilio's pages and from nothing else here.

It keeps every message in the order in which it came, which is what the tests of order need, and it returns marks when what
was sent before them has been played, or was cleared.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SILENCE = b"\xff" * 160
ACCOUNT_SID = "AC" + "9" * 32
_numbers = itertools.count(1)


def sign(token: str, url: str, fields: dict[str, str] | None = None) -> str:
    """Twilio's X-Twilio-Signature: HMAC-SHA1 of the URL and the sorted fields."""
    text = url + "".join(name + value for name, value in sorted((fields or {}).items()))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


@dataclass
class PlainCall:
    """One call's stream. `received` holds what the app sent: the JSON, as it came."""

    call_sid: str
    stream_sid: str
    socket: ClientConnection
    received: list[dict[str, Any]] = field(default_factory=list)
    closed: tuple[int | None, str] | None = None
    to_say: list[bytes] = field(default_factory=list)
    frames_sent: int = 0
    to_lose: int = 0  # so many of the next frames never arrive, though their time passes
    sent: bytearray = field(default_factory=bytearray)
    _sequence: int = 1
    _plays_until_s: float = 0.0
    _marks: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _waiters: list[tuple[Callable[[], object], asyncio.Future[None]]] = field(default_factory=list)
    _to_return: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def media(self, since: int = 0) -> list[bytes]:
        """The payloads of the media messages from `received[since:]`."""
        return [base64.b64decode(m["media"]["payload"]) for m in self.received[since:] if m["event"] == "media"]

    def count(self, event: str) -> int:
        """How many messages of one kind came."""
        return sum(message["event"] == event for message in self.received)

    async def until(self, ready: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Return once `ready()` holds; it is asked after each message and at the end. Raises TimeoutError."""
        if ready():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((ready, waiter))
        async with asyncio.timeout(timeout_s):
            await waiter

    async def hang_up(self) -> None:
        """`stop`, then the close."""
        await self._send({"event": "stop", "stop": {"accountSid": ACCOUNT_SID, "callSid": self.call_sid}})
        await self.socket.close(1000)

    async def listen(self) -> None:
        """Read until the app closes or the socket breaks."""
        try:
            async for raw in self.socket:
                assert isinstance(raw, str), "Twilio takes text frames only"
                self._take(json.loads(raw))
                self._wake()
        except ConnectionClosed:
            pass
        self.closed = (self.socket.close_code, self.socket.close_reason or "")
        self._wake()

    async def talk(self) -> None:
        """A frame every 20 ms: what is to be said, else silence."""
        began_s = time.monotonic()
        try:
            while True:
                await asyncio.sleep(max(0.0, began_s + self.frames_sent * 0.02 - time.monotonic()))
                frame = self.to_say.pop(0) if self.to_say else SILENCE
                self.frames_sent += 1
                if self.to_lose:
                    self.to_lose -= 1
                    self.sent += SILENCE
                    continue
                self.sent += frame
                media = {
                    "track": "inbound",
                    "chunk": str(self.frames_sent),
                    "timestamp": str(85 + 20 * self.frames_sent),
                    "payload": base64.b64encode(frame).decode(),
                }
                await self._send({"event": "media", "media": media})
        except ConnectionClosed:
            return

    async def start(self, parameters: dict[str, str]) -> None:
        """`connected` and `start`."""
        await self.socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        start = {
            "accountSid": ACCOUNT_SID,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        await self._send({"event": "start", "start": start})

    def _take(self, message: dict[str, Any]) -> None:
        assert message["streamSid"] == self.stream_sid
        self.received.append(message)
        loop = asyncio.get_running_loop()
        match message["event"]:
            case "media":
                payload_s = len(base64.b64decode(message["media"]["payload"])) / 8000
                self._plays_until_s = max(self._plays_until_s, loop.time()) + payload_s
            case "mark":
                name = message["mark"]["name"]
                self._marks[name] = loop.call_at(self._plays_until_s, self._return_mark, name)
            case "clear":
                self._plays_until_s = 0.0
                for name, timer in list(self._marks.items()):
                    timer.cancel()
                    self._return_mark(name)

    def _return_mark(self, name: str) -> None:
        del self._marks[name]
        self._to_return.put_nowait(name)

    async def echo_marks(self) -> None:
        """Send marks back in order."""
        try:
            while True:
                await self._send({"event": "mark", "mark": {"name": await self._to_return.get()}})
        except ConnectionClosed:
            return

    async def _send(self, message: dict[str, Any]) -> None:
        sequence, self._sequence = self._sequence, self._sequence + 1
        body = {"sequenceNumber": str(sequence), "streamSid": self.stream_sid}
        await self.socket.send(json.dumps(message | body))

    def _wake(self) -> None:
        waiting = []
        for ready, waiter in self._waiters:
            if waiter.done():
                continue
            if ready():
                waiter.set_result(None)
            elif self.closed is not None:
                waiter.set_exception(ConnectionError(f"the stream ended with {self.closed}"))
            else:
                waiting.append((ready, waiter))
        self._waiters = waiting


def post(port: int, public_url: str, token: str, path: str, fields: dict[str, str]) -> tuple[int, str]:
    """One signed webhook; blocks. Returns the HTTP status and the body."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        urllib.parse.urlencode(fields).encode(),
        {"X-Twilio-Signature": sign(token, public_url + path, fields), "Content-Type": "application/x-www-form-urlencoded"},
    )
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310 - a loopback address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def call_fields(call_sid: str, status: str = "ringing") -> dict[str, str]:
    """What Twilio tells in a webhook, some of it."""
    return {
        "CallSid": call_sid,
        "AccountSid": ACCOUNT_SID,
        "From": "+14158675310",
        "To": "+18005551212",
        "CallStatus": status,
        "Direction": "inbound",
        "CallerName": "",
    }


@asynccontextmanager
async def plain_call(
    port: int, public_url: str, token: str, *, frames: Sequence[bytes] = (), goes_on: tuple[str, int] | None = None
) -> AsyncIterator[PlainCall]:
    """Dial, follow the TwiML to its stream, and talk; leaves by closing the socket.

    `goes_on`: the CallSid of a call in progress, and the number of its stream that has ended.
    """
    number = next(_numbers)
    call_sid, stream_no = goes_on or (f"CA{number:032x}", 0)
    path, said = (f"/twiml/next?stream_no={stream_no}", "in-progress") if goes_on else ("/twiml", "ringing")
    status, document = await asyncio.to_thread(post, port, public_url, token, path, call_fields(call_sid, said))
    assert status == 200, f"{path} answered {status}"
    found = re.search(r'<Stream [^>]*url="([^"]+)"', document)
    assert found, document
    url = found[1]
    parameters = dict(re.findall(r'<Parameter name="([^"]+)" value="([^"]*)"', document))
    path = urllib.parse.urlsplit(url).path
    async with connect(
        f"ws://127.0.0.1:{port}{path}",
        additional_headers={"X-Twilio-Signature": sign(token, url)},
        user_agent_header="Twilio.TmeWs/1.0",
        compression=None,
        ping_interval=None,
        max_size=None,
    ) as socket:
        call = PlainCall(call_sid, f"MZ{number:032x}", socket)
        call.to_say.extend(frames)
        await call.start(parameters)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work()) for work in (call.listen, call.talk, call.echo_marks)]
            try:
                yield call
            finally:
                for task in running[1:]:
                    task.cancel()
                await socket.close()
