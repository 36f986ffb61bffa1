"""GeminiSession: one model session, from dialling to its end. The next session is the next actor.

Three things wait here: the opening, the receiver and the sender. Messages are handed over in the transport's own turn where the
link can (`hand_to`); the receiver gets only what is left. While the sender has nothing to do, audio passes the uplink
and is written at once; else the sender takes all of it that waits, in larger messages. When the session ends, in whatever
way, its socket is gone before `SessionLost` is told: a resume is refused while an older socket is open.
"""

import asyncio
import contextvars
import functools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from callbot.actors.base import Actor, Overflow
from callbot.actors.signs import LifeSigns
from callbot.actors.uplink import PCM_BYTES_PER_MS, Uplink
from callbot.effects import OpenSession
from callbot.gemini.failures import Failure, classify
from callbot.gemini.link import ModelLink, SessionOpener
from callbot.gemini.session_config import SessionOrder
from callbot.gemini.turns import TurnBook
from callbot.messages.call import CallMessage, StreamFault
from callbot.messages.children import (
    AnswerTool,
    CloseSession,
    EndSpeech,
    GeminiSessionMessage,
    ModelAudio,
    ModelAudioEnded,
    ProbeLink,
    SayText,
    SendSilence,
    TranscoderMessage,
)
from callbot.messages.session import (
    GoAway,
    HandleRenewed,
    ModelInterrupted,
    SessionLost,
    SessionReady,
    ToolCalled,
    ToolsCancelled,
)
from callbot.messages.terms import Decision
from callbot.wire.gemini import ModelMessage
from callbot.wire.reading import Unreadable

_MAILBOX_SIZE: Final = 256
_CLOSE_TIMEOUT_S: Final = 1.0
# A service that sends nothing readable any more is as good as gone.
_MAX_UNREADABLE: Final = 100
_OUR_IDS: Final = "callbot-"  # of calls that came without an id


class GeminiSession(Actor[GeminiSessionMessage]):
    """Session number `opening.session_no` of a call, set up as `order` says."""

    def __init__(
        self,
        *,
        opening: OpenSession,
        order: SessionOrder,
        opener: SessionOpener,
        uplink: Uplink,
        signs: LifeSigns,
        parent: Callable[[CallMessage], None],
        transcoder: Callable[[TranscoderMessage], None],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        max_message_ms: int,
        delay_s: float,
    ) -> None:
        super().__init__("gemini_session", mailbox_size=_MAILBOX_SIZE, overflow=Overflow.FAIL)
        self._number = opening.session_no
        self._plan = opening.plan
        self._order = order
        self._opener = opener
        self._uplink = uplink
        self._signs = signs
        self._parent = parent
        self._transcoder = transcoder
        self._clock = clock
        self._wall_clock = wall_clock
        self._max_message_bytes = max_message_ms * PCM_BYTES_PER_MS
        self._delay_s = delay_s
        self._book = TurnBook(opening.first_turn)
        self._outbox: deque[SayText | AnswerTool | EndSpeech | SendSilence | ProbeLink] = deque()
        self._closing = asyncio.Event()
        self._context = contextvars.copy_context()
        self._fault: Exception | None = None
        self._send_fault: Exception | None = None
        self._unreadable = 0
        self._calls_without_id = 0

    def handle(self, message: GeminiSessionMessage) -> None:
        """Queue what is to be sent, in order; the sender does the rest."""
        if isinstance(message, CloseSession):
            self._closing.set()
        else:
            self._outbox.append(message)
        self._uplink.nudge()

    async def live(self) -> None:
        """Open, then send and receive until the session ends; the last thing told is `SessionLost`."""
        failure = await self._session()
        self._parent(
            SessionLost(
                session_no=self._number,
                decision=failure.decision,
                cause=failure.cause,
                code=failure.code,
                detail=failure.detail,
                at_s=self._clock(),
                retry_after_s=failure.retry_after_s,
                refusal=failure.refusal,
                remedy=failure.remedy,
            )
        )

    async def _session(self) -> Failure:
        began_s = self._clock()
        try:
            link = await self._unless_closing(self._open())
        except Exception as error:  # noqa: BLE001 - every way of failing is judged by one table, and told to the parent
            return classify(error, opened=False)
        if link is None:
            return _CLOSED
        try:
            self._signs.model_s = now_s = self._clock()
            setup_ms = int((now_s - began_s - self._delay_s) * 1000)
            self._parent(SessionReady(self._number, self._plan, max(0, setup_ms), now_s))
            return await self._talk(link)
        finally:
            if turn := self._book.cut_off():
                self._transcoder(ModelAudioEnded(turn))  # what has come of it is still heard, to its last sample
            await link.close(_CLOSE_TIMEOUT_S)

    async def _open(self) -> ModelLink:
        if self._delay_s > 0:
            await asyncio.sleep(self._delay_s)
        return await self._opener.open(self._order)

    async def _unless_closing(self, opening: Awaitable[ModelLink]) -> ModelLink | None:
        """The link, or None when the session was told to close before it was open."""
        task: asyncio.Task[ModelLink | Exception] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                closing = group.create_task(self._closing.wait())
                task = group.create_task(_outcome(opening))
                await asyncio.wait({closing, task}, return_when=asyncio.FIRST_COMPLETED)
                closing.cancel()
                if not task.done():
                    task.cancel()
                    return None
        except asyncio.CancelledError:
            # Cancelled from above in the very moment in which the link opened: nobody else would close it.
            if task is not None and task.done() and not task.cancelled():
                opened = task.result()
                if not isinstance(opened, Exception):
                    await opened.close(0.0)
            raise
        outcome = task.result()
        if isinstance(outcome, Exception):
            raise outcome
        if self._closing.is_set():
            await outcome.close(_CLOSE_TIMEOUT_S)
            return None
        return outcome

    async def _talk(self, link: ModelLink) -> Failure:
        """Both pumps, until the first ends; how it ended is how the session ended."""
        async with asyncio.TaskGroup() as pumps:
            receiving = pumps.create_task(_failure_of(self._receive(link)), name="gemini_session.receive")
            sending = pumps.create_task(_failure_of(self._send(link)), name="gemini_session.send")
            closing = pumps.create_task(self._closing.wait(), name="gemini_session.closing")
            done, _ = await asyncio.wait({receiving, sending, closing}, return_when=asyncio.FIRST_COMPLETED)
            if self._closing.is_set():
                # What was given before the close is sent first, but a peer that takes nothing any more is not waited for.
                await asyncio.wait({receiving, sending}, timeout=_CLOSE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            elif sending in done and receiving not in done:
                # The close code and its reason come out of the receiver, a moment later than the sender's fault.
                await asyncio.wait({receiving}, timeout=_CLOSE_TIMEOUT_S)
            for pump in (receiving, sending, closing):
                pump.cancel()
        if self._closing.is_set():
            return _CLOSED
        return (receiving if receiving.done() and not receiving.cancelled() else sending).result()

    # Sending.

    async def _send(self, link: ModelLink) -> Failure:
        """The outbox first, then all audio that waits, as one message; until told to close."""
        while True:
            if self._send_fault is not None:
                raise self._send_fault
            while self._outbox:
                await self._send_command(link, self._outbox.popleft())
            if self._closing.is_set():
                return _CLOSED
            pcm = self._uplink.take(self._max_message_bytes)
            if not pcm:
                self._uplink.direct = functools.partial(self._send_at_once, link)
                try:
                    await self._uplink.wait()
                finally:
                    self._uplink.direct = None
                continue
            try:
                if not link.send_audio_now(pcm):
                    await link.send_audio(pcm)
            except BaseException:  # a dead link or a cancelled pump alike: the words are kept, the fault goes on
                self._uplink.put_back(pcm)  # the next session sends it
                raise
            self._signs.uplink_ms += len(pcm) // PCM_BYTES_PER_MS

    def _send_at_once(self, link: ModelLink, pcm: bytes) -> bool:
        """What the idle sender would do, in the turn of the loop in which the audio came.

        A fault of the socket is this session's, not the fault of whoever brought the audio: the sender raises it.
        """
        try:
            if self._outbox or self._closing.is_set() or not link.send_audio_now(pcm):
                return False
        except Exception as fault:  # noqa: BLE001 - raised by the sender, which the waiting audio wakes
            self._send_fault = fault
            return False
        self._signs.uplink_ms += len(pcm) // PCM_BYTES_PER_MS
        return True

    async def _send_command(self, link: ModelLink, command: SayText | AnswerTool | EndSpeech | SendSilence | ProbeLink) -> None:
        match command:
            case SayText(text=text):
                self._book.asked()
                await link.ask(text)
            case AnswerTool(call_id=call_id, name=name, result=result):
                self._book.asked()
                await link.send_tool_result("" if call_id.startswith(_OUR_IDS) else call_id, name, result)
            case EndSpeech():
                await link.send_audio_stream_end()
            case SendSilence(duration_ms=duration_ms):
                if not self._uplink.held_ms:  # never beside live speech
                    await link.send_audio(bytes(duration_ms * PCM_BYTES_PER_MS))
            case ProbeLink():
                (await link.ping()).add_done_callback(self._on_pong)

    def _on_pong(self, pong: asyncio.Future[float]) -> None:
        if not pong.cancelled() and pong.exception() is None:
            self._signs.model_s = self._clock()

    # Receiving.

    async def _receive(self, link: ModelLink) -> Failure:
        """Decode and hand on, until the link raises."""
        self._context = contextvars.copy_context()  # what the log says of the request, for what comes outside this task
        link.hand_to(self._take)
        try:
            while True:
                message = await link.receive()
                if self._fault is not None:
                    raise self._fault
                self._on_arrival(message)
        finally:
            link.hand_to(_not_now)

    def _take(self, message: ModelMessage | Unreadable) -> bool:
        """A message in the turn of the loop in which it came. False when it is the receiver's: it finds the fault there."""
        if self._fault is not None:
            return False
        try:
            self._context.run(self._on_arrival, message)
        except Exception as fault:  # noqa: BLE001 - raised by the receiver, which this woke
            self._fault = fault
            return False
        return True

    def _on_arrival(self, message: ModelMessage | Unreadable) -> None:
        self._signs.model_s = now_s = self._clock()
        if isinstance(message, Unreadable):
            self._count_unreadable(message)
        else:
            self._on_message(message, now_s)

    def _on_message(self, message: ModelMessage, now_s: float) -> None:
        session_no = self._number
        for event in self._book.feed(message, now_s):
            if isinstance(event, ModelAudio | ModelAudioEnded):
                self._transcoder(event)
            else:
                self._parent(event)
                if isinstance(event, ModelInterrupted):
                    self._outbox = deque(
                        command for command in self._outbox if not (isinstance(command, SayText) and command.until_interrupted)
                    )
        turn = self._book.turn_of_a_call
        for call in message.tool_calls:
            self._parent(ToolCalled(session_no, call.id or self._id_of_ours(), call.name, call.args, now_s, turn))
        if message.cancelled_tool_ids:
            self._parent(ToolsCancelled(session_no, message.cancelled_tool_ids))
        if message.go_away:
            self._parent(GoAway(session_no, message.go_away_time_left_s, now_s))
        if message.resumption is not None and message.resumption.resumable and message.resumption.handle:
            self._parent(HandleRenewed(session_no, message.resumption.handle, now_s, self._wall_clock()))
        for fault in message.faults:
            self._parent(StreamFault(f"model_{fault}"))
        for key in message.unknown_keys:
            self._parent(StreamFault(f"model_unknown_{key[:40]}"))

    def _count_unreadable(self, message: Unreadable) -> None:
        self._unreadable += 1
        self._parent(StreamFault(f"model_{message.fault}"))
        if self._unreadable > _MAX_UNREADABLE:
            raise ValueError(f"{self._unreadable} messages that cannot be read, the last {message.fault}")

    def _id_of_ours(self) -> str:
        """Vertex may send calls without an id. Answers are paired by name there, and this one stays here."""
        self._calls_without_id += 1
        return f"{_OUR_IDS}{self._number}-{self._calls_without_id}"


def _not_now(_message: ModelMessage | Unreadable) -> bool:
    return False


_CLOSED: Final = Failure(Decision.RESUME, "closed_by_us", 1000)


async def _outcome(opening: Awaitable[ModelLink]) -> ModelLink | Exception:
    try:
        return await opening
    except Exception as error:  # noqa: BLE001 - handed to whoever waits, not to the TaskGroup
        return error


async def _failure_of(pump: Awaitable[Failure]) -> Failure:
    try:
        return await pump
    except Exception as error:  # noqa: BLE001 - every way of failing is judged by one table, and told to the parent
        return classify(error, opened=True)
