"""One connection to the stand-in: its record, its conversation, and the methods a test drives it with."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed

from . import faults as do
from . import messages
from .brains import CallTools, Say, Step, ToolCall
from .connection import WireConnection
from .listening import Listener
from .resumption import STILL_OPEN, Conversation, Refusal
from .session_base import ServerState, SessionBase
from .setup import SetupRefusedError, read_setup
from .triggers import OnGoAway, OnReady, OnSetup
from .turns import Turns
from .wire_reader import INVALID_ARGUMENT, InvalidMessageError, read_message

BAD_KEY = {
    "gemini": (1007, "API key not valid. Please pass a valid API key."),
    "vertex": (1008, "Request had invalid authentication credentials."),
}
QUOTA = (1011, "You exceeded your current quota, please check your plan and billing details.")
SETUP_LATE = (1011, "Deadline expired before operation could complete.")
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)s$")  # protobuf JSON


class LiveSession(SessionBase):
    """A record of one connection that is still writing itself, and can be driven.

    Methods that send raise `ConnectionClosed` once the connection has ended.
    """

    listener: Listener
    turns_taken: Turns

    def __init__(self, server: ServerState, wire: WireConnection) -> None:
        super().__init__(server, wire)
        body = {"sessionId": f"session-{server.seed}-{self.number}"} if server.options.session_ids else {}
        self.setup_reply: bytes | str | None = messages.encode({"setupComplete": body})

    # ---- life ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve this connection to its end."""
        try:
            async with asyncio.TaskGroup() as self._group:
                try:
                    with contextlib.suppress(ConnectionClosed):
                        await self._converse()
                finally:
                    for task in self._tasks:
                        task.cancel()
        finally:
            self._ended()

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
            message = read_message(self.raw_setup)
        except InvalidMessageError as invalid:
            raise SetupRefusedError(1007, str(invalid)) from invalid
        if "setup" not in message:
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
            rules=options.rules,
        )
        instruction = self.setup.get("systemInstruction", {})
        self.text_characters = sum(len(part.get("text", "")) for part in instruction.get("parts", ()))
        self.conversation = self._find_conversation()
        self.lineage = self.conversation.lineage
        self.turns_taken = Turns(self)
        self.listener = Listener(self, self.turns_taken)
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
            await self.turns_taken.offer_handle(generating=False)
        for fault in self.faults.timed():
            self.spawn(self._later, fault)
        if options.go_away_at_s is not None:
            self.spawn(self._grow_old, options.go_away_at_s)

    async def _later(self, fault: do.Fault) -> None:
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

    async def carry_out(self, action: do.Action) -> None:
        """Let one fault happen to this self."""
        match action:
            case do.NoSetupReply():
                self.setup_reply = None
            case do.SlowSetup(delay_s):
                await self.server.clock.sleep(delay_s)
            case do.ReplyToSetup(body):
                self.setup_reply = body
            case do.Close(code, reason):
                await self.close(code, reason)
            case do.Abort(reset):
                self.abort(reset=reset)
            case do.Freeze(until_text):
                self.freeze(until_text=until_text)
            case do.Stall(delay_s):
                await self.clock.sleep(delay_s)
            case do.SendRaw(body, as_text):
                await self.send_raw(body, as_text)
            case do.Withhold(kind):
                self.outbox.withheld.add(kind)
            case do.Duplicate(kind):
                self.outbox.duplicated.add(kind)
            case do.NeverResumable():
                self.never_resumable = True
            case do.Interrupt():
                await self.interrupt()
            case do.SendGoAway(time_left, close_after_s):
                await self.go_away(time_left, close_after_s=close_after_s)
            case do.TextOnlyTurns(turns):
                self.text_only_turns = turns
            case do.OmitCallIds():
                self.omits_call_ids = True
            case do.Flood(kind, count):
                for index in range(count):
                    await self.send_raw(messages.flooding(kind, index))
            case do.CancelTools(ids):
                await self.cancel_tools(ids)
            case do.StopReading(for_s):
                self.stop_reading(for_s)
            case do.ReadSlowly(delay_s):
                self.wire.read_delay_s = delay_s / self.server.options.time_scale
            case do.DelayPongs(delay_s):
                self.delay_pongs(delay_s)
            case do.BlackHole():
                self.wire.become_black_hole()
            case do.IgnoreClose():
                self.wire.keep_tcp_open(answer_close=False)
            case do.HalfOpenClose(code, reason):
                self.half_open_close(code, reason)
            case do.Refuse() | do.HangUpgrade() | do.SlowUpgrade():
                raise ValueError(f"{type(action).__name__} is for the upgrade, and this session is past it")


def _decode(message: bytes) -> Any:
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError as broken:
        raise InvalidMessageError("Invalid JSON payload received.") from broken
