"""One connection to the stand-in: its record, its conversation, and the methods a test drives it with."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from . import messages
from .brains import CallTools, Say, Step, ToolCall
from .casing import normalise
from .clock import CallerClock, Clock
from .connection import WireConnection
from .faults import Fault
from .listening import InvalidMessageError, Listener
from .misbehaviour import Misbehaviour
from .outbox import Outbox
from .records import SessionRecord, TurnRecord
from .resumption import STILL_OPEN, Conversation, Refusal
from .setup import INVALID_ARGUMENT, Setup, SetupRefusedError, read_setup
from .state import ServerState
from .triggers import OnGoAway, OnReady, OnSetup
from .turns import Turns

BAD_KEY = {
    "gemini": (1007, "API key not valid. Please pass a valid API key."),
    "vertex": (1008, "Request had invalid authentication credentials."),
}
QUOTA = (1011, "You exceeded your current quota, please check your plan and billing details.")
SETUP_LATE = (1011, "Deadline expired before operation could complete.")
TOKENS_PER_S = 25  # of audio, in and out; commonly quoted as 25 to 32
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)s$")  # protobuf JSON


class LiveSession(SessionRecord):
    """A record of one connection that is still writing itself, and can be driven.

    Methods that send raise `ConnectionClosed` once the connection has ended.
    """

    asked: Setup
    conversation: Conversation
    listener: Listener

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
        self.faults = Misbehaviour(self, server.script)
        self.never_resumable = False
        body = {"sessionId": f"session-{server.seed}-{self.number}"} if options.session_ids else {}
        self.setup_reply: bytes | str | None = messages.encode({"setupComplete": body})
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether the WebSocket is open."""
        return self.wire.state is State.OPEN

    # ---- life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve this connection to its end."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    with contextlib.suppress(ConnectionClosed):
                        await self._converse()
                finally:
                    for task in self._tasks:
                        task.cancel()
        finally:
            self._ended()

    def spawn[*A](self, work: Callable[[*A], Coroutine[Any, Any, None]], *arguments: *A) -> asyncio.Task[None]:
        """Run `work(*arguments)` for as long as the session lasts."""
        if self.closed:
            raise RuntimeError(f"connection {self.number} has ended; drive a session that is still open")
        task = self._group.create_task(_until_closed(work, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def changed(self) -> None:
        """Wake whoever waits for a condition."""
        self.server.changes.notify()

    async def _converse(self) -> None:
        if self.wire.early_close is not None:
            await self.close(self.wire.early_close.code, self.wire.early_close.reason)
            return
        try:
            await self._set_up()
        except SetupRefusedError as refused:
            await self.close(refused.code, refused.reason)
            return
        while True:
            message = await self.wire.hear()
            self.messages_received += 1
            if self.ready:
                try:
                    await self.listener.take(_decode(message))
                except InvalidMessageError as invalid:
                    await self.close(1007, str(invalid))
                    return
            self.changed()

    async def _set_up(self) -> None:
        options = self.server.options
        try:
            async with asyncio.timeout(options.setup_timeout_s):
                first = await self.wire.hear()
        except TimeoutError as late:
            raise SetupRefusedError(*SETUP_LATE) from late
        try:
            self.raw_setup = _decode(first)
        except InvalidMessageError as invalid:
            raise SetupRefusedError(1007, str(invalid)) from invalid
        message = normalise(self.raw_setup)
        if not isinstance(message, dict) or message.keys() != {"setup"} or not isinstance(message["setup"], dict):
            raise SetupRefusedError(1007, INVALID_ARGUMENT)
        self.setup = message["setup"]
        if not self.server.admits(self.credential, self.path):
            raise SetupRefusedError(*BAD_KEY[self.mode])
        if options.max_sessions is not None and self.others_open >= options.max_sessions:
            raise SetupRefusedError(*QUOTA)
        self.asked = read_setup(
            self.setup,
            mode=self.mode,
            version=self.version,
            vad=options.vad,
            extra_models=options.extra_models,
        )
        self.conversation = self._find_conversation()
        self.lineage = self.conversation.lineage
        self.turns_taken = Turns(self)
        self.listener = Listener(self)
        await self._answer_setup()

    def _find_conversation(self) -> Conversation:
        handles, handle = self.server.handles, self.asked.handle
        if handle is None:
            return handles.new_conversation()
        self.handle_offered = handle
        self.lineage = handles.lineage_of(handle)
        others = [session for session in self.server.sessions_of(self.lineage) if session is not self]
        self.overlapped = any(session.is_open for session in others)
        self.overlapped_by_client = not all(session.wire.client_has_gone for session in others)
        refusal = self.server.handle_refusal or (STILL_OPEN if self.overlapped else None)
        found = refusal or handles.redeem(handle, model=self.asked.model, mode=self.mode, now_s=self.server.clock.now())
        if isinstance(found, Refusal):
            raise SetupRefusedError(found.code, found.reason)
        self.resumed = True
        return found

    async def _answer_setup(self) -> None:
        options = self.server.options
        await self.faults.at(OnSetup)
        if self.setup_reply is None:
            return  # never answered
        await self.outbox.raw(self.setup_reply)
        self.ready = True
        self.changed()
        await self.faults.at(OnReady)
        if options.handle_at_setup:
            await self.offer_handle(generating=False)
        for fault in self.faults.timed():
            self.spawn(self._later, fault)
        if options.go_away_at_s is not None:
            self.spawn(self._grow_old, options.go_away_at_s)

    async def _later(self, fault: Fault) -> None:
        await self.server.clock.sleep(getattr(fault.at, "delay_s", 0.0))
        await self.faults.do(fault)

    async def _grow_old(self, age_s: float) -> None:
        await self.server.clock.sleep(age_s)
        await self.go_away(f"{self.server.options.go_away_time_left_s:g}s")

    def _ended(self) -> None:
        protocol = self.wire.protocol
        self.closed_s = self.server.clock.now()
        sent, received = protocol.close_sent, protocol.close_rcvd
        if sent is None and received is None:
            self.closed_by, self.close_code = "network", 1006
        else:
            by_client = received is not None and (sent is None or bool(protocol.close_rcvd_then_sent))
            close = received if by_client else sent
            assert close is not None
            self.closed_by = "client" if by_client else "server"
            self.close_code, self.close_reason = close.code, close.reason
        if self.lineage is not None and not any(s.is_open for s in self.server.sessions_of(self.lineage)):
            self.server.handles.connection_ended(self.lineage, self.closed_s)
        self.changed()

    # ---- what turns and the listener need --------------------------------------------------------------------

    async def offer_handle(self, *, generating: bool) -> None:
        """Send a sessionResumptionUpdate, if the client asked for them."""
        if not self.asked.wants_handles:
            return
        always = self.mode == "vertex" and self.server.options.vertex_always_resumable
        idle = not generating and not self.turns_taken.open_calls
        resumable = (always or idle) and not self.never_resumable
        handle = ""
        if resumable:
            handle = self.server.handles.issue(self.conversation, model=self.asked.model, mode=self.mode)
        index = self.messages_received if self.asked.transparent else None
        update = messages.resumption_update(handle, resumable=resumable, index=index)
        if await self.outbox.send("sessionResumptionUpdate", update) and handle:
            self.handles.append(handle)
            self.changed()

    def count_usage(self, turn: TurnRecord | None) -> dict[str, Any]:
        """Return usageMetadata: all the caller's audio so far, and this turn's."""
        heard = int(self.samples / 16_000 * TOKENS_PER_S)
        said = int(turn.audio_ms / 1000 * TOKENS_PER_S) if turn else 0
        self.usage = messages.usage(heard, said, vertex=self.mode == "vertex")
        return self.usage

    def thaw_for_text(self) -> None:
        """End a freeze that lasts until the client writes."""
        if self.outbox.thaws_on_text:
            self.thaw()

    # ---- driving it ------------------------------------------------------------------------------------------

    def say(self, pcm: bytes, transcript: str = "") -> None:
        """Begin a turn that says this (24 kHz), now or after the running one."""
        self.play([Say(pcm, transcript)])

    def play(self, steps: Sequence[Step]) -> None:
        """Begin a turn of these steps."""
        self.turns_taken.begin("script", steps)

    def call_tool(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        call_id: str | None = "",
        blocking: bool | None = None,
    ) -> None:
        """Begin a turn that calls one function. `call_id` is the id of `ToolCall`."""
        self.play([CallTools((ToolCall(name, args or {}, call_id),), blocking)])

    async def hear(self, pcm: bytes) -> None:
        """Pretend that the caller has just said this (16 kHz), whatever the voice detection thinks."""
        at_ms = self.samples / 16
        await self.listener.speech_started(at_ms)
        await self.listener.speech_ended(pcm, at_ms)

    async def interrupt(self) -> None:
        """Say `interrupted` and end the running turn, if there is one."""
        await self.turns_taken.interrupt()

    async def cancel_tools(self, ids: Sequence[str]) -> None:
        """Cancel these calls, whether or not they exist."""
        await self.turns_taken.cancel(ids)

    async def go_away(self, time_left: str | None = "50s", *, close_after_s: float | None = None) -> None:
        """Announce the end of the connection, and close when the time is up.

        Without `close_after_s` the time is read from `time_left`; if that has none, the connection stays open.
        """
        self.go_aways.append(time_left)
        await self.outbox.send("goAway", messages.go_away(time_left))
        await self.faults.at(OnGoAway)
        if close_after_s is None and time_left and (match := _DURATION.match(time_left)):
            close_after_s = float(match[1])
        if close_after_s is not None and self.is_open:
            self.spawn(self._close_later, close_after_s)

    async def _close_later(self, delay_s: float) -> None:
        await self.server.clock.sleep(delay_s)
        await self.close(*self.server.options.deadline_close)

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


def _decode(message: bytes) -> Any:
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError as broken:
        raise InvalidMessageError("Invalid JSON payload received.") from broken
