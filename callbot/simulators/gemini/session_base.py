"""What the parts of one session share: its record, its connection, its clock, and the state of the stand-in."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from . import messages
from .clock import CallerClock, Clock, WallClock
from .connection import WireConnection
from .faults import Action, FaultScript
from .moments import Moments
from .options import StandInOptions
from .outbox import Outbox
from .records import Changes, SessionRecord, TurnRecord
from .resumption import Conversation, HandleBook, Refusal
from .setup import Setup

TOKENS_PER_S = 25  # of audio, in and out; commonly quoted as 25 to 32
CHARACTERS_PER_TOKEN = 4  # of text, as Google's guide on tokens says


class ServerState:
    """What all sessions of one stand-in have in common: options, time, handles, the fault script.

    `sessions` is the stand-in's list of every session so far.
    """

    def __init__(self, options: StandInOptions, sessions: "Sequence[SessionBase]") -> None:
        self.options = options
        self.sessions = sessions
        self.seed = options.seed
        self.clock = WallClock(options.time_scale)
        self.changes = Changes()
        self.script = FaultScript(options.faults)
        self.handles = HandleBook(seed=options.seed, valid_s=options.handle_valid_s, forgetful=options.forget_on_resume)
        self.handle_refusal: Refusal | None = None  # for every handle, if set

    def sessions_of(self, lineage: int | None) -> "Iterator[SessionBase]":
        """Yield the connections of one logical session; none for a handle that belongs to none."""
        return (session for session in self.sessions if lineage is not None and session.lineage == lineage)

    def admits(self, credential: str | None, path: str) -> bool:
        """Whether this key or token is good."""
        keys = self.options.keys
        if keys is not None:
            return credential in keys
        # Without a project the SDK connects to the base URL as it is and sends no credentials at all.
        return credential is not None or urlsplit(path).path in {"", "/"}


class SessionBase(SessionRecord):
    """One connection as its turns, its listener and its faults see it.

    Methods that send raise `ConnectionClosed` once the connection has ended. `asked` and `conversation` are set
    once setup has been read.
    """

    asked: Setup
    conversation: Conversation

    def __init__(self, server: ServerState, wire: WireConnection) -> None:
        upgrade = wire.upgrade
        assert upgrade is not None
        super().__init__(
            number=upgrade.number,
            path=upgrade.path,
            version=upgrade.version,
            mode=upgrade.mode,
            credential=upgrade.credential,
            headers=upgrade.headers,
            opened_s=server.clock.now(),
            others_open=sum(session.is_open for session in server.sessions),
        )
        self.server = server
        self.wire = wire
        options = server.options
        self.clock: Clock = CallerClock() if options.pace == "caller" else server.clock
        self.outbox = Outbox(wire, self, server.changes, as_text=options.text_frames, mime_type=options.audio_mime_type)
        self.faults = Moments(self, server.script, carry_out=self.carry_out, changed=server.changes.notify)
        self.never_resumable = False
        self.text_only_turns = 0  # so many turns to come are text parts without audio
        self.omits_call_ids = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    @property
    def is_open(self) -> bool:
        """Whether the WebSocket is open."""
        return self.wire.state is State.OPEN

    async def carry_out(self, action: Action) -> None:
        """Let one fault happen to this session."""
        raise NotImplementedError

    def spawn[*A](self, work: Callable[[*A], Coroutine[Any, Any, None]], *arguments: *A) -> asyncio.Task[None]:
        """Run `work(*arguments)` for as long as the session lasts."""
        if self.closed or self._group is None:
            raise RuntimeError(f"connection {self.number} has ended; drive a session that is still open")
        task = self._group.create_task(_until_closed(work, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def changed(self) -> None:
        """Wake whoever waits for a condition."""
        self.server.changes.notify()

    def count_usage(self, turn: TurnRecord | None) -> dict[str, Any]:
        """Return usageMetadata: all that the model has heard and read so far, and what this turn said and thought."""
        tokens = messages.Tokens(
            heard=int(self.samples / 16_000 * TOKENS_PER_S),
            read=-(-self.text_characters // CHARACTERS_PER_TOKEN),
            tools=-(-self.tool_characters // CHARACTERS_PER_TOKEN),
            said=int(turn.audio_ms / 1000 * TOKENS_PER_S) if turn else 0,
            thought=-(-turn.thought_characters // CHARACTERS_PER_TOKEN) if turn else 0,
        )
        self.usage = messages.usage(tokens, vertex=self.mode == "vertex")
        return self.usage

    def thaw_for_text(self) -> None:
        """End a freeze that lasts until the client writes."""
        if self.outbox.thaws_on_text:
            self.thaw()

    async def send_raw(self, body: bytes | str, as_text: bool | None = None) -> None:
        """Send exactly this, in the session's frame type or the one given."""
        await self.outbox.raw(body, as_text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a code and a reason (cut to 123 bytes); 1006 aborts, as it is not sent on the wire."""
        if code == 1006:
            self.abort()
        else:
            await self.wire.close(code, messages.cut_reason(reason))

    def abort(self, *, reset: bool = False) -> None:
        """End the TCP connection without a close frame."""
        self.wire.abort(reset=reset)

    def freeze(self, *, until_text: bool = False) -> None:
        """Send nothing more; the socket stays open and answers pings."""
        self.outbox.frozen, self.outbox.thaws_on_text = True, until_text

    def thaw(self) -> None:
        """End a freeze. What would have been sent meanwhile is lost."""
        self.outbox.frozen = self.outbox.thaws_on_text = False

    def stop_reading(self, for_s: float | None = None) -> None:
        """Take nothing more from the socket, for a time or for ever."""
        self.wire.stop_reading()
        if for_s is not None:
            self.spawn(self._read_again, for_s)

    async def _read_again(self, delay_s: float) -> None:
        await self.server.clock.sleep(delay_s)
        self.wire.resume_reading()

    def delay_pongs(self, delay_s: float | None) -> None:
        """Answer pings so late, or never."""
        self.wire.pong_delay_s = None if delay_s is None else delay_s / self.server.options.time_scale

    def half_open_close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame and leave TCP open after it is answered."""
        self.wire.keep_tcp_open(answer_close=True)
        self.spawn(self.close, code, reason)


async def _until_closed[*A](work: Callable[[*A], Coroutine[Any, Any, None]], *arguments: *A) -> None:
    # The coroutine is made here and not by the caller: a task cancelled before it starts leaves none behind.
    with contextlib.suppress(ConnectionClosed):
        await work(*arguments)
