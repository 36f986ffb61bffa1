"""What a stand-in remembers about each connection, for tests to read."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MODEL_BYTES_PER_MS = 48  # 24 kHz, 16-bit, mono


@dataclass(slots=True)
class Received:
    """One client message after setup. For audio, `body` says only how many bytes it had."""

    index: int  # from 1, as counted by lastConsumedClientMessageIndex
    kind: str  # audio, text, audioStreamEnd, activityStart, activityEnd, video, clientContent, toolResponse, ...
    body: Any
    at_s: float  # simulated


@dataclass(slots=True)
class TurnRecord:
    """One turn of the model, as far as it was sent."""

    number: int  # from 1 on each connection
    prompt: str  # audio, text, content, tool, script
    pcm: bytearray = field(default_factory=bytearray)  # 24 kHz, exactly what was sent
    transcript: str = ""  # output transcription sent so far
    thought_characters: int = 0  # of thought parts
    calls: list[str] = field(default_factory=list)  # ids of tool calls made
    generation_complete: bool = False
    complete: bool = False
    interrupted: bool = False

    @property
    def audio_ms(self) -> float:
        """Length of the audio sent."""
        return len(self.pcm) / MODEL_BYTES_PER_MS


@dataclass
class SessionRecord:
    """One connection from its upgrade to its end. Times are simulated seconds."""

    number: int  # the connection's number, from 1
    path: str
    version: str
    mode: str  # "gemini" or "vertex"
    credential: str | None
    headers: tuple[tuple[str, str], ...]
    opened_s: float
    others_open: int  # sockets open when this one arrived, of whatever session

    lineage: int | None = None  # the same for all connections of one logical session
    handle_offered: str | None = None
    resumed: bool = False
    overlapped: bool = False  # another socket of the same logical session was open at setup, by what the server had read
    overlapped_by_client: bool = False  # the client had not closed another; who does not read learns of the end late
    raw_setup: Any = None  # exactly as received
    setup: dict[str, Any] | None = None  # in camelCase
    context_updates: list[Any] = field(default_factory=list)

    pcm: bytearray = field(default_factory=bytearray)  # caller audio at 16 kHz
    samples: int = 0  # of the caller's audio at 16 kHz, kept or not
    text_characters: int = 0  # of text to the model: instructions, client content, realtime text
    tool_characters: int = 0  # of tools' results
    rates_hz: set[int] = field(default_factory=set)  # as declared in mime types
    silent_failures: int = 0  # audio the service would ignore without a word
    received: list[Received] = field(default_factory=list)
    messages_received: int = 0
    messages_sent: int = 0
    tool_responses: list[Any] = field(default_factory=list)
    stray_tool_responses: list[Any] = field(default_factory=list)  # for unknown, answered or cancelled calls

    turns: list[TurnRecord] = field(default_factory=list)
    interruptions: int = 0
    handles: list[str] = field(default_factory=list)  # given to the client, newest last
    go_aways: list[str | None] = field(default_factory=list)
    usage: dict[str, Any] | None = None  # as last sent
    fired: list[str] = field(default_factory=list)  # names of the faults that happened

    ready: bool = False  # setupComplete was sent
    closed_s: float | None = None
    close_code: int | None = None  # 1006 when there was no close frame
    close_reason: str = ""
    closed_by: str | None = None  # "client", "server", or "network" when there was no close frame

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.closed_s is not None

    def kinds(self) -> list[str]:
        """Return the kinds of all client messages that are not audio, in order."""
        return [message.kind for message in self.received if message.kind != "audio"]


class Changes:
    """Wakes whoever waits for a condition, each time something has happened."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        """Something has happened."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def wait_for(self, predicate: Callable[[], object], timeout_s: float) -> None:
        """Return once `predicate()` is true; it is asked again after each happening.

        Raises:
            TimeoutError: it was still false after `timeout_s` real seconds.
        """
        async with asyncio.timeout(timeout_s):
            while not predicate():
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future
